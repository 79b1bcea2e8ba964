"""Measure whole objects, textured by the starter model from eight sides at 256², against the same views painted alone.

    coverage_…        the share of what is visible from 200 directions outside that the automatic views see
    disagree_…        the difference between views that see the same texel (RMSE, sRGB from 0 to 1), painted together
                      and alone, and their ratio
    energy_…          the mean squared step between neighbouring texels of the texture against that in the single views,
                      over everything and within 8 texels of seams and of borders between best views
    seam_…            the colour's step per length across UV seams, and where the best view changes, against elsewhere
    fidelity_…        dB between each view and the texture as that view sees it, where it is the best view; the worst
    material_…        the share of views whose material the starter's judge recognises, together and alone
    seconds_…         the denoising of 8 views at 512² with a ControlNet against 8 single pictures
    memory_…          peak memory in GB over the number of views, in micro-batches of 2
    differ_…          dB between views in micro-batches and in one batch
"""
from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from . import common
from ._oracle import exported

DESCRIPTION = "whole objects from every side: coverage, agreement, sharpness, seams, fidelity, materials, time, memory"
SIZE, VIEW, STEPS = 1024, 256, 12
PROMPTS = ("red brick wall", "grey stone wall", "brown wood planks", "green grass", "white marble", "rusty metal")
MATERIALS = ("brick", "stone wall", "planks", "grass", "marble", "rust")
SHAPES = ("suzanne", "cube", "sphere", "torus")  # with the prompts above: 24 jobs, 192 views
NEAR = 8  # texels
LEAST_JOBS = 24


def run(log: Callable[[str], None]) -> dict:
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    with exported() as folder:
        for part in (coverage, agreement, timing, memory):
            part(folder, figures, bars, log)
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


