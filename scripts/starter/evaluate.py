"""Stage "evaluate": the gates, measured on held-out prompts and seeds through diffusers' own pipelines.

Needs only the exported folder and the judges' weights: real pictures for comparison are rendered on the spot. Where the
judges differ, the lower score counts.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from . import anchors, captions, classifier, data, following, materials, modifiers, palette, regularity, restyling, vae
from .common import autocast, set_circular
from .surface import Spec

STEPS, FEW_STEPS, GUIDANCE = 20, 8, 3.0
PER_FAMILY, PER_MODIFIER = 4, 14
KNOWN = 0.97  # the share of held-out renders that both judges must know


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The exported model, as anyone would load it."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tile(pipe: StableDiffusionPipeline, circular: bool) -> None:
    """Seamless tiling on or off."""
    set_circular(pipe.unet, circular)
    set_circular(pipe.vae, circular)


def generate(
    pipe: StableDiffusionPipeline,
    prompts: list[str],
    size: int,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 1000,
    batch: int = 16,
) -> np.ndarray:
    """Pictures (N, size, size, 3) float32 sRGB 0…1, picture i from seed ``seed + i``."""
    pictures = []
    with autocast("cpu"):
        for start in range(0, len(prompts), batch):
            part = prompts[start : start + batch]
            generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
            output = pipe(
                part,
                height=size,
                width=size,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=generators,
                output_type="np",
            )
            pictures.append(output.images)
    return np.concatenate(pictures).astype(np.float32)


def to_scorer(pictures: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) in 0…1 to the scorer's (N, 3, H, W) in -1…1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() * 2.0 - 1.0


def seam_ratio(pictures: np.ndarray) -> tuple[float, float]:
    """Return the mean step across the wrap over that across the other edges of the denoiser's fields, for (x, y).

    1 is seamless. Patterns' joints lie at these edges more often than elsewhere, at the wrap as at the others.
    """
    ratios = []
    for axis in (2, 1):
        edges = range(anchors.GRID - 1, pictures.shape[axis] - 1, anchors.GRID)
        inside = np.abs(np.diff(pictures, axis=axis)).take(edges, axis).mean()
        wrap = np.abs(np.take(pictures, 0, axis) - np.take(pictures, -1, axis)).mean()
        ratios.append(float(wrap / inside))
    return ratios[0], ratios[1]


def wavelength(picture: np.ndarray) -> float:
    """Typical feature size in pixels: the inverse of the mean frequency, weighted by amplitude spectrum squared."""
    grey = picture.mean(-1)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    f = np.fft.fftfreq(grey.shape[0])
    radius = np.hypot(f[:, None], f)
    return float(power.sum() / (power * radius).sum())


def held_specs(per_family: int, offset: int = 1240) -> list[Spec]:
    """Held-out specs without modifiers, ``per_family`` of each family."""
    return [data.spec_of("held", offset + i, 0.0) for i in range(per_family * len(materials.FAMILIES))]


def colour_errors(pictures: np.ndarray, specs: list[Spec], renders: int = 4) -> np.ndarray:
    """ΔE of each picture's mean colour to the mean over real renders of the same caption."""
    errors = []
    for picture, spec in zip(pictures, specs, strict=True):
        real = [materials.render(replace(spec, seed=7_000_000 + i), 64)[0] for i in range(renders)]
        errors.append(palette.delta_e(palette.mean_lab(picture), palette.mean_lab(np.stack(real)).mean(0)))
    return np.array(errors)


def _spread(features: np.ndarray) -> float:
    """Mean pairwise distance between rows."""
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    return float(distance.sum() / (len(features) * (len(features) - 1)))


def diversity(pipe: StableDiffusionPipeline, scorer: classifier.Scorer, seeds: int = 6) -> float:
    """Mean feature distance between seeds of one prompt, over that between real renders of the same caption."""
    ratios = []
    for number, spec in enumerate(held_specs(1, 310)[::2]):
        made = generate(pipe, [captions.canonical(spec)] * seeds, 64, seed=5000 + 100 * number)
        real = np.stack([materials.render(replace(spec, seed=8_000_000 + i), 64)[0] for i in range(seeds)])
        made_features = classifier.score(scorer, to_scorer(made), [spec] * seeds)["features"]
        real_features = classifier.score(scorer, to_scorer(real), [spec] * seeds)["features"]
        ratios.append(_spread(made_features) / max(_spread(real_features), 1e-6))
    return float(np.median(ratios))


