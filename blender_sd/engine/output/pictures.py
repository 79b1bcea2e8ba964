"""Finished pictures on disk: complete or not at all, with everything that made them inside the file."""
from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from ...core.errors import OutputUnwritable
from ...core.image_origin import ORIGIN_KEY, Origin
from ...core.request import Request
from ...core.roles import LIGHT, LINEAR, MAPS, PICTURE
from ...core.texts import file_stem
from ...library import files
from ...core.webui_text import parameters_text
from ...library.png import PARAMETERS_KEY, REQUEST_KEY, ROLE_KEY
from ...protocol import exr_files, light, png_arrays
from ...protocol.messages import Result, Source
from ...protocol.serving import WRITING
from ..conditioning import sources
from .image_origin import xmp

_OWN = 6  # digits of a picture's own part of its name


def check_folder(folder: Path) -> None:
    """Raise OutputUnwritable if `folder` cannot take files, before any time is spent on a picture.

    Also deletes what killed processes left unfinished there.
    """
    if not folder.is_dir():
        raise OutputUnwritable(f"The output folder does not exist: {folder}", "Choose another in the preferences.")
    _write([Path(files.temporary(str(folder / "probe")))], lambda file, _: file.write(b"x"), keep=False)
    files.sweep(str(folder))


def save(image: Image.Image | np.ndarray, folder: Path, job: str, index: int, request: Request, origin: Origin,
         marked: bool = True, sign: Callable[[bytes, str], bytes] | None = None, role: str = PICTURE,
         deep: np.ndarray | None = None) -> Path:
    """Write an image as PNG. The file appears under its name only when it is complete and on the disk.

    The file holds A1111's `parameters`, the whole request (`blender_sd`), the origin, and what it is if no picture.

    Args:
        image: The picture, grey, RGB or RGBA, sRGB, straight alpha; or a map with 16 bits, as
            `png_arrays.write` takes it.
        folder: Where to write it.
        job: The job's id.
        index: The number of the picture in the job, from 1.
        request: The picture's own request.
        origin: The picture's origin.
        marked: Whether to add XMP saying that a model painted it.
        sign: Takes a PNG's bytes and title and returns the PNG with content credentials; raises nothing.
        role: What it is (`core.roles`).
        deep: The same picture in the depth of its source (`protocol.light.DEEP_KEY`); one of 16 bits is written in its
            place.

    Returns:
        The file's path.

    Raises:
        OutputUnwritable: The folder is missing or full, or cannot be written.
    """
    if deep is not None and deep.dtype == np.uint16:
        image = deep
    texts = texts_of(request, origin, marked)
    if role != PICTURE:
        texts.add_text(ROLE_KEY, role)
    name = _name(request, job, index, role)
    wanted = (folder / f"{name}{'' if number == 1 else f'-{number}'}.png" for number in itertools.count(1))

    def fill(file: BinaryIO, path: str) -> None:
        whole = io.BytesIO() if sign is not None else file
        if isinstance(image, Image.Image):
            image.save(whole, "PNG", pnginfo=texts, compress_level=1)
        else:
            png_arrays.write(image, whole, [chunk[:2] for chunk in texts.chunks])
        if sign is not None:
            file.write(sign(whole.getvalue(), os.path.basename(path)))

    return _write(wanted, fill)


