"""ControlNets (Zhang et al. 2023): loaded beside their model, checked against it, and their pictures brought to what is painted."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open

from ..protocol.checkpoints import STARTER_CONTROL_FOLDER
from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from ..protocol.families import CONTROLNETS, UNETS, ControlNet, controlnet_of
from ..protocol.messages import Source, text_of
from ..protocol.parts import Control
from ..protocol.request import UPSCALE, Request
from . import memory, shards, sources
from .control_images import prepared
from .models import Model

STARTER = Path(STARTER_CONTROL_FOLDER)
# What a ControlNet's config and its model's denoiser must have alike, where both say it.
_WIDTHS = ("num_attention_heads", "attention_head_dim", "joint_attention_dim", "pooled_projection_dim", "caption_channels", "in_channels")
_SHAPES = {**dict.fromkeys(CONTROLNETS, _WIDTHS), **dict.fromkeys(UNETS, ("cross_attention_dim", "block_out_channels")),
           "ZImageControlNetModel": ("dim", "n_heads", "n_refiner_layers")}
KEPT = 4  # ControlNets that stay loaded with a model


@dataclass(frozen=True)
class Steering:
    """What steers one order: the request's controls with their networks and pictures (RGB, of the result's size). `modes`: what a
    union ControlNet calls each picture's kind."""

    controls: tuple[Control, ...] = ()
    nets: tuple[torch.nn.Module, ...] = ()
    pictures: tuple[Image.Image, ...] = ()
    modes: tuple[int | None, ...] = ()
    notes: tuple[str, ...] = ()

    def arguments(self, known: Any, fit: Callable[[Image.Image], Image.Image]) -> dict[str, Any]:
        """The arguments of the pipeline's call, whose parameters are `known`. `fit`: brings a picture to what is painted."""
        if not self.controls:
            return {}
        pictures = [fit(picture) for picture in self.pictures]
        # UNets' text-to-image pipelines call it `image`; where that is the source, `control_image`.
        values = {"control_image" if "control_image" in known else "image": pictures,
                  "controlnet_conditioning_scale": [control.weight for control in self.controls],
                  "control_guidance_start": [control.start for control in self.controls],
                  "control_guidance_end": [control.end for control in self.controls]}
        if any(mode is not None for mode in self.modes):
            values["control_mode"] = list(self.modes)
        return values if len(self.controls) > 1 else {name: value[0] for name, value in values.items()}

    @contextmanager
    def spanned(self, known: Any, steps: int) -> Iterator[Callable[[], None]]:
        """While it lasts, the networks count from each control's start to its end, also where the pipeline, whose parameters are
        `known`, cannot say so. Gives what is to be called after each of `steps` steps."""
        done = 0

        def step() -> None:
            nonlocal done
            done += 1

        def gate(control: Control) -> Callable:
            def before(_net: torch.nn.Module, args: tuple, options: dict) -> tuple[tuple, dict]:
                counts = done / steps >= control.start and (done + 1) / steps <= control.end
                return args, options if counts else {**options, "conditioning_scale": 0.0}

            return before

        handles = [] if "control_guidance_start" in known else [
            net.register_forward_pre_hook(gate(control), with_kwargs=True)
            for control, net in zip(self.controls, self.nets, strict=True)]
        try:
            yield step
        finally:
            for handle in handles:
                handle.remove()


def steering(model: Model, request: Request, inputs: dict[str, Source], say: Callable[[str], None], check: Callable[[], None]) -> Steering:
    """Loads what `request.controls` ask for, those of weight 0 left out. `say` hears what is being read, `check` may raise. Raises
    InvalidRequest where the task or the model cannot be steered so, SourceUnusable without a picture, ModelNotFound, ModelUnreadable."""
    numbered = [(number, control) for number, control in enumerate(request.controls) if control.weight]
    if not numbered:
        return Steering()
    controls = tuple(control for _, control in numbered)
    folders = [Path(STARTER if control.model == "starter" else control.model) for control in controls]
    found = [_inspected(folder) for folder in folders]
    _check_kinds(model, request.task, controls, folders, [one for one, *_ in found])
    pictures, notes, nets, modes = [], [], [], []
    for (number, control), (one, *_) in zip(numbered, found, strict=True):
        picture, note = _picture(control, inputs.get(f"control{number}"), (request.width, request.height))
        pictures.append(picture)
        notes.append(note)
        modes.append(one.modes[control.kind] if one.modes else None)
    for folder, (one, config, files) in zip(folders, found, strict=True):
        check()
        nets.append(_net(model, folder, one, config, files, say))
    return Steering(controls, tuple(nets), tuple(pictures), tuple(modes), tuple(filter(None, notes)))


