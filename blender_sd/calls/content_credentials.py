"""Content credentials, checked: whether a picture is as it was signed, by whom, and what it was made from.

    proof = sd.credentials("wall.png").result()              # waits; the check runs in a process of its own
    proof.state                                              # "none", "broken", "valid" (intact, self-signed),
    "trusted" for step in proof.steps:                                 # the picture, what it was made from, what that
    was made from …
        print("  " * step.depth, step.title, step.program, step.actions)
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..core.errors import SourceUnusable
from ..library import png
from ..session.content_credentials import Verification

from .arguments import checked_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy


@checked_call
def credentials(picture: bpy.types.Image | str | os.PathLike) -> Verification:
    """Begin to check the content credentials of `picture`, out of process; returns at once. `picture`: the path of a
    file, or an image datablock. For a datablock, the packed file is checked, or else the one on disk, without what was
    painted on it since.

    Raises SourceUnusable for an image without a file, EngineMissing; from `result()` come SourceUnusable (no such file)
    and EngineMissing (an engine that was set up before credentials were known).
    """
    file = os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else runtime.scene.file_of(picture)
    pipeline = runtime.verify_pipeline()
    if isinstance(file, str):
        return runtime.verifications.start(pipeline, path=file)
    return runtime.verifications.start(pipeline, picture=file)


@checked_call
def has_credentials(path: str | os.PathLike) -> bool:
    """Return whether the PNG file at `path` carries content credentials; they are not checked. Raises SourceUnusable
    where it cannot be read."""
    try:
        return png.has_credentials(path)
    except OSError as error:
        raise SourceUnusable(f"The file '{path}' cannot be read.", "Look whether it is still there.",
                             repr(error)) from None


def running() -> bool:
    """Return whether a check is going on."""
    return any(not check.done for check in runtime.verifications.all)
