"""Stable Diffusion itself: models, tasks, samplers, tiling, previews. torch and diffusers; never bpy, scene or session.

    from blender_sd.engine import Engine
    picture = Engine().generate("red brick wall", seed=7)[0]          # a PIL image, in any Python with torch

`Engine` is imported only on first use, so that `protocol.boot` can tell in plain words what an interpreter lacks.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> object:
    if name == "Engine":
        from .engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