def _check_kinds(model: Model, task: str, controls: Sequence[Control], folders: list[Path], found: list[ControlNet]) -> None:
    """Raises InvalidRequest where the model's family, the ControlNets and the task do not go together."""
    family = model.family
    if task == UPSCALE:
        raise InvalidRequest("Controls do not work while enlarging.", "Take them out, or use them when the picture is first painted.")
    if not family.controls:
        raise InvalidRequest(f"ControlNets do not work with {family.name} models.", "Choose another model, or take the controls out.")
    for control, folder, one in zip(controls, folders, found, strict=True):
        if not one.fits(family):
            raise InvalidRequest(f"The ControlNet '{folder.name}' does not fit the model '{model.name}': it was made for {one.family}, "
                                 f"not for {family.name}.", "Choose one that was made for the model's family.")
        if one.modes and control.kind not in one.modes:
            raise InvalidRequest(f"The ControlNet '{folder.name}' reads no {control.kind} pictures.",
                                 f"It reads: {', '.join(one.modes)}.")
        if refused := family.refusal(task, one.cls):
            raise InvalidRequest(refused, "Take the controls out, or choose another model.")
    if len(found) > 1 and (not family.several or len({one.cls for one in found}) > 1):
        many = "of different kinds " if family.several else ""
        raise InvalidRequest(f"Several ControlNets {many}do not work together with {family.name} models.", "Leave one of them.")


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


def _net(model: Model, folder: Path, found: ControlNet, config: dict[str, Any], files: list[Path],
         say: Callable[[str], None]) -> torch.nn.Module:
    """The ControlNet in `folder` beside `model`, loaded if need be."""
    shapes = [{name: _shape(net.get(name)) for name in _SHAPES[found.cls]} for net in (config, model.denoiser.config)]
    if any(None not in (one, shapes[1][name]) and one != shapes[1][name] for name, one in shapes[0].items()):
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
        net = getattr(diffusers, found.cls).from_pretrained(folder, dtype=model.dtype, variant=variant, local_files_only=True,
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


def _shape(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _inspected(folder: Path) -> tuple[ControlNet, dict[str, Any], list[Path]]:
    """What the ControlNet in `folder` is, its config, and the weight files that will be read."""
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"There is no ControlNet in {folder}.", "Choose a folder in diffusers format.")
    try:
        config = diffusers.ControlNetModel.load_config(folder, local_files_only=True)
        found = controlnet_of(config)
        if found is None:
            raise ValueError(f"class {config.get('_class_name')}")
    except Exception as error:
        raise ModelUnreadable(f"{folder.name} is no ControlNet that can be used here.",
                              "Choose a ControlNet in diffusers format.", text_of(error)) from error
    shards.check(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = any(file.suffix in (".bin", ".ckpt", ".pt", ".pth") for file in folder.iterdir())
        raise ModelUnreadable(
            f"The ControlNet '{folder.name}' is a pickle file only, which could run any program when opened." if pickles
            else f"The ControlNet '{folder.name}' has no weights.", "Get its safetensors version.")
    return found, config, [file for file in files if "." not in file.stem] or files


def _weights(file: Path) -> int:
    """How many weights a file holds. Opening it also shows whether it is whole."""
    try:
        with safe_open(file, framework="pt") as tensors:
            return sum(torch.Size(tensors.get_slice(name).get_shape()).numel() for name in tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ModelUnreadable(f"The ControlNet's file {file.name} is broken or incomplete.", "Download it again.", repr(error)) from None
