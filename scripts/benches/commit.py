"""Measure the main-thread time that a finished picture takes: load the engine's file, pack it, mark it, place it."""
from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "main-thread milliseconds to commit a finished 1024² / 2048² / 4096² image"
BARS = {1024: "< 5", 2048: "< 10", 4096: "< 40"}
REPEATS = 15


def run(log: Callable[[str], None]) -> dict:
    figures: dict[str, float] = {}
    bars = {}
    with common.addon(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        import bpy

        for side, rule in BARS.items():
            log(f"{side}² …")
            result = _finished_picture(Path(folder), side)
            times = []
            for _ in range(REPEATS):
                bpy.ops.wm.read_factory_settings()
                times.append(_commit_time(result))
            figures[f"{side}_ms"] = 1000 * common.median(times)
            figures[f"{side}_longest_ms"] = 1000 * max(times)
            bars[f"{side}² ms"] = common.bar(figures[f"{side}_ms"], rule)
    return {"figures": figures, "bars": bars}


def _finished_picture(folder: Path, side: int):
    """Return a picture as the engine writes it: noise over a gradient, about as large on disk as a real texture."""
    import numpy as np
    from blender_sd.engine.output import pictures
    from blender_sd.protocol.messages import Result
    from blender_sd.core.image_origin import Origin
    from blender_sd.core.request import Request
    from PIL import Image

    random = np.random.default_rng(side)
    ramp = np.linspace(0, 200, side)[:, None, None] + np.zeros((side, side, 3))
    pixels = (ramp + random.normal(0, 12, (side, side, 3))).clip(0, 255).astype(np.uint8)
    request = Request(prompt="red brick wall", width=side, height=side)
    path = pictures.save(Image.fromarray(pixels), folder, f"bench{side}", 1, request, Origin(model="starter"))
    return Result(str(path), request, side, side)


def _commit_time(result) -> float:
    import bpy
    from blender_sd import scene

    cube = bpy.context.object
    target = scene.freeze_target(bpy.context, "material")
    start = time.perf_counter()
    images = scene.commit(target, (result,), "red brick wall")
    spent = time.perf_counter() - start
    assert images[0].packed_file and cube.active_material
    return spent
