"""Where results go: frozen at the click, found again at the commit.

A `Target` holds no bpy references, which undo and opening a file make invalid, but `session_uid`s: Blender gives each
datablock one that undo keeps and that is never used again in the same run, not even if the same file is opened again.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import bpy

from ..core.errors import TargetUnusable
from . import images, losses, marks, materials, renders, replacing, screens, shaders, tiles

KINDS = ("new", "material", "slot", "canvas", "editor", "camera_background")


@dataclass(frozen=True)
class Identity:
    """A datablock that can be found again. `collection` is its collection's name in `bpy.data`."""

    collection: str
    uid: int
    name: str


@dataclass(frozen=True)
class Target:
    """Where a job's first picture goes; the others stay in the file as images with a fake user.

    Attributes:
        kind: "new" (an image datablock only), "material" (`slot` of `material`, or of `obj`'s active material), "slot"
            (the image node `node` in `owner`'s node tree), "canvas" (the image that Texture Paint paints on, in scene
            `owner`), "editor" (`image`, wherever it is used), "camera_background" (`obj`, with `opacity`).
        editor: The Image Editor in which the job was started, if it was one.
        tile: The number of the UDIM tile to replace, if the place holds tiles.
        scenes: The file's scenes. After another file was opened none of them is left, and nothing else of the target.
    """

    kind: str
    scenes: tuple[int, ...]
    obj: Identity | None = None
    material: Identity | None = None
    slot: str = materials.BASE_COLOR
    owner: Identity | None = None
    node: str = ""
    image: Identity | None = None
    editor: screens.Editor | None = None
    opacity: float = 1.0
    tile: int = 0


@dataclass(frozen=True)
class Placement:
    """Where the first result of a job went.

    Attributes:
        kind: As in `Target`.
        owner: The name of the object, material, node tree or camera that shows `image`, or "".
        slot: The material's input.
        made: What was missing there (see `materials.missing`).
    """

    kind: str
    image: Identity
    owner: str = ""
    slot: str = ""
    made: tuple[str, ...] = ()


def new_image_target(context: bpy.types.Context | None = None) -> Target:
    """Return a target that only makes an image datablock, shown in the Image Editor of `context` if it is one."""
    return Target("new", scenes_of_file(), editor=screens.editor_of(context) if context is not None else None)


def with_tile(target: Target) -> Target:
    """Return `target` with the tile that is active in its place now, if it holds tiles."""
    return replace(target, tile=tiles.active(_former(target)))


def is_mesh_selected(context: bpy.types.Context) -> bool:
    """Return whether the active object is a mesh that is selected, or in another mode than Object Mode."""
    obj = context.object
    return obj is not None and obj.type == "MESH" and (obj.mode != "OBJECT" or obj.select_get())


def target_of_object(obj: bpy.types.Object, slot: str = materials.BASE_COLOR) -> Target:
    """Return the active material of `obj` as a target, for scripts. Raises TargetUnusable as `freeze_target` does."""
    material = materials.check_object(obj)
    materials.check_place(obj, material, slot)
    return with_tile(Target("material", scenes_of_file(), obj=identity(obj),
                            material=identity(material) if material else None,
                            slot=slot))


def check_file(target: Target) -> None:
    """Raise TargetUnusable if another file was opened since the target was frozen."""
    named = (target.obj, target.material, target.owner, target.image)
    if not set(scenes_of_file()) & set(target.scenes) and not any(known is not None and lookup(known)
                                                                  for known in named):
        raise TargetUnusable("Another file was opened while the picture was being made.")


