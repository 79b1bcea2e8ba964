"""Where results go: frozen at the click, found again at the commit.

A `Target` holds no bpy references, which undo and opening a file make invalid, but `session_uid`s: Blender gives each
datablock one that undo keeps and that is never given again in the same run, not even when the same file is opened anew.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy

from ..protocol.errors import TargetUnusable
from . import images, marks, materials, renders

KINDS = ("new", "material", "slot", "canvas", "editor", "camera_background")


@dataclass(frozen=True)
class Identity:
    """A datablock as it can be found again. `collection`: its name in `bpy.data`."""

    collection: str
    uid: int
    name: str


@dataclass(frozen=True)
class Target:
    """Where a job's first picture goes; the others stay in the file as images with a fake user.

    `kind`: "new" (an image datablock only), "material" (`slot` of `material`, else of `obj`'s active material), "slot" (the
    image node `node` in `owner`'s node tree), "canvas" (the image that Texture Paint paints on, in scene `owner`), "editor"
    (shown where `image` was shown), "camera_background" (`obj`). `scenes`: the file's scenes; where another file was opened, none
    of them is left, and nothing else of this.
    """

    kind: str
    scenes: tuple[int, ...]
    obj: Identity | None = None
    material: Identity | None = None
    slot: str = materials.BASE_COLOR
    owner: Identity | None = None
    node: str = ""
    image: Identity | None = None


def new_image_target() -> Target:
    """A target that only makes an image datablock."""
    return Target("new", _scenes())


def freeze_target(context: bpy.types.Context, kind: str, slot: str = materials.BASE_COLOR) -> Target:
    """The target that `context` means now. `kind`: "new", "material" (the active object's active material), "slot" (what
    `slots.active_slot_image` finds, be it node, canvas or editor) or "camera_background" (the scene's camera).
    Raises TargetUnusable where it cannot take an image: nothing active, not a mesh, no faces, linked data, no camera."""
    if kind == "new":
        return new_image_target()
    if kind == "material":
        obj = context.object
        material = materials.check_object(obj)
        return Target(kind, _scenes(), obj=identity(obj), material=identity(material) if material else None, slot=slot)
    if kind == "slot":
        from .slots import active_slot
        return active_slot(context)[1]
    if kind == "camera_background":
        camera = context.scene.camera
        if camera is None or camera.type != "CAMERA":
            raise TargetUnusable(f"The scene '{context.scene.name}' has no camera.", "Add one (Add ▸ Camera).")
        materials.check_editable(camera.data, "camera")
        return Target(kind, _scenes(), obj=identity(camera))
    raise TargetUnusable(f"There is no target called '{kind}'.", "Choose one of: new, material, slot, camera_background.")


def target_of_object(obj: bpy.types.Object, slot: str = materials.BASE_COLOR) -> Target:
    """The active material of `obj`, for scripts. Raises TargetUnusable like `freeze_target`."""
    material = materials.check_object(obj)
    return Target("material", _scenes(), obj=identity(obj), material=identity(material) if material else None, slot=slot)


def check_file(target: Target) -> None:
    """Raises TargetUnusable where another file was opened since the target was frozen."""
    named = (target.obj, target.material, target.owner, target.image)
    if not set(_scenes()) & set(target.scenes) and not any(known is not None and lookup(known) for known in named):
        raise TargetUnusable("Another file was opened while the picture was being made.")


def place(target: Target, results: Sequence[bpy.types.Image]) -> None:
    """Puts the first of `results` where `target` says and keeps the others. The caller pushes the undo step.

    Raises TargetUnusable where the place is gone or can no longer be changed; the images then stay, with a fake user.
    """
    if not results:
        return
    first = results[0]
    for image in results:
        image.use_fake_user = True
    try:
        check_file(target)
        _PLACERS[target.kind](target, first)
    except TargetUnusable as error:
        raise TargetUnusable(error.message, f"The picture is kept as the image '{first.name}'.", error.detail) from None
    if first.users > 1:  # it has a place now
        first.use_fake_user = target.kind in ("new", "editor")


def push_undo(message: str) -> bool:
    """Makes what was just done one undo step named `message`, also from a timer; whether Blender has done so (there is
    no undo where global undo is switched off)."""
    if not bpy.ops.ed.undo_push.poll():
        return False
    return "FINISHED" in bpy.ops.ed.undo_push(message=message)  # in no `temp_override`: see `compat.in_window`


def identity(block: bpy.types.ID) -> Identity:
    """`block`, to be found again by `find`. Raises KeyError for types that no target uses."""
    return Identity(_COLLECTIONS[block.id_type], block.session_uid, block.name)


def lookup(known: Identity) -> bpy.types.ID | None:
    """The datablock, wherever it was renamed or moved to; None where it is gone."""
    blocks = getattr(bpy.data, known.collection)
    named = blocks.get(known.name)  # quick, for those who draw
    if named is not None and named.session_uid == known.uid:
        return named
    return next((block for block in blocks if block.session_uid == known.uid), None)


def find(known: Identity) -> bpy.types.ID:
    """The datablock, as `lookup` finds it. Raises TargetUnusable where it is gone."""
    block = lookup(known)
    if block is None:
        raise TargetUnusable(f"'{known.name}' was deleted while the picture was being made.")
    return block


# ---- inside --------------------------------------------------------------------------------------------------------

_COLLECTIONS = {"OBJECT": "objects", "MATERIAL": "materials", "NODETREE": "node_groups", "WORLD": "worlds", "LIGHT": "lights",
                "LINESTYLE": "linestyles", "SCENE": "scenes", "IMAGE": "images"}


def _scenes() -> tuple[int, ...]:
    return tuple(scene.session_uid for scene in bpy.data.scenes)


def _place_new(target: Target, image: bpy.types.Image) -> None:
    images.show_in_editor(image)


def _place_material(target: Target, image: bpy.types.Image) -> None:
    obj = find(target.obj)
    if target.material is None:
        materials.apply_image(image, obj, target.slot)
        return
    material = find(target.material)
    materials.check_object(obj)
    materials.apply_image(image, obj, target.slot, material)


def _place_slot(target: Target, image: bpy.types.Image) -> None:
    owner = find(target.owner)
    materials.check_editable(owner, "material" if target.owner.collection == "materials" else "node tree")
    tree = owner if target.owner.collection == "node_groups" else owner.node_tree
    nodes = [node for node in tree.nodes if node.type in ("TEX_IMAGE", "TEX_ENVIRONMENT")] if tree else []
    node = next((node for node in nodes if node.name == target.node), None)
    if node is None and target.image is not None:  # renamed: known by its image
        node = next((node for node in nodes if node.image is not None and node.image.session_uid == target.image.uid), None)
    if node is None:
        raise TargetUnusable(f"The image node '{target.node}' of '{owner.name}' was deleted while the picture was being made.")
    materials.put_into_node(node, image)
    marks.refresh([image])


def _place_canvas(target: Target, image: bpy.types.Image) -> None:
    paint = find(target.owner).tool_settings.image_paint
    if paint.canvas is not None:
        materials.keep(paint.canvas)
    paint.canvas = image


def _place_editor(target: Target, image: bpy.types.Image) -> None:
    for space in images.editors():
        if space.image is not None and target.image is not None and space.image.session_uid == target.image.uid:
            materials.keep(space.image)
            space.image = image
    images.redraw("IMAGE_EDITOR")


def _place_camera_background(target: Target, image: bpy.types.Image) -> None:
    camera = find(target.obj)
    if camera.type != "CAMERA":
        raise TargetUnusable(f"'{camera.name}' is no camera any more.")
    materials.check_editable(camera.data, "camera")
    renders.set_camera_background(image, camera)
    images.show_in_editor(image)


_PLACERS = {"new": _place_new, "material": _place_material, "slot": _place_slot, "canvas": _place_canvas, "editor": _place_editor,
            "camera_background": _place_camera_background}
