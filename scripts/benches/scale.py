"""Measure how the starter's pictures change with their size: the same wall in finer detail, and what it costs.

    features        the number of features across a picture at 512² against that at 2048²; 1 is the same wall
    fine            the power in the upper half of the frequencies of a 2048² picture against a real render of its
                    prompt at that size
    seam_…          the step across the border of a 2048² picture against those inside between painted pixels
    grid_…          these steps against all others: above 1, the pixels of what was painted show as a grid
    seconds_…       of a picture of each size; `cost_…`: against 512²
    memory_2048_mb  the peak memory of a process that paints one picture of 2048², with all libraries
"""
from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from . import common

DESCRIPTION = "size and detail of the starter's pictures: features, fine frequencies, seams, cost, memory"
PATTERNS = ("brick", "cobblestone", "planks", "rust", "fabric", "grass", "gravel", "concrete")
SIZES = (512, 1024, 2048)
NATIVE = 256
_PAINT = ("import sys; sys.path[:0] = [{root!r}]\n"
          "from scripts.benches import scale\nscale.paint_once()")


def run(log: Callable[[str], None]) -> dict:
    import numpy as np

    sys.path.insert(0, str(common.ROOT / "scripts"))
    from starter import captions, evaluate, materials

    rows: list[dict[str, float]] = []
    with _engine() as engine:
        engine.generate("grass", size=(64, 64), steps=1)
        for number, family in enumerate(PATTERNS):
            spec = materials.sample(np.random.default_rng([31, number]), family)
            pictures, row = {}, {}
            for size in SIZES:
                started = time.monotonic()
                pictures[size] = _painted(engine, captions.canonical(spec), size, 3100 + number)
                row[f"seconds_{size}"] = time.monotonic() - started
            counts = [NATIVE / evaluate.wavelength(_reduced(pictures[size], NATIVE)) for size in (512, 2048)]
            row["features"] = counts[1] / counts[0]
            real = [materials.render(replace(spec, seed=8_100_000 + turn), NATIVE, 2048 // NATIVE)[0]
                    for turn in range(2)]
            row["fine"] = fine(pictures[2048]) / float(np.mean([fine(picture) for picture in real]))
            for axis, name in ((1, "x"), (0, "y")):
                row[f"seam_{name}"], row[f"grid_{name}"] = seam_and_grid(pictures[2048], axis)
            rows.append(row)
            log(f"{family}: " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
    figures = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
    figures |= {f"cost_{size}": figures[f"seconds_{size}"] / figures["seconds_512"] for size in SIZES[1:]}
    figures["memory_2048_mb"] = float(subprocess.run(
        [sys.executable, "-c", _PAINT.format(root=str(common.ROOT))], check=True, capture_output=True, text=True,
        cwd=common.ROOT).stdout.split()[-1])
    bars = {
        "same number of features, least": common.bar(min(row["features"] for row in rows), ">= 0.85"),
        "same number of features, most": common.bar(max(row["features"] for row in rows), "<= 1.15"),
        "fine detail, at least": common.bar(figures["fine"], ">= 0.6"),
        "fine detail, at most": common.bar(figures["fine"], "<= 1.3"),
        "seam, at least": common.bar(min(figures["seam_x"], figures["seam_y"]), ">= 0.9"),
        "seam, at most": common.bar(max(figures["seam_x"], figures["seam_y"]), "<= 1.1"),
        "grid": common.bar(max(figures["grid_x"], figures["grid_y"]), "<= 1.1"),
        "1024² in times of 512²": common.bar(figures["cost_1024"], "<= 5"),
        "2048² in times of 512²": common.bar(figures["cost_2048"], "<= 20"),
    }
    return {"figures": figures, "bars": bars}


def fine(picture: Any) -> float:
    """Return the power of a picture (H×W×3, 0 to 1) in the upper half of its frequencies, of each pixel."""
    import numpy as np

    size = picture.shape[0]
    power = (np.abs(np.fft.fft2(picture - picture.mean((0, 1)), axes=(0, 1))) ** 2).sum(-1) / size**4
    f = np.abs(np.fft.fftfreq(size))
    return float(power[np.maximum(f[:, None], f) > 0.25].sum())


def seam_and_grid(picture: Any, axis: int) -> tuple[float, float]:
    """Return the step across the border, and that between painted pixels, both against what they are compared with."""
    import numpy as np

    steps = np.abs(np.diff(picture, axis=axis, append=picture.take([0], axis))).mean(
        tuple(each for each in range(3) if each != axis))
    factor = len(steps) // NATIVE
    borders = np.arange(len(steps)) % factor == factor - 1
    inside = borders.copy()
    inside[-1] = False
    return float(steps[-1] / steps[inside].mean()), float(steps[inside].mean() / steps[~borders].mean())


def paint_once() -> None:
    """Paint one picture of 2048² and print this process's peak memory in MB."""
    with _engine() as engine:
        _painted(engine, "red brick wall", 2048, 1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _engine() -> Any:
    from blender_sd.engine import Engine

    return contextlib.closing(Engine(device="cpu"))


def _painted(engine: Any, prompt: str, size: int, seed: int) -> Any:
    import numpy as np

    picture, = engine.generate(prompt, size=(size, size), seed=seed, tiling="xy")
    return np.asarray(picture.convert("RGB"), np.float32) / 255


def _reduced(picture: Any, size: int) -> Any:
    factor = picture.shape[0] // size
    return picture.reshape(size, factor, size, factor, 3).mean((1, 3))
