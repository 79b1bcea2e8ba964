"""How good estimated material maps are: the figures of ``bench.py maps``, on materials that were never trained on."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from . import lighting, maps_data
from .common import ROOT

sys.path.insert(0, str(ROOT))

from blender_sd.engine.maps import deterministic, estimator  # noqa: E402
from blender_sd.engine.maps.estimator import Estimate  # noqa: E402
from blender_sd.engine.maps.height import integrate  # noqa: E402

_SEEDS = {"seen": 11, "unseen": 12}
_RELIGHT = 77
_LIGHTS = 3
_ROUNDS = 3  # pictures of each family that are lit again
_RELIEF = 0.3  # pixels of standard deviation from which a height has a shape to compare
_BATCH = 16

Maps = dict[str, Tensor]
Estimator = Callable[[Tensor], Estimate]


def trained(net: object = None) -> Estimator:
    """The shipped estimator, or another net."""
    return lambda picture: estimator.estimate(picture, (True, True), net=net)


def pictures(which: str, maps: Maps) -> Tensor:
    """The pictures of a measured set, each under its own light."""
    rng, parts = np.random.default_rng(_SEEDS[which]), []
    for start in range(0, len(maps["base"]), _BATCH):
        parts.append(maps_data.lit({name: value[start : start + _BATCH] for name, value in maps.items()}, rng))
    return torch.cat(parts)


@torch.inference_mode()
def estimated(source: Estimator, lit: Tensor) -> Maps:
    """What a source makes of pictures: base, height and slope, roughness, metallic."""
    made = []
    for picture in lit.split(1):
        one = source(picture)
        height = integrate(one.slope, one.coarse)
        made.append({"base": one.base, "height": height, "slope": lighting.slopes(height),
                      "roughness": one.roughness, "metallic": one.metallic})  # fmt: skip
    return {name: torch.cat([one[name] for one in made]) for name in made[0]}


def decibels(first: Tensor, second: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio."""
    error = (first - second).square().mean((1, 2, 3)).clamp_min(1e-7)
    return float((-10 * error.log10()).mean())


def angle(maps: Maps, truth: Maps) -> float:
    """Mean angle between normals in degrees."""
    cosine = (lighting.normals(maps["slope"]) * lighting.normals(lighting.slopes(truth["height"]))).sum(1)
    return float(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).mean())


def correlation(maps: Maps, truth: Maps) -> float:
    """Mean over pictures with relief of the correlation between heights."""
    first = maps["height"] - maps["height"].mean((2, 3), keepdim=True)
    second = truth["height"] - truth["height"].mean((2, 3), keepdim=True)
    shaped = second.std((1, 2, 3)) > _RELIEF
    product = (first * second).mean((1, 2, 3)) / (
        first.square().mean((1, 2, 3)) * second.square().mean((1, 2, 3))
    ).sqrt().clamp_min(1e-9)
    return float(product[shaped].mean())


def balanced(made: Tensor, truth: Tensor) -> float:
    """Balanced accuracy of metallic, over all pixels."""
    yes, is_metal = made > 0.5, truth > 0.5
    return 0.5 * float(yes[is_metal].float().mean() + (~yes[~is_metal]).float().mean())


def relit(candidates: tuple[Maps, ...], truth: Maps, number: int) -> list[float]:
    """Mean error of each of several materials against the true one, under new lights, over the first ``number``."""
    errors = np.zeros(len(candidates))
    rng = np.random.default_rng(_RELIGHT)
    for start in range(0, number, _BATCH):
        part = slice(start, min(start + _BATCH, number))
        true = {name: value[part] for name, value in truth.items()}
        for _ in range(_LIGHTS):
            light = lighting.draw(rng, len(true["base"]), true["base"].shape[-1])
            want = lighting.shade(true, light)
            for index, given in enumerate(candidates):
                seen = lighting.shade({name: value[part] for name, value in given.items()}, light)
                errors[index] += float((seen - want).abs().mean((1, 2, 3)).sum())
    return [float(error) for error in errors / (_LIGHTS * number)]


def base_alone(base: Tensor) -> Maps:
    """A material with a base colour and nothing else: flat, half rough, no metal."""
    nothing = torch.zeros_like(base[:, :1])
    return {"base": base, "height": nothing, "roughness": nothing + 0.5, "metallic": nothing}


def figures(source: Estimator, log: Callable[[str], None] = lambda text: None) -> dict[str, float]:
    """All figures about quality of a source of maps."""
    result: dict[str, float] = {}
    for which in _SEEDS:
        truth, families = maps_data.measured(which)
        lit = pictures(which, truth)
        log(f"{which}: {len(lit)} pictures of {len(set(families))} families")
        ours, plain = estimated(source, lit), estimated(deterministic.estimate, lit)
        result |= {f"{which}_{name}": value for name, value in _compared(ours, plain, lit, truth).items()}
        if which == "seen":
            candidates = (ours, base_alone(lit), base_alone(ours["base"]))
            names = ("relit_error", "relit_picture_alone", "relit_base_alone")
            result |= dict(zip(names, relit(candidates, truth, _ROUNDS * len(set(families))), strict=True))
    return result


def _compared(ours: Maps, plain: Maps, lit: Tensor, truth: Maps) -> dict[str, float]:
    median = truth["roughness"].median()
    error = lambda maps, name: float((maps[name] - truth[name]).abs().mean())  # noqa: E731
    return {
        "base_db": decibels(ours["base"], truth["base"]),
        "picture_db": decibels(lit, truth["base"]),
        "base_error": error(ours, "base"),
        "base_error_plain": error(plain, "base"),
        "normal_angle": angle(ours, truth),
        "normal_angle_plain": angle(plain, truth),
        "height_correlation": correlation(ours, truth),
        "height_correlation_plain": correlation(plain, truth),
        "roughness_error": error(ours, "roughness"),
        "roughness_error_plain": error(plain, "roughness"),
        "roughness_error_constant": float((truth["roughness"] - median).abs().mean()),
        "metallic_balanced": balanced(ours["metallic"], truth["metallic"]),
        "metallic_balanced_plain": balanced(plain["metallic"], truth["metallic"]),
    }
