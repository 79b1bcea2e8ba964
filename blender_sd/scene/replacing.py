"""One picture in place of another: what it takes over, what is kept of the former, and where else it must appear."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import bpy
import numpy as np

from ..core.errors import SourceUnusable
from . import compat, marks, screens, shaders, tiles

_OWNERS = {"MATERIAL", "WORLD", "LIGHT", "LINESTYLE", "NODETREE"}  # datablocks that can have image nodes
REPLACED = "sd_replaced"  # marks a replaced image, so that it can be purged
_SPACE = "sd_color_space"  # an image's colour space before a data slot changed it
_HIDDEN_ALPHA = ("CHANNEL_PACKED",)  # modes in which alpha is a picture of its own

_successors: dict[int, int] = {}  # `session_uid` of an image -> of the image that replaced it last


def check_replaceable(former: bpy.types.Image | None, image: bpy.types.Image | None = None, tile: int = 0) -> None:
    """Raise TargetUnusable if a picture (`image`, or a result) cannot replace `former`, or its `tile`."""
    if former is not None and former.source == "TILED" and (image is None or image.source != "TILED"):
        tiles.check_tile(former, tile)


def put_into_node(node: bpy.types.ShaderNodeTexImage, image: bpy.types.Image, own: bool = True,
                  tile: int = 0) -> bpy.types.Image:
    """Show `image` in an image node. If the node held another image, see `take_place`.

    Returns:
        The image that is shown there, see `heir`.

    Raises:
        TargetUnusable: Another tile would be lost.
    """
    if node.image is not None:
        image = heir(node.image, image, own, tile, _shows_alpha(node))
        take_place(node.image, image)
    node.image = image
    compat.refresh_paint_slots()
    return image


def take_place(former: bpy.types.Image, image: bpy.types.Image) -> None:
    """Make `image`, which `heir` returned, the canvas of Texture Paint and every editor's image instead of `former`.

    `former` stays in the file, with a fake user and with what was painted on it.
    """
    if former == image:
        return
    keep(former)
    if former.is_editable:
        former[REPLACED] = True
    if image.is_editable and REPLACED in image:
        del image[REPLACED]
    _successors[former.session_uid] = image.session_uid
    screens.replace_image(former, image)
    for scene in bpy.data.scenes:
        if scene.is_editable and scene.tool_settings.image_paint.canvas == former:
            screens.set_canvas(scene, image)


def successor_of(image: bpy.types.Image) -> bpy.types.Image:
    """Return the image that has replaced `image` since it was chosen, for example when two jobs were queued for it.

    `image` itself is returned while it is used or shown.
    """
    images = {other.session_uid: other for other in bpy.data.images}
    passed = set()
    while image not in passed and not _has_place(image) and _successors.get(image.session_uid) in images:
        passed.add(image)
        image = images[_successors[image.session_uid]]
    return image


def replace_everywhere(former: bpy.types.Image, image: bpy.types.Image, tile: int = 0) -> bpy.types.Image:
    """Put `image` into every image node that holds `former`; linked node trees stay as they are.

    Returns:
        The image that is shown there, see `heir`.
    """
    image = heir(former, image, tile=tile, cut_out=any(_shows_alpha(node) for _, node in nodes_with(former)))
    for owner, node in list(nodes_with(former)):
        if owner.is_editable:
            node.image = image
    take_place(former, image)
    compat.refresh_paint_slots()
    marks.refresh([image])
    return image


def keep(image: bpy.types.Image) -> None:
    """Keep `image` in the file when Blender saves it: the original of a replaced slot must still be there afterwards.

    Blender would drop images without users, and what was painted on images that were never saved.
    """
    if image.is_editable and not image.is_runtime_data:
        image.use_fake_user = True
        _keep_paint(image)


def heir(former: bpy.types.Image, image: bpy.types.Image, own: bool = True, tile: int = 0,
         cut_out: bool = False) -> bpy.types.Image:
    """Return `image` with what it takes over from `former`.

    It becomes data if `former` is data, and gets alpha that is a picture of its own. If alpha is used separately
    (`cut_out`), it also gets the alpha of a picture with holes, unless it has holes itself. In a UDIM image it replaces
    one tile; then a new image with all tiles is returned.

    Args:
        former: The image to be replaced.
        image: The picture.
        own: Whether `image` may be changed; otherwise a copy is made if something else uses it.
        tile: The number of the tile; 0 for the active one.
        cut_out: Whether alpha is used separately.

    Raises:
        TargetUnusable: Another tile would be lost.
    """
    if former == image:
        return image
    if former.source == "TILED" and image.source != "TILED":
        return _with_tiles(former, image, own, tile or tiles.active(former), cut_out)
    if former.colorspace_settings.is_data:
        image = read_as(image, former.colorspace_settings.name, own)
    if _has_alpha_for(former, image, cut_out):
        image = _with_alpha(image if own or not is_used(image) else _copy(image), former)
    return image


def read_as(image: bpy.types.Image, space: str, own: bool = True) -> bpy.types.Image:
    """Return `image` read in the colour space `space`; a copy if it is read differently already and not the caller's
    `own`.
    """
    if image.colorspace_settings.name == space:
        return image
    if not own and is_used(image):
        image = _copy(image)
    _keep_paint(image)  # Blender reads the image again when its colour space changes
    if not image.colorspace_settings.is_data:
        image[_SPACE] = image.colorspace_settings.name
    image.colorspace_settings.name = space
    return image


def for_slot(image: bpy.types.Image, data: bool, own: bool = True) -> bpy.types.Image:
    """Return `image` as a slot for data, or for colours, reads it.

    An image that a data slot has changed becomes a colour again in the other kind of slot.
    """
    if data and not image.colorspace_settings.is_data:
        return read_as(image, "Non-Color", own)
    if not data and image.colorspace_settings.is_data and _SPACE in image:
        return read_as(image, image[_SPACE], own)
    return image


def nodes_with(image: bpy.types.Image) -> Iterator[tuple[bpy.types.ID, bpy.types.ShaderNode]]:
    """Yield the image nodes that hold `image`, each after its material, world, light, line style or group."""
    for owner in bpy.data.user_map(subset={image}, value_types=_OWNERS)[image]:
        tree = owner if isinstance(owner, bpy.types.NodeTree) else owner.node_tree
        nodes = tree.nodes if tree is not None else ()
        yield from ((owner, node) for node in nodes if node.type in shaders.IMAGES and node.image == image)


def is_used(image: bpy.types.Image) -> bool:
    """Return whether an image node holds `image`."""
    return bool(bpy.data.user_map(subset={image}, value_types=_OWNERS)[image])


def replaced() -> list[bpy.types.Image]:
    """Return the images of this file that others have replaced and that nothing uses any more."""
    return [image for image in bpy.data.images if image.is_editable and image.get(REPLACED) and not _has_place(image)
            and image.users == int(image.use_fake_user)]


def purge() -> list[str]:
    """Remove the images that `replaced` returns, and return their names."""
    images = replaced()
    names = [image.name for image in images]
    bpy.data.batch_remove(images)
    return names


# ---- inside --------------------------------------------------------------------------------------------------------


def _has_place(image: bpy.types.Image) -> bool:
    """Return whether an image node, a canvas or an editor holds `image`."""
    return (screens.is_shown(image) or any(scene.tool_settings.image_paint.canvas == image for scene in bpy.data.scenes)
            or is_used(image))  # last, since it walks the file


def _copy(image: bpy.types.Image) -> bpy.types.Image:
    _keep_paint(image)  # a copy has none of it otherwise
    copy = image.copy()
    copy.use_fake_user = False
    return copy


def _keep_paint(image: bpy.types.Image) -> None:
    """Pack pixels that exist only in memory."""
    if image.source == "TILED":
        tiles.keep_paint(image)
    elif image.has_data and (image.is_dirty or (image.source == "GENERATED" and not image.packed_file)):
        image.pack()


def _with_tiles(former: bpy.types.Image, image: bpy.types.Image, own: bool, tile: int,
                cut_out: bool) -> bpy.types.Image:
    """Return a new image with `image` as one tile and the other tiles of `former`."""
    picture = image
    if cut_out or former.alpha_mode in _HIDDEN_ALPHA:
        with suppress(SourceUnusable), tiles.tile_of(former, tile) as still:  # an empty tile has no alpha
            if _has_alpha_for(still, image, cut_out):
                picture = _with_alpha(_copy(image), still)
    try:
        whole = tiles.with_picture(former, picture, tile, beside=own)
    finally:
        if picture != image:
            bpy.data.images.remove(picture)
    marks.mark_tiles(whole, image, former)
    return whole


def _shows_alpha(node: bpy.types.ShaderNode) -> bool:
    """Return whether the alpha of an image node feeds something, as it does for leaves and decals."""
    return any(link.from_socket.name == "Alpha" for output in node.outputs for link in output.links
               if not link.is_muted)


def _has_alpha_for(former: bpy.types.Image, image: bpy.types.Image, cut_out: bool) -> bool:
    """Return whether `former` has alpha that `image` takes over."""
    if former.channels != 4 or image.alpha_mode in _HIDDEN_ALPHA:
        return False
    return former.alpha_mode in _HIDDEN_ALPHA or (cut_out and former.alpha_mode != "NONE" and _has_holes(former)
                                                  and not _has_holes(image))


def _has_holes(image: bpy.types.Image) -> bool:
    if image.channels != 4 or not image.size[0]:
        return False
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return bool((values[3::4] < 1).any())


def _with_alpha(image: bpy.types.Image, former: bpy.types.Image) -> bpy.types.Image:
    """Return `image` with the alpha of `former` resampled to its size, packed."""
    width, height = image.size
    if not width or not height or not former.size[0]:
        return image
    values = np.empty(len(former.pixels), np.float32)
    former.pixels.foreach_get(values)
    rows, columns = (np.arange(side) * had // side for side, had in ((height, former.size[1]), (width, former.size[0])))
    alpha = values.reshape(former.size[1], former.size[0], 4)[..., 3][np.ix_(rows, columns)]
    pixels = np.ones((height, width, 4), np.float32)
    had = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(had)
    pixels[..., : image.channels] = had.reshape(height, width, image.channels)
    pixels[..., 3] = alpha
    image.alpha_mode = former.alpha_mode if former.alpha_mode in _HIDDEN_ALPHA else "STRAIGHT"
    whole = bpy.data.images.new(image.name, width, height, alpha=True, float_buffer=image.is_float)
    try:  # `image` itself may have no alpha in its file, and would be packed without
        whole.colorspace_settings.name = image.colorspace_settings.name
        whole.pixels.foreach_set(pixels.ravel())
        whole.update()
        whole.pack()
        data = whole.packed_file.data
    finally:
        bpy.data.images.remove(whole)
    path = image.packed_files[0].filepath if image.packed_files else ""
    image.pack(data=data, data_len=len(data))
    image.source = "FILE"
    image.buffers_free()  # not `reload`, which would read the file instead
    if path:
        image.packed_files[0].filepath = path
    return image