def place(target: Target, results: Sequence[bpy.types.Image]) -> Placement | None:
    """Put the first of `results` where `target` says, show it in the editors of `viewers_of`, and keep the others.

    The caller pushes the undo step.

    Returns:
        Where the first result is now; None for no results.

    Raises:
        TargetUnusable: The place is gone or can no longer be changed; the images then stay, with a fake user.
    """
    if not results:
        return None
    first = results[0]
    for image in results:
        image.use_fake_user = True
    try:
        check_file(target)
        viewers = viewers_of(target)
        made = _missing(target)
        first = _PLACERS[target.kind](target, first)
    except TargetUnusable as error:
        raise TargetUnusable(error.message, f"The picture is kept as the image '{first.name}'.", error.detail) from None
    for space in viewers:
        screens.show(space, first)
    screens.redraw("IMAGE_EDITOR")
    if first.users > 1:  # it has a place now
        first.use_fake_user = target.kind in ("new", "editor")
    owner = target.owner or target.obj
    return Placement(target.kind, identity(first), find(owner).name if owner else "", target.slot, made)


def is_on_screen(placement: Placement) -> bool:
    """Return whether a result without a place in a material or an editor is seen.

    That is in an Image Editor, or in a 3D View that looks through the camera whose background it is.
    """
    if placement.kind == "camera_background" and any(_looks_through(area.spaces.active, placement.owner)
                                                     for area in screens.areas("VIEW_3D")):
        return True
    if placement.kind not in ("new", "camera_background"):
        return True
    return any(space.image is not None and space.image.session_uid == placement.image.uid
               for space in screens.editors())


def viewers_of(target: Target) -> list[bpy.types.SpaceImageEditor]:
    """Return the open Image and UV Editors in which a result for `target` ends; none if another file was opened."""
    try:
        check_file(target)
    except TargetUnusable:
        return []
    return screens.viewers(_former(target), target.editor, needed=target.kind in ("new", "camera_background"))


def remarks(target: Target, source: object = None) -> list[str]:
    """Return what should be known before a picture made from `source` goes to `target`: what is lost, why it is not
    seen.
    """
    former, notes = _former(target), []
    for image in dict.fromkeys(image for image in (source, former) if isinstance(image, bpy.types.Image)):
        if images.changed_on_disk(image):
            notes.append(f"The file of '{image.name}' was changed on disk since it was read; what Blender shows of it "
                         "is what counts.")
    if former is not None and (loss := losses.loss_of(former)):
        notes.append(loss)
    owner = lookup(target.owner) if target.kind == "slot" and target.owner else None
    if isinstance(owner,
                  bpy.types.Material) and (node := _node_in(owner,
                                                            target)) is not None and (why := shaders.why_hidden(owner,
                                                                                                                node)):
        notes.append(f"The picture will not be seen. {why}")
    return notes


def push_undo(message: str) -> bool:
    """Make what was just done one undo step named `message`, also from a timer.

    Returns:
        Whether Blender did so; there is no undo if global undo is switched off.
    """
    if not bpy.ops.ed.undo_push.poll():
        return False
    return "FINISHED" in bpy.ops.ed.undo_push(message=message)  # in no `temp_override`: see `compat.in_window`


def identity(block: bpy.types.ID) -> Identity:
    """Return the identity of `block`. Raises KeyError for types that no target uses."""
    return Identity(COLLECTIONS[block.id_type], block.session_uid, block.name)


def lookup(known: Identity) -> bpy.types.ID | None:
    """Return the datablock, wherever it was renamed or moved to; None if it is gone."""
    blocks = getattr(bpy.data, known.collection)
    named = blocks.get(known.name)  # quick, for those who draw
    if named is not None and named.session_uid == known.uid:
        return named
    return next((block for block in blocks if block.session_uid == known.uid), None)


def find(known: Identity) -> bpy.types.ID:
    """Return the datablock, as `lookup` does. Raises TargetUnusable if it is gone."""
    block = lookup(known)
    if block is None:
        raise TargetUnusable(f"'{known.name}' was deleted while the picture was being made.")
    return block


# ---- inside --------------------------------------------------------------------------------------------------------

COLLECTIONS = {"OBJECT": "objects", "MATERIAL": "materials", "NODETREE": "node_groups", "WORLD": "worlds",
               "LIGHT": "lights",
                "LINESTYLE": "linestyles", "SCENE": "scenes", "IMAGE": "images"}


