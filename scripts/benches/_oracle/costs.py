"""Measure what a bake costs: time against a plain reference, time and memory against its size, and how long Blender's
main thread is kept.
"""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .. import common

SIZE, VIEW, ROUNDS = 2048, 1024, 3


def times(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """The time, against a plain reference; each measured in a process of its own."""
    runs: dict[str, list[dict]] = {"reference": [], "ours": []}
    for _ in range(ROUNDS):
        for case, measured in runs.items():
            measured.append(timed(case, folder / "suzanne.npz"))
            log(f"{case}: " + ", ".join(f"{key} {value:.2f}" for key, value in measured[-1].items() if key != "peak"))
    best = {case: {key: min(one[key] for one in several) for key in several[0]} for case, several in runs.items()}
    figures |= {f"seconds_{case}_{key}": value for case, one in best.items() for key, value in one.items()
                if key != "peak"}
    figures["core_ratio"] = best["ours"]["core"] / best["reference"]["core"]
    figures["all_ratio"] = best["ours"]["all"] / best["reference"]["core"]
    bars["time up to gathering against the reference"] = common.bar(figures["core_ratio"], "<= 0.6")
    bars["time in all against the reference"] = common.bar(figures["all_ratio"], "<= 1.2")


def costs(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Time and memory against texels, faces and views, each measured in a process of its own."""
    import numpy as np

    from blender_sd.geometry import memory
    from blender_sd.geometry.sheets import Sheet
    from tests.support import meshes

    for rows in (32, 64, 128, 256):
        vertices, triangles, uv = meshes.sphere(rows, 2 * rows)
        np.savez(folder / f"sphere{rows}.npz", vertices=vertices, triangles=triangles, uv=uv)
    for label, arguments in (("texels_1024", (64, 1024, 8)), ("texels_2048", (64, 2048, 8)),
                             ("texels_4096", (64, 4096, 8)), ("faces_2048", (32, 2048, 8)),
                             ("faces_32768", (128, 2048, 8)), ("faces_131072", (256, 2048, 8)),
                             ("views_1", (64, 2048, 1)), ("views_4", (64, 2048, 4)), ("views_16", (64, 2048, 16))):
        rows, size, views = arguments
        one = timed("ours", folder / f"sphere{rows}.npz", size, views)
        announced = memory.needed([Sheet(0, size, size)], views * VIEW**2, 4 * rows * rows)
        figures |= {f"seconds_{label}": one["all"], f"memory_{label}": one["peak"] / 2**30,
                    f"announced_{label}": announced / 2**30}
        bars[f"{label}: peak memory against what was announced"] = common.bar(one["peak"] / announced, "<= 1")
        log(f"{label}: {one['all']:.2f} s, {one['peak'] / 2**30:.2f} GB (announced {announced / 2**30:.2f})")


def timed(case: str, path: Path, size: int = SIZE, views: int = 8) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "scripts.benches._oracle.timing", case, str(path), str(size),
                           str(views)], cwd=common.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def stalls(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """How long Blender's main thread is kept."""
    for case in ("suzanne", "sphere"):
        done = subprocess.run([sys.executable, "-m", "scripts.benches._oracle.stalls", case], cwd=common.ROOT,
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"stalls: {done.stderr[-2000:]}")
        kept = json.loads(done.stdout.strip().splitlines()[-1])
        name = f"{kept.pop('triangles') // 1000}k"
        figures |= {f"{key}_{name}": value for key, value in kept.items()}
        for key, value in kept.items():
            bars[f"main thread, {name} triangles: {key}"] = common.bar(value, "<= 16")
        log(f"{name} triangles: " + ", ".join(f"{key} {value:.1f}" for key, value in kept.items()))
