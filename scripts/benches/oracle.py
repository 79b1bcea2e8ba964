"""Measure baking against a known answer: a colour that is known everywhere in space, seen in 8 views at 1024² and baked
back into 2048².

    psnr_…, limit_…         dB against the known colour, of the bake and of the limit (`_oracle/limit.py`)
    coverage_…              the share of the texels that a view sees, of both
    energy_…, jump_…        with displaced views of different brightness: gradient energy of a fine pattern against the
                            undisturbed limit's, and the colour's step across borders between best views against other
                            steps of the same length
    bleed_…                 the largest difference from an object's own flat colour, in 1/255
    unset_…                 texels without a colour within 16 texels of an island
    core_ratio, all_ratio   time on two cores against a plain reference on one (`_oracle/timing.py`): up to gathering,
                            and with filling, harmonising, seams and dilation
    seconds_…               cost against texels, faces and views
    memory_…                peak memory in GB, and what was announced before
    call_…, pump_…, wait_…, commit_…  milliseconds that Blender's main thread is kept, beyond its own evaluation
    held_…                  energy and jump on meshes that nothing was chosen with, for several steepnesses of the soft
                            choice of the best view (`geometry/blend.py`)
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import common
from ._oracle import exported
from ._oracle.costs import costs, stalls, times  # noqa: F401  # parts, called by their names

DESCRIPTION = "baking against a known answer: fidelity, coverage, bleeding, blur, seams, time and memory"
SIZE, VIEW, WAVE, FINE = 2048, 1024, 0.12, 0.04
BARS = {"suzanne": (54.5, 0.959), "cube": (58.0, 0.997)}


PARTS = ("fidelity", "scales", "bleeding", "blur", "times", "costs", "stalls", "held")


def run(log: Callable[[str], None], parts: Sequence[str] = PARTS) -> dict:
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    with exported() as folder:
        for part in parts:
            globals()[part](folder, figures, bars, log)
    return {"figures": figures, "bars": bars}


def scenes(folder: Path) -> dict:
    """Return name -> (mesh, sheets) of everything that is baked."""
    import numpy as np

    from blender_sd.geometry.sheets import Sheet
    from tests.support import meshes

    def loaded(name: str):
        data = np.load(folder / f"{name}.npz")
        return data["vertices"].astype(np.float64), data["triangles"], data["uv"].astype(np.float64)

    one = (Sheet(0, SIZE, SIZE),)
    cube = meshes.cube()
    shared = cube[2].copy()
    shared[6:8] = shared[0:2]  # two faces on one place
    wide = meshes.torus()
    return {
        "suzanne": (meshes.mesh(loaded("suzanne")), one),
        "cube": (meshes.mesh(loaded("cube")), one),
        "sphere": (meshes.mesh(meshes.sphere(64, 128)), one),
        "torus": (meshes.mesh(meshes.torus()), one),
        "cup": (meshes.mesh(meshes.cup()), one),
        "touching": (meshes.mesh(meshes.cube((-0.5, 0, 0), 0.5), meshes.cube((0.5, 0, 0), 0.5)),
                     (Sheet(0, SIZE, SIZE), Sheet(1, SIZE, SIZE))),
        "overlap": (meshes.mesh((cube[0], cube[1], shared)), one),
        "udim": (meshes.mesh((wide[0], wide[1], wide[2] * [2, 1])),
                 (Sheet(0, SIZE, SIZE, (0, 0)), Sheet(0, SIZE, SIZE, (1, 0)))),
        "dense": (meshes.mesh(meshes.sphere(320, 640)), one),
    }


def fidelity(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """A known colour comes back as well as the limit; nothing is unset."""
    import numpy as np
    from scipy import ndimage

    for name, (mesh, sheets) in scenes(folder).items():
        baked, report, got = bake(mesh, sheets)
        limit = limit_of(mesh, sheets)
        ours = against(got, limit)
        figures |= {f"psnr_{name}": ours["psnr"], f"limit_{name}": limit["psnr"],
                    f"coverage_{name}": ours["coverage"], f"limit_coverage_{name}": limit["coverage"]}
        bars[f"{name}: dB below the limit"] = common.bar(limit["psnr"] - ours["psnr"], "<= 1")
        bars[f"{name}: points of coverage off the limit"] = common.bar(
            100 * abs(limit["coverage"] - ours["coverage"]), "<= 0.5")
        if name in BARS:
            bars[f"{name}: dB"] = common.bar(ours["psnr"], f">= {BARS[name][0]}")
            bars[f"{name}: coverage"] = common.bar(ours["coverage"], f">= {BARS[name][1]}")
        if name in ("suzanne", "cup"):
            figures[f"limit_wrong_{name}"] = limit["wrong"]
            bars[f"{name}: the limit's texels that are hidden after all"] = common.bar(limit["wrong"], "<= 0.001")
        unset = sum(int((ndimage.distance_transform_edt(~one.covered) <= 16)[~one.set].sum()) for one in baked)
        figures[f"unset_{name}"] = unset
        bars[f"{name}: texels unset within 16 of an island"] = common.bar(unset, "== 0")
        bars[f"{name}: share of the islands filled"] = common.bar(
            float(np.mean([one.set[one.covered].mean() for one in baked])), "== 1")
        figures[f"overlapping_{name}"] = report.overlapping
        log(f"{name}: {ours['psnr']:.1f} dB (limit {limit['psnr']:.1f}), coverage {100 * ours['coverage']:.2f} % "
            f"({100 * limit['coverage']:.2f}), {report.overlapping} overlapping, {unset} unset")
    bars["overlapping UVs are reported"] = common.bar(figures["overlapping_overlap"], ">= 1000")


def bake(mesh, sheets, wave: float = WAVE, changes=None, **settings):
    """Return the baked sheets, the report, and colours and best views of all texels in one row each."""
    import numpy as np

    from blender_sd.geometry.bake import Baker, Settings
    from blender_sd.geometry.surface import Surface

    surface = Surface(mesh)
    views, pictures = seen(surface, wave, changes)
    baked, report = Baker(surface, sheets, Settings(soft=0, **settings)).run(views, pictures)
    return baked, report, (np.concatenate([one.colours.reshape(-1, 3) for one in baked]),
                           np.concatenate([one.view.ravel() for one in baked]))


def seen(surface, wave: float, changes=None):
    """Return the cameras (in the world) and what they see; `changes`: for each view displacement and gain."""
    from tests.support import meshes

    changes = changes or [((0.0, 0.0), 1.0)] * 8
    views = [replace(view, origin=view.origin * surface.scale + surface.centre)
             for view in meshes.around(VIEW)]
    return views, [meshes.picture(surface, view, lambda points, _: meshes.known_colour(points, wave), shift, gain)
                   for view, (shift, gain) in zip(views, changes)]


def limit_of(mesh, sheets, wave: float = WAVE, changes=None, checked: bool = True) -> dict:
    """Return the limit: colours, best view, truth and texels of all sheets, PSNR, coverage, share of wrong texels."""
    import numpy as np

    from blender_sd.geometry.surface import Surface
    from tests.support import meshes

    from ._oracle import limit

    surface = Surface(mesh)  # for the pictures and the unit box alone
    corners = (np.asarray(mesh.vertices, np.float64)[mesh.triangles] - surface.centre) / surface.scale
    views, pictures = seen(surface, wave, changes)
    boxed = [view.in_box(surface) for view in views]
    oracle = limit.Limit(corners, np.asarray(mesh.objects))
    parts = {"index": [], "colours": [], "view": [], "truth": [], "points": []}
    start, wrong = 0, []
    for sheet in sheets:
        chosen = np.flatnonzero(mesh.textures == sheet.texture)
        texels = limit.table(corners[chosen], np.asarray(mesh.uv)[chosen] - (sheet.tile or (0, 0)), sheet.width)
        texels.triangle = chosen[texels.triangle]
        colours, view = oracle.best(texels, boxed, pictures)
        if checked and len(chosen) < 100_000:
            wrong.append(oracle.wrong(texels, boxed, view, 2000 if len(chosen) > 20_000 else 500))
        for key, value in (("index", texels.index + start), ("colours", colours), ("view", view),
                           ("truth", meshes.known_colour(texels.points, wave)), ("points", texels.points)):
            parts[key].append(value)
        start += sheet.width * sheet.height
    result = {key: np.concatenate(values) for key, values in parts.items()}
    covered = result["view"] >= 0
    return {**result, "psnr": meshes.psnr(result["colours"][covered], result["truth"][covered]),
            "coverage": float(covered.mean()), "wrong": float(np.mean(wrong or [0]))}


def against(got, limit: dict) -> dict:
    """Return PSNR and coverage of a bake on the limit's texels."""
    from tests.support import meshes

    colours, view = got[0][limit["index"]], got[1][limit["index"]]
    covered = view != 65535
    return {"psnr": meshes.psnr(colours[covered], limit["truth"][covered]), "coverage": float(covered.mean())}


