"""Marks: what image datablocks record about their origin, and which materials, worlds, lights and node groups use them.

An image carries `blender_sd` (its request, which Recall reads), `blender_sd_origin`, `ai_generated` (IPTC's term for
its kind), and a baked one `blender_sd_sources`. Users of marked images carry `ai_generated` too, with the images'
names; it is set where the add-on places an image, and for links of the artist's own when the file is saved. These are
custom properties: they are copied, appended, linked and saved with their datablock, whatever is painted on it. Only
text of our own is ever changed or removed; datablocks that are linked, or overrides of linked ones, are never touched.
"""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import bpy

from ..core.image_origin import COMPOSITE, ORIGIN_KEY
from ..library import png
from ..library.image_origin import SOURCES_KEY, Facts, from_json, facts_in, to_json
from ..protocol.messages import Result

REQUEST_PROPERTY = png.REQUEST_KEY
MARK_PROPERTY = "ai_generated"
USES = "Uses generated images: "  # the start of a user's mark; other texts are not ours
_TIPS = {MARK_PROPERTY: "Made with a generative model, wholly or partly: IPTC's digital source type, or the generated "
                        "images used",
         REQUEST_PROPERTY: "The settings that made this image; Recall reads them",
         ORIGIN_KEY: "Model, licence, date and version of the add-on that made this image",
         SOURCES_KEY: "The generated images that this one was baked from"}
_USERS = {"MATERIAL", "WORLD", "LIGHT", "NODETREE"}
_MAX_NAMES = 900  # characters

_Inside = tuple[set[bpy.types.Image], set[bpy.types.NodeTree]]  # the images and groups of one tree
_ask: Callable[[], bool] | None = None


def ask_marking(ask: Callable[[], bool]) -> None:
    """Set the function that tells whether new marks are set: this package knows no settings. Without one they are."""
    global _ask
    _ask = ask


def _marking() -> bool:
    return _ask is None or _ask()


# ---- images --------------------------------------------------------------------------------------------------------


def mark_loaded(image: bpy.types.Image, facts: Facts) -> None:
    """Put what its file says onto `image`: settings, origin and, unless marking is off, the mark. Nothing if it says
    nothing.
    """
    if facts.request is None:
        return
    _put(image, REQUEST_PROPERTY, facts.request.to_json())
    if facts.origin is not None:
        _put(image, ORIGIN_KEY, facts.origin.to_json())
    if _marking():
        _put(image, MARK_PROPERTY, facts.kind)


def result_facts(result: Result) -> Facts:
    """Return what is known of a finished picture: its request, and its origin from its file."""
    return dataclasses.replace(file_facts(result.path), request=result.request)


def file_facts(path: str | os.PathLike) -> Facts:
    """Return what the PNG file at `path` says before its pixels; empty facts if it is none or cannot be read."""
    try:
        head = png.read_head(path)
    except OSError:
        head = None
    return facts_in(head.text if head is not None else {}, os.path.basename(path))


def facts_of(image: bpy.types.Image) -> Facts:
    """Return what the datablock says about itself. Reads only memory."""
    return dataclasses.replace(facts_in(image, image.name), baked=from_json(image.get(SOURCES_KEY)),
                               marked=is_marked(image))


def mark_tiles(image: bpy.types.Image, picture: bpy.types.Image, former: bpy.types.Image) -> None:
    """Mark a UDIM image with what is known of `picture`, now in one of its tiles, and of `former`, which had the
    others.
    """
    mark_loaded(image, facts_of(picture))
    _baked(image, {block for block in (former,) if is_marked(block)})
    if is_marked(image) and len(image.tiles) > 1:
        _put(image, MARK_PROPERTY, COMPOSITE)


def marked() -> list[bpy.types.Image]:
    """Return every marked image of the file."""
    return [image for image in bpy.data.images if is_marked(image)]


def is_marked(block: bpy.types.ID) -> bool:
    """Return whether a datablock carries a mark."""
    return bool(block.get(MARK_PROPERTY))


