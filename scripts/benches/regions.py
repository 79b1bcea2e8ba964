"""Restyle scenes of several objects by regions, and judge what is kept, what follows its own prompt, and the time.

Each scene has two to five upright blocks before a wall, each with a plain material that is named after one of the
starter model's materials; Blender renders it with Cryptomatte. The judge is the project's scorer of materials, which
has seen none of these pictures.
"""
from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from . import common

DESCRIPTION = "regions of 40 scenes: kept pixels, halo, own and neighbours' materials recognised, time"
SCENES, SIDE, STEPS, SAMPLES = 40, 256, 16, 32
STRENGTH, GUIDANCE = 0.9, 5.0
PATCH = 64  # pixels a side of what the scorer sees; what it was trained on
HALO_REACH = 1.5  # pixels on both sides of the edge
_AT_ONCE = 5  # scenes in a part
_TIMES, _BLENDED = "times", "blended"
_BLENDING = ("sd3", "flux", "z_image")  # families whose prompts of regions are painted side by side
_PARTS = {f"scenes-{start + 1}-{start + _AT_ONCE}": range(start, start + _AT_ONCE)
          for start in range(0, SCENES, _AT_ONCE)}
PARTS = (*_PARTS, _TIMES, _BLENDED)  # each a few minutes on two cores; counts of several runs can be added


def run(log: Callable[[str], None], parts: Sequence[str] = PARTS) -> dict:
    import numpy as np

    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    with common.addon(in_thread=True) as sd:
        import bpy

        bpy.ops.wm.read_factory_settings(use_empty=True)
        numbers = [number for part in parts if part in _PARTS for number in _PARTS[part]]
        if numbers:
            _measure_scenes(sd, bpy, np, numbers, log, figures, bars)
        if _TIMES in parts:
            plain, regional = _times(sd, np, log)
            figures |= {"time_plain_s": plain, "time_4_regions_s": regional, "time_factor": regional / plain}
            bars["time_factor"] = common.bar(regional / plain, "<= 1.2")
        if _BLENDED in parts:
            figures |= _blended_times(sd, np, log)
    return {"figures": figures, "bars": bars}


def _measure_scenes(sd: Any, bpy: Any, np: Any, numbers: Sequence[int], log: Callable[[str], None],
                    figures: dict[str, float], bars: dict[str, dict]) -> None:
    """Add what the scenes of these numbers show to the figures and bars."""
    judge = _Judge()
    totals: Counter[str] = Counter()
    changed, halos = 0, []
    for number in numbers:
        scene = _Scene(bpy, np.random.default_rng(9000 + number))
        source = scene.render()
        counts = _prompted(sd, scene, judge, number)
        totals.update(counts)
        wrong, halo = _kept(sd, scene, source, number)
        changed += wrong
        halos.append(halo)
        log(f"scene {number + 1}: {counts}, {wrong} kept pixels changed, halo {halo:.2f}/255")
    share = {name: totals[name] / totals["regions"] for name in ("own", "leaks", "alone", "joined")}
    figures |= {
        "scenes": len(numbers), **totals, "kept_pixels_changed": changed, "halo_mean": float(np.mean(halos)),
        "halo_worst_scene": float(np.max(halos)), "own_material": share["own"], "own_when_alone": share["alone"],
        "own_to_alone": share["own"] / max(share["alone"], 1e-9), "leak": share["leaks"],
        "own_with_joined_prompts": share["joined"]}
    bars |= {"kept_pixels_changed": common.bar(changed, "== 0"), "halo": common.bar(figures["halo_mean"], "<= 2"),
             "own_to_alone": common.bar(figures["own_to_alone"], ">= 0.9"),
             "leak": common.bar(share["leaks"], "<= 0.05")}


