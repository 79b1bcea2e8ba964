"""A finished job's pictures into the open file: load, place, show, one undo step."""
from __future__ import annotations

from collections.abc import Sequence

import bpy

from ..protocol.errors import SDError
from ..protocol.messages import Result
from . import images, targets


def commit(target: targets.Target, results: Sequence[Result], label: str = "") -> list[bpy.types.Image]:
    """Loads `results` as image datablocks and puts the first where `target` says. `label` names the undo step.

    Raises TargetUnusable where the place is gone: in the same file the images stay (with a fake user); into another
    file nothing is loaded but what is not on disk. Raises SourceUnusable where a picture's file is gone; nothing has been changed then.
    """
    if all(result.path for result in results):
        targets.check_file(target)  # a picture that is nowhere else goes into any file
    loaded: list[bpy.types.Image] = []
    try:
        for result in results:
            loaded.append(images.load_result(result))
    except SDError:
        for image in loaded:
            bpy.data.images.remove(image)
        raise
    try:
        targets.place(target, loaded)
    finally:
        targets.push_undo(f"SD: {images.short_name(label)}" if label else "Stable Diffusion")
    return loaded
