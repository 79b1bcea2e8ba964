"""Stage "evaluate": the gates, measured on held-out prompts and seeds through diffusers' own pipelines.

Needs only the exported folder and the scorer's weights: real pictures for comparison are rendered on the spot.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from . import captions, classifier, data, following, materials, palette, regularity, vae
from .common import autocast, set_circular
from .surface import Spec

STEPS, FEW_STEPS, GUIDANCE = 20, 8, 3.0
PER_FAMILY = 4


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
    """Mean step across the wrap over the mean step inside, for (x, y); 1 is seamless."""
    ratios = []
    for axis in (2, 1):
        inside = np.abs(np.diff(pictures, axis=axis)).mean()
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
    """Held-out specs, ``per_family`` of each family."""
    return [data.spec_of("held", offset + i) for i in range(per_family * len(materials.FAMILIES))]


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
    real, _ = data.render_held(len(made), 64)

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


def regularities(pipe: StableDiffusionPipeline, log, count: int = 6, size: int = 256) -> dict[str, float]:
    """How regular each pattern comes out, as `regularity.score` has it; ``pipe`` must tile."""
    scores = {}
    for pattern in regularity.PATTERNS:
        ordered = regularity.specs(pattern, count)
        pictures = generate(pipe, [captions.canonical(spec) for spec in ordered], size, seed=9000, batch=2)
        scores[f"regularity_{pattern}"] = regularity.score(pictures, ordered)
    log(f"regularity: {scores}")
    return scores


def _bar(value: float, low: float | None = None, high: float | None = None) -> dict:
    holds = (low is None or value >= low) and (high is None or value <= high)
    words = (
        f"{low} to {high}" if low is not None and high is not None else f">= {low}" if low is not None else f"<= {high}"
    )
    return {"value": round(value, 4), "bar": words, "holds": bool(holds)}


def gates(folder: Path, control_folder: Path, log) -> dict:
    """All gates of the exported model and its ControlNet: ``{"figures": …, "bars": …}``."""
    torch.manual_seed(0)
    pipe, scorer = load_pipeline(folder), classifier.load()
    figures: dict[str, float] = {}
    bars: dict[str, dict] = {}

    held, specs = data.render_held(496, 64)
    judge = classifier.score(scorer, vae.to_tensor(held), specs)
    bars["judge_material"] = _bar(float(judge["material"].mean()), 0.95)
    bars["judge_colour"] = _bar(float(judge["colour"].mean()), 0.95)
    quality = vae.measure(pipe.vae, vae.to_tensor(held))
    bars["vae_psnr"] = _bar(quality["psnr"], 27.0)
    bars["vae_high_frequency"] = _bar(quality["high_frequency"], 0.6)
    log(f"judge and autoencoder measured: {quality}")

    specs = held_specs(PER_FAMILY)
    prompts = [captions.canonical(spec) for spec in specs]
    tile(pipe, True)
    for steps in (STEPS, FEW_STEPS):
        pictures = generate(pipe, prompts, 128, steps)
        result = classifier.score(scorer, to_scorer(pictures), specs)
        figures[f"material_{steps}"] = float(result["material"].mean())
        figures[f"colour_{steps}"] = float(result["colour"].mean())
        figures[f"delta_e_{steps}"] = float(np.median(colour_errors(pictures, specs)))
        log(f"{steps} steps: {figures}")
        if steps == STEPS:
            by_family = result["material"].reshape(PER_FAMILY, -1).mean(0)
            weak = {name: float(v) for name, v in zip(materials.FAMILIES, by_family, strict=True) if v < 0.67}
            log(f"weak families: {weak}")
    bars["material"] = _bar(figures[f"material_{STEPS}"], 0.85)
    bars["colour"] = _bar(figures[f"colour_{STEPS}"], 0.85)
    bars["delta_e"] = _bar(figures[f"delta_e_{STEPS}"], None, 10.0)
    loss = figures[f"material_{STEPS}"] - figures[f"material_{FEW_STEPS}"]
    bars["few_steps_loss"] = _bar(loss, None, 0.05)
    _layout_gates(pipe, scorer, bars, log)
    figures |= regularities(pipe, log)
    if control_folder.is_dir():
        figures |= following.measure(pipe, control_folder, log)
        bars["control_gain"] = _bar(figures["control_followed_height"] - figures["control_followed_without"], 0.2)
    return {"figures": {name: round(value, 4) for name, value in figures.items()}, "bars": bars}


def _layout_gates(pipe, scorer, bars: dict, log) -> None:
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

    bars["diversity"] = _bar(diversity(pipe, scorer), 0.7)
    bars["not_copied"] = _bar(memorising(generate(pipe, prompts, 64)), 1.0)
    generate(pipe, prompts[:1], 256, 2)
    start = time.perf_counter()
    generate(pipe, prompts[:1], 256, STEPS)
    bars["seconds_256"] = _bar(time.perf_counter() - start, None, 2.0)
    log("layout, diversity and speed measured")
