"""Content credentials, checked: whether a picture is as it was signed, by whom, and what it was made from.

    proof = sd.credentials("wall.png").result()              # waits; the check runs in a process of its own
    proof.state                                              # "none", "broken", "valid" (intact, self-signed), "trusted"
    for step in proof.steps:                                 # the picture, what it was made from, what that was made from …
        print("  " * step.depth, step.title, step.program, step.actions)
"""
from __future__ import annotations

import os

import bpy

from . import config, scene
from .protocol import png
from .protocol.errors import SourceUnusable
from .session.verifying import Verification, Verifications

_all: Verifications | None = None


def credentials(picture: bpy.types.Image | str | os.PathLike) -> Verification:
    """Begins to check the content credentials of `picture`, out of process; returns at once. `picture`: the path of a file, or an image
    datablock, of which the file counts that it was packed from, or lies on disk; what was painted on it since is not in there.

    Raises SourceUnusable for an image without a file, EngineMissing; from `result()` come SourceUnusable (no such file) and EngineMissing
    (an engine that was set up before credentials were known).
    """
    global _all
    found = os.fspath(picture) if not isinstance(picture, bpy.types.Image) else scene.file_of(picture)
    pipeline = config.verify_pipeline()
    if _all is None:
        _all = Verifications()
    return _all.start(pipeline, path=found) if isinstance(found, str) else _all.start(pipeline, picture=found)


def has_credentials(path: str | os.PathLike) -> bool:
    """Whether the PNG file at `path` carries content credentials; they are not checked. Raises SourceUnusable where it cannot be read."""
    try:
        return png.has_credentials(path)
    except OSError as error:
        raise SourceUnusable(f"The file '{path}' cannot be read.", "Look whether it is still there.", repr(error)) from None


def running() -> bool:
    """Whether a check is going on."""
    return _all is not None and any(not one.done for one in _all.all)


def pump() -> bool:
    """Brings in what the checks found; whether anything changed. Main thread only; the add-on's timer and `result()` call it."""
    return _all is not None and _all.pump()


def shutdown() -> None:
    """Ends what is going on; the next call starts afresh."""
    global _all
    gone, _all = _all, None
    if gone:
        gone.shutdown()