def agreement(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """24 jobs, each together and alone: agreement, sharpness, seams, fidelity, materials."""
    import numpy as np

    rows: list[dict[str, float]] = []
    recognised: dict[str, list[float]] = {"together": [], "alone": []}
    with _engine() as engine:
        for number, shape in enumerate(SHAPES):
            part = shapes(folder)[shape]
            for turn, prompt in enumerate(PROMPTS):
                seed = 1000 + 10 * number + turn
                together = painted(engine, part, prompt, seed)
                alone = painted(engine, part, prompt, seed, blend=False)
                row = compared(together, alone)
                rows.append(row)
                for kind, (_, pictures, _) in (("together", together), ("alone", alone)):
                    recognised[kind].append(material_share(pictures, MATERIALS[turn]))
                log(f"{shape}, {prompt}: " + ", ".join(f"{key} {value:.3f}" for key, value in row.items())
                    + f", material {recognised['together'][-1]:.2f} ({recognised['alone'][-1]:.2f} alone)")
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    figures |= {"jobs": len(rows), **means, "fidelity_worst": float(min(row["fidelity_least"] for row in rows)),
                **{f"material_{kind}": float(np.mean(values)) for kind, values in recognised.items()}}
    bars["jobs"] = common.bar(len(rows), f">= {LEAST_JOBS}")
    figures["disagree_ratio"] = means["disagree_alone"] / means["disagree_together"]
    bars["times less disagreement than alone"] = common.bar(figures["disagree_ratio"], ">= 3")
    bars["gradient energy"] = common.bar(means["energy"], ">= 0.9")
    bars["gradient energy at seams and borders"] = common.bar(means["energy_seams"], ">= 0.9")
    bars["step across UV seams"] = common.bar(means["seam_uv"], "<= 1.15")
    bars["step where the best view changes"] = common.bar(means["seam_view"], "<= 1.15")
    bars["dB of every view, the worst"] = common.bar(figures["fidelity_worst"], ">= 24")
    bars["texels filled"] = common.bar(means["filled"], "== 1")
    bars["points of materials lost"] = common.bar(
        100 * (figures["material_alone"] - figures["material_together"]), "<= 5")


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


def compared(together: Any, alone: Any) -> dict[str, float]:
    """Return the figures of one job."""
    import numpy as np

    views, pictures, (baker, baked) = together
    read = readings(baker, views, pictures)
    read_alone = readings(baker, views, alone[1])
    texture = encoded(baked.colours).reshape(-1, 3)
    texel = baker.texels.texel
    pairs, length = neighbours(baker)
    best = np.where(read["quality"].max(1) > 0, read["quality"].argmax(1), -1)
    steps = np.linalg.norm(texture[texel[pairs[0]]] - texture[texel[pairs[1]]], axis=1)
    single = steps_in_views(read_alone, best, pairs)
    known = np.isfinite(single) & (best[pairs[0]] >= 0)
    near = near_seams(baker, best)[pairs[0]]
    border = (best[pairs[0]] != best[pairs[1]]) & (best[pairs[0]] >= 0) & (best[pairs[1]] >= 0)
    inside = (best[pairs[0]] == best[pairs[1]]) & (best[pairs[0]] >= 0)
    slope = steps[inside].sum() / length[inside].sum()
    fidelity = [view_fidelity(views.stage, number, picture, baked) for number, picture in enumerate(pictures)]
    return {
        "disagree_together": disagreement(read), "disagree_alone": disagreement(read_alone),
        "energy": float((steps[known] ** 2).mean() / (single[known] ** 2).mean()),
        "energy_seams": float((steps[known & near] ** 2).mean() / (single[known & near] ** 2).mean()),
        "seam_uv": seam_step(baker, texture, slope, float(np.median(length))),
        "seam_view": float(steps[border].sum() / length[border].sum() / slope) if border.any() else 1.0,
        "fidelity": float(np.mean(fidelity)), "fidelity_least": float(min(fidelity)),
        "filled": float(baked.set[baked.covered].mean()),
    }


def encoded(linear: Any) -> Any:
    """Return linear light as sRGB from 0 to 1."""
    import numpy as np

    values = np.clip(linear, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def readings(baker: Any, views: Any, pictures: Any) -> dict[str, Any]:
    """Return what each view shows at each texel: N×V×3 colours in sRGB and N×V qualities, 0 where it does not."""
    import numpy as np

    from blender_sd.engine.tasks.bake import view_of
    from blender_sd.geometry import bake, colours, gather

    cameras = [view_of(lens, picture.size) for lens, picture in zip(views.lenses, pictures)]
    linear = [colours.linear(np.asarray(picture.convert("RGBA"))) for picture in pictures]
    prepared = bake.Prepared(baker.surface, cameras, linear, 1)
    count = baker.texels.count
    result = {"colours": np.zeros((count, len(cameras), 3), np.float32),
              "quality": np.zeros((count, len(cameras)), np.float32)}
    for number in range(len(cameras)):
        picture, = prepared.of(range(number, number + 1))
        reading = gather.read_part(baker.texels, picture)
        result["colours"][reading.entries, number] = encoded(reading.colours)
        result["quality"][reading.entries, number] = reading.quality
    return result


def disagreement(read: dict[str, Any]) -> float:
    """Return the weighted RMSE between views where at least two see a texel."""
    import numpy as np

    several = (read["quality"] > 0).sum(1) > 1
    weight = read["quality"][several] ** 2
    weight /= weight.sum(1, keepdims=True)
    colours = read["colours"][several]
    mean = (colours * weight[..., None]).sum(1, keepdims=True)
    return float(np.sqrt((((colours - mean) ** 2).mean(2) * weight).sum(1).mean()))


def neighbours(baker: Any) -> tuple[Any, Any]:
    """Return pairs of entries that are neighbours on the image and in space (2×n), and their distances."""
    import numpy as np

    texels = baker.texels
    sheet = baker.layout.sheets[0]
    at = np.full(sheet.width * sheet.height, -1)
    at[texels.texel[texels.inside]] = np.flatnonzero(texels.inside)
    at = at.reshape(sheet.height, sheet.width)
    pairs = np.concatenate([np.stack([one[(one >= 0) & (other >= 0)], other[(one >= 0) & (other >= 0)]])
                            for one, other in ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:]))], 1)
    length = np.linalg.norm(texels.points[pairs[0]] - texels.points[pairs[1]], axis=1)
    near = (length > 0) & (length < 4 * np.median(length)) & (
        texels.islands[pairs[0]] == texels.islands[pairs[1]])
    return pairs[:, near], length[near]


