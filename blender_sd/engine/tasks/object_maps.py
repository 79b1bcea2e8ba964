"""Views of objects → the maps of their materials, in the objects' UVs."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from ...core.roles import BASE_COLOUR, METALLIC, NORMAL, ROUGHNESS, SRGB
from ...core.tasks import PbrMaps
from ...geometry import memory
from ...geometry.fusing import Fused, MapBaker
from ...geometry.bake import Settings
from ...geometry.surface import Mesh, Surface
from ...geometry.views import View, cast
from ...protocol.surfaces import Scenery
from ..maps.material import Map, as_image
from ..maps.views import maps_of_view
from ..memory import devices
from .bake import laid, sheet_of, tell, view_of

_SOFT = 3  # pixels at edges, where an estimate takes the outline for relief
_ESTIMATING = 0.7  # of the time


def object_maps(scenery: Scenery, pictures: Sequence[Image.Image], task: PbrMaps, cancelled: Callable[[], bool],
                check: Callable[[], None], progress: Callable[[float], None], note: Callable[[str], None],
                device: torch.device) -> Iterator[Map]:
    """Yield base colours, normals, roughness and metallic maps: of each role one for each sheet of the scenery.

    Args:
        scenery: The objects, and a camera for each picture.
        pictures: What each sees; sRGB as displayed.
        task: How the maps are made. Heights have no meaning in an object's UVs, so there are none.
        cancelled: Returns whether to stop.
        check: Raises JobCancelled then.
        progress: Called with the share that is done, 0 to 1.
        note: Called with what the artist should know.
        device: Where Marigold runs.

    Raises:
        JobCancelled: It was cancelled.
        OutOfMemory: It would not fit; nothing has begun.
        SourceUnusable: No picture shows the objects, or meshes are broken.
        GeometryMissing: embreex is not installed.
    """
    sheets, given = [sheet_of(onto) for onto in scenery.sheets], scenery.triangles
    pixels = sum(picture.width * picture.height for picture in pictures)
    memory.check(sheets, pixels, len(given.triangles), devices.free_ram())
    surface = Surface(Mesh(given.vertices, given.triangles, given.uv, given.objects, given.textures))
    views = [view_of(lens, picture.size) for lens, picture in zip(scenery.lenses, pictures, strict=True)]
    maps = []
    for number, (view, picture) in enumerate(zip(views, pictures)):
        check()
        maps.append(maps_of_view(picture, _shown(surface, view, cancelled), task, check, lambda share: None, device))
        progress(_ESTIMATING * (number + 1) / len(views))
    baker = MapBaker(surface, sheets, Settings(soft=_SOFT), cancelled,
                     lambda share: progress(_ESTIMATING + (1 - _ESTIMATING) * share))
    fused, report = baker.fuse(views, maps)
    tell(report, len(pictures), note)
    yield from _finished(fused, scenery, task.map_bits == "16")


def _shown(surface: Surface, view: View, cancelled: Callable[[], bool]) -> np.ndarray:
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
