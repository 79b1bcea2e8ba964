"""Measure whole objects, textured by the starter model from eight sides at 192², against the same views painted alone.

    coverage_…        the share of what is visible from 200 directions outside that the automatic views see
    disagree_…        the difference between views that see the same texel (RMSE, sRGB from 0 to 1), painted together
                      and alone, and their ratio
    energy_…          the mean squared step between neighbouring texels of the texture against that in the single views,
                      over everything and within 8 texels of seams and of borders between best views
    seam_…            the colour's step across UV seams, against that in the best view between the same points; and its
                      step per length where the best view changes, against elsewhere
    fidelity_…        dB between each view and the texture as that view sees it, where it is the best view; the worst
    material_…        the share of views whose material the starter's judge recognises, together and alone
    seconds_…         the denoising of 8 views at 512² with a ControlNet against 8 single pictures
    memory_…          peak memory in GB over the number of views, in micro-batches of 2
    differ_…          dB between views in micro-batches and in one batch

Its parts are the coverage, the six jobs on each object (`SHAPES`), the time and the memory. The jobs on each object are
kept in out/bench-texture; the part "jobs" adds those kept of objects that this run does not paint.
"""
from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from . import common
from ._oracle import exported
from ._texture import compared

DESCRIPTION = "whole objects from every side: coverage, agreement, sharpness, seams, fidelity, materials, time, memory"
SIZE, VIEW, STEPS = 1024, 192, 10
PROMPTS = ("red brick wall", "grey stone wall", "brown wood planks", "green grass", "white marble", "rusty metal")
MATERIALS = ("brick", "stone wall", "planks", "grass", "marble", "rust")
SHAPES = ("suzanne", "cube", "sphere", "torus")  # with the prompts above: 24 jobs, 192 views
LEAST_JOBS = 24
PARTS = ("coverage", *SHAPES, "jobs", "timing", "memory")
KEPT = common.ROOT / "out" / "bench-texture"


def run(log: Callable[[str], None], parts: Sequence[str] = PARTS) -> dict:
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    with exported() as folder:
        for part in parts:
            if part not in (*SHAPES, "jobs"):
                globals()[part](folder, figures, bars, log)
        painted_on = [shape for shape in SHAPES if shape in parts]
        if painted_on:
            jobs(folder, painted_on, log)
    named = SHAPES if "jobs" in parts else painted_on
    if named:
        agreement(named, figures, bars)
    return {"figures": figures, "bars": bars}


def shapes(folder: Path) -> dict:
    """Return the objects by name, as `tests.support.meshes` makes them."""
    import numpy as np

    from tests.support import meshes

    def loaded(name: str):
        data = np.load(folder / f"{name}.npz")
        return data["vertices"].astype(np.float64), data["triangles"], data["uv"].astype(np.float64)

    return {"suzanne": loaded("suzanne"), "cube": meshes.cube(), "sphere": meshes.sphere(64, 128),
            "torus": meshes.torus(), "cup": meshes.cup()}