def steps_in_views(read: dict[str, Any], best: Any, pairs: Any) -> Any:
    """Return the step between the texels of each pair in the view that is best at the first; NaN if it lacks one."""
    import numpy as np

    view = np.maximum(best[pairs[0]], 0)
    both = (read["quality"][pairs[0], view] > 0) & (read["quality"][pairs[1], view] > 0)
    step = np.linalg.norm(read["colours"][pairs[0], view] - read["colours"][pairs[1], view], axis=1)
    return np.where(both, step, np.nan)


def near_seams(baker: Any, best: Any) -> Any:
    """Return which entries lie within NEAR texels of a UV seam or a border between best views."""
    import numpy as np
    from scipy.ndimage import binary_dilation

    sheet = baker.layout.sheets[0]
    line = np.zeros((sheet.height, sheet.width), bool)
    samples, borders = baker.layout.border_samples, baker.layout.borders
    paired = borders.twin[samples.edge] >= 0
    column, row = np.floor(samples.here[paired]).astype(int).T
    line[np.clip(row, 0, sheet.height - 1), np.clip(column, 0, sheet.width - 1)] = True
    view = np.full(sheet.width * sheet.height, -1)
    view[baker.texels.texel] = best
    view = view.reshape(line.shape)
    line[:, 1:] |= (view[:, 1:] != view[:, :-1]) & (view[:, 1:] >= 0) & (view[:, :-1] >= 0)
    line[1:] |= (view[1:] != view[:-1]) & (view[1:] >= 0) & (view[:-1] >= 0)
    return binary_dilation(line, iterations=NEAR).ravel()[baker.texels.texel]


def seam_step(baker: Any, texture: Any, slope: float, typical: float) -> float:
    """Return the step per length between the texels inside a UV seam and those on its other side, against `slope`.

    Only where these are about as far apart as texels are (`typical`): at a sphere's poles all of a row is one point.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    layout, texels = baker.layout, baker.texels
    samples, borders = layout.border_samples, layout.borders
    paired = borders.twin[samples.edge] >= 0
    if not paired.any():
        return 1.0
    sheet = layout.sheets[0]
    inside = np.flatnonzero(texels.inside)
    place = np.stack([texels.texel[inside] % sheet.width, texels.texel[inside] // sheet.width], 1) + 0.5
    tree = cKDTree(place)
    sides = [inside[tree.query(points[paired])[1]] for points in (samples.here, samples.there)]
    length = np.linalg.norm(texels.points[sides[0]] - texels.points[sides[1]], axis=1)
    step = np.linalg.norm(texture[texels.texel[sides[0]]] - texture[texels.texel[sides[1]]], axis=1)
    usable = (length > 0.25 * typical) & (length < 3 * typical)
    if not usable.any():
        return 1.0
    return float(step[usable].sum() / length[usable].sum() / slope)


def view_fidelity(stage: Any, number: int, picture: Any, baked: Any) -> float:
    """Return dB between a view's picture and the texture as it sees it, where it is the best view."""
    import numpy as np

    from blender_sd.geometry import showing
    from tests.support import meshes

    image = np.rint(encoded(baked.colours) * 255).astype(np.uint8)
    sight = stage.sights[number]
    shown, _ = showing.textured(stage.surface, sight, stage.sheets, [image], np.zeros(3))
    uv = showing.coordinates(stage.surface, sight) % 1.0
    column = (uv[:, 0] * image.shape[1]).astype(int).clip(0, image.shape[1] - 1)
    row = ((1 - uv[:, 1]) * image.shape[0]).astype(int).clip(0, image.shape[0] - 1)
    mine = sight.pixel[baked.view[row, column] == number]
    if not len(mine):
        return 99.0
    return meshes.psnr(shown.reshape(-1, 3)[mine] / 255, np.asarray(picture).reshape(-1, 3)[mine] / 255)


def material_share(pictures: Any, family: str) -> float:
    """Return the share of pictures whose material the starter's judge recognises."""
    import numpy as np
    import torch

    if str(common.ROOT / "scripts") not in sys.path:
        sys.path.insert(0, str(common.ROOT / "scripts"))
    from starter import evaluate, materials

    values = np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])
    with torch.no_grad():
        material, *_ = _judge()(evaluate.to_scorer(values))
    return float((material.argmax(1).numpy() == materials.FAMILIES.index(family)).mean())


@functools.cache
def _judge() -> Any:
    from starter import classifier

    return classifier.load()


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
