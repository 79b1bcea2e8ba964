"""ControlNets (Zhang et al. 2023): load them beside their model, check that they fit it, and prepare their pictures."""
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

from ...core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from ...core.families import CONTROLNETS, UNETS, ControlNet, controlnet_of
from ...core.parts import Control
from ...core.request import Request
from ...core.tasks import UPSCALE
from ...library.checkpoints import SUFFIX, read_header
from ...library.controlnet_files import controlnet_in
from ...protocol.messages import Source, text_of
from ..memory import budget
from ..models import inspection, nets
from ..models.cache import Model
from . import controlnet_files, sources
from .control_images import prepared

# What must be equal in the configs of a ControlNet and of its model's denoiser, if both have it.
_WIDTHS = ("num_attention_heads", "attention_head_dim", "joint_attention_dim", "pooled_projection_dim",
           "caption_channels", "in_channels")
_SHAPES = {**dict.fromkeys(CONTROLNETS, _WIDTHS), **dict.fromkeys(UNETS, ("cross_attention_dim", "block_out_channels")),
           "ZImageControlNetModel": ("dim", "n_heads", "n_refiner_layers")}
KEPT = 4  # ControlNets that stay loaded with a model


@dataclass(frozen=True)
class LoadedControls:
    """The ControlNets of one request, ready to paint.

    Attributes:
        controls: The request's controls.
        nets: The network of each.
        pictures: The picture that each reads, RGB, of the result's size.
        modes: A union ControlNet's number for each picture's kind, else None.
        notes: What the artist should know.
    """

    controls: tuple[Control, ...] = ()
    nets: tuple[torch.nn.Module, ...] = ()
    pictures: tuple[Image.Image, ...] = ()
    modes: tuple[int | None, ...] = ()
    notes: tuple[str, ...] = ()

    def arguments(self, known: Any, fit: Callable[[Image.Image], Image.Image]) -> dict[str, Any]:
        """Return the arguments of a pipeline's call.

        Args:
            known: The parameters of the pipeline's call.
            fit: Brings a picture to what is painted.
        """
        if not self.controls:
            return {}
        pictures = [fit(picture) for picture in self.pictures]
        # The parameter is `control_image` where `image` is the source, and `image` in UNets' text-to-image pipelines.
        values = {"control_image" if "control_image" in known else "image": pictures,
                  "controlnet_conditioning_scale": [control.weight for control in self.controls],
                  "control_guidance_start": [control.start for control in self.controls],
                  "control_guidance_end": [control.end for control in self.controls]}
        if any(mode is not None for mode in self.modes):
            values["control_mode"] = list(self.modes)
        return values if len(self.controls) > 1 else {name: value[0] for name, value in values.items()}

    @contextmanager
    def limited_to_spans(self, known: Any, steps: int) -> Iterator[Callable[[], None]]:
        """Return a context in which each network works only from its control's start to its end.

        Some pipelines take these limits themselves; for the others the networks are switched off outside of them.

        Args:
            known: The parameters of the pipeline's call.
            steps: The number of steps.

        Yields:
            A function to be called after each step.
        """
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


def load(model: Model, request: Request, inputs: dict[str, Source], say: Callable[[str], None],
         check: Callable[[], None]) -> LoadedControls:
    """Load the ControlNets of a request; those with weight 0 are left out.

    Args:
        model: The loaded model.
        request: The request with real paths (`library.model_paths`).
        inputs: The input pictures by role.
        say: Receives what is being loaded.
        check: May raise to cancel.

    Raises:
        InvalidRequest: The task, the model and the ControlNets do not go together.
        SourceUnusable: A picture is missing or broken.
        ModelNotFound: A ControlNet's folder is missing.
        ModelUnreadable: A ControlNet cannot be loaded.
    """
    controls = tuple(control for control in request.controls if control.weight)
    if not controls:
        return LoadedControls()
    folders = [Path(control.model) for control in controls]
    inspected = [_inspected(folder) for folder in folders]
    kinds = [kind for kind, *_ in inspected]
    _check_kinds(model, request.task.name, controls, folders, kinds)
    read = list(pictures(request, inputs))
    modes = tuple(kind.modes[control.kind] if kind.modes else None
                  for control, kind in zip(controls, kinds, strict=True))
    nets = []
    for folder, (kind, config, files) in zip(folders, inspected, strict=True):
        check()
        nets.append(_net(model, folder, kind, config, files, say))
    return LoadedControls(controls, tuple(nets), tuple(picture for picture, _ in read), modes,
                          tuple(note for _, note in read if note))