def coverage(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """What the automatic views see of what can be seen from outside."""
    import numpy as np

    from blender_sd.core.tasks import TextureObject
    from blender_sd.geometry import cameras, gather
    from blender_sd.geometry.surface import Surface
    from tests.support import meshes

    for name, part in shapes(folder).items():
        surface = Surface(meshes.mesh(part))
        views = cameras.completed(surface, cameras.sides(surface, VIEW), TextureObject().more_views, VIEW)
        points, weights = cameras.visible(surface)
        with mock.patch.object(cameras, "_WELL", gather.LEAST_COS):  # what a bake reads, not what is chosen by
            seen = np.any([cameras.sees(surface, view, points) for view in views], axis=0)
        share = float(weights[seen].sum())
        figures[f"coverage_{name}"], figures[f"views_{name}"] = share, len(views)
        bars[f"{name}: coverage of what is visible"] = common.bar(share, ">= 0.99")
        log(f"{name}: {100 * share:.2f} % of what is visible, by {len(views)} views")


def jobs(folder: Path, names: Sequence[str], log: Callable[[str], None]) -> None:
    """Six jobs on each object, each together and alone; keep what is measured of them."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with _engine() as engine:
        for shape in names:
            part, rows = shapes(folder)[shape], []
            for turn, prompt in enumerate(PROMPTS):
                seed = 1000 + 10 * SHAPES.index(shape) + turn
                together, alone = (painted(engine, part, prompt, seed, blend=blend) for blend in (True, False))
                row = compared.compared(together, alone)
                row |= {f"material_{kind}": compared.material_share(pictures, MATERIALS[turn])
                        for kind, (_, pictures, _) in (("together", together), ("alone", alone))}
                rows.append(row)
                log(f"{shape}, {prompt}: " + ", ".join(f"{key} {value:.3f}" for key, value in row.items()))
            (KEPT / f"{shape}.json").write_text(json.dumps(rows), encoding="utf-8")


def agreement(names: Sequence[str], figures: dict, bars: dict) -> None:
    """Agreement, sharpness, seams, fidelity and materials over the jobs that are kept of these objects."""
    import numpy as np

    rows: list[dict[str, float]] = []
    for shape in names:
        own = json.loads((KEPT / f"{shape}.json").read_text(encoding="utf-8"))
        figures |= {f"{key}_{shape}": float(np.mean([row[key] for row in own])) for key in own[0]}
        rows += own
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    figures |= {"jobs": len(rows), **means, "fidelity_worst": float(min(row["fidelity_least"] for row in rows)),
                "disagree_ratio": means["disagree_alone"] / means["disagree_together"]}
    if len(names) == len(SHAPES):
        bars["jobs"] = common.bar(len(rows), f">= {LEAST_JOBS}")
    bars["times less disagreement than alone"] = common.bar(figures["disagree_ratio"], ">= 3")
    bars["gradient energy"] = common.bar(means["energy"], ">= 0.9")
    bars["gradient energy at seams and borders"] = common.bar(means["energy_seams"], ">= 0.9")
    bars["step across UV seams"] = common.bar(means["seam_uv"], "<= 1.15")
    bars["step where the best view changes"] = common.bar(means["seam_view"], "<= 1.15")
    bars["dB of every view, the worst"] = common.bar(figures["fidelity_worst"], ">= 24")
    bars["texels filled"] = common.bar(means["filled"], "== 1")
    bars["points of materials lost"] = common.bar(
        100 * (means["material_alone"] - means["material_together"]), "<= 5")


def _engine() -> Any:
    import contextlib

    from blender_sd.engine import Engine

    return contextlib.closing(Engine(device="cpu"))


def painted(engine: Any, part: Any, prompt: str, seed: int, size: int = VIEW, blend: bool = True, **settings: Any):
    """Return the stage, the views' pictures and the baked sheet of an object seen from the eight sides around it."""
    from blender_sd.engine import object_painter
    from blender_sd.engine.tasks import bake as baking
    from blender_sd.geometry.bake import Baker
    from blender_sd.protocol.messages import Finished
    from tests.support import objects

    kept: dict[str, Any] = {}
    own_paint, own_run = object_painter.ObjectPainter.paint, Baker.run

    def paint(self):
        kept["views"] = own_paint(self)
        return kept["views"]

    def bake(self, *args):
        result = own_run(self, *args)
        kept["baker"], kept["baked"] = self, result[0]
        return result

    order = objects.order(
        objects.scenery(part, size=SIZE), str(common.ROOT / "blender_sd/models/starter"), model="starter",
        prompt=prompt, seed=seed, width=size, height=size, **{
            "steps": STEPS, "more_views": 0, "view_words": False,
            "sides": "front,front right,right,back right,back,back left,left,front left", **settings})
    events: list[Any] = []
    group = functools.partial(object_painter.Together, blend=blend)
    with mock.patch.object(object_painter.ObjectPainter, "paint", paint), mock.patch.object(
            object_painter, "Together", group), mock.patch.object(baking.Baker, "run", bake):
        engine.run(order, events.append, lambda: False)
    if not isinstance(events[-1], Finished):
        raise RuntimeError(str(events[-1]))
    views = kept["views"]
    return views, views.pictures, (kept["baker"], kept["baked"][0])


def timing(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """8 views at 512² against 8 single pictures: the same ControlNet, sampler and steps."""
    shortest = {case: min(measured(case)["seconds"] for _ in range(2)) for case in ("single", "together")}
    figures |= {f"seconds_{case}": value for case, value in shortest.items()}
    figures["seconds_ratio"] = shortest["together"] / shortest["single"]
    bars["time of 8 views against 8 pictures"] = common.bar(figures["seconds_ratio"], "<= 1.25")
    log(f"8 views at 512²: {shortest['together']:.1f} s; 8 pictures: {shortest['single']:.1f} s")


def memory(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Peak memory over the number of views in micro-batches, and what these change."""
    import numpy as np

    from tests.support import meshes

    peaks = {}
    for views in (4, 8, 16):
        peaks[views] = measured(f"views{views}")["peak"] / 2**30
        figures[f"memory_{views}"] = peaks[views]
    figures["memory_whole_8"] = measured("together", 256)["peak"] / 2**30
    bars["peak memory of 16 views against 4, in micro-batches"] = common.bar(peaks[16] / peaks[4], "<= 1.15")
    with _engine() as engine:
        part = shapes(folder)["sphere"]
        whole, parts = (painted(engine, part, PROMPTS[0], 5, batch=batch)[1] for batch in (0, 2))
    figures["differ_batches"] = meshes.psnr(*(np.stack([np.asarray(one) for one in several]) / 255
                                              for several in (whole, parts)))
    log(f"peak memory {peaks}, 8 views in one batch {figures['memory_whole_8']:.2f} GB; micro-batches differ by "
        f"{figures['differ_batches']:.1f} dB")


def measured(case: str, size: int = 512) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "scripts.benches._texture.measured", case, str(size)], cwd=common.ROOT,
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