def scales(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """The same at other scales."""
    for name in BARS:
        mesh, sheets = scenes(folder)[name]
        own = 0.0
        for scale in (1, 1e-3, 1e3):
            larger = replace(mesh, vertices=mesh.vertices * scale)
            psnr = against(bake(larger, sheets)[2], limit_of(larger, sheets, checked=False))["psnr"]
            own = own or psnr
            figures[f"psnr_{name}_x{scale:g}"] = psnr
            bars[f"{name} × {scale:g}: dB off"] = common.bar(abs(psnr - own), "<= 0.5")
            log(f"{name} × {scale:g}: {psnr:.2f} dB")


def bleeding(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Touching objects, each flat in its own colour, before a third; with hard and with antialiased pictures."""
    import numpy as np

    from blender_sd.geometry.bake import Baker, Settings
    from blender_sd.geometry.sheets import Sheet
    from blender_sd.geometry.surface import OCCLUDER, Surface
    from tests.support import meshes

    mesh = meshes.mesh(meshes.cube((-0.5, 0, 0), 0.5), meshes.cube((0.5, 0, 0), 0.5), meshes.plane(20, -3),
                       textures=(0, 1, OCCLUDER))
    surface = Surface(mesh)
    palette = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.1, 0.9, 0.1]])
    for name, soft, fine in (("hard", 0, 1), ("antialiased", 1, 4)):
        views = meshes.around(VIEW)
        pictures = []
        for view in meshes.around(VIEW * fine):
            image = meshes.picture(surface, view, lambda _, triangles: palette[surface.textures[triangles]])
            image[image[..., 3] == 0] = (0.1, 0.9, 0.1, 1)
            pictures.append(image.reshape(VIEW, fine, VIEW, fine, 4).mean((1, 3), dtype=np.float32))
        sheets = [Sheet(0, SIZE, SIZE), Sheet(1, SIZE, SIZE)]
        baked, report = Baker(surface, sheets, Settings(soft=soft)).run(views, pictures)
        worst = max(float(np.abs(one.colours[one.covered] - palette[number]).max()) for number, one in enumerate(baked))
        figures[f"bleed_{name}"] = 255 * worst
        bars[f"two touching objects, {name}: largest difference in 1/255"] = common.bar(255 * worst, "<= 2")
        log(f"bleeding, {name}: {255 * worst:.3f} / 255, coverage {100 * report.coverage:.1f} %")


def disturbed(seed: int) -> list:
    """Return displacements by up to 1.5 px and gains by up to 10 % for the eight views, which include both ends."""
    import numpy as np

    noise = np.random.default_rng(seed)
    angles, lengths = noise.uniform(0, 2 * np.pi, 8), noise.uniform(0.5, 1.5, 8)
    gains = np.concatenate([[0.9, 1.1], noise.uniform(0.9, 1.1, 6)])
    return [((r * np.cos(a), r * np.sin(a)), gain) for a, r, gain in zip(angles, lengths, gains)]


def blur(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Displaced views of different brightness: neither blurred nor with steps where the best view changes."""
    changes = disturbed(1)
    for name in ("suzanne", "sphere"):
        mesh, sheets = scenes(folder)[name]
        clean = limit_of(mesh, sheets, FINE, checked=False)
        pairs = neighbours(clean["index"], clean["points"])
        reference = gradient(clean["colours"], clean["view"], pairs)["energy"]
        kinds = {"": {}, "_clean": {"changes": None}}
        for kind, options in kinds.items():
            _, _, (colours, view) = bake(mesh, sheets, FINE, **{"changes": changes, **options})
            view = view[clean["index"]].astype(int)
            result = gradient(colours[clean["index"]], _known(view), pairs)
            figures |= {f"energy_{name}{kind}": result["energy"] / reference, f"jump_{name}{kind}": result["jump"]}
        plain = limit_of(mesh, sheets, FINE, changes, checked=False)
        figures[f"jump_{name}_hard"] = gradient(plain["colours"], plain["view"], pairs)["jump"]
        figures[f"energy_{name}_averaged"] = averaged(mesh, sheets, changes, clean, pairs) / reference
        bars[f"{name}: gradient energy low"] = common.bar(figures[f"energy_{name}"], ">= 0.9")
        bars[f"{name}: gradient energy high"] = common.bar(figures[f"energy_{name}"], "<= 1.1")
        bars[f"{name}: step where the best view changes"] = common.bar(figures[f"jump_{name}"], "<= 1.15")
        log(f"{name}: energy {figures[f'energy_{name}']:.3f} (averaged {figures[f'energy_{name}_averaged']:.3f}), "
            f"step {figures[f'jump_{name}']:.3f} (without feathering {figures[f'jump_{name}_hard']:.3f})")


def averaged(mesh, sheets, changes, clean: dict, pairs) -> float:
    """Return the gradient energy of the plain average of all views."""
    import numpy as np

    from blender_sd.geometry import bake as baking, blend, gather
    from blender_sd.geometry.surface import Surface

    surface = Surface(mesh)
    views, pictures = seen(surface, FINE, changes)
    baker = baking.Baker(surface, sheets, baking.Settings(soft=0))
    baker.measure()
    prepared = baking.Prepared(surface, views, pictures, 0)
    sums = blend.Blend.empty(baker.texels.count)
    for number in range(len(views)):
        picture, = prepared.of(range(number, number + 1))
        reading = gather.read_part(baker.texels, picture)
        sums.add(gather.Reading(reading.entries, reading.colours, np.ones_like(reading.quality)), number)
    colours = np.zeros((int(baker.layout.starts[-1]), 3))
    colours[baker.texels.texel] = sums.mean()
    return gradient(colours[clean["index"]], clean["view"], pairs)["energy"]


def neighbours(index, points):
    """Return pairs of neighbouring texels (2×n indices into `index`) that are neighbours in space too."""
    import numpy as np

    at = np.full(SIZE * SIZE, -1)
    at[index] = np.arange(len(index))
    at = at.reshape(SIZE, SIZE)
    pairs = [np.stack([one[(one >= 0) & (other >= 0)], other[(one >= 0) & (other >= 0)]])
             for one, other in ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:]))]
    pairs = np.concatenate(pairs, 1)
    length = np.linalg.norm(points[pairs[0]] - points[pairs[1]], axis=1)
    near = (length > 0) & (length < 8 * np.median(length))
    return pairs[:, near], length[near]