def texts_of(request: Request, origin: Origin, marked: bool) -> PngImagePlugin.PngInfo:
    """Return the texts that a picture's file holds; arguments as for `save`."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text(PARAMETERS_KEY, parameters_text(request, origin.model))
    texts.add_itxt(REQUEST_KEY, request.to_json())
    texts.add_itxt(ORIGIN_KEY, origin.to_json())
    if marked:
        texts.add_itxt("XML:com.adobe.xmp", xmp(origin))
    return texts


def with_light(result: Result, values: np.ndarray | None, origin: Origin,
               note: Callable[[str], None]) -> Iterator[Result]:
    """Yield a result, and after it the same picture in scene-linear light if it has that. It is written beside the
    other, under its name, as OpenEXR; the file names its colour space and holds the request and the origin.

    Args:
        result: The picture as displayed; nothing is written beside one that has no file.
        values: H×W×4 float32, row 0 on top, scene-linear Rec. 709, alpha associated; nothing is written for any other
            picture.
        origin: As for `save`.
        note: Called with a text if the file cannot be written.
    """
    yield result
    if values is None or values.dtype != np.float32 or not result.path:
        return
    if (values[..., 3] == 1).all():
        values = values[..., :3]
    texts = {light.SPACE: LINEAR, REQUEST_KEY: result.request.to_json(), ORIGIN_KEY: origin.to_json()}
    try:
        path = _write([Path(result.path).with_suffix(".exr")],
                      lambda file, _: exr_files.write(values, file, texts))
    except OutputUnwritable as error:
        note(f"{error.message}. The kept regions' scene-linear values were not written.")
    else:
        yield replace(result, path=str(path), role=LIGHT, colour_space=LINEAR)


def save_input(source: Source, digest: str, folder: Path) -> None:
    """Keep an input picture as `sources/<sha256>.<ext>`, once, so that its result can be made again later.

    Args:
        source: The picture.
        digest: "sha256:" and the hexadecimal digest of the picture.
        folder: The output folder.

    Raises:
        OutputUnwritable: The folder cannot be written.
    """
    digest = re.fullmatch(r"sha256:([0-9a-f]{64})", digest)
    if digest is None:
        return
    kept = folder / "sources"
    kind = "png" if source.pixels is not None else sources.file_kind(source.encoded)
    path = kept / f"{digest[1]}.{kind}"
    try:
        files.make_folder(str(kept))
        if path.is_symlink():
            files.remove_in(str(kept), path.name)
    except OSError as error:
        raise unwritable(kept, error) from error
    if path.exists():
        return
    if source.pixels is not None:
        _write([path], lambda file, _: Image.fromarray(source.pixels).save(file, "PNG", compress_level=1))
    else:
        _write([path], lambda file, _: file.write(source.encoded))


def _name(request: Request, job: str, index: int, role: str) -> str:
    """Return a file's name: prompt, which map of a material it is, seed, and a part that no other picture has.

    A name that was used again after its picture's deletion would show the new picture in every file that shows the old
    one.
    """
    own = hashlib.sha256(f"{job} {index} {time.time_ns()}".encode()).hexdigest()[:_OWN]
    what = f"{role.replace(' ', '_')}_" if role in MAPS else ""
    return f"{file_stem(request.prompt)}_{what}{request.seed}_{own}"


def _write(paths: Iterable[Path], fill: Callable[[BinaryIO, str], object], keep: bool = True) -> Path:
    """Have `fill` write a file under the first free name of `paths`. It appears there when it is complete.

    With `keep` False the file is deleted again: a trial.
    """
    paths = iter(paths)
    first = next(paths)
    with WRITING:
        try:
            path = files.write_new(map(str, itertools.chain([first], paths)), fill)
            if not keep:
                os.unlink(path)
        except FileExistsError:
            return first  # another engine has just written the same picture
        except OSError as error:
            raise unwritable(first.parent, error) from error
    _sync_folder(first.parent)
    return Path(path)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # some network folders cannot be opened; the file itself is already safe
    try:
        os.fsync(handle)
    except OSError:
        pass  # not every file system can sync a folder
    finally:
        os.close(handle)


def unwritable(folder: Path, error: OSError) -> OutputUnwritable:
    """Return the error for a folder that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputUnwritable(f"The disk is full: {folder}", "Free some space or choose another output folder.",
                                repr(error))
    return OutputUnwritable(f"The output folder cannot be written: {folder}", "Choose another in the preferences.",
                            repr(error))
