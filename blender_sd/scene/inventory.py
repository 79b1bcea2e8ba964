"""List the generated images in the open file, linked ones included, and what uses each."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import bpy

from ..core.errors import SourceUnusable
from ..library import png
from ..library.image_origin import Facts, facts_in
from . import images, marks
from .screens import RENDERED

_FURNITURE = {"SCREEN", "WINDOWMANAGER", "WORKSPACE"}  # these only show an image


@dataclass(frozen=True)
class Found:
    """A generated image and its users, by name, as `library.image_report.Row` has them."""

    facts: Facts
    library: str
    materials: tuple[str, ...]
    others: tuple[str, ...]
    objects: int


def generated() -> list[Found]:
    """Return every generated image of the file, by name.

    That includes images that only their files' texts identify (read for images without a mark), and what a script has
    baked from generated images since the last save.
    """
    known = {image: facts for image in bpy.data.images if image.type not in RENDERED and (facts := _facts(image)).known}
    for image, sources in marks.unmarked_bakes(marks.using(marks.marked())):
        known[image] = dataclasses.replace(known.get(image, Facts(image.name)), baked=tuple(
            marks.facts_of(source) for source in sorted(sources, key=lambda source: source.name)))
    through, direct = _by_image(marks.using(known)), bpy.data.user_map(subset=known)
    objects = _objects_by_user()
    return [_found(image, facts, direct[image] | through.get(image, set()), objects)
            for image,
            facts in sorted(known.items(), key=lambda item: (item[0].library is not None, item[0].name.casefold()))]


# ---- inside --------------------------------------------------------------------------------------------------------


def _facts(image: bpy.types.Image) -> Facts:
    facts = marks.facts_of(image)
    if facts.known or image.source != "FILE":
        return facts
    try:
        file = images.file_of(image)
    except SourceUnusable:
        return facts
    in_file = marks.file_facts(file) if isinstance(file, str) else facts_in(png.text_of(file.encoded))
    return dataclasses.replace(facts, request=in_file.request, origin=in_file.origin)


def _by_image(using: dict[bpy.types.ID, list[bpy.types.Image]]) -> dict[bpy.types.Image, set[bpy.types.ID]]:
    users_of: dict[bpy.types.Image, set[bpy.types.ID]] = {}
    for block, used in using.items():
        for image in used:
            users_of.setdefault(image, set()).add(block)
    return users_of


def _objects_by_user() -> dict[bpy.types.ID, set[bpy.types.Object]]:
    """Return the objects that show each block: material, data or node group of a modifier."""
    objects_of: dict[bpy.types.ID, set[bpy.types.Object]] = {}
    for obj in bpy.data.objects:
        shown = [slot.material for slot in obj.material_slots] + [obj.data] + [getattr(modifier, "node_group", None)
                                                                               for modifier in obj.modifiers]
        for block in shown:
            if block is not None:
                objects_of.setdefault(block, set()).add(obj)
    return objects_of


def _found(image: bpy.types.Image, facts: Facts, users: Iterable[bpy.types.ID],
           objects: dict[bpy.types.ID, set[bpy.types.Object]]) -> Found:
    users = {block for block in users if block.id_type not in _FURNITURE}
    materials = sorted(block.name for block in users if isinstance(block, bpy.types.Material))
    others = sorted(f"{_kind(block)} {block.name}" for block in users if not isinstance(block, bpy.types.Material))
    on = set().union(*(objects.get(block, ()) for block in users)) | {block for block in users
                                                                      if isinstance(block, bpy.types.Object)}
    library = bpy.path.abspath(image.library.filepath) if image.library is not None else ""
    return Found(facts, library, tuple(materials), tuple(others), len(on))


def _kind(block: bpy.types.ID) -> str:
    return {"NODETREE": "node group"}.get(block.id_type, block.id_type.lower())