def scenes_of_file() -> tuple[int, ...]:
    """Return the ids of the open file's scenes, which distinguish it from another file."""
    return tuple(scene.session_uid for scene in bpy.data.scenes)


def _former(target: Target) -> bpy.types.Image | None:
    """Return the image that the result replaces; None if there is none, or the place is gone."""
    if target.kind == "material":
        obj = lookup(target.obj)
        material = lookup(target.material) if target.material else getattr(obj, "active_material", None)
        return materials.image_in(material, target.slot) if material is not None else None
    owner = lookup(target.owner) if target.owner else None
    if target.kind == "canvas":
        return owner.tool_settings.image_paint.canvas if owner is not None else None
    if target.kind == "slot":
        node = _node_in(owner, target) if owner is not None else None
        return node.image if node is not None else None
    image = lookup(target.image) if target.image else None
    return replacing.successor_of(image) if image is not None else None


def _node_in(owner: bpy.types.ID, target: Target) -> bpy.types.ShaderNodeTexImage | None:
    """Return the image node that `target` means; a renamed one is recognised by its image, if no other node holds it.
    """
    tree = owner if isinstance(owner, bpy.types.NodeTree) else owner.node_tree
    nodes = [node for node in tree.nodes if node.type in shaders.IMAGES] if tree else []
    named = next((node for node in nodes if node.name == target.node), None)
    alike = [node for node in nodes if target.image and node.image and node.image.session_uid == target.image.uid]
    return named or (alike[0] if len(alike) == 1 else None)


def _missing(target: Target) -> tuple[str, ...]:
    if target.kind != "material":
        return ()
    return materials.missing(find(target.obj), find(target.material) if target.material
                             else find(target.obj).active_material)


def _looks_through(space: bpy.types.SpaceView3D, camera: str) -> bool:
    return space.region_3d.view_perspective == "CAMERA" and space.camera is not None and space.camera.name == camera


def _place_new(_target: Target, image: bpy.types.Image) -> bpy.types.Image:
    """Return `image`: a new image goes only into the editors of `viewers_of`. Each `_place_` function returns what is
    shown.
    """
    return image


def _place_material(target: Target, image: bpy.types.Image) -> bpy.types.Image:
    obj, material = find(target.obj), None
    if target.material is not None:
        material = find(target.material)
        materials.check_object(obj)
    return materials.put(image, obj, target.slot, material, own=True, tile=target.tile)


def _place_slot(target: Target, image: bpy.types.Image) -> bpy.types.Image:
    owner = find(target.owner)
    materials.check_editable(owner, "material" if target.owner.collection == "materials" else "node tree")
    node = _node_in(owner, target)
    if node is None:
        raise TargetUnusable(f"The image node '{target.node}' of '{owner.name}' was deleted while the picture was "
                             "being made.")
    image = replacing.put_into_node(node, image, tile=target.tile)
    marks.refresh([image])
    return image


def _place_canvas(target: Target, image: bpy.types.Image) -> bpy.types.Image:
    scene = find(target.owner)
    former = scene.tool_settings.image_paint.canvas
    if former is not None:
        image = replacing.heir(former, image, tile=target.tile)
        replacing.take_place(former, image)
    screens.set_canvas(scene, image)
    return image


def _place_editor(target: Target, image: bpy.types.Image) -> bpy.types.Image:
    former = _former(target)
    if former is not None:  # else the editor in which the job was started is all that is left
        image = replacing.replace_everywhere(former, image, target.tile)
    return image


def _place_camera_background(target: Target, image: bpy.types.Image) -> bpy.types.Image:
    camera = find(target.obj)
    if camera.type != "CAMERA":
        raise TargetUnusable(f"'{camera.name}' is no camera any more.")
    materials.check_editable(camera.data, "camera")
    renders.set_camera_background(image, camera, target.opacity)
    return image


_PLACERS = {"new": _place_new, "material": _place_material, "slot": _place_slot, "canvas": _place_canvas,
            "editor": _place_editor,
            "camera_background": _place_camera_background}