def pictures(request: Request, inputs: dict[str, Source]) -> Iterator[tuple[Image.Image, str]]:
    """Yield what each ControlNet of a request reads, and a note if parts of the given picture are cut off, else "".

    Controls with weight 0 are left out.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role.

    Yields:
        (picture, note): RGB, of the result's size.

    Raises:
        SourceUnusable: A picture is missing or broken.
    """
    for number, control in enumerate(request.controls):
        if control.weight:
            yield _picture(control, inputs.get(f"control{number}"), (request.width, request.height))


def _check_kinds(model: Model, task: str, controls: Sequence[Control], folders: list[Path],
                 kinds: list[ControlNet]) -> None:
    """Raise InvalidRequest if the model's family, the ControlNets and the task do not go together."""
    family = model.family
    if task == UPSCALE:
        raise InvalidRequest("Controls do not work while enlarging.",
                             "Take them out, or use them when the picture is first painted.")
    if not family.controls:
        raise InvalidRequest(f"ControlNets do not work with {family.name} models.",
                             "Choose another model, or take the controls out.")
    for control, folder, kind in zip(controls, folders, kinds, strict=True):
        if not kind.fits(family):
            raise InvalidRequest(f"The ControlNet '{folder.name}' does not fit the model '{model.name}': it was made "
                                 f"for {kind.family}, not for {family.name}.",
                                 "Choose one that was made for the model's family.")
        if kind.modes and control.kind not in kind.modes:
            raise InvalidRequest(f"The ControlNet '{folder.name}' reads no {control.kind} pictures.",
                                 f"It reads: {', '.join(kind.modes)}.")
        if refused := family.refusal(task, kind.cls):
            raise InvalidRequest(refused, "Take the controls out, or choose another model.")
    if len(kinds) > 1 and (not family.several or len({kind.cls for kind in kinds}) > 1):
        many = "of different kinds " if family.several else ""
        raise InvalidRequest(f"Several ControlNets {many}do not work together with {family.name} models.",
                             "Leave one of them.")


def _picture(control: Control, source: Source | None, size: tuple[int, int]) -> tuple[Image.Image, str]:
    """Return the control's picture over the whole result, and a note if parts of it are cut off."""
    if source is None:
        raise SourceUnusable(f"The {control.kind} control has no picture.", "Choose one.")
    picture, alpha = sources.open_source(source)
    if alpha is not None:  # black means "nothing here" for every kind
        picture = Image.composite(picture, Image.new("RGB", picture.size), alpha)
    note = ""
    if abs(picture.width * size[1] - picture.height * size[0]) > max(*picture.size, *size):
        note = (f"The {control.kind} control's picture ({picture.width} × {picture.height}) has another aspect than "
                f"the result ({size[0]} × {size[1]}): its middle is used.")
    return prepared(control.kind, ImageOps.fit(picture, size, Image.Resampling.LANCZOS)), note


