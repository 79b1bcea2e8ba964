"""UDIM images: what their tiles hold, and a new picture in one tile while all others stay as they are.

Blender lets Python write only the first tile's pixels, packs only the loaded tiles of a painted image, and drops all
tiles if one is missing. So a new picture in a tile always makes a new image, read from files: the other tiles, byte for
byte, and the new one.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import bpy
import numpy as np

from ..core.errors import SourceUnusable, TargetUnusable
from ..library import files
from . import compat, marks, pixels
from .image_paths import guarded_path

FOLDER = "tiles"  # beside the finished pictures, where the tiles of images lie that were files before
_FIRST = 1001
_BLANK = 1024  # side in pixels of an empty tile's picture if no other tile has a picture
_MAX_ALIKE = 1000  # folders of the same name
# Names of scene-linear Rec. 709, in Blender's and older configurations
_LINEAR = ("Linear Rec.709", "scene_linear", "Linear")
_FLOAT_FORMATS = ("OPEN_EXR", "OPEN_EXR_MULTILAYER", "HDR")
_TAKEN_OVER = ("use_half_precision", "use_view_as_render", "seam_margin")


def active(image: bpy.types.Image | None) -> int:
    """Return the number of the active tile (1001 and up), which a picture replaces; 0 for None and images without
    tiles.
    """
    if image is None or image.source != "TILED":
        return 0
    chosen = image.tiles.active
    return chosen.number if chosen is not None else _FIRST


def corner_of(number: int) -> tuple[int, int]:
    """Return the UV coordinates of a tile's lower left corner; (0, 0) if there are no tiles."""
    return ((number - _FIRST) % 10, (number - _FIRST) // 10) if number else (0, 0)


def check_tile(image: bpy.types.Image, number: int) -> None:
    """Raise TargetUnusable if a picture cannot replace a tile (0: the active one) of `image` while the others stay."""
    number = number or active(image)
    if number not in {tile.number for tile in image.tiles}:
        raise TargetUnusable(f"The UDIM image '{image.name}' has no tile {number} any more.",
                             "Choose one of its tiles in the Image Editor.")
    space = image.colorspace_settings
    if not space.is_data and space.name != "sRGB" and not _is_linear(image):
        raise TargetUnusable(f"The UDIM image '{image.name}' is read as {space.name}, and no picture can be written "
                             "into a tile of it.",
                             "Convert it to sRGB or Linear Rec.709, or choose New Image as the target.")
    readable = _packed(image) or _files(image)
    lost = [tile.number for tile in image.tiles if tile.number not in (number, *readable) and tile.size[0]]
    if lost and not _is_in_memory(image):
        raise TargetUnusable(f"The tile {lost[0]} of '{image.name}' cannot be read, and would be lost.",
                             "Find its file (File ▸ External Data), or paint on it, and it is packed.")


@contextmanager
def tile_of(image: bpy.types.Image, number: int) -> Iterator[bpy.types.Image]:
    """Return a context with one tile of `image` as a plain image, which is in the file only meanwhile.

    Raises:
        SourceUnusable: The tile has no picture, or its file is gone.
    """
    stored = _stored(image).get(number)
    if stored is None:
        raise SourceUnusable(f"The tile {number} of '{image.name}' has no picture.",
                             "Fill it first (Image ▸ Fill Tile), find its file, or choose another tile in the Image "
                             "Editor.")
    still = _plain(stored, image.name)
    try:
        still.colorspace_settings.name, still.alpha_mode = image.colorspace_settings.name, image.alpha_mode
        yield still
    finally:
        bpy.data.images.remove(still)


def with_picture(former: bpy.types.Image, picture: bpy.types.Image, number: int,
                 beside: bool = False) -> bpy.types.Image:
    """Return a new UDIM image: `picture` in one tile, all other tiles as `former` has them, byte for byte.

    What was painted on them and never saved is packed into `former` first. The new image is packed if `former` is.

    Args:
        former: The UDIM image to replace.
        picture: The new picture.
        number: The tile's number.
        beside: Whether, if the tiles of `former` are files, the new ones may be written into a folder beside the file
            of `picture`; otherwise they are packed.

    Raises:
        TargetUnusable: See `check_tile`.
    """
    check_tile(former, number)
    stored = {tile: content for tile, content in _stored(former).items() if tile != number}
    ending = os.path.splitext(former.filepath_raw)[1] or ".png"
    stem = _stem(picture)
    if beside and not former.packed_files and (folder := _folder_beside(picture, stem)) is not None:
        image = _read_set(_write_set(folder, stem, ending, stored, former, picture, number), former)
    else:
        with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
            stored = _filled(former, {number: b"", **stored})
            image = _read_set(_write_set(folder, stem, ending, stored, former, picture, number), former)
            image.pack()
        _name_packed(image, f"//textures/{stem}.<UDIM>{ending}")
    _add_empty_tiles(image, former)
    image.tiles.active_index = next(index for index, tile in enumerate(image.tiles) if tile.number == number)
    image.name = picture.name
    return image


def together(pictures: Mapping[int, bpy.types.Image]) -> bpy.types.Image:
    """Return one UDIM image of packed pictures by the numbers of their tiles, packed; the pictures are removed.

    Raises:
        TargetUnusable: The disk is full.
    """
    first = next(iter(pictures.values()))
    name, stem = first.name, _stem(first)
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        try:
            _copy_tiles(folder, stem, ".png", {number: still.packed_file.data for number, still in pictures.items()})
        except OSError as error:
            raise TargetUnusable(f"The tiles of '{name}' cannot be written.", "Look whether their disk is full.",
                                 str(error)) from None
        image = _read_set(os.path.join(folder, f"{stem}.{min(pictures)}.png"), first)
        image.pack()
    _name_packed(image, f"//textures/{stem}.<UDIM>.png")
    marks.mark_loaded(image, marks.facts_of(first))
    bpy.data.batch_remove(list(pictures.values()))
    image.name = name
    return image


def keep_paint(image: bpy.types.Image) -> None:
    """Pack the tiles of `image` if some of them exist only in memory."""
    if not _is_in_memory(image):
        return
    clean = _stored_now(image)
    if not image.filepath_raw:  # without a path Blender drops packed tiles when it opens the file
        image.filepath_raw = f"//textures/{bpy.path.clean_name(image.name)}.<UDIM>.{'exr' if image.is_float else 'png'}"
    if not image.is_dirty:  # else Blender would look for files
        image.pixels.foreach_set(_values(image))
        image.update()
    for tile in image.tiles:
        tuple(tile.size)  # to ask loads it, and Blender packs what is loaded
    image.pack()
    stored = {**clean, **{number: part.data for number, part in _packed(image).items()}}
    if len(image.packed_files) != len(image.tiles):
        _repack(image, _filled(image, stored))


# ---- inside --------------------------------------------------------------------------------------------------------


def _stored(image: bpy.types.Image) -> dict[int, bytes | str]:
    """Return where each tile that has a picture is read from: the bytes of its packed file, or the path of its file."""
    if image.is_editable:
        keep_paint(image)
    return _stored_now(image)


def _stored_now(image: bpy.types.Image) -> dict[int, bytes | str]:
    """Return `_stored`, without what exists only in memory."""
    return {number: part.data for number, part in _packed(image).items()} or _files(image)


def _filled(image: bpy.types.Image, stored: dict[int, bytes | str]) -> dict[int, bytes | str]:
    """Return `stored` with a black picture for each tile of `image` that has none: Blender would drop all packed tiles.
    """
    empty = [tile.number for tile in image.tiles if tile.number not in stored]
    if not empty:
        return stored
    size = next((tuple(tile.size) for tile in image.tiles if tile.size[0]), (_BLANK, _BLANK))
    blank = bpy.data.images.new("blank", *size, alpha=True)
    try:
        blank.pixels.foreach_set(np.tile(np.float32([0, 0, 0, 1]), size[0] * size[1]))
        blank.update()
        blank.pack()
        data = blank.packed_file.data
    finally:
        bpy.data.images.remove(blank)
    return {**stored, **dict.fromkeys(empty, data)}


def _repack(image: bpy.types.Image, stored: dict[int, bytes | str]) -> None:
    """Pack all of `stored` into `image`, which must have no changes that exist only in memory."""
    path = image.filepath_raw
    stem, ending = bpy.path.clean_name(image.name), os.path.splitext(path)[1] or ".png"
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        _copy_tiles(folder, stem, ending, stored)
        image.filepath_raw = os.path.join(folder, f"{stem}.<UDIM>{ending}")
        try:
            image.unpack(method="REMOVE")  # else Blender packs nothing more
            image.pack()
        finally:
            _name_packed(image, path)


def _name_packed(image: bpy.types.Image, path: str) -> None:
    """Give `image` a path with the token <UDIM>, and its packed tiles the paths that unpacking writes to."""
    image.filepath_raw = path
    for part in image.packed_files:
        part.filepath = path.replace("<UDIM>", str(part.tile_number))


def _packed(image: bpy.types.Image) -> dict[int, bpy.types.PackedFile]:
    return {part.tile_number: part.packed_file for part in image.packed_files if part.packed_file is not None}


def _files(image: bpy.types.Image) -> dict[int, str]:
    """Return the paths of the tiles' files that exist."""
    if not image.filepath_raw:
        return {}
    paths = {tile.number: guarded_path(image, tile.number) for tile in image.tiles}
    return {number: path for number, path in paths.items() if os.path.isfile(path)}


def _is_in_memory(image: bpy.types.Image) -> bool:
    """Return whether tiles of `image` exist only in memory: painted on, or made and never saved."""
    return image.is_dirty or (not image.packed_files and not image.filepath_raw)


def _plain(stored: bytes | str, name: str) -> bpy.types.Image:
    if isinstance(stored, str):
        return bpy.data.images.load(stored, check_existing=False)
    still = bpy.data.images.new(name, 1, 1)
    still.pack(data=stored, data_len=len(stored))
    still.source = "FILE"
    return still


def _stem(picture: bpy.types.Image) -> str:
    """Return how the files of a new set of tiles begin: like the picture's own."""
    own = picture.packed_files[0].filepath if picture.packed_files else picture.filepath_raw
    stem = os.path.splitext(bpy.path.basename(own))[0]
    return bpy.path.clean_name(stem or picture.name)


def _folder_beside(picture: bpy.types.Image, stem: str) -> str | None:
    """Return a new folder for tiles beside the file of `picture`; None if it has no file, or nothing can be written
    there.
    """
    try:
        path = guarded_path(picture) if picture.filepath_raw else ""
    except SourceUnusable:
        return None
    if not os.path.isfile(path):
        return None
    parent = os.path.join(os.path.dirname(path), FOLDER)
    for name in (stem, *(f"{stem}-{index}" for index in range(2, _MAX_ALIKE))):
        folder = os.path.join(parent, name)
        try:
            files.make_folder(parent)  # which refuses a link: the output folder may be shared
            os.mkdir(folder)
            return folder
        except FileExistsError:
            continue
        except OSError:
            return None
    return None


def _write_set(folder: str, stem: str, ending: str, stored: dict[int, bytes | str], former: bpy.types.Image,
               picture: bpy.types.Image,
               number: int) -> str:
    """Write all tiles into `folder`. Return the path of the tile that `picture` is in. Raises TargetUnusable."""
    try:
        _copy_tiles(folder, stem, ending, stored)
        path = os.path.join(folder, f"{stem}.{number}{ending}")
        _write_picture(picture, former, path)
        return path
    except (OSError, RuntimeError) as error:
        raise TargetUnusable(f"The tiles of '{former.name}' cannot be copied.", "Look whether their disk is full.",
                             str(error)) from None


def _copy_tiles(folder: str, stem: str, ending: str, stored: dict[int, bytes | str]) -> None:
    for tile, content in stored.items():
        path = os.path.join(folder, f"{stem}.{tile}{ending}")
        if isinstance(content, str):
            shutil.copyfile(content, path)
        else:
            with open(path, "wb") as file:
                file.write(content)


def _write_picture(picture: bpy.types.Image, former: bpy.types.Image, path: str) -> None:
    """Write `picture` as a file that is read as the tiles of `former` are."""
    if former.file_format in _FLOAT_FORMATS or _is_linear(former):
        _write_floats(picture, former, path)
        return
    if (former.file_format == "PNG" and picture.source == "FILE" and not picture.is_dirty
            and picture.file_format == "PNG"):
        if picture.packed_file:
            with open(path, "wb") as file:
                file.write(picture.packed_file.data)
        else:
            shutil.copyfile(guarded_path(picture), path)
        return
    copy = picture.copy()
    try:
        if picture.is_dirty or picture.source == "GENERATED":
            values = _values(picture)
            copy.pixels.foreach_set(values)
        copy.file_format = former.file_format
        copy.filepath_raw = path
        copy.save()
    finally:
        bpy.data.images.remove(copy)


def _write_floats(picture: bpy.types.Image, former: bpy.types.Image, path: str) -> None:
    width, height = picture.size
    values = _values(picture).reshape(height, width, picture.channels)
    if _is_linear(former) and not picture.is_float:
        values[..., :3] = pixels.linear_from_srgb(values[..., :3])
    elif picture.is_float and former.colorspace_settings.name == "sRGB":
        values[..., :3] = pixels.srgb_from_linear(values[..., :3])
    whole = np.ones((height, width, 4), np.float32)
    whole[..., : picture.channels] = values
    copy = bpy.data.images.new(picture.name, width, height, alpha=True, float_buffer=True)
    try:
        # As it stands: in other spaces some Blenders encode what they write
        copy.colorspace_settings.name = "Non-Color"
        copy.pixels.foreach_set(whole.ravel())
        copy.file_format = "HDR" if former.file_format == "HDR" else "OPEN_EXR"
        copy.filepath_raw = path
        copy.save()
    finally:
        bpy.data.images.remove(copy)


def _read_set(path: str, former: bpy.types.Image) -> bpy.types.Image:
    """Return the tiles beside `path` as one image, which is read as `former` is."""
    image = bpy.data.images.load(path, check_existing=False)
    image.source = "TILED"  # Blender finds the tiles by their files' names
    image.colorspace_settings.name, image.alpha_mode = former.colorspace_settings.name, former.alpha_mode
    for name in _TAKEN_OVER:
        if hasattr(former, name):
            setattr(image, name, getattr(former, name))
    return image


def _add_empty_tiles(image: bpy.types.Image, former: bpy.types.Image) -> None:
    """Give `image` the tiles of `former` that have no picture, and all labels."""
    there = {tile.number for tile in image.tiles}
    for tile in former.tiles:
        if tile.number not in there:
            image.tiles.new(tile.number)
    labels = {tile.number: tile.label for tile in former.tiles}
    for tile in image.tiles:
        tile.label = labels.get(tile.number, tile.label)


def _values(image: bpy.types.Image) -> np.ndarray:
    values = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(values)
    return values


def _is_linear(image: bpy.types.Image) -> bool:
    return image.colorspace_settings.name in _LINEAR and compat.works_in_rec709()
