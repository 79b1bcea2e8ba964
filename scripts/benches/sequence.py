"""Restyle shots of 24 frames at 256² with the starter, against image to image of each frame alone, one seed for all.

Two shots: "moving" (a camera in orbit, a cube that turns and travels, a ball that passes behind it, a cut) and
"deforming" (a cloth that waves, a ring that swells, a camera that sways). They are judged by motion that follows from
their construction (`_sequence.judge`), and by Blender's Vector pass ("passed"), not by the module under test.

    warp_…            E_warp (Lai et al. 2018) of neighbouring frames: of the sequence, of the frames by themselves, of
                      the source, and the first by the second
    long_…            the same of frames that are eight apart
    sharpness_…       the mean step between neighbouring pixels by that of the frame by itself; the least and mean frame
    energy_…          the same of squared steps
    change_…          the mean change from the source by that of the frames by themselves
    material_…        the share of squares of 128 pixels whose material the starter's judge recognises
    match_…           pixels between where a point is found and where it is; the share of pixels that are rightly seen
                      or hidden
    noise_…           variance and Moran's I of attached noise and of fresh noise, in combined standard errors
    seconds_…         per frame, of the sequence and of frames by themselves
    memory_…          peak memory in GB of 48 and of 240 frames
    kills             interrupted runs without a frame that is missing, doubled or other than in the undisturbed run
"""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import common

DESCRIPTION = "restyled animations: flicker, sharpness, change, materials, matching, noise, time, memory, kills"
SHOTS = ("moving", "deforming")
PARTS = (*(f"{kind}-{name}" for name in SHOTS for kind in ("free", "styled", "judged", "passed")), "match", "noise",
         "memory", "kills")
KEPT = common.ROOT / "out" / "bench-sequence"
_PATCH = 128
_CHUNK = 4  # frames by themselves in one process