class _Scene:
    """A wall, a floor, and blocks of different materials beside each other."""

    def __init__(self, bpy: Any, rng: Any) -> None:
        from starter import captions, materials

        self._bpy = bpy
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        scene.render.engine = "CYCLES"
        scene.cycles.device, scene.cycles.samples, scene.cycles.max_bounces = "CPU", SAMPLES, 1
        scene.cycles.use_denoising = False
        scene.render.resolution_x = scene.render.resolution_y = SIDE
        count = int(rng.integers(2, 6))
        chosen = rng.choice(len(materials.FAMILIES), count, replace=False)
        specs = [materials.sample(rng, materials.FAMILIES[index]) for index in chosen]
        self.prompts = {spec.family: captions.canonical(spec) for spec in specs}
        self.blocks = [self._block(spec.family, place, rng) for spec, place in zip(specs, _places(count), strict=True)]
        self._plane((0, 3, 0), (1.5708, 0, 0), (0.35, 0.35, 0.38))
        self._plane((0, 0, -2.2), (0, 0, 0), (0.3, 0.28, 0.26))
        sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
        sun.rotation_euler, sun.data.energy = (0.7, float(rng.uniform(-0.6, 0.6)), 0.3), 3.0
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        camera.location, camera.rotation_euler = (0, -8, 0), (1.5708, 0, 0)
        camera.data.type, camera.data.ortho_scale = "ORTHO", 4.4
        for thing in (sun, camera):
            scene.collection.objects.link(thing)
        scene.camera = camera
        scene.world = bpy.data.worlds.new("World")

    def render(self) -> Any:
        """Return the picture as shown, H×W×4 uint8. The Render Result has its mattes."""
        from blender_sd.scene import renders

        return renders.render_camera(self._bpy.context.scene, mattes=True)().pixels

    def alone(self, block: Any) -> Any:
        """Return a block rendered alone with transparent film, as shown, straight alpha, H×W×4 uint8."""
        from blender_sd.scene import renders

        scene = self._bpy.context.scene
        others = [thing for thing in scene.objects if thing.type == "MESH" and thing != block]
        scene.render.film_transparent = True
        for thing in others:
            thing.visible_camera = False
        try:
            return renders.render_camera(scene)().pixels
        finally:
            scene.render.film_transparent = False
            for thing in others:
                thing.visible_camera = True

    def _block(self, family: str, place: tuple[float, float, float], rng: Any) -> Any:
        x, z, side = place
        self._bpy.ops.mesh.primitive_cube_add(size=1, location=(x, float(rng.uniform(-0.5, 1.0)), z))
        block = self._bpy.context.object
        block.scale = (side * float(rng.uniform(0.94, 1)), 0.5, side * float(rng.uniform(0.94, 1)))
        block.rotation_euler = (0, float(rng.uniform(-0.12, 0.12)), 0)
        block.data.materials.append(self._material(family, rng.uniform(0.1, 0.8, 3)))
        return block

    def _plane(self, location: tuple, turn: tuple, colour: tuple) -> None:
        self._bpy.ops.mesh.primitive_plane_add(size=20, location=location, rotation=turn)
        self._bpy.context.object.data.materials.append(self._material("plain", colour))

    def _material(self, name: str, colour: Any) -> Any:
        from blender_sd.scene import compat

        material = self._bpy.data.materials.new(name)
        compat.node_tree_of(material).nodes["Principled BSDF"].inputs["Base Color"].default_value = (*colour, 1)
        return material


def _places(count: int) -> list[tuple[float, float, float]]:
    """Return x, z and side of each block, so that each shows at least a patch."""
    if count <= 3:
        side = 1.95 if count == 2 else 1.36
        return [((column - (count - 1) / 2) * side * 1.04, 0.0, side) for column in range(count)]
    upper, side = count - count // 2, 1.9 if count == 4 else 1.36
    rows = [(upper, 1.0), (count - upper, -1.0)]
    return [((column - (many - 1) / 2) * side * 1.05, z, side) for many, z in rows for column in range(many)]


