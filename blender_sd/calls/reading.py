"""The settings that made a picture, this add-on's or another program's, as a request.

    found = sd.read_settings("castle.png")
    found.request.prompt, found.program, found.unused        # what has no counterpart here
"""
from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core.declarations import find
from ..core.errors import InvalidRequest, SDError
from ..core.nets import STARTER
from ..core.request import Request
from ..core.samplers import closest_id
from ..core.tasks import ImageToImage
from ..library.adapters import resolve_file
from ..library.checkpoints import UPSCALER, VAE
from ..library.foreign_settings import ForeignSettings
from .arguments import scene_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy

_INT, _FLOAT = "int", "float"
_FILES = {"vae": (VAE, "VAE"), "upscaler": (UPSCALER, "Upscaler")}  # fields that hold files -> their kind, and its name


@dataclass(frozen=True)
class ReadSettings:
    """Attributes:
        request: What made the picture, as far as it has a counterpart here.
        program: The program that wrote it, "" for this add-on.
        unused: What it says beyond, as texts by the program's own names.
    """

    request: Request
    program: str = ""
    unused: dict[str, str] = field(default_factory=dict)


@scene_call
def read_settings(image: bpy.types.Image | str | os.PathLike) -> ReadSettings:
    """Return the settings that made `image` (a bpy image, or the path of a PNG, JPEG or WebP): of this add-on, A1111's
    web UI, Forge, Krita AI Diffusion, ComfyUI, InvokeAI, Fooocus, NovelAI or SwarmUI; also those that are hidden in the
    alpha channel.

    Raises:
        InvalidRequest: The image carries no settings, or broken ones of this add-on.
    """
    scene = runtime.scene
    place = scene.local_path(image) if isinstance(image, (str, os.PathLike)) else image
    try:
        return ReadSettings(scene.request_of(place))
    except InvalidRequest:
        found = scene.foreign_settings_of(place)
        if found is None:
            raise
        return _converted(found)


def _converted(found: ForeignSettings) -> ReadSettings:
    """Return another program's settings as a request; what cannot be one of its fields is unused."""
    fields, unused = dict(found.fields), dict(found.unused)
    request = Request()
    if model := str(fields.pop("model", "") or ""):
        try:
            info = runtime.models.find(model)
        except SDError:
            unused["Model"] = model
        else:
            request = replace(request, model=info.id)
    if clip_skip := str(fields.pop("clip_skip", "")):  # its meaning depends on the model
        if request.model == STARTER or not clip_skip.isdecimal():
            unused["Clip skip"] = clip_skip
        else:
            fields["clip_skip"] = info.abilities.clip_skip_of(int(clip_skip))
    for name, (kind, label) in _FILES.items():
        if wanted := str(fields.pop(name, "") or ""):
            try:
                fields[name] = resolve_file(kind, wanted, runtime.folders.model_folders()).file
            except SDError:
                unused[label] = wanted
    schedule = str(fields.pop("schedule", "") or "")
    if sampler := str(fields.pop("sampler", "") or ""):
        known, exact = closest_id(sampler, schedule)
        if known:
            request = replace(request, sampler=known)
        if not known:
            unused["Sampler"] = f"{sampler} {schedule}".strip()
        elif not exact:
            unused["Schedule type"] = schedule
    if not float(fields.get("variation_strength") or 0):
        fields.pop("variation_seed", None)
    if "strength" in fields:
        request = replace(request, task=ImageToImage())  # it was painted over another picture
    for name, value in fields.items():
        try:
            request = request.changed(**{name: _typed(name, value)})
        except (InvalidRequest, ValueError, OverflowError):
            unused[name] = str(value)[:100]
    return ReadSettings(request, found.program, unused)


def _typed(name: str, value: Any) -> Any:
    kind = find(name).kind
    if kind == _INT:
        return int(value) if not isinstance(value, str) or value.strip().lstrip("+-").isdigit() else int(float(value))
    if kind == _FLOAT:
        return float(value)
    return " ".join(str(value).split("\n")) if name in ("prompt", "negative") else value
