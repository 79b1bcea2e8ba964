"""Picture → the maps of a material. No model is loaded for it; `maps` has what makes them."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from ...core.hub import name_of
from ...core.image_origin import Origin, Part
from ...core.request import Request
from ...core.tasks import MARIGOLD, PbrMaps
from ...library.licences import licence_of
from ...protocol.messages import Result, Source
from ..conditioning import sources
from ..maps.material import Map, made_by, maps_of, source_of

__all__ = ["Map", "made_by", "of_image", "of_source", "results_of", "with_estimators"]
Picture = Image.Image | np.ndarray


def with_estimators(origin: Origin | None, task: PbrMaps) -> Origin | None:
    """Return an origin to which the foreign nets that a task's maps come from are added, with their licences."""
    if origin is None or source_of(task) != MARIGOLD:
        return origin
    nets = tuple(Part("map estimator", name_of(folder), licence_of(folder).name)
                 for folder in (task.intrinsics, task.normals) if folder)
    return replace(origin, parts=(*origin.parts, *nets))


def results_of(maps: Iterable[Map], request: Request, task: PbrMaps) -> Iterator[tuple[Result, Picture]]:
    """Yield maps as results of a request, without their pixels or files, each with its image."""
    for item in maps:
        height, width = item.image.shape[:2] if isinstance(item.image, np.ndarray) else item.image.size[::-1]
        yield Result("", request, width, height, role=item.role, colour_space=item.colour_space, depth=item.depth,
                     made_by=made_by(task)), item.image


def of_source(source: Source | None, task: PbrMaps, check: Callable[[], None], progress: Callable[[float], None],
              note: Callable[[str], None], device: torch.device) -> Iterator[Map]:
    """Yield the maps of an input picture. Arguments and errors as for `maps.material.maps_of`."""
    picture, alpha = sources.open_source(source)
    yield from maps_of(picture, alpha, task, check, progress, note, device)


def of_image(image: Image.Image, task: PbrMaps, check: Callable[[], None], progress: Callable[[float], None],
             note: Callable[[str], None], device: torch.device) -> Iterator[Map]:
    """Yield the maps of a picture that was just painted, RGB or RGBA."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if alpha is not None and alpha.getextrema()[0] == 255:
        alpha = None
    yield from maps_of(image.convert("RGB"), alpha, task, check, progress, note, device)
