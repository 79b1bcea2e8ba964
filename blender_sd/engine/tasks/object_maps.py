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
from ...protocol.messages import Generate
from ...protocol.surfaces import Scenery
from ..maps.material import Map, as_image
from ..maps.views import maps_of_view
from ..memory import devices
from .bake import laid, sheet_of, tell, view_of

_SOFT = 3  # pixels at edges, where an estimate takes the outline for relief


def object_maps(message: Generate, pictures: Sequence[Image.Image], cancelled: Cancelled, note: Callable[[str], None],
                device: torch.device) -> Iterator[Map]:
    """Yield base colours, normals, roughness and metallic maps: of each role one for each sheet of the scenery.

    Heights have no meaning in an object's UVs, so there are none.

    Args:
        message: The objects, a camera for each picture, and how their maps are made.
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
    fused, report = MapBaker(surface, sheets, Settings(soft=_SOFT), cancelled).fuse(views, maps)
    tell(report, len(pictures), note)
    yield from _finished(fused, scenery, task.map_bits == "16")


def _shown(surface: Surface, view: View, cancelled: Cancelled) -> np.ndarray:
    """Return which pixels of a view show the objects: H×W bool; all of them where none does."""
    triangles = cast(surface, view.in_box(surface), cancelled)
    shown = (triangles >= 0) & (surface.textures[triangles] >= 0)
    return shown if shown.any() else np.ones_like(shown)


def _finished(fused: Sequence[Fused], scenery: Scenery, deep: bool) -> Iterator[Map]:
    for sheet, onto in zip(fused, scenery.sheets):
        yield Map(BASE_COLOUR, Image.fromarray(laid(sheet.base, onto, None, None, True)), SRGB)
    for sheet in fused:
        yield Map(NORMAL, as_image(sheet.normal * 0.5 + 0.5, deep))
    for sheet in fused:
        yield Map(ROUGHNESS, as_image(sheet.roughness[..., None], False))
    for sheet in fused:
        yield Map(METALLIC, as_image(np.full((*sheet.roughness.shape, 1), float(sheet.metallic), np.float32), False))
