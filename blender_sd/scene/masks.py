"""Masks: an image that the artist paints, kept with the image that it masks, and the UV area of selected faces."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import bpy
import numpy as np

from ..core.errors import SDError, SourceUnusable, TargetUnusable
from ..protocol.messages import Source
from . import images, materials, raster, screens, surfaces, tiles
from .shapes import Shape, read_mesh, readable
from .slots import active_slot
from .targets import Target, identity, new_image_target, with_tile

_before: dict[int, np.ndarray] = {}  # masks' pixels before undo or redo, by `session_uid`


def masked_image(context: bpy.types.Context) -> tuple[bpy.types.Image, Target]:
    """Return the image that Inpaint works on and where its result goes.

    That is the active slot's image, as `slots.active_slot_image` finds it; while a mask is painted or shown, it is the
    image that it masks.

    Raises:
        SourceUnusable: The slot is empty.
        TargetUnusable: The slot cannot be changed.
    """
    painted = painted_image(context.scene)
    if painted is not None:
        try:
            shown = active_slot(context)[1]
        except SDError:  # another object may be active meanwhile
            shown = new_image_target()
        return painted, _target_for(context, painted, shown)
    image, target = active_slot(context)
    if image is None:
        raise SourceUnusable("The active image slot is empty.", "Choose an image in it first.")
    owner = next((other for other in bpy.data.images if mask_of(other) == image), None)
    if owner is None:
        return image, target
    return owner, _target_for(context, owner, target)


def painted_image(scene: bpy.types.Scene) -> bpy.types.Image | None:
    """Return the image whose mask is being painted in `scene` (`Scene.sd_mask_painting`, which the add-on registers).
    """
    state = getattr(scene, "sd_mask_painting", None)
    return state.image if state is not None and state.image is not None and mask_of(state.image) is not None else None


def mask_of(image: bpy.types.Image) -> bpy.types.Image | None:
    """Return the mask that was made or chosen for `image` (`Image.sd_mask`, which the add-on registers)."""
    return getattr(image, "sd_mask", None)


def check_maskable(image: bpy.types.Image) -> None:
    """Raise an error if no mask can be painted for `image`.

    Raises:
        TargetUnusable: The image is linked.
        SourceUnusable: The image, or the mask chosen for it, cannot be painted on.
    """
    materials.check_editable(image, "image")
    mask = mask_of(image)
    for painted in (image, mask):
        if painted is not None and painted.source == "TILED":
            raise SourceUnusable(f"'{painted.name}' is a tiled (UDIM) image, for which a mask cannot be painted.",
                                 "Choose Selected Faces as the mask, or use an image of one tile.")
    if image.type in screens.RENDERED or image.source in ("MOVIE", "SEQUENCE"):
        raise SourceUnusable(f"A mask cannot be painted for '{image.name}'.",
                             "Save it as an image first, and open that.")
    if mask is not None:
        materials.check_editable(mask, "mask")
        if mask == image or mask.type in screens.RENDERED or mask.source in ("MOVIE", "SEQUENCE"):
            raise SourceUnusable(f"'{mask.name}' is the mask of '{image.name}' and cannot be painted on.",
                                 "Empty the field Mask first.")


def new_mask(image: bpy.types.Image, values: np.ndarray | None = None) -> bpy.types.Image:
    """Make a mask of `image`'s size and keep it with the image in place of the one before.

    The former mask stays in memory, so that undo finds it.

    Args:
        image: The image to mask.
        values: The mask's pixels, as `Image.pixels` has them; black if None.

    Raises:
        SourceUnusable: The image has no pixels.
    """
    width, height = images.size_of(image) if values is None else tuple(mask_of(image).size)
    mask = bpy.data.images.new(f"{image.name} mask", width, height, alpha=False)
    mask.generated_color = (0.0, 0.0, 0.0, 1.0)
    if values is not None:
        mask.pixels.foreach_set(values)
        mask.update()
    image.sd_mask = mask
    return mask


def inverted(mask: bpy.types.Image) -> np.ndarray:
    """Return the pixels of `mask` with black and white exchanged, as `Image.pixels` has them."""
    values = np.empty(len(mask.pixels), np.float32)
    mask.pixels.foreach_get(values)
    colours = values.reshape(-1, mask.channels)[:, :3]
    np.subtract(1, colours, out=colours)
    return values


def remember() -> None:
    """Remember the pixels of all masks in memory before undo or redo, for `bring_back`."""
    _before.clear()
    for image in bpy.data.images:
        mask = mask_of(image)
        if mask is not None and mask.has_data and (mask.is_dirty or mask.packed_file):
            values = np.empty(len(mask.pixels), np.float32)
            mask.pixels.foreach_get(values)
            _before[mask.session_uid] = values


def bring_back() -> None:
    """Restore masks' pixels after undo or redo.

    If an undo step is not a brush stroke, Blender reads images from their files again and drops what was painted.
    Strokes that it undoes are marked as changes and left alone.
    """
    for image in bpy.data.images:
        mask = mask_of(image)
        values = _before.get(mask.session_uid) if mask is not None and not mask.is_dirty else None
        if values is not None and len(mask.pixels) == len(values):
            now = np.empty_like(values)
            mask.pixels.foreach_get(now)
            if not np.array_equal(now, values):
                mask.pixels.foreach_set(values)
                mask.update()
    _before.clear()


def keep_painted() -> None:
    """Pack masks that were painted on: Blender writes no painted pixels into the file otherwise."""
    for image in bpy.data.images:
        mask = mask_of(image)
        if mask is not None and mask.is_dirty and mask.is_editable and (mask.packed_file or mask.source == "GENERATED"):
            mask.pack()


def faces_mask(obj: bpy.types.Object | None, size: tuple[int, int],
               image: bpy.types.Image | None = None) -> Callable[[], Source]:
    """Return a function that draws the UV area of an object's selected faces as a mask, on any thread.

    Args:
        obj: The active object.
        size: (width, height) of the mask in pixels.
        image: The picture whose UV map and mapping count; by default the base color's.

    Raises:
        TargetUnusable: Nothing is selected, there is no UV map, or the picture is not mapped by one.
    """
    if obj is None or obj.type != "MESH":
        raise TargetUnusable("No mesh object is active.", "Select one, and in Edit Mode the faces to paint.")
    mesh = obj.data
    if mesh.uv_layers.active is None:
        raise TargetUnusable(f"'{obj.name}' has no UV map.", "Unwrap it first (UV ▸ Unwrap).")
    mapping = surfaces.mapping_on(obj, image)
    if not mapping.by_uv:
        raise TargetUnusable(f"The picture does not lie on '{obj.name}' by a UV map, so its faces have no place in it.",
                             "Feed the image node from a UV Map node, or paint the mask.")
    with readable(obj) as now:
        selected = selected_faces(now)
        if not selected.any():
            raise TargetUnusable(f"No face of '{obj.name}' is selected.", "Select the faces to paint in Edit Mode.")
        shape = read_mesh(now)
    matrix = np.array(mapping.matrix)
    corner = None
    if image is not None and image.source == "TILED":  # only the active tile counts
        corner = np.array(tiles.corner_of(tiles.active(image)))

    return drawn(lambda: on_tile(uv_triangles(shape, mapping.uv_map, selected) @ matrix[:2, :2].T + matrix[:2, 3],
                                 corner), size)


def drawn(triangles: Callable[[], np.ndarray], size: tuple[int, int]) -> Callable[[], Source]:
    """Return a function, for any thread, that draws UV triangles (N×3×2), which it asks for then, as a mask of `size`
    pixels."""
    def draw() -> Source:
        grey = raster.covered(triangles(), size).astype(np.uint8) * 255
        return Source(pixels=np.dstack([grey, grey, grey, np.full_like(grey, 255)]))

    return draw


def selected_faces(mesh: bpy.types.Mesh) -> np.ndarray:
    """Return which faces of a mesh (`shapes.readable`) are selected, a bool for each."""
    chosen = np.zeros(len(mesh.polygons), bool)
    kept = mesh.attributes.get(".select_poly")
    if kept is not None and len(chosen):
        kept.data.foreach_get("value", chosen)
    return chosen


def uv_triangles(shape: Shape, uv_map: str, chosen: np.ndarray) -> np.ndarray:
    """Return the `chosen` faces (a bool for each) of a mesh as N×3×2 UV triangles; for any thread."""
    return shape.uvs[uv_map][shape.loops[chosen[shape.polygons]]]


def on_tile(triangles: np.ndarray, corner: np.ndarray | None) -> np.ndarray:
    """Return those of some UV triangles that lie on the tile with this lower left corner, as on a single image; all of
    them without one."""
    if corner is None:
        return triangles
    return triangles[(np.floor(triangles.mean(1)) == corner).all(-1)] - corner


def _target_for(context: bpy.types.Context, image: bpy.types.Image, shown: Target) -> Target:
    """Return where a result for `image` goes while its mask is painted or shown in the target `shown`.

    That is the canvas of Texture Paint if it was that; else the image node of an object's material; else wherever
    `image` is used, and the Image Editor of `context`.
    """
    state = getattr(context.scene, "sd_mask_painting", None)
    if state is not None and state.image == image and state.on_canvas:
        return Target("canvas", shown.scenes, owner=identity(context.scene), image=identity(image), editor=shown.editor)
    painted = state.object if state is not None and state.image == image else None
    target = _slot_of(painted, image) or _slot_of(context.object, image) or Target("editor", shown.scenes,
                                                                                  image=identity(image))
    return with_tile(replace(target, editor=shown.editor))


def _slot_of(obj: bpy.types.Object | None, image: bpy.types.Image) -> Target | None:
    """Return the image node of `obj`'s active material that holds `image`, as a target."""
    material = obj.active_material if obj is not None else None
    tree = material.node_tree if material is not None else None
    for node in tree.nodes if tree is not None else ():
        if node.type == "TEX_IMAGE" and node.image == image:
            materials.check_editable(material, "material")
            return Target("slot", new_image_target().scenes, owner=identity(material), node=node.name,
                          image=identity(image))
    return None
