"""Regions: parts of a picture that are kept as they are, or painted after words of their own.

    job = sd.restyle("CAMERA", "an old workshop",
                     regions=[sd.region("Bottle", keep=True), sd.region(material="Wood", prompt="carved oak")])
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import InvalidRequest
from ..core.regions import COLLECTION, FACES, MASK, MATERIAL, OBJECT, Region
from . import outlines
from .arguments import RegionInput, checked_call, scene_call
from .runtime import runtime
from .submission import SourceLike, open_source

if TYPE_CHECKING:
    import bpy

OF_SCENE = ("RENDER", "CAMERA", "VIEWPORT")

@checked_call
def region(object: bpy.types.Object | str | None = None, *, material: bpy.types.Material | str | None = None,
           collection: bpy.types.Collection | str | None = None, mask: Any = None, faces: bool = False,
           keep: bool = False, prompt: str = "", strength: float | None = None, control: float = 1.0,
           feather: int = 0) -> RegionInput:
    """Return a region for `regions=`. Give one of the first five; a datablock or its name.

    Where regions overlap, the more specific one counts: a mask, then selected faces, an object, a material, a
    collection; of two alike, the first in the list.

    Args:
        object: All of an object that is seen, its instances too.
        material: Everything with this material: in a picture of the scene what is seen of it, on a texture the UV area
            of its faces.
        collection: All objects in a collection and those below it.
        mask: A picture as `source` of `restyle`, white where the region lies; for any picture.
        faces: The UV area of the active object's selected faces, for a texture.
        keep: Whether it stays exactly as it is in the source: bit for bit where it covers pixels fully, and mixed by
            coverage in linear light at its edges.
        prompt: What it should show; "" for the prompt of the whole picture.
        strength: How far it may depart from the source, 0 to 1; None for the strength of the whole picture.
        control: How strongly controls count in it, as a factor of their weight, 0 to 2.
        feather: Pixels round a kept region over which the source fades into the new picture, 0 to 512.

    Raises:
        InvalidRequest: None or several of the first five are given, or the settings contradict each other.
    """
    given = [(kind, what) for kind, what in ((OBJECT, object), (MATERIAL, material), (COLLECTION, collection),
                                             (MASK, mask), (FACES, faces or None)) if what is not None]
    if len(given) != 1:
        raise InvalidRequest("A region is of one thing: an object, a material, a collection, a mask or selected faces.",
                             "Give one of them.")
    (kind, what), = given
    name = "" if kind in (MASK, FACES) else what if isinstance(what, str) else getattr(what, "name", "")
    return Region(kind, name, keep, prompt, strength, control, feather), what if kind == MASK else None


@scene_call
def region_mask(region: RegionInput, source: Any = "CAMERA") -> bpy.types.Image:
    """Return a region's mask as a new image: white where it lies in a picture of `source`, which is not rendered.

    Args:
        region: What `region` returned.
        source: As for `restyle`.

    Raises:
        SDError: The region cannot be found, or the scene cannot be rendered.
    """
    mask = opened_mask(region, source)
    return runtime.scene.mask_image(region[0].label, mask() if callable(mask) else mask)


def opened_mask(region: RegionInput, source: Any) -> SourceLike:
    """Return the picture of a region's mask, or a function that waits for it on any thread. Arguments and errors are
    those of `region_mask`."""
    scene = runtime.scene
    scene.check_regions([region], source)
    size = scene.source_size(source) if isinstance(source, str) and source in OF_SCENE else open_source(source)[1]
    (mask,) = scene.open_regions([region], source, size, outlines.render)
    return mask