def mark_baked(obj: bpy.types.Object, others: Iterable[bpy.types.Object] = ()) -> list[bpy.types.Image]:
    """Mark images that were baked from marked ones.

    Args:
        obj: The object whose materials' active image nodes were baked into.
        others: Objects that were baked from as well (Selected to Active).

    Returns:
        The images that have sources now; none if marking is off.
    """
    if not _marking():
        return []
    materials = {slot.material for source in (obj, *others) for slot in source.material_slots} - {None}
    used = {image for material in materials for image in generated_in(material)}
    return [image for image in _bake_images(obj) if _baked(image, used)]


def baked_by(context: bpy.types.Context, active: bpy.types.Object) -> list[bpy.types.Image]:
    """Do what `mark_baked` does for a bake that has just ended: from the selection, and only for images that it
    changed.

    Selected to Active is known from the scene's setting; if a script overrode it, from objects that were not baked
    into.
    """
    others = [obj for obj in context.view_layer.objects if obj.select_get() and obj != active and obj.type == "MESH"]
    onto_active = context.scene.render.bake.use_selected_to_active or any(
        not any(image.is_dirty for image in _bake_images(obj)) for obj in others)
    pairs = [(active, others)] if onto_active else [(obj, []) for obj in (active, *others)]
    return [image for obj, sources in pairs if any(image.is_dirty for image in _bake_images(obj))
            for image in mark_baked(obj, sources)]


# ---- what uses them --------------------------------------------------------------------------------------------------


def refresh(images: Iterable[bpy.types.Image]) -> None:
    """Update the marks of materials, worlds, lights and node groups that use one of `images`. Makes no undo step."""
    for block, used in using(images).items():
        _mark_user(block, used)


def refresh_one(block: bpy.types.Material) -> None:
    """Update the mark of one user of images."""
    _mark_user(block, generated_in(block))


def generated_in(block: bpy.types.Material) -> list[bpy.types.Image]:
    """Return the marked images that a material uses, also through groups, by name."""
    return sorted((image for image in _images_in(_tree_of(block), {}) if is_marked(image)),
                  key=lambda image: image.name)


def images_in(block: bpy.types.Material) -> set[bpy.types.Image]:
    """Return the images that a material uses, also through groups."""
    return _images_in(_tree_of(block), {})


def using(images: Iterable[bpy.types.Image]) -> dict[bpy.types.ID, list[bpy.types.Image]]:
    """Return the materials, worlds, lights and node groups that use one of `images`, also through groups; linked ones
    too.

    Returns:
        By user: all marked images, and those of `images`, that it uses, by name.
    """
    wanted = set(images)
    if not wanted:
        return {}
    near = _users_of(wanted)
    far, groups = set(near), {block for block in near if isinstance(block, bpy.types.NodeTree)}
    while groups:
        more = _users_of(groups) - far
        far |= more
        groups = {block for block in more if isinstance(block, bpy.types.NodeTree)}
    inside: dict[bpy.types.NodeTree, _Inside] = {}
    images_of = {block: _images_in(_tree_of(block), inside) for block in far}
    return {block: sorted((image for image in used if image in wanted or is_marked(image)),
                          key=lambda image: image.name)
            for block, used in images_of.items() if not wanted.isdisjoint(used)}


def unmarked_bakes(users: Mapping[bpy.types.ID, list[bpy.types.Image]]) -> Iterator[tuple[bpy.types.Image,
                                                                                          list[bpy.types.Image]]]:
    """Yield bakes by scripts, which Blender does not report.

    Such a bake is an image that is painted on and unmarked, in the active image node of a material, linked to nothing
    there (which is how bakes are set up), beside marked images.

    Args:
        users: The users of all marked images, as `using` returns them.

    Yields:
        (image, the marked images that it was baked from).
    """
    for block, images in users.items():
        node = _bake_node(block) if isinstance(block, bpy.types.Material) else None
        if (node is not None and not any(out.is_linked for out in node.outputs) and node.image.is_dirty
            and not is_marked(node.image)
                and _may_mark(node.image)):
            yield node.image, images


