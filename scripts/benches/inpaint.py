"""Count the pixels outside the mask that inpainting changes, over masks, feathers, sizes and ways to paint."""
from __future__ import annotations

import sys
from collections.abc import Callable

from . import common

DESCRIPTION = "pixels outside the mask that changed, over masks, feathers, sizes and both resolutions: none may"
STEPS = 4


def run(log: Callable[[str], None]) -> dict:
    import numpy as np

    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine import Engine

    engine = Engine()
    rng = np.random.default_rng(0)
    changed = painted = outside = cases = 0
    for width, height in ((128, 128), (200, 136), (97, 150)):
        source = rng.integers(0, 256, (height, width, 3), np.uint8)
        for name, mask in _masks(width, height, rng).items():
            for feather, full_res, tiling, strength in (
                (0, False, "none", 1.0),
                (12, False, "xy", 0.6),
                (5, True, "none", 1.0),
                (5, True, "xy", 1.0),
            ):
                result = np.asarray(
                    engine.inpaint(
                        source,
                        mask.astype(np.uint8) * 255,
                        "red brick wall",
                        seed=cases,
                        steps=STEPS,
                        guidance=3.0,
                        strength=strength,
                        feather=feather,
                        full_res=full_res,
                        tile=128,
                        tiling=tiling,
                    )[0]
                )
                differs = (result != source).any(2)
                changed += int(differs[~mask].sum())
                outside += int((~mask).sum())
                painted += int(differs[mask].sum()) / max(1, int(mask.sum()))
                cases += 1
            log(f"{width} × {height}, {name}: {changed} of {outside} pixels outside the masks changed so far")
    engine.close()
    figures = {
        "changed_outside": changed,
        "pixels_outside": outside,
        "changed_inside_share": painted / cases,
        "cases": cases,
    }
    return {"figures": figures, "bars": {"changed_outside": common.bar(changed, "== 0"),
                                         "changed_inside_share": common.bar(figures["changed_inside_share"], ">= 0.9")}}


def _masks(width: int, height: int, rng) -> dict:
    """Return masks: a box, a disc across the border, single pixels, and everything but a few pixels."""
    import numpy as np

    y, x = np.mgrid[:height, :width]
    box = (x > width // 4) & (x < width // 2) & (y > height // 3) & (y < height * 3 // 4)
    disc = np.hypot((x + 10) % width - 20, y - height // 2) < 18
    return {"box": box, "disc on the border": disc, "specks": rng.random((height, width)) < 0.01,
            "nearly all": rng.random((height, width)) < 0.99}
