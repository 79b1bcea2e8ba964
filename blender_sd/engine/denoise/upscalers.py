"""Upscalers: networks that enlarge a picture by a fixed factor, piece by piece (`enlarging`).

There are two kinds: networks that spandrel reads (ESRGAN, SwinIR, DAT, HAT …), and Stable Diffusion's own: the x4
upscaler, which adds noise to the picture and denoises it at four times the resolution, and the latent x2 upscaler.
Those two read the prompt.
"""
from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...core.errors import InvalidRequest, ModelUnreadable
from ...core.common_settings import MAX_SEED
from ...core.request import Request
from ...library.checkpoints import UPSCALER_PIPELINES
from ...protocol.messages import text_of
from ..memory import budget
from ..memory.devices import Device
from ..models import inspection, nets, weight_files
from ..models.cache import Model
from ..models.loader import Loader
from .painting import Listener, paint
from .plan import Plan
from .upscaler import Check, Pieces, Upscaler

log = logging.getLogger(__name__)
_WHAT = "upscaler"
_X4, _LATENT = UPSCALER_PIPELINES


class Net(Upscaler):
    """A network that spandrel has read. Pixels go in and come out as 0 to 1."""

    pieces = Pieces(256, 16, 16)

    @property
    def repeats(self) -> bool:  # type: ignore[override]
        """Whether it enlarges at all: there are nets that only restore."""
        return self.scale > 1

    def __init__(self, name: str, net: Any, device: Device) -> None:
        self.name = name
        self.scale = net.scale
        self._net = net.to(device.torch, _dtype(net, device))
        self._net.model.eval().requires_grad_(False)

    def enlarged(self, piece: Image.Image, number: int, request: Request, check: Check) -> Image.Image:
        pixels = torch.from_numpy(np.array(piece)).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode(), ExitStack() as stack:
            for layer in self._net.model.modules():
                if not any(layer.children()):
                    stack.callback(layer.register_forward_pre_hook(lambda *_: check()).remove)
            large = self._run(pixels)
        return Image.fromarray(large[0].permute(1, 2, 0).mul(255).round().byte().cpu().numpy())

    def _run(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return 1×3×H×W enlarged, in fp32. Half precision is given up for good if it overflows."""
        large = self._net(pixels.to(self._net.device, self._net.dtype)).float()
        if torch.isfinite(large).all():
            return large
        if self._net.dtype == torch.float32:
            raise ModelUnreadable(f"The upscaler '{self.name}' gives pixels that are not numbers.",
                                  "Choose another one.")
        log.info("%s overflows in %s: run in fp32 from now on", self.name, self._net.dtype)
        self._net.to(torch.float32)
        return self._run(pixels)


class Diffusion(Upscaler):
    """Stable Diffusion's x4 or latent x2 upscaler."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model
        self._latent = type(model.base).__name__ == _LATENT
        self.scale = 2 if self._latent else model.vae_scale
        # The sizes that they were trained on
        self.pieces = Pieces(512, 32, 64, 64) if self._latent else Pieces(128, 8, 16, 8)
        model.base.set_progress_bar_config(disable=True)

    def enlarged(self, piece: Image.Image, number: int, request: Request, check: Check) -> Image.Image:
        # Each piece has a seed of its own: the same noise everywhere would show as a pattern.
        part = replace(request, seed=(request.seed + number) % (MAX_SEED + 1), tiling="none", variation_strength=0.0,
                       sampler="euler" if self._latent else request.sampler)
        plan = Plan({"image": piece, "noise_level": min(request.task.upscaler_noise, self._max_noise)},
                    (piece.width * self.scale, piece.height * self.scale))
        return paint(self._model, self._model.base, part, plan, Listener(check, lambda *_: None, log.info, 0))

    @property
    def _max_noise(self) -> int:
        return self._model.base.config.get("max_noise_level") or 0


class Upscalers:
    """Keep the loaded upscalers: the last one of spandrel's; Stable Diffusion's are kept by `loader`."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._net: tuple[tuple, Net] | None = None

    def get(self, path: str, say: Callable[[str], None], cancelled: Callable[[], bool]) -> Upscaler:
        """Return the upscaler in a file or folder, loaded if necessary.

        Args:
            path: A real path (`library.model_paths`).
            say: Receives what is being loaded.
            cancelled: Whether the job was cancelled.

        Raises:
            ModelNotFound: There is no such file.
            ModelUnreadable: The file is broken.
            InvalidRequest: It is no upscaler.
            OutOfMemory: It does not fit.
            JobCancelled: `cancelled` became true.
        """
        if Path(path).is_dir():
            model = self._loader.get(path, say, cancelled)
            if type(model.base).__name__ not in UPSCALER_PIPELINES:
                raise InvalidRequest(f"The model '{model.name}' is no upscaler.",
                                     "Choose one that is, or leave the field empty.")
            return Diffusion(model)
        file = weight_files.existing(path, _WHAT)
        key = weight_files.stamp(file)
        if self._net is None or self._net[0] != key:
            self._net = None
            say(f"Loading {file.stem}")
            self._net = key, _read(file, self._loader.library.device)
        return self._net[1]


def _dtype(net: Any, device: Device) -> torch.dtype:
    """Return half precision on a graphics card if the network allows it; fp32 on a processor."""
    half = device.dtype(transformer=False, weight_bytes=0)
    allowed = {torch.float16: net.supports_half, torch.bfloat16: net.supports_bfloat16}.get(half, False)
    return half if allowed and device.kind != "cpu" else torch.float32


def _read(file: Path, device: Device) -> Net:
    weights = weight_files.read(file, _WHAT)
    spandrel = _spandrel()
    try:
        with nets.bounded(inspection.weights_of([file])):
            net = spandrel.ModelLoader().load_from_state_dict(weights)
    except spandrel.UnsupportedModelError:
        raise ModelUnreadable(f"The file '{file.name}' is no upscaler of a kind that is known here.",
                              "Choose another one.") from None
    except Exception as error:  # spandrel's readers may raise anything on odd files
        if budget.is_out_of_memory(error):
            raise budget.translated(error) from error
        raise ModelUnreadable(f"The upscaler '{file.name}' is broken or of a variant that cannot be read.",
                              "Choose another one.",
                              text_of(error)) from error
    enlarges = isinstance(net, spandrel.ImageModelDescriptor) and net.purpose in ("SR", "Restoration")
    if not enlarges or (net.input_channels, net.output_channels) != (3, 3):
        raise ModelUnreadable(f"'{file.stem}' ({net.architecture.name}) is no upscaler of coloured pictures.",
                              "Choose another one.")
    return Net(file.stem, net, device)


def _spandrel() -> ModuleType:
    try:
        with _without_torchvision():
            return importlib.import_module("spandrel")
    except ImportError as error:
        raise InvalidRequest("Upscalers need the package spandrel beside torch, which the engine's Python lacks.",
                             "Install it there with: pip install --no-deps spandrel einops", repr(error)) from None


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Return a context in which spandrel can be imported even if torchvision is missing or does not load.

    The three names that spandrel imports from it are then there. Only LaMa and RestoreFormer use them, which are no
    upscalers. Afterwards nothing can mistake the stand-in for the real module.
    """
    name = "torchvision.transforms.functional"
    try:
        importlib.import_module(name)
    except Exception:  # a torchvision built for another torch may raise anything
        stand_in = ModuleType(name)
        stand_in.InterpolationMode = stand_in.rotate = stand_in.normalize = None
        replaced = {part: sys.modules.get(part) for part in (name, "torchvision.transforms", "torchvision")}
        sys.modules |= dict.fromkeys(replaced, stand_in)
        try:
            yield
        finally:
            for part, before in replaced.items():
                if before is None:
                    del sys.modules[part]
                else:
                    sys.modules[part] = before
    else:
        yield