def on_save() -> None:
    """Update what saving must find true: bakes by scripts, and the marks of all materials, worlds, lights and node
    groups.
    """
    users = using(marked())
    if _marking():
        bakes = list(unmarked_bakes(users))
        for image, sources in bakes:
            _baked(image, set(sources))
        if bakes:  # they are marked images now
            users = using(marked())
    for blocks in (bpy.data.materials, bpy.data.worlds, bpy.data.lights, bpy.data.node_groups):
        for block in blocks:
            _mark_user(block, users.get(block, ()))


def _put(block: bpy.types.ID, key: str, value: str) -> None:
    """Set a custom property, with its tooltip, if it differs."""
    if block.get(key) != value:
        block[key] = value
        block.id_properties_ui(key).update(description=_TIPS[key])


def _may_mark(block: bpy.types.ID) -> bool:
    """Return whether a datablock is neither linked nor an override of a linked one."""
    return block.library is None and block.override_library is None


def _mark_user(block: bpy.types.ID, used: Sequence[bpy.types.Image]) -> None:
    if not _may_mark(block):
        return
    before = block.get(MARK_PROPERTY)
    ours = isinstance(before, str) and before.startswith(USES)
    if used:
        if _marking() and (ours or before is None):
            text = ", ".join(image.name for image in used)
            _put(block, MARK_PROPERTY, USES + (text if len(text) <= _MAX_NAMES else f"{text[:_MAX_NAMES]}…"))
    elif ours:
        del block[MARK_PROPERTY]


def _baked(image: bpy.types.Image, sources: set[bpy.types.Image]) -> bool:
    """Mark `image` as baked from the others of `sources`. Return whether there are any."""
    sources = sources - {image}
    if not sources or not _may_mark(image):
        return False
    known = tuple(facts_of(source) for source in sorted(sources, key=lambda source: source.name))
    _put(image, SOURCES_KEY, to_json((*from_json(image.get(SOURCES_KEY)), *known)))
    if not is_marked(image):
        _put(image, MARK_PROPERTY, COMPOSITE)
    return True


def _bake_node(material: bpy.types.Material | None) -> bpy.types.Node | None:
    """Return the image node that Blender bakes into."""
    node = material.node_tree.nodes.active if material is not None and material.node_tree is not None else None
    return node if node is not None and getattr(node, "image", None) is not None else None


def _bake_images(obj: bpy.types.Object) -> list[bpy.types.Image]:
    """Return the images that a bake of `obj` goes into."""
    nodes = (_bake_node(slot.material) for slot in obj.material_slots)
    return sorted({node.image for node in nodes if node is not None}, key=lambda image: image.name)


def _users_of(blocks: set[bpy.types.ID]) -> set[bpy.types.ID]:
    return set().union(*bpy.data.user_map(subset=blocks, value_types=_USERS).values())


def _tree_of(block: bpy.types.ID) -> bpy.types.NodeTree | None:
    return block if isinstance(block, bpy.types.NodeTree) else block.node_tree


def _images_in(tree: bpy.types.NodeTree | None, known: dict[bpy.types.NodeTree, _Inside]) -> set[bpy.types.Image]:
    """Return the images that the nodes of `tree` use, also through groups at any depth. `known` remembers each tree's
    contents.

    A broken file may have a group inside itself.
    """
    every_image: set[bpy.types.Image] = set()
    waiting, seen = [tree] if tree is not None else [], {tree}
    while waiting:
        current = waiting.pop()
        if current not in known:
            known[current] = _inside(current)
        images, groups = known[current]
        every_image |= images
        waiting += groups - seen
        seen |= groups
    return every_image


def _inside(tree: bpy.types.NodeTree) -> _Inside:
    """Return the images and the groups that `tree` itself holds."""
    images: set[bpy.types.Image] = set()
    groups: set[bpy.types.NodeTree] = set()
    for node in tree.nodes:
        image = getattr(node, "image", None)
        if isinstance(image, bpy.types.Image):
            images.add(image)
        elif (group := getattr(node, "node_tree", None)) is not None:
            groups.add(group)
        elif tree.type == "GEOMETRY":
            images |= {item.default_value for item in node.inputs if item.type == "IMAGE"
                       and item.default_value is not None}
    return images, groups