def gradient(colours, view, pairs) -> dict[str, float]:
    """Return the mean squared step between neighbouring texels ("energy"), and the steps per length across borders
    between best views against those elsewhere ("jump").
    """
    import numpy as np

    (one, other), length = pairs
    known = (view[one] >= 0) & (view[other] >= 0)
    one, other, length = one[known], other[known], length[known]
    step = np.linalg.norm(colours[one] - colours[other], axis=1)
    border = view[one] != view[other]
    slopes = [step[part].sum() / length[part].sum() for part in (border, ~border)]
    return {"energy": float((step**2).mean()), "jump": float(slopes[0] / slopes[1])}


def held(folder: Path, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """The steepness of the soft choice of the best view, on other meshes and with other disturbances than `blur`."""
    from blender_sd.geometry import blend
    from blender_sd.geometry.sheets import Sheet
    from tests.support import meshes

    from ._oracle import others

    usual = blend.sharpened
    changes = disturbed(7)
    for name, part in others.all_meshes().items():
        mesh, sheets = meshes.mesh(part), (Sheet(0, SIZE, SIZE),)
        clean = limit_of(mesh, sheets, FINE, checked=False)
        pairs = neighbours(clean["index"], clean["points"])
        reference = gradient(clean["colours"], clean["view"], pairs)["energy"]
        for steepness in (6, 8, 12, 16, 24):
            blend.sharpened = lambda mean, power=steepness / 4: mean**power
            try:
                _, _, (colours, view) = bake(mesh, sheets, FINE, changes)
            finally:
                blend.sharpened = usual
            view = view[clean["index"]].astype(int)
            result = gradient(colours[clean["index"]], _known(view), pairs)
            figures |= {f"held_energy_{name}_{steepness}": result["energy"] / reference,
                        f"held_jump_{name}_{steepness}": result["jump"]}
            log(f"{name}, steepness {steepness}: energy {result['energy'] / reference:.3f}, step {result['jump']:.3f}")
        bars[f"{name}: gradient energy low"] = common.bar(figures[f"held_energy_{name}_12"], ">= 0.9")
        bars[f"{name}: gradient energy high"] = common.bar(figures[f"held_energy_{name}_12"], "<= 1.1")
        bars[f"{name}: step where the best view changes"] = common.bar(figures[f"held_jump_{name}_12"], "<= 1.15")


def _known(view):
    """Return the best views with −1 for none."""
    import numpy as np

    return np.where(view == 65535, -1, view)
