"""Measure the built-in estimator of material maps: how right its maps are, how long they take, and whether tiles show.

    seen_…      families that were trained on, other pictures of them, under other light
    unseen_…    families that were never trained on, metals among them
    …_plain     the same of the deterministic estimate; …_constant of the best single value; picture_db of the picture
                itself taken for the base colour
    relit_…     mean error under three new lights against the true material: our maps, the picture alone as base colour,
                and our base colour alone
    maps_s      maps of 1024²; picture_s a picture of 512² by the starter model of commit 7f60c56 at default steps
    seam_…      the mean step across the borders of tiles, and across the wrap, over the mean step elsewhere, at 4096²
    memory_mb   what the maps of 4096² need beyond the net and the picture, at most; they themselves are 512 MB of it

Its parts, each a few minutes at most, are the quality, the times, and the tiles with the memory. All materials are
procedural and lit by `starter.lighting`, whose light is another for each picture; the truth is exact. Errors of maps
are means of absolute differences.
"""
from __future__ import annotations

import gc
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from . import common

DESCRIPTION = "material maps: base colour, normal, height, roughness and metallic against the truth; time, tiles, light"
PARTS = ("quality", "times", "tiles")
STARTER_AT = "7f60c56"
LARGE = 4096


def run(log: Callable[[str], None], parts: Sequence[str] = PARTS) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    for part in parts:
        measure, judge = {"quality": (_quality, _quality_bars), "times": (_times, _time_bars),
                          "tiles": (_tiles, _tile_bars)}[part]
        measured = measure(log)
        figures |= measured
        bars |= judge(measured)
    return {"figures": figures, "bars": bars}


def _quality(log: Callable[[str], None]) -> dict[str, float]:
    from starter import maps_figures

    return maps_figures.figures(maps_figures.trained(), log)


def _quality_bars(f: dict[str, float]) -> dict:
    bars = {
        "base colour, dB": common.bar(f["seen_base_db"], ">= 26"),
        "base colour better than the picture, dB": common.bar(f["seen_base_db"] - f["seen_picture_db"], ">= 4"),
        "normal angle": common.bar(f["seen_normal_angle"], "<= 12"),
        "normal angle ÷ plain": common.bar(f["seen_normal_angle"] / f["seen_normal_angle_plain"], "<= 0.7"),
        "height correlation": common.bar(f["seen_height_correlation"], ">= 0.8"),
        "roughness error ÷ constant": common.bar(f["seen_roughness_error"] / f["seen_roughness_error_constant"],
                                                 "<= 0.7"),
        "metallic balanced accuracy": common.bar(f["seen_metallic_balanced"], ">= 0.95"),
        "relit error ÷ picture alone": common.bar(f["relit_error"] / f["relit_picture_alone"], "<= 0.7"),
    }
    for name in ("base_error", "normal_angle", "roughness_error"):
        bars[f"unseen {name} ÷ plain"] = common.bar(f[f"unseen_{name}"] / f[f"unseen_{name}_plain"], "<= 0.9")
    missed, plain = 1 - f["unseen_height_correlation"], 1 - f["unseen_height_correlation_plain"]
    bars["unseen height (1 - correlation) ÷ plain"] = common.bar(missed / plain, "<= 0.9")
    bars["unseen metallic ÷ plain"] = common.bar(f["unseen_metallic_balanced"] / f["unseen_metallic_balanced_plain"],
                                                 ">= 1.1")
    return bars


def _time_bars(f: dict[str, float]) -> dict:
    return {"maps of 1024² ÷ picture of 512²": common.bar(f["maps_s"] / f["picture_s"], "<= 0.5")}


def _tile_bars(f: dict[str, float]) -> dict:
    bars = {"memory at 4096², MB": common.bar(f["memory_mb"], "<= 4096")}
    for name, value in f.items():
        if name.startswith("seam_"):
            bars[f"{name} low"], bars[f"{name} high"] = common.bar(value, ">= 0.9"), common.bar(value, "<= 1.1")
    return bars


