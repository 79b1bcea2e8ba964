"""ControlNets (Zhang et al. 2023): loaded beside their model, checked against it, and their pictures brought to what is painted."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open

from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from ..protocol.messages import Source, text_of
from ..protocol.parts import Control
from ..protocol.request import UPSCALE, Request
from . import memory, sources
from .control_images import prepared
from .models import Model

STARTER = Path(__file__).resolve().parent.parent / "models" / "starter_control"
KEPT = 4  # ControlNets that stay loaded with a model


@dataclass(frozen=True)
class Steering:
    """What steers one order: the request's controls with their networks and pictures (RGB, of the result's size)."""

    controls: tuple[Control, ...] = ()
    nets: tuple[torch.nn.Module, ...] = ()
    pictures: tuple[Image.Image, ...] = ()
    notes: tuple[str, ...] = ()

    def arguments(self, known: Any, fit: Callable[[Image.Image], Image.Image]) -> dict[str, Any]:
        """The arguments of the pipeline's call, whose parameters are `known`. `fit`: brings a picture to what is painted."""
        if not self.controls:
            return {}
        pictures = [fit(picture) for picture in self.pictures]
        # Text-to-image pipelines call it `image`; where that is the source, `control_image`.
        values = {"control_image" if "control_image" in known else "image": pictures,
                  "controlnet_conditioning_scale": [control.weight for control in self.controls],
                  "control_guidance_start": [control.start for control in self.controls],
                  "control_guidance_end": [control.end for control in self.controls]}
        return values if len(self.controls) > 1 else {name: value[0] for name, value in values.items()}


def steering(model: Model, request: Request, inputs: dict[str, Source], say: Callable[[str], None], check: Callable[[], None]) -> Steering:
    """Loads what `request.controls` ask for. `say` hears what is being read, `check` may raise. Raises InvalidRequest where
    the task or the model cannot be steered so, SourceUnusable without a picture, ModelNotFound, ModelUnreadable."""
    if not request.controls:
        return Steering()
    if request.task == UPSCALE:
        raise InvalidRequest("Controls do not work while enlarging.", "Take them out, or use them when the picture is first painted.")
    if model.is_transformer:
        raise InvalidRequest(f"Controls do not work with '{model.name}' yet.", "Choose a model of the SD 1.5, SD 2 or SDXL family.")
    pictures, notes, nets = [], [], []
    for number, control in enumerate(request.controls):
        picture, note = _picture(control, inputs.get(f"control{number}"), (request.width, request.height))
        pictures.append(picture)
        notes.append(note)
    for control in request.controls:
        check()
        nets.append(_net(model, Path(STARTER if control.model == "starter" else control.model), say))
    return Steering(request.controls, tuple(nets), tuple(pictures), tuple(filter(None, notes)))


def _picture(control: Control, source: Source | None, size: tuple[int, int]) -> tuple[Image.Image, str]:
    """The control's picture over the whole result, and a note where parts of it lie outside."""
    if source is None:
        raise SourceUnusable(f"The {control.kind} control has no picture.", "Choose one.")
    picture, alpha = sources.open_source(source)
    if alpha is not None:  # nothing is there: black in every convention
        picture = Image.composite(picture, Image.new("RGB", picture.size), alpha)
    note = ""
    if abs(picture.width * size[1] - picture.height * size[0]) > max(*picture.size, *size):
        note = (f"The {control.kind} control's picture ({picture.width} × {picture.height}) has another aspect than the result "
                f"({size[0]} × {size[1]}): its middle is used.")
    return prepared(control.kind, ImageOps.fit(picture, size, Image.Resampling.LANCZOS)), note


def _net(model: Model, folder: Path, say: Callable[[str], None]) -> torch.nn.Module:
    """The ControlNet in `folder` beside `model`, loaded if need be."""
    config, files = _inspected(folder)
    unet = model.denoiser.config
    shapes = [(net["cross_attention_dim"], tuple(net["block_out_channels"])) for net in (config, unet)]
    if shapes[0] != shapes[1]:
        raise InvalidRequest(f"The ControlNet '{folder.name}' does not fit the model '{model.name}'.",
                             "Choose one that was made for the model's family.", f"{shapes[0]} for {shapes[1]}")
    key = (str(folder.resolve()), *((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files))
    if key in model.controlnets:
        model.controlnets.move_to_end(key)
        return model.controlnets[key]
    memory.check_weights(model.device, sum(map(_weights, files)) * model.dtype.itemsize)
    say(f"Loading {folder.name}")
    variant = files[0].stem.split(".")[1] if "." in files[0].stem else None  # such as diffusion_pytorch_model.fp16
    try:
        net = diffusers.ControlNetModel.from_pretrained(folder, dtype=model.dtype, variant=variant, local_files_only=True,
                                                        use_safetensors=True)
        net = net.eval().to(model.device.torch)
        model.device.lay_out(net)
    except Exception as error:
        if memory.is_out_of_memory(error):
            raise memory.translated(error) from error
        raise ModelUnreadable(f"The ControlNet '{folder.name}' cannot be loaded.", "Its folder may be incomplete: download it again.",
                              text_of(error)) from error
    while len(model.controlnets) >= KEPT:
        model.controlnets.popitem(last=False)
    model.controlnets[key] = net
    return net


def _inspected(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The config of the ControlNet in `folder`, and the weight files that will be read."""
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"There is no ControlNet in {folder}.", "Choose a folder in diffusers format.")
    try:
        config = diffusers.ControlNetModel.load_config(folder, local_files_only=True)
        if not {"cross_attention_dim", "block_out_channels"} <= config.keys() or config.get("_class_name") != "ControlNetModel":
            raise ValueError(f"class {config.get('_class_name')}")
    except Exception as error:
        raise ModelUnreadable(f"{folder.name} is no ControlNet that can be used here.",
                              "Choose a ControlNet for SD 1.5, SD 2 or SDXL in diffusers format.", text_of(error)) from error
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = any(file.suffix in (".bin", ".ckpt", ".pt", ".pth") for file in folder.iterdir())
        raise ModelUnreadable(
            f"The ControlNet '{folder.name}' is a pickle file only, which could run any program when opened." if pickles
            else f"The ControlNet '{folder.name}' has no weights.", "Get its safetensors version.")
    return config, [file for file in files if "." not in file.stem] or files


def _weights(file: Path) -> int:
    """How many weights a file holds. Opening it also shows whether it is whole."""
    try:
        with safe_open(file, framework="pt") as tensors:
            return sum(torch.Size(tensors.get_slice(name).get_shape()).numel() for name in tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ModelUnreadable(f"The ControlNet's file {file.name} is broken or incomplete.", "Download it again.", repr(error)) from None
