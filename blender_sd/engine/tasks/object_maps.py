"""Views of objects → the maps of their materials, in the objects' UVs."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image

from ...core.roles import BASE_COLOUR, METALLIC, NORMAL, ROUGHNESS, SRGB
from ...geometry import memory
from ...geometry.bake import Settings
from ...geometry.fusing import Fused, MapBaker
from ...geometry.slices import Cancelled, check
from ...geometry.surface import Mesh, Surface
from ...geometry.views import View, cast
from ...protocol import light
from ...protocol.messages import Generate, Source
from ...protocol.surfaces import Onto
from ..conditioning import sources
from ..maps.material import Map, as_image
from ..maps.views import maps_of_view
from ..memory import devices
from .bake import kept_by, laid, share_of, sheet_of, tell, view_of

_SOFT = 3  # pixels at edges, where an estimate takes the outline for relief
_PLAIN = {NORMAL: (0.5, 0.5, 1.0), ROUGHNESS: (0.5,), METALLIC: (0.0,)}  # what a map holds where there is none


def object_maps(message: Generate, pictures: Sequence[Image.Image], cancelled: Cancelled, note: Callable[[str], None],
                device: torch.device) -> Iterator[Map]:
    """Yield base colours, normals, roughness and metallic maps: of each role one for each sheet of the scenery.

    Heights have no meaning in an object's UVs, so there are none. Where the inputs "locked0", … are white, and without
    filling where no view sees them, maps keep what "existing0", … (base colours), "normal0", "roughness0" and
    "metallic0", … hold.

    Args:
        message: The objects, a camera for each picture, how their maps are made, and what they keep.
        pictures: What each camera sees; sRGB as displayed.
        cancelled: Returns whether to stop.
        note: Called with what the artist should know.
        device: Where Marigold runs.

    Raises:
        JobCancelled: It was cancelled.
        OutOfMemory: It would not fit; nothing has begun.
        SourceUnusable: No picture shows the objects, or meshes are broken.
        GeometryMissing: embreex is not installed.
    """
    scenery, task = message.scenery, message.maps
    sheets, given = [sheet_of(onto) for onto in scenery.sheets], scenery.triangles
    pixels = sum(picture.width * picture.height for picture in pictures)
    memory.check(sheets, pixels, len(given.triangles), devices.free_ram())
    surface = Surface(Mesh(given.vertices, given.triangles, given.uv, given.objects, given.textures))
    views = [view_of(lens, picture.size) for lens, picture in zip(scenery.lenses, pictures, strict=True)]
    maps = [maps_of_view(picture, _shown(surface, view, cancelled), task, partial(check, cancelled), device)
            for view, picture in zip(views, pictures)]
    keep = [kept_by(message.inputs.get(f"locked{number}"), onto) for number, onto in enumerate(scenery.sheets)]
    settings = Settings(soft=_SOFT, fill=message.request.task.fill)
    fused, report = MapBaker(surface, sheets, settings, cancelled).fuse(views, maps, keep)
    tell(report, len(pictures), note)
    yield from _finished(fused, keep, message)


def _shown(surface: Surface, view: View, cancelled: Cancelled) -> np.ndarray:
    """Return which pixels of a view show the objects: H×W bool; all of them where none does."""
    triangles = cast(surface, view.in_box(surface), cancelled)
    shown = (triangles >= 0) & (surface.textures[triangles] >= 0)
    return shown if shown.any() else np.ones_like(shown)


def _finished(fused: Sequence[Fused], keep: Sequence[np.ndarray | None], message: Generate) -> Iterator[Map]:
    filled, inputs = message.request.task.fill, message.inputs
    shares = []
    for number, (sheet, kept, onto) in enumerate(zip(fused, keep, message.scenery.sheets)):
        whole = kept is None and filled
        existing = None if whole else inputs.get(f"existing{number}")
        share = share_of(sheet.base, kept, filled or existing is None)
        yield Map(BASE_COLOUR, Image.fromarray(laid(sheet.base, onto, existing, share)), SRGB)
        shares.append(None if whole else share[..., None])
    for role in (NORMAL, ROUGHNESS, METALLIC):
        for number, (sheet, share, onto) in enumerate(zip(fused, shares, message.scenery.sheets)):
            values = _values(sheet, role)
            if share is not None:
                values = _over(_held(inputs.get(f"{role}{number}"), role, onto), values, share, role == NORMAL)
            yield Map(role, as_image(values, role == NORMAL and message.maps.map_bits == "16"))


def _values(sheet: Fused, role: str) -> np.ndarray:
    """Return a map of a sheet as its image holds it: H×W×3 or H×W×1, 0 to 1."""
    if role == NORMAL:
        return sheet.normal * 0.5 + 0.5
    if role == ROUGHNESS:
        return sheet.roughness[..., None]
    return np.full((*sheet.roughness.shape, 1), float(sheet.metallic), np.float32)


def _held(source: Source | None, role: str, onto: Onto) -> np.ndarray:
    """Return what a map holds so far, in the form of `_values`: of 16 bits where it has them at that size."""
    size, plain = (onto.width, onto.height), _PLAIN[role]
    if source is None:
        return np.full((*size[::-1], len(plain)), plain, np.float32)
    if source.encoded is not None and light.size_of(source.encoded[:64]) == size:
        return light.read(source.encoded).values[..., :len(plain)]
    picture = sources.resized(*sources.open_source(source), size)[0]
    return np.asarray(picture, np.float32)[..., :len(plain)] / 255


def _over(held: np.ndarray, values: np.ndarray, share: np.ndarray, directions: bool) -> np.ndarray:
    """Return values laid over what is held, by a share of H×W×1; where that is 0, exactly what is held."""
    mixed = held + (values - held) * share
    if directions:
        mixed = mixed * 2 - 1
        mixed = mixed / np.maximum(np.linalg.norm(mixed, axis=-1, keepdims=True), 1e-6) * 0.5 + 0.5
    return np.where(share > 0, mixed, held)
