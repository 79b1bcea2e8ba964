"""Bring a finished job's pictures into the open file: load, place, show, one undo step."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import bpy

from ..core.errors import SDError
from ..protocol.pictures import Result, main_result
from . import images, targets


def commit(target: targets.Target, results: Sequence[Result], label: str = "",
           placed: Callable[[targets.Placement], None] = lambda placement: None) -> list[bpy.types.Image]:
    """Load results as image datablocks and put the main one (`pictures.main_result`) where `target` says.

    Args:
        target: Where the main picture goes.
        results: The job's finished pictures.
        label: Names the undo step.
        placed: Called with the placement of the main picture.

    Returns:
        The loaded images, the main one first.

    Raises:
        TargetUnusable: The target is gone. In the same file the images stay, with a fake user; into another file only
            pictures that are not on disk are loaded.
        SourceUnusable: A picture's file is gone; then nothing has been changed.
    """
    if all(result.path for result in results):
        targets.check_file(target)  # a picture that exists nowhere else goes into any file
    loaded: list[bpy.types.Image] = []
    try:
        main = main_result(results)
        for result in sorted(results, key=lambda result: result is not main):
            loaded.append(images.load_result(result))
    except SDError:
        for image in loaded:
            bpy.data.images.remove(image)
        raise
    try:
        placement = targets.place(target, loaded)
        if placement is not None:
            loaded[0], plain = targets.find(placement.image), loaded[0]
            if loaded[0] != plain and loaded[0].source == "TILED" and plain.users == plain.use_fake_user:
                name = plain.name
                bpy.data.images.remove(plain)  # its pixels are in a tile now
                loaded[0].name = name
            placed(placement)
    finally:
        targets.push_undo(f"SD: {images.short_name(label)}" if label else "Stable Diffusion")
    return loaded