def _net(model: Model, folder: Path, kind: ControlNet, config: dict[str, Any], files: list[Path],
         say: Callable[[str], None]) -> torch.nn.Module:
    """Return the ControlNet in `folder`, loaded beside the model if necessary."""
    if folder.is_file():
        return _kept(model, folder, files, lambda: controlnet_files.read(folder, kind, model), say)
    shapes = [{name: _shape(net.get(name)) for name in _SHAPES[kind.cls]} for net in (config, model.denoiser.config)]
    if any(None not in (shape, shapes[1][name]) and shape != shapes[1][name] for name, shape in shapes[0].items()):
        raise InvalidRequest(f"The ControlNet '{folder.name}' does not fit the model '{model.name}'.",
                             "Choose one that was made for the model's family.", f"{shapes[0]} for {shapes[1]}")
    variant = files[0].stem.split(".")[1] if "." in files[0].stem else None  # such as diffusion_pytorch_model.fp16
    return _kept(model, folder, files,
                 lambda: nets.read(getattr(diffusers, kind.cls), folder, "ControlNet", dtype=model.dtype,
                                                         variant=variant), say)


def _kept(model: Model, folder: Path, files: list[Path], read: Callable[[], torch.nn.Module],
          say: Callable[[str], None]) -> torch.nn.Module:
    """Return what `read` makes of the ControlNet's files, kept beside the model."""
    key = (str(folder.resolve()), *((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files))
    if key in model.controlnets:
        model.controlnets.move_to_end(key)
        return model.controlnets[key]
    budget.check_weights(model.device, sum(map(_weights, files)) * model.dtype.itemsize)
    say(f"Loading {folder.name}")
    try:
        net = read().to(model.device.torch)
        model.device.lay_out(net)
    except (ModelUnreadable, InvalidRequest):
        raise
    except Exception as error:
        if budget.is_out_of_memory(error):
            raise budget.translated(error) from error
        raise ModelUnreadable(f"The ControlNet '{folder.name}' cannot be loaded.",
                              "Its folder may be incomplete: download it again.",
                              text_of(error)) from error
    while len(model.controlnets) >= KEPT:
        model.controlnets.popitem(last=False)
    model.controlnets[key] = net
    return net


def _shape(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _of_file(file: Path) -> ControlNet:
    try:
        kind = controlnet_in(read_header(str(file))) if file.suffix.lower() == SUFFIX else None
    except (OSError, ValueError) as error:
        raise ModelUnreadable(f"The ControlNet's file {file.name} is broken or incomplete.", "Download it again.",
                              repr(error)) from None
    if kind is None:
        raise ModelUnreadable(f"{file.name} is no ControlNet that can be used here.",
                              "Choose a ControlNet in the safetensors format.")
    return kind


def _inspected(folder: Path) -> tuple[ControlNet, dict[str, Any], list[Path]]:
    """Return what the ControlNet in `folder` is, its config, and the weight files to read."""
    if folder.is_file():
        return _of_file(folder), {}, [folder]
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"There is no ControlNet in {folder}.", "Choose a folder in diffusers format.")
    try:
        config = inspection.read_json(folder, "config.json")
        kind = controlnet_of(config)
        if kind is None:
            raise ValueError(f"class {config.get('_class_name')}")
    except Exception as error:
        raise ModelUnreadable(f"{folder.name} is no ControlNet that can be used here.",
                              "Choose a ControlNet in diffusers format.", text_of(error)) from error
    inspection.check(folder, "ControlNet")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = any(file.suffix in (".bin", ".ckpt", ".pt", ".pth") for file in folder.iterdir())
        raise ModelUnreadable(
            f"The ControlNet '{folder.name}' is a pickle file only, which could run any program when opened." if pickles
            else f"The ControlNet '{folder.name}' has no weights.", "Get its safetensors version.")
    return kind, config, [file for file in files if "." not in file.stem] or files


def _weights(file: Path) -> int:
    """Return how many weights a file holds. Opening it also shows whether it is complete."""
    try:
        with safe_open(file, framework="pt") as tensors:
            return sum(torch.Size(tensors.get_slice(name).get_shape()).numel() for name in tensors.keys())
    except (SafetensorError, OSError) as error:
        raise ModelUnreadable(f"The ControlNet's file {file.name} is broken or incomplete.", "Download it again.",
                              repr(error)) from None
