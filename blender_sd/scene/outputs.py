"""Hold a job's outputs by identity, so that undo, redo and opening a file cannot make them invalid."""
from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import bpy

from ..core.errors import SourceUnusable
from ..core.roles import BAKE_PICTURES, BASE_COLOUR
from ..protocol.messages import Result
from . import images
from .targets import COLLECTIONS, Identity, identity, lookup


def hold(outputs: Sequence[Any]) -> list[Any]:
    """Return `outputs` with every datablock replaced by its identity."""
    return [identity(part) if isinstance(part, bpy.types.ID) and part.id_type in COLLECTIONS else part
            for part in outputs]


def recall(held: Sequence[Any], results: Sequence[Result]) -> list[Any]:
    """Return what `hold` was given, as it is in the file now.

    A picture that undo has removed is loaded again from where `results` have it; what was deleted for good is left out.
    """
    baked = [result for result in results if result.role == BASE_COLOUR]
    # what was painted for a bake is not placed, only what was baked
    placed = [*baked, *(result for result in results if result.role in BAKE_PICTURES)] if baked else list(results)
    outputs = []
    for number, part in enumerate(held):
        block = lookup(part) if isinstance(part, Identity) else part
        if block is None and part.collection == "images" and number < len(placed):
            block = _again(placed[number])
            if block is not None:
                held[number] = identity(block)
        if block is not None and block not in outputs:  # the tiles of an image are its outputs together
            outputs.append(block)
    return outputs


def _again(result: Result) -> bpy.types.Image | None:
    image = images.picture_of(result.path) if result.path else None
    if image is None:
        with suppress(SourceUnusable):
            image = images.load_result(result)
            image.use_fake_user = True
    return image