class _Judge:
    """The scorer, on the largest patches inside regions."""

    def __init__(self) -> None:
        from starter import classifier, materials

        self._scorer, self._families = classifier.load(), materials.FAMILIES

    def family(self, picture: Any, coverage: Any) -> str:
        """Return the material that the patch in the middle of a region shows."""
        import torch
        from scipy import ndimage

        inside = ndimage.distance_transform_cdt(coverage >= 0.999, "chessboard")
        row, column = divmod(int(inside.argmax()), inside.shape[1])
        half = min(PATCH // 2, int(inside[row, column]))
        patch = picture[row - half : row + half, column - half : column + half, :3]
        tensor = torch.from_numpy(patch.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            verdict = self._scorer(tensor)
        return self._families[int(verdict.material[0].argmax())]


def _restyled(sd: Any, prompt: str, seed: int, **settings: Any) -> Any:
    """Return the restyled Render Result, H×W×3 uint8."""
    import numpy as np
    from PIL import Image

    job = sd.restyle("RENDER", prompt, seed=seed, strength=STRENGTH, guidance=GUIDANCE, steps=STEPS,
                     target=lambda job: list(job.results), **settings)
    with Image.open(job.result()[0].path) as picture:
        return np.asarray(picture.convert("RGB"))


def _prompted(sd: Any, scene: _Scene, judge: _Judge, seed: int) -> dict[str, int]:
    """Return how many regions there are, and how many show their own or a neighbour's material: by regions, each prompt
    alone, and all prompts joined."""
    from blender_sd.scene import mattes

    layers = mattes.of_render(scene._bpy.context.scene, (mattes.MATERIALS,))
    areas = {family: layers.coverage(mattes.MATERIALS, {family}) for family in scene.prompts}
    together = _restyled(sd, "plain grey plaster wall", seed, regions=[
        sd.region(material=family, prompt=prompt) for family, prompt in scene.prompts.items()])
    joined = _restyled(sd, ", ".join(scene.prompts.values()), seed)
    counts = {"regions": len(areas), "own": 0, "leaks": 0, "alone": 0, "joined": 0}
    for family, area in areas.items():
        seen = judge.family(together, area)
        counts["own"] += seen == family
        counts["leaks"] += seen != family and seen in areas
        counts["joined"] += judge.family(joined, area) == family
        counts["alone"] += judge.family(_restyled(sd, scene.prompts[family], seed), area) == family
    return counts


def _kept(sd: Any, scene: _Scene, source: Any, seed: int) -> tuple[int, float]:
    """Return how many fully covered pixels of a kept block changed, and the mean difference along its edge, in 255ths
    of linear light, from the block rendered alone over the repainted picture."""
    import numpy as np
    from blender_sd.engine.tasks import keeping
    from blender_sd.geometry.colours import linear
    from scipy import ndimage

    block, seen = scene.blocks[seed % len(scene.blocks)], {}
    original = keeping.over

    def noting(source: Any, painted: Any, layout: Any) -> Any:
        seen.update(painted=np.asarray(painted), kept=layout.kept)
        return original(source, painted, layout)

    keeping.over = noting
    try:
        result = _restyled(sd, next(iter(scene.prompts.values())), seed, regions=[sd.region(block, keep=True)])
    finally:
        keeping.over = original
    whole = seen["kept"] == 255
    alone = linear(scene.alone(block))
    share = alone[..., 3:]
    ideal = alone[..., :3] * share + linear(seen["painted"])[..., :3] * (1 - share)
    inside = seen["kept"] >= 128
    distance = np.where(inside, *(ndimage.distance_transform_edt(side) for side in (inside, ~inside))) - 0.5
    band = distance < HALO_REACH
    difference = np.abs(linear(result)[..., :3] - ideal)[band].mean() * 255
    return int((result[whole] != source[whole][:, :3]).any(1).sum()), float(difference)


def _times(sd: Any, np: Any, log: Callable[[str], None]) -> tuple[float, float]:
    """Return the median seconds of the same restyle without regions, and with four of different prompts."""
    import bpy

    _Scene(bpy, np.random.default_rng(9000)).render()
    regions = _quarters(sd, np)
    spent: dict[str, list[float]] = {"plain": [], "regional": []}
    for number in range(8):
        for name, given in (("plain", []), ("regional", regions)):
            start = time.perf_counter()
            _restyled(sd, "white plaster", number, regions=given)
            if number:  # the first time loads
                spent[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    log(f"seconds: {medians}")
    return medians["plain"], medians["regional"]


def _blended_times(sd: Any, np: Any, log: Callable[[str], None]) -> dict[str, float]:
    """Return how many times as long four regions take in families that blend predictions, with tiny random models."""
    import tempfile
    from pathlib import Path

    from tests.support import tiny_models, tiny_transformers

    builders = {**tiny_models.BUILDERS, **tiny_transformers.BUILDERS}
    regions, result = _quarters(sd, np), {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, prefix="sd-bench-") as folder:
        for family in _BLENDING:
            model = str(builders[family](Path(folder) / family))
            spent: dict[bool, list[float]] = {False: [], True: []}
            for number in range(4):
                for regional in (False, True):
                    start = time.perf_counter()
                    sd.generate("white plaster", size=(SIDE, SIDE), seed=number, steps=STEPS, model=model,
                                regions=regions if regional else [], target=lambda job: []).result()
                    if number:
                        spent[regional].append(time.perf_counter() - start)
            plain, regional_time = (statistics.median(spent[regional]) for regional in (False, True))
            result[f"time_factor_{family}"] = regional_time / plain
            log(f"{family}: {plain:.2f} s, with 4 regions {regional_time:.2f} s")
    return result


def _quarters(sd: Any, np: Any) -> list:
    """Return a region with a prompt of its own for each quarter of the picture."""
    areas = []
    for row in (0, 1):
        for column in (0, 1):
            area = np.zeros((SIDE, SIDE), np.uint8)
            area[row * SIDE // 2 : (row + 1) * SIDE // 2, column * SIDE // 2 : (column + 1) * SIDE // 2] = 255
            areas.append(area)
    prompts = ("red brick", "green grass", "grey gravel", "brown wood")
    return [sd.region(mask=area, prompt=prompt) for area, prompt in zip(areas, prompts, strict=True)]
