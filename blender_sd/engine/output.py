"""Finished pictures on disk: whole or not at all, with everything that made them inside the file."""
from __future__ import annotations

import errno
import io
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from ..protocol.errors import OutputUnwritable
from ..protocol.messages import Source
from ..protocol.origin import ORIGIN_KEY, Origin
from ..protocol.png import PARAMETERS_KEY, REQUEST_KEY, parameters_text
from ..protocol.request import Request
from . import sources
from .provenance import xmp

WRITING = threading.Lock()  # held while a file is written: whoever ends the process waits for it
_PART = ".part"
_STALE = 600  # seconds after which an unfinished file of a process that was killed is cleared away


def check_folder(folder: Path) -> None:
    """Raises OutputUnwritable where `folder` cannot take files, before any time is spent on a picture. Clears away
    what killed processes left unfinished."""
    if not folder.is_dir():
        raise OutputUnwritable(f"The output folder does not exist: {folder}", "Choose another in the preferences.")
    probe = folder / f".probe-{os.getpid()}-{threading.get_ident()}"
    _write(probe, lambda file: file.write(b"x"))
    _discard(probe)
    for part in folder.glob(f".*{_PART}"):
        try:
            if time.time() - part.stat().st_mtime > _STALE:
                part.unlink()
        except OSError:
            continue  # another engine was faster, or still holds it


def save(image: Image.Image, folder: Path, job: str, index: int, request: Request, origin: Origin, marked: bool = True,
         seal: Callable[[bytes, str], bytes] | None = None) -> Path:
    """Writes `image` as PNG into `folder` and returns its path. `index` counts the job's pictures from 1.

    The file holds A1111's `parameters`, the whole request (`blender_sd`), the origin, and, where it is `marked`, XMP saying that a model
    painted it. `seal`: gives a PNG's bytes, under a title, with content credentials in them; it raises nothing. The file appears under its
    name only when it is complete and on the disk. Raises OutputUnwritable.
    """
    texts = PngImagePlugin.PngInfo()
    texts.add_text(PARAMETERS_KEY, parameters_text(request, origin.model))
    texts.add_itxt(REQUEST_KEY, request.to_json())
    texts.add_itxt(ORIGIN_KEY, origin.to_json())
    if marked:
        texts.add_itxt("XML:com.adobe.xmp", xmp(origin))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{_plain(job)}-{index}"
    path = _unused(folder, name)

    def fill(file: BinaryIO) -> None:
        whole = io.BytesIO() if seal is not None else file
        image.save(whole, "PNG", pnginfo=texts, compress_level=1)
        if seal is not None:
            file.write(seal(whole.getvalue(), path.name))

    _write(path, fill)
    return path


def save_input(source: Source, digest: str, folder: Path) -> None:
    """Keeps an input picture as `sources/<sha256>.<ext>`, once, so that what was made of it can be made again later.
    Raises OutputUnwritable."""
    digest = re.fullmatch(r"sha256:([0-9a-f]{64})", digest)
    if digest is None:
        return
    kept = folder / "sources"
    kind = "png" if source.pixels is not None else sources.file_kind(source.encoded)
    path = kept / f"{digest[1]}.{kind}"
    if path.exists():
        return
    try:
        kept.mkdir(exist_ok=True)
    except OSError as error:
        raise _unwritable(kept, error) from error
    if source.pixels is not None:
        _write(path, lambda file: Image.fromarray(source.pixels).save(file, "PNG", compress_level=1))
    else:
        _write(path, lambda file: file.write(source.encoded))


def _plain(job: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", job)[:64] or "job"


def _unused(folder: Path, name: str) -> Path:
    path, number = folder / f"{name}.png", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.png", number + 1
    return path


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Fills a temporary file beside `path`, flushes it to the disk and renames it; nothing stays where that fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    with WRITING:
        try:
            with open(part, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            _discard(part)
            raise _unwritable(path.parent, error) from error
        except BaseException:
            _discard(part)
            raise
    _sync_folder(path.parent)


def _discard(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        pass  # the folder itself is gone or read-only; the first error is the one to tell


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


def _unwritable(folder: Path, error: OSError) -> OutputUnwritable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputUnwritable(f"The disk is full: {folder}", "Free some space or choose another output folder.", repr(error))
    return OutputUnwritable(f"The output folder cannot be written: {folder}", "Choose another in the preferences.", repr(error))