def memorising(made: np.ndarray, count: int = 1984) -> float:
    """Median distance from generated 64 px pictures to their nearest training picture, over the same for held-out
    real ones; well below 1 would mean copying. Colour-free, blurred pixels are compared over all rolls."""
    train = np.stack([materials.render(data.spec_of("small", i), 64)[0] for i in range(count)])
    real = data.render_all(held_specs(len(made) // len(materials.FAMILIES), 0), 64)

    def spectrum(pictures: np.ndarray) -> np.ndarray:
        grey = pictures.mean(-1)
        grey = (grey - grey.mean((1, 2), keepdims=True)) / (grey.std((1, 2), keepdims=True) + 1e-3)
        return np.fft.fft2(grey)[:, :16, :16].astype(np.complex64)

    bank = np.conj(spectrum(train))

    def nearest(pictures: np.ndarray) -> float:
        best = []
        for one in spectrum(pictures):
            match = np.fft.ifft2(one * bank, s=(32, 32)).real.max((1, 2))
            norm = np.linalg.norm(one) * np.linalg.norm(bank, axis=(1, 2)) / 1024
            best.append(float((1 - match / norm).min()))
        return float(np.median(best))

    return nearest(made) / max(nearest(real.astype(np.float32) / 255), 1e-6)


def regularities(pipe: StableDiffusionPipeline, bars: dict, log, count: int = 6, size: int = 256) -> None:
    """How regular each pattern comes out, as `regularity.score` has it; ``pipe`` must tile."""
    for pattern in regularity.PATTERNS:
        ordered = regularity.specs(pattern, count)
        pictures = generate(pipe, [captions.canonical(spec) for spec in ordered], size, seed=9000, batch=2)
        bars[f"regularity_{pattern}"] = _bar(regularity.score(pictures, ordered), 0.8)
        log(f"regularity of {pattern}: {bars[f'regularity_{pattern}']['value']}")


def _bar(value: float, low: float | None = None, high: float | None = None) -> dict:
    holds = (low is None or value >= low) and (high is None or value <= high)
    words = (
        f"{low} to {high}" if low is not None and high is not None else f">= {low}" if low is not None else f"<= {high}"
    )
    return {"value": round(value, 4), "bar": words, "holds": bool(holds)}


def gates(folder: Path, control_folder: Path, log) -> dict:
    """All gates of the exported model and its ControlNet: ``{"figures": …, "bars": …}``."""
    torch.manual_seed(0)
    pipe, judges = load_pipeline(folder), classifier.judges()
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}
    known = _judge_gates(judges, figures, bars, log)
    quality = vae.measure(pipe.vae, vae.to_tensor(data.render_all(held_specs(16, 0), 64)))
    bars["vae_psnr"] = _bar(quality["psnr"], 27.0)
    bars["vae_high_frequency"] = _bar(quality["high_frequency"], 0.6)
    log(f"autoencoder measured: {quality}")
    tile(pipe, True)
    _material_gates(pipe, judges, figures, bars, log)
    _modifier_gates(pipe, judges, known, figures, bars, log)
    _layout_gates(pipe, judges[0], bars, log)
    regularities(pipe, bars, log)
    if control_folder.is_dir():
        figures |= following.measure(pipe, control_folder, log)
        bars["control_gain"] = _bar(figures["control_followed_height"] - figures["control_followed_without"], 0.2)
        _scene_gates(restyling.measure(pipe, control_folder, judges, log), figures, bars)
    return {"figures": {name: round(value, 4) for name, value in figures.items()}, "bars": bars}


def _judge_gates(judges: list[classifier.Scorer], figures: dict, bars: dict, log) -> list[str]:
    """Measure the judges on held-out renders; returns the modifiers that all of them know."""
    bars["judges"] = _bar(len(judges), 2)
    specs = [data.spec_of("held", index) for index in range(496)]
    right = classifier.lowest(judges, vae.to_tensor(data.render_all(specs, 64)), specs)
    bars |= {f"judge_{head}": _bar(value, KNOWN) for head, value in right.items()}
    specs = data.modified_specs(62)
    results = [classifier.score(judge, vae.to_tensor(data.render_all(specs, 64)), specs) for judge in judges]
    known = []
    for number, name in enumerate(modifiers.MODIFIERS):
        share = min(float(result["modifier"][number :: len(modifiers.MODIFIERS)].mean()) for result in results)
        figures[f"judge_{name.replace(' ', '_')}"] = share
        known += [name] if share >= KNOWN else []
    left_out = [name for name in modifiers.MODIFIERS if name not in known]
    figures["modifiers_left_out"] = len(left_out)
    log(f"judges: {right}; modifiers that they do not know well enough: {', '.join(left_out) or 'none'}")
    return known


def _material_gates(pipe, judges: list[classifier.Scorer], figures: dict, bars: dict, log) -> None:
    """Materials and colours of plain prompts, at many steps and at few."""
    specs = held_specs(PER_FAMILY)
    prompts = [captions.canonical(spec) for spec in specs]
    for steps in (STEPS, FEW_STEPS):
        pictures = generate(pipe, prompts, 128, steps)
        right = classifier.lowest(judges, to_scorer(pictures), specs)
        figures[f"material_{steps}"], figures[f"colour_{steps}"] = right["material"], right["colour"]
        figures[f"delta_e_{steps}"] = float(np.median(colour_errors(pictures, specs)))
        log(f"{steps} steps: {figures}")
        if steps == STEPS:
            results = [classifier.score(judge, to_scorer(pictures), specs)["material"] for judge in judges]
            by_family = np.min([result.reshape(PER_FAMILY, -1).mean(0) for result in results], 0)
            weak = {name: float(v) for name, v in zip(materials.FAMILIES, by_family, strict=True) if v < 0.67}
            log(f"weak families: {weak}")
    bars["material"] = _bar(figures[f"material_{STEPS}"], 0.95)
    bars["colour"] = _bar(figures[f"colour_{STEPS}"], 0.97)
    bars["delta_e"] = _bar(figures[f"delta_e_{STEPS}"], None, 10.0)
    loss = figures[f"material_{STEPS}"] - figures[f"material_{FEW_STEPS}"]
    bars["few_steps_loss"] = _bar(loss, None, 0.03)


def _modifier_gates(pipe, judges: list[classifier.Scorer], known: list[str], figures: dict, bars: dict, log) -> None:
    """Modifiers of prompts that name one, for those that the judges know; and these prompts' materials."""
    specs = [spec for spec in data.modified_specs(PER_MODIFIER, 5000) if spec.modifier in known]
    if not specs:
        bars["modifier"] = _bar(0.0, 0.85)
        return
    pictures = to_scorer(generate(pipe, [captions.canonical(spec) for spec in specs], 128, seed=3000))
    right = classifier.lowest(judges, pictures, specs)
    bars["modifier"] = _bar(right["modifier"], 0.85)
    figures["material_modified"] = right["material"]
    results = [classifier.score(judge, pictures, specs)["modifier"] for judge in judges]
    for number, name in enumerate(known):
        share = min(float(result[number :: len(known)].mean()) for result in results)
        figures[f"modifier_{name.replace(' ', '_')}"] = share
    log(f"modifiers: {right}, {figures}")


def _scene_gates(measured: dict[str, float], figures: dict, bars: dict) -> None:
    """Restyled renders; of the two control pictures the one counts that keeps to a bar less well."""
    figures |= measured
    both = {name: [measured[f"scenes_{name}_{kind}"] for kind in restyling.CONTROLS]
            for name in ("material", "edges", "fine", "noise")}  # fmt: skip
    bars["scenes_material"] = _bar(min(both["material"]), 0.85)
    bars["scenes_edges"] = _bar(min(both["edges"]), 0.8)
    bars["scenes_fine_least"] = _bar(min(both["fine"]), 0.7)
    bars["scenes_fine_most"] = _bar(max(both["fine"]), None, 1.3)
    bars["scenes_noise"] = _bar(max(both["noise"]), None, 1.2)


def _layout_gates(pipe, judge: classifier.Scorer, bars: dict, log) -> None:
    """Seams, feature size, diversity, copying and speed."""
    specs = held_specs(1, 620)
    prompts = [captions.canonical(spec) for spec in specs]
    for size, batch in ((128, 16), (256, 4), (512, 1)):
        across, down = seam_ratio(generate(pipe, prompts, size, FEW_STEPS, batch=batch))
        bars[f"seam_x_{size}"], bars[f"seam_y_{size}"] = _bar(across, 0.9, 1.1), _bar(down, 0.9, 1.1)
        log(f"seams at {size}: {across:.3f} {down:.3f}")

    names = ("brick wall", "ceramic tiles", "mosaic", "cobblestone", "checkerboard", "planks")
    small = generate(pipe, [f"small red {name}" for name in names], 128, 12)
    large = generate(pipe, [f"large red {name}" for name in names], 128, 12)
    wide = generate(pipe, [f"large red {name}" for name in names], 256, 12, batch=3)
    size_of = lambda pictures: float(np.exp(np.mean([np.log(wavelength(p)) for p in pictures])))  # noqa: E731
    bars["size_words"] = _bar(size_of(large) / size_of(small), 1.4)
    bars["size_256_over_128"] = _bar(size_of(wide) / size_of(large), 0.85, 1.18)

    bars["diversity"] = _bar(diversity(pipe, judge), 0.7)
    bars["not_copied"] = _bar(memorising(generate(pipe, prompts, 64)), 1.0)
    generate(pipe, prompts[:1], 256, 2)
    start = time.perf_counter()
    generate(pipe, prompts[:1], 256, STEPS)
    bars["seconds_256"] = _bar(time.perf_counter() - start, None, 2.0)
    log("layout, diversity and speed measured")
