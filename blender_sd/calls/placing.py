"""Put images onto objects, and clear away those that results have replaced."""
from __future__ import annotations

from typing import TYPE_CHECKING
from .arguments import scene_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy


@scene_call
def apply(image: bpy.types.Image, obj: bpy.types.Object, slot: str = "Base Color") -> bpy.types.Material:
    """Put `image` into the input `slot` of the object's active material. Return the material.

    What is missing (material, shader, UV map, image node) is made. Raises TargetUnusable for linked data, objects
    without faces, and slots that do not exist.
    """
    return runtime.scene.apply_image(image, obj, slot)


@scene_call
def purge_replaced() -> list[str]:
    """Remove the images that results have replaced in this file and that nothing uses any more. Return their names.

    They are kept until then, with a fake user.
    """
    return runtime.scene.purge_replaced()
