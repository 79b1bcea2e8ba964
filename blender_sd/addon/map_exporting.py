"""Export a material's maps while work goes on: one image is read in each turn of the timer, a thread writes the files.
"""
from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .. import scene
from ..core.errors import SDError
from . import state
from .translations.words import translated

_reading: scene.MapExport | None = None
_writing: Future[list[Path]] | None = None
_ending = ""


def start(export: scene.MapExport) -> None:
    """Carry an export out, in the turns of the timer."""
    global _reading, _ending
    _reading, _ending = export, ""


def running() -> bool:
    """Return whether an export is being carried out."""
    return _reading is not None or _writing is not None


def text() -> str:
    """Return how the newest export ended, or that it goes on; "" before the first."""
    return translated("The maps are being written") if running() else _ending


def turn() -> bool:
    """Do the next piece; return whether the panel has something new to show."""
    global _reading, _writing, _ending
    try:
        if _reading is not None:
            export = _reading
            if not export.read():
                _reading = None
                pool = ThreadPoolExecutor(1, "blender_sd maps")
                _writing = pool.submit(export.write)
                pool.shutdown(wait=False)
            return False
        if _writing is None or not _writing.done():
            return False
        done, _writing = _writing, None
        number = len(done.result())
        _ending = translated(f"{number} maps written")
    except SDError as error:
        _reading = _writing = None
        state.show_error(error)
    return True


def forget() -> None:
    """End the reading of an export, because a file was loaded."""
    global _reading, _ending
    _reading, _ending = None, ""