def _times(log: Callable[[str], None]) -> dict[str, float]:
    """Take the time of maps and of a picture, each after a warm-up."""
    from blender_sd.core.request import Request
    from blender_sd.engine import Engine
    from blender_sd.protocol.messages import Generate, Source

    engine = Engine()
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        model = _starter_of(STARTER_AT, Path(folder))
        maps = Generate("maps", Request.of("pbr_maps", width=1024, height=1024), "", "",
                        {"source": Source(pixels=_large_picture(1024))})
        times: dict[str, list[float]] = {"maps": [], "picture": []}
        for _ in range(2):
            started = time.monotonic()
            engine.run(maps, lambda event: None, lambda: False)
            times["maps"].append(time.monotonic() - started)
            started = time.monotonic()
            engine.generate("red brick wall", model=model, size=(512, 512), seed=1)
            times["picture"].append(time.monotonic() - started)
            log(f"maps of 1024² {times['maps'][-1]:.2f} s, picture of 512² {times['picture'][-1]:.2f} s")
    engine.close()
    return {f"{name}_s": min(runs) for name, runs in times.items()}


def _starter_of(commit: str, folder: Path) -> str:
    """Return the folder of the starter model as it was at a commit."""
    place = "blender_sd/models/starter"
    packed = subprocess.run(["git", "archive", commit, place], cwd=common.ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return str(folder / place)


def _large_picture(side: int):
    """Return a picture (side, side, 4) uint8 that repeats: bricks under an uneven light."""
    import numpy as np
    import torch
    from starter import maps_data, physical

    maps = physical.render(physical.sample(np.random.default_rng(5), "brick"), 512)
    colours = np.concatenate([np.moveaxis(maps["base"], 2, 0), maps["roughness"][None], maps["metallic"][None]])
    batch = maps_data.tensors((colours[None] * 255).astype(np.uint8), maps["height"][None].astype(np.float16))
    lit = maps_data.lit(batch, np.random.default_rng(6), 0.0)[0].permute(1, 2, 0)
    whole = torch.tile(lit, (side // 512, side // 512, 1)).numpy()
    wave = np.sin(2 * np.pi * np.arange(side) / side)
    whole = whole * (1.0 + 0.08 * wave[:, None, None] + 0.06 * wave[None, :, None])
    pixels = np.full((side, side, 4), 255, np.uint8)
    pixels[..., :3] = np.clip(whole * 255, 0, 255)
    return pixels


def _tiles(log: Callable[[str], None]) -> dict[str, float]:
    """Measure seams and memory at 4096²."""
    import torch
    from blender_sd.engine.maps import estimator
    from blender_sd.engine.maps.height import integrate

    picture = torch.from_numpy(_large_picture(LARGE)[..., :3].copy()).permute(2, 0, 1)[None].float() / 255
    gc.collect()
    # The peak counts from here on, without what drawing the picture took.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    started = time.monotonic()
    estimate = estimator.estimate(picture, (True, True))
    height = integrate(estimate.slope, estimate.coarse)
    figures = {"large_s": time.monotonic() - started,
               "memory_mb": (_status("VmHWM") - before) / 1024}
    log(f"maps of {LARGE}² in {figures['large_s']:.0f} s, {figures['memory_mb']:.0f} MB more at most")
    for name, values in (("base", estimate.base), ("height", height), ("roughness", estimate.roughness)):
        figures[f"seam_{name}"] = _seam(values, estimator.TILE)
    return figures


def _status(name: str) -> int:
    """Return a figure of this process's memory in kB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1])


def _seam(values, tile: int) -> float:
    """Return the mean step across tile borders (the wrap among them) over the mean step at places just beside."""
    import torch

    ratios = []
    for dim in (2, 3):
        step = (values - torch.roll(values, 1, dim)).abs().mean([axis for axis in range(4) if axis != dim])
        borders = torch.arange(0, len(step), tile)
        # Bricks repeat: only steps at the same place of the pattern are comparable.
        beside = (borders[:, None] + torch.arange(512, tile, 512)[None]).reshape(-1) % len(step)
        ratios.append(float(step[borders].mean() / step[beside].mean()))
    return max(ratios, key=lambda ratio: abs(ratio - 1))
