"""Measure the milliseconds and bytes that content credentials add to a picture, alone and over a source that has some.
"""
from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "milliseconds and bytes that signing adds to a picture of 512² / 2048² / 4096²"
BARS = {512: "< 20", 2048: "< 100", 4096: "< 400"}
REPEATS = 9


def run(log: Callable[[str], None]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine.output.content_credentials import Credentials
    from blender_sd.protocol.messages import EngineConfig, Source
    from blender_sd.core.image_origin import COMPOSITE, Origin
    from blender_sd.core.request import Request
    from blender_sd.core.tasks import IMAGE_TO_IMAGE

    figures: dict[str, float] = {}
    bars = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        credentials = Credentials(EngineConfig(credentials=str(Path(folder) / "keys")))
        credentials.ready(log)
        for side, rule in BARS.items():
            log(f"{side}² …")
            plain = _picture(side)
            sign = credentials.signing(Request(), {}, Origin(), log)
            figures[f"{side}_ms"], signed = _timed(lambda plain=plain, sign=sign: sign(plain, "a.png"))
            source = Source(encoded=signed)
            over = credentials.signing(Request.of(IMAGE_TO_IMAGE, source=source.digest()), {"source": source},
                                       Origin(kind=COMPOSITE), log)
            figures[f"{side}_over_a_source_ms"], chained = _timed(lambda plain=plain, over=over: over(plain, "b.png"))
            figures[f"{side}_bytes"], figures[f"{side}_over_a_source_bytes"] = (
                len(signed) - len(plain),
                len(chained) - len(plain),
            )
            bars[f"{side}² ms"] = common.bar(figures[f"{side}_ms"], rule)
    return {"figures": figures, "bars": bars}


def _picture(side: int) -> bytes:
    """Return a PNG about as large on disk as a real texture: noise over a gradient."""
    import io

    import numpy as np
    from PIL import Image

    ramp = np.linspace(0, 200, side)[:, None, None] + np.zeros((side, side, 3))
    pixels = (ramp + np.random.default_rng(side).normal(0, 12, (side, side, 3))).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _timed(call: Callable[[], bytes]) -> tuple[float, bytes]:
    """Return (median milliseconds of a call, its result)."""
    times, given = [], b""
    for _ in range(REPEATS):
        start = time.perf_counter()
        given = call()
        times.append(1000 * (time.perf_counter() - start))
    return common.median(times), given