def run(log: Callable[[str], None], parts: Sequence[str]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    KEPT.mkdir(parents=True, exist_ok=True)
    for part in parts:
        kind, _, name = part.partition("-")
        if name:
            {"free": free, "styled": styled, "judged": judged, "passed": passed}[kind](name, figures, bars, log)
        else:
            {"match": match, "noise": noise, "memory": memory, "kills": kills}[kind](figures, bars, log)
    return {"figures": figures, "bars": bars}


def _shot(name: str) -> Path:
    from ._sequence import scenes

    folder = KEPT / name
    if not (folder / "shot.json").is_file():
        scenes.SHOTS[name]().write(str(folder))
    return folder


def _measured(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", "scripts.benches._sequence.measured", *arguments], cwd=common.ROOT,
                          capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _noted(name: str, values: dict[str, float]) -> None:
    (KEPT / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")


def _note_of(name: str) -> dict[str, float]:
    return json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))


def free(name: str, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Paint each frame by itself; what an interrupted bench has painted stays."""
    from ._sequence import scenes

    output = KEPT / f"{name}-free"
    note = {"seconds": 0.0, "worked": 0.0, "made": 0}
    if len(list(output.glob("*.png"))) < scenes.FRAMES and (KEPT / f"{name}-free.json").is_file():
        note = _note_of(f"{name}-free")
    for start in range(1, scenes.FRAMES + 1, _CHUNK):
        frames = [frame for frame in range(start, start + _CHUNK) if not (output / f"{frame:06d}.png").is_file()]
        if frames:
            spent = _measured("shot", str(_shot(name)), str(output), json.dumps({"consistency": 0.0, "frames": frames}))
            note = {"seconds": note["seconds"] + spent["seconds"], "worked": note["worked"] + spent["worked"],
                    "made": note["made"] + len(frames)}
            _noted(f"{name}-free", note)
            log(f"{name}: frames {frames} by themselves, {spent['seconds']:.0f} s")


def styled(name: str, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Restyle the shot; the time by that of frames by themselves."""
    import shutil

    shutil.rmtree(KEPT / f"{name}-styled", ignore_errors=True)
    spent = _measured("shot", str(_shot(name)), str(KEPT / f"{name}-styled"), "{}")
    own = {key: spent[key] / spent["frames"] for key in ("seconds", "worked")}
    note = _note_of(f"{name}-free")
    alone = {key: note[key] / note["made"] for key in ("seconds", "worked")}
    figures |= {f"keys_{name}": spent["keys"], f"seconds_{name}": own["seconds"],
                f"seconds_{name}_free": alone["seconds"]}
    ratio = own["worked"] / alone["worked"]
    bars[f"{name}: time per frame"] = common.bar(ratio, "<= 0.6")
    log(f"{name}: {spent['keys']} keyframes, {own['seconds']:.2f} s a frame ({alone['seconds']:.2f} s by itself), "
        f"{ratio:.2f} of the processor's time")


def judged(name: str, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Compare what `free` and `styled` have painted."""
    import numpy as np

    from ._sequence import judge, scenes
    from ._sequence.measured import MATERIAL

    scene = scenes.SHOTS[name]()
    own = judge.Judge(scene)
    clips = {"styled": _clip(KEPT / f"{name}-styled"), "free": _clip(KEPT / f"{name}-free"),
             "source": _clip(_shot(name) / "frames")}
    clips = {kind: {frame: clip[frame] for frame in clips["free"]} for kind, clip in clips.items()}
    figures[f"frames_{name}"] = len(clips["free"])
    for label, distance, limit in (("warp", 1, 0.10), ("long", 8, 0.15)):
        errors = {kind: own.warp_error(clip, distance) for kind, clip in clips.items()}
        ratio = errors["styled"] / errors["free"]
        figures |= {f"{label}_{name}_{kind}": value for kind, value in errors.items()} | {f"{label}_{name}": ratio}
        bars[f"{name}: E_warp, {distance} apart"] = common.bar(ratio, f"<= {limit}")
        listed = ", ".join(f"{kind} {1000 * value:.3f}·10⁻³" for kind, value in errors.items())
        log(f"{name}: E_warp {distance} apart: {listed}, ratio {ratio:.3f}")
    for label, measure in (("sharpness", judge.gradient), ("energy", judge.energy)):
        ratios = [measure(clips["styled"][frame]) / measure(clips["free"][frame]) for frame in clips["free"]]
        figures |= {f"{label}_{name}": min(ratios), f"{label}_{name}_mean": float(np.mean(ratios))}
        log(f"{name}: {label} at least {min(ratios):.3f}, in the mean {np.mean(ratios):.3f}")
    bars[f"{name}: sharpness of the softest frame"] = common.bar(figures[f"sharpness_{name}"], ">= 0.9")
    change = {kind: float(np.mean([np.abs(clips[kind][frame].astype(float) - clips["source"][frame]).mean()
                                   for frame in clips["free"]])) for kind in ("styled", "free")}
    figures |= {f"change_{name}_{kind}": value for kind, value in change.items()}
    bars[f"{name}: change from the source"] = common.bar(change["styled"] / change["free"], ">= 0.8")
    shares = {kind: _recognised(clips[kind], MATERIAL) for kind in ("styled", "free")}
    figures |= {f"material_{name}_{kind}": value for kind, value in shares.items()}
    bars[f"{name}: material recognised"] = common.bar(shares["styled"] / max(shares["free"], 1e-9), ">= 0.9")
    log(f"{name}: change {change}, material {shares}")
    _strip(clips, scene.cuts, KEPT / f"{name}-strip.png")


def passed(name: str, figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Judge flicker once more, by Blender's Vector pass."""
    from ._sequence import judge, scenes, vectors

    scene = scenes.SHOTS[name]()
    described, folder = KEPT / f"{name}.npz", KEPT / f"{name}-vectors"
    if len(list(folder.glob("*.npy"))) < scenes.FRAMES:
        folder.mkdir(exist_ok=True)
        vectors.described(scene, described)
        python = sorted(common.ROOT.glob(".venv-bpy*/bin/python"))[-1]
        subprocess.run([python, "-m", "scripts.benches._sequence.vectors", described, folder], cwd=common.ROOT,
                       stdout=subprocess.DEVNULL, check=True)
    other = vectors.Passed(folder, (scenes.SIZE, scenes.SIZE))
    own = judge.Judge(scene)
    clips = {"styled": _clip(KEPT / f"{name}-styled"), "free": _clip(KEPT / f"{name}-free")}
    for label, distance, limit in (("warp", 1, 0.10), ("long", 8, 0.15)):
        errors = {kind: own.warp_error({frame: clip[frame] for frame in clips["free"]}, distance, other.ways)
                  for kind, clip in clips.items()}
        ratio = errors["styled"] / errors["free"]
        figures |= {f"{label}_{name}_{kind}_by_pass": value for kind, value in errors.items()}
        bars[f"{name}: E_warp by the Vector pass, {distance} apart"] = common.bar(ratio, f"<= {limit}")
        log(f"{name}: by the Vector pass, {distance} apart: {errors}, ratio {ratio:.3f}")


def _clip(folder: Path) -> dict[int, Any]:
    import numpy as np
    from PIL import Image

    return {int(path.stem): np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))}


def _recognised(clip: dict[int, Any], family: str) -> float:
    import numpy as np
    from PIL import Image

    from ._texture.compared import material_share

    squares = [picture[top:top + _PATCH, left:left + _PATCH] for picture in clip.values()
               for top in range(0, picture.shape[0] - _PATCH + 1, _PATCH // 2)
               for left in range(0, picture.shape[1] - _PATCH + 1, _PATCH // 2)]
    return material_share([np.asarray(Image.fromarray(square).resize((256, 256), Image.Resampling.BICUBIC))
                           for square in squares], family)


def _strip(clips: dict[str, dict[int, Any]], cuts: Sequence[int], path: Path) -> None:
    """Draw one scan line over time of each clip, one above the other, up to the first cut: flicker shows as noise,
    consistency as lines. The README has the picture of the shot "moving" (docs/images/animation-strip.png)."""
    import numpy as np
    from PIL import Image

    rows = []
    for clip in clips.values():
        lines = np.stack([picture[int(picture.shape[0] * 0.55)] for frame, picture in sorted(clip.items())
                          if not cuts or frame < cuts[0]])
        enlarged = np.repeat(np.repeat(lines, 12, axis=0), 3, axis=1)
        rows += [enlarged, np.full((16, enlarged.shape[1], 3), 255, np.uint8)]
    Image.fromarray(np.concatenate(rows[:-1])).save(path)


def match(figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Where points are found in other frames, by the judge's own motion."""
    import numpy as np

    from ._sequence import judge, scenes

    for name in SHOTS:
        scene = scenes.SHOTS[name]()
        own = judge.Judge(scene)
        errors, right, pixels = [], 0, 0
        for start, end in ((1, 2), (1, 9), (9, 1), (6, 14), (18, 24)):
            x, y, seen = own.ways(start, end)
            on = own.seen(start).part >= 0
            there = scene.moment(end)
            found = there.find(scene.moment(start).points)
            both = on & seen & (found.quality > 0)
            errors.append(np.hypot(found.x - x, found.y - y)[both])
            right += int(((found.quality > 0) == seen)[on].sum())
            pixels += int(on.sum())
        figures[f"match_{name}_error"], figures[f"match_{name}_seen"] = float(np.concatenate(errors).mean()), (
            right / pixels)
        bars[f"{name}: pixels of error"] = common.bar(figures[f"match_{name}_error"], "< 0.1")
        bars[f"{name}: pixels rightly seen or hidden"] = common.bar(right / pixels, ">= 0.995")
        log(f"{name}: {figures[f'match_{name}_error']:.4f} pixels of error, {100 * right / pixels:.2f} % rightly seen")


def noise(figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Attached noise against fresh noise: seeds 0 to 31, the latents of every third frame."""
    import numpy as np

    from blender_sd.geometry import attached_noise

    from ._sequence import scenes

    for name in SHOTS:
        scene = scenes.SHOTS[name]()
        moments = [scene.moment(frame).smaller(4) for frame in range(1, scenes.FRAMES + 1, 3)]
        keys = [attached_noise.cells(moment, moments[0].vertices) for moment in moments]
        rows: dict[str, list[Any]] = {"attached": [], "fresh": []}
        for seed in range(32):
            draw = np.random.default_rng(10_000 + seed)
            for kind in rows:
                values = [attached_noise.drawn(key, 4, seed) if kind == "attached"
                          else draw.standard_normal((len(key), 4)) for key in keys]
                side = moments[0].view.width
                rows[kind].append(np.mean([_whiteness(value[:, channel].reshape(-1, side)) for value in values
                                           for channel in range(4)], axis=0))
        means = {kind: np.mean(values, 0) for kind, values in rows.items()}
        error = np.sqrt(sum(np.var(values, 0, ddof=1) / len(values) for values in rows.values()))
        away = np.abs(means["attached"] - means["fresh"]) / error
        for label, value in zip(("variance", "moran"), away):
            figures[f"noise_{name}_{label}"] = float(value)
            bars[f"{name}: {label} of attached noise, in standard errors"] = common.bar(float(value), "<= 2")
        log(f"{name}: variance {means['attached'][0]:.4f} ({means['fresh'][0]:.4f} fresh), Moran's I "
            f"{means['attached'][1]:+.5f} ({means['fresh'][1]:+.5f} fresh), {away} standard errors apart")


def _whiteness(values: Any) -> tuple[float, float]:
    """Return variance and Moran's I with four neighbours."""
    centred = values - values.mean()
    pairs = (centred[:, 1:] * centred[:, :-1]).sum() + (centred[1:] * centred[:-1]).sum()
    count = centred[:, 1:].size + centred[1:].size
    return float(values.var()), float(pairs / count / (centred**2).mean())


def memory(figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """The peak memory of 48 frames and of 240."""
    import shutil

    for count in (48, 240):
        output = KEPT / f"long-{count}-styled"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        spent = _measured("long", str(KEPT / f"long-{count}"), str(output), str(count))
        figures[f"memory_{count}"] = spent["peak"] / 1e9
        log(f"{count} frames: {spent['peak'] / 1e9:.3f} GB, {spent['seconds']:.0f} s")
    bars["peak memory of 240 frames by 48"] = common.bar(figures["memory_240"] / figures["memory_48"], "<= 1.05")


def kills(figures: dict, bars: dict, log: Callable[[str], None]) -> None:
    """Kill runs at 50 random moments; what is finished in the end must be as it is undisturbed."""
    done = subprocess.run([sys.executable, "-m", "scripts.benches._sequence.killed", str(KEPT), "50"], cwd=common.ROOT,
                          stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    figures |= {f"kills_{key}": value for key, value in result.items()}
    bars["kills"] = common.bar(result["kills"], ">= 50")
    bars["frames missing, doubled or different after kills"] = common.bar(result["wrong"], "== 0")
    log(f"{result['kills']} kills in {result['rounds']} rounds, {result['wrong']} wrong frames")
