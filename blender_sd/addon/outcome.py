"""Describe where a picture goes and where it went, in one line."""
from __future__ import annotations

import bpy

from .. import scene
from ..core.errors import SDError


def sentence(placement: scene.Placement) -> str:
    """Return what was done with a result, such as "Red brick wall is the base color of Cube; a UV map was made".

    It is in English, and translated where it is shown.
    """
    image, owner = placement.image.name[:1].upper() + placement.image.name[1:], placement.owner
    if placement.kind == "material":
        return _on_material(image, _slot(placement.slot), owner, placement.made)
    return {
        "new": f"{image} is a new image",
        "slot": f"{image} is in the image node of {owner}",
        "canvas": f"{image} is the canvas of Texture Paint",
        "editor": f"{image} is in the Image Editor",
        "camera_background": f"{image} lies over the view through {owner}",
    }[placement.kind]


def goal(context: bpy.types.Context, target: str) -> tuple[str, str]:
    """Return where a picture would go now, and why it cannot go there.

    Args:
        target: An identifier of the panel's Target.

    Returns:
        Blender's name of an object, "" for a new image; and the obstacle, "" if there is none.
    """
    try:
        frozen = scene.freeze_target(context, target.lower(), at_a_glance=True)
    except SDError as error:
        return "", str(error)
    return (frozen.obj.name if frozen.obj else ""), ""


def _slot(name: str) -> str:
    """Return the name of a shader's input within a sentence: Blender's translation if there is one."""
    shown = bpy.app.translations.pgettext_iface(name)
    return shown if shown != name else name.lower()


def _on_material(image: str, slot: str, owner: str, made: tuple[str, ...]) -> str:
    if made == ("material", "UV map"):
        return f"{image} is the {slot} of {owner}; a material and a UV map were made"
    if made == ("material",):
        return f"{image} is the {slot} of {owner}; a material was made"
    if made == ("UV map",):
        return f"{image} is the {slot} of {owner}; a UV map was made"
    return f"{image} is the {slot} of {owner}"
