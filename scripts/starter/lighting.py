"""Light physical maps in many ways: what the map estimator is trained on, and how materials are compared.

Pictures are orthographic views from straight above, wrapping on both axes. Vectors are (x right, y down, z towards the
viewer). Everything works on batches: maps are float32 of shape (B, C, S, S).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_SHADOW_STEPS = (1, 2, 3, 5, 8, 12, 17)
# The main lamp shines from above, as the sun does in most pictures and as people take for granted: where it could
# shine from anywhere, a bump and a dent would look the same.
_FROM_ABOVE = (-2.25, 1.2)  # radians: the middle of its azimuths (upper left) and how far they spread to either side


@dataclass
class Light:
    """How one batch is lit: each tensor has the batch first.

    ``direction`` (B, K, 3) towards each light, ``colour`` (B, K, 3), ``sky`` and ``ground`` (B, 3) radiance from above
    and from the sides, ``lobes`` (B, L, 3) directions of soft bright areas in the surroundings with ``lobe_colour``
    (B, L, 3) and ``lobe_width`` (B, L) concentrations, ``shadow`` and ``occlusion`` (B,) strengths, ``waviness``
    (B, 2, S, S) bends what is mirrored, ``gain`` (B, 3, S, S) is uneven light and exposure.
    """

    direction: Tensor
    colour: Tensor
    sky: Tensor
    ground: Tensor
    lobes: Tensor
    lobe_colour: Tensor
    lobe_width: Tensor
    shadow: Tensor
    occlusion: Tensor
    waviness: Tensor
    gain: Tensor


def linear(srgb: Tensor) -> Tensor:
    """sRGB 0…1 to linear light."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp_min(0.04) + 0.055) / 1.055) ** 2.4)


def display(light: Tensor) -> Tensor:
    """Linear light to sRGB, clipped to 0…1."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp_min(0.003) ** (1 / 2.4) - 0.055)


def unit(vector: Tensor) -> Tensor:
    """Vectors along the second axis, scaled to a length of one (quicker than functional.normalize)."""
    return vector * vector.square().sum(1, keepdim=True).clamp_min(1e-12).rsqrt()


def slopes(height: Tensor) -> Tensor:
    """Wrapping central differences (B, 2, S, S) of a height (B, 1, S, S) in pixels; the second grows downwards."""
    dx = (torch.roll(height, -1, 3) - torch.roll(height, 1, 3)) * 0.5
    dy = (torch.roll(height, -1, 2) - torch.roll(height, 1, 2)) * 0.5
    return torch.cat((dx, dy), 1)


def normals(slope: Tensor) -> Tensor:
    """Unit normals (B, 3, S, S) of slopes (B, 2, S, S)."""
    return unit(torch.cat((-slope, torch.ones_like(slope[:, :1])), 1))


def blur(field: Tensor, sigma: float) -> Tensor:
    """Wrapping Gaussian blur, ``sigma`` in pixels."""
    h, w = field.shape[-2:]
    fy, fx = torch.fft.fftfreq(h)[:, None], torch.fft.rfftfreq(w)[None]
    gain = torch.exp(-2.0 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    return torch.fft.irfft2(torch.fft.rfft2(field) * gain, s=(h, w))


def occlusion(height: Tensor) -> Tensor:
    """How open each place is to the sky, 0…1, from how far it lies below its surroundings at three scales."""
    deep = sum((blur(height, s) - height).clamp_min(0) / s for s in (2.0, 4.5, 10.0))
    return 1.0 / (1.0 + 1.2 * deep)


def _smooth(rng: np.random.Generator, batch: int, channels: int, size: int, sigma: float) -> Tensor:
    field = blur(torch.from_numpy(rng.standard_normal((batch, channels, size, size)).astype(np.float32)), sigma)
    return field / field.std((2, 3), keepdim=True).clamp_min(1e-6)


def _upper(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Directions with an elevation between two angles in degrees."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi, shape), np.radians(rng.uniform(low, high, shape))
    return np.stack([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)], -1)


def draw(rng: np.random.Generator, batch: int, size: int) -> Light:
    """Draw the light of a batch: one to three lamps, surroundings, cast shadow, tint, exposure, uneven light."""
    tensor = lambda value: torch.from_numpy(np.asarray(value, np.float32))  # noqa: E731
    tint = lambda *shape: np.exp(rng.normal(0, 0.07, (*shape, 3)))  # noqa: E731
    direction = _upper(rng, (batch, 3), 22.0, 78.0)
    flat = np.hypot(direction[:, 0, 0], direction[:, 0, 1])
    azimuth = rng.uniform(_FROM_ABOVE[0] - _FROM_ABOVE[1], _FROM_ABOVE[0] + _FROM_ABOVE[1], batch)
    direction[:, 0, 0], direction[:, 0, 1] = flat * np.cos(azimuth), flat * np.sin(azimuth)
    power = rng.dirichlet((2.0, 0.7, 0.4), batch)
    ambient = rng.uniform(0.12, 0.75, (batch, 1))
    colour = (1.0 - ambient)[..., None] * power[..., None] * tint(batch, 3)
    # One white sheet that lies flat and unshaded is exposed to about 1.
    level = (colour * direction[..., 2:]).sum(1) + ambient
    exposure = np.exp(rng.normal(0.0, 0.10, (batch, 1)) + rng.normal(0.0, 0.03, (batch, 3)))
    uneven = np.exp(rng.uniform(0, 0.10, (batch, 1, 1, 1)) * _smooth(rng, batch, 1, size, size * 0.16).numpy())
    lobes = np.concatenate([_upper(rng, (batch, 3), 8.0, 85.0), direction], 1)
    lobe_power = np.concatenate([rng.uniform(0, 2.5, (batch, 3, 1)) * ambient[:, None], 1.2 * power[..., None]], 1)
    return Light(
        tensor(direction), tensor(colour), tensor(ambient * tint(batch)), tensor(0.5 * ambient * tint(batch)),
        tensor(lobes), tensor(lobe_power * tint(batch, 6)), tensor(rng.uniform(3.0, 40.0, (batch, 6))),
        tensor(rng.uniform(0, 1, batch)), tensor(rng.uniform(0.4, 1.0, batch)),
        tensor(rng.uniform(0, 0.16, (batch, 1, 1, 1))) * _smooth(rng, batch, 2, size, size * 0.09),
        tensor(uneven * (exposure / level)[:, :, None, None]),
    )  # fmt: skip


def _shadow(height: Tensor, direction: Tensor) -> Tensor:
    """Light that reaches each place from each item's one direction (B, 3), 0…1, with soft edges."""
    lit = []
    for item, (x, y, z) in zip(height, direction.tolist(), strict=True):
        flat = max((x * x + y * y) ** 0.5, 1e-4)
        steep, above = z / flat, torch.zeros_like(item)
        for step in _SHADOW_STEPS:
            shift = (-round(y / flat * step), -round(x / flat * step))
            above = torch.maximum(above, (torch.roll(item, shift, (1, 2)) - item - steep * step) / (0.35 * step + 0.3))
        lit.append(1.0 - above.clamp(0, 1))
    return torch.stack(lit)


def shade(maps: dict[str, Tensor], light: Light) -> Tensor:
    """Light maps by a GGX surface (as glTF's) under ``light``; returns sRGB (B, 3, S, S) in 0…1.

    ``maps`` has ``base`` (B, 3, S, S) sRGB, ``height`` in pixels, ``roughness``, ``metallic`` (B, 1, S, S), and
    may have ``slope`` (B, 2, S, S), which is then used for the normals instead of the height's.
    """
    base, metal, rough = linear(maps["base"]), maps["metallic"], maps["roughness"].clamp(0.07, 1)
    normal = normals(maps["slope"] if "slope" in maps else slopes(maps["height"]))
    open_sky = 1.0 - light.occlusion[:, None, None, None] * (1.0 - occlusion(maps["height"]))
    diffuse, mirror = base * (1 - metal), 0.04 * (1 - metal) + base * metal
    alpha = (rough * rough + 0.02).clamp(max=1.0)
    facing = normal[:, 2:].clamp_min(1e-3)
    result = diffuse * (light.sky[..., None, None] * (0.5 + 0.5 * facing)) * open_sky
    result = result + _lamps(maps["height"], normal, facing, alpha, diffuse, mirror, light)
    bent = unit(normal + F.pad(light.waviness, (0, 0, 0, 0, 0, 1)))
    around = 2 * bent * bent[:, 2:] - torch.tensor([0.0, 0.0, 1.0])[:, None, None]
    # Karis' fit of the reflectance of a rough surface to uniform light.
    a = torch.minimum((1 - rough) ** 2, 2 ** (-9.28 * facing)) * (1 - rough) + 0.0425 - 0.0275 * rough
    response = (mirror * (1.04 - 0.572 * rough - 1.04 * a) + 1.04 * a + 0.022 * rough - 0.04).clamp_min(0)
    seen = light.ground[..., None, None] + (light.sky - light.ground)[..., None, None] * around[:, 2:].clamp_min(0)
    for index in range(light.lobes.shape[1]):
        width = light.lobe_width[:, index, None, None, None]
        width = 1.0 / (1.0 / width + alpha)
        cosine = (around * light.lobes[:, index, :, None, None]).sum(1, keepdim=True)
        energy = width / light.lobe_width[:, index, None, None, None]
        seen = seen + light.lobe_colour[:, index, :, None, None] * energy * torch.exp(width * (cosine - 1))
    return display((result + response * seen * open_sky) * light.gain)


def _lamps(height: Tensor, normal: Tensor, facing: Tensor, alpha: Tensor, diffuse: Tensor, mirror: Tensor,
           light: Light) -> Tensor:
    """Diffuse light and highlights of the lamps."""
    result = torch.zeros_like(diffuse)
    for index in range(light.direction.shape[1]):
        way = light.direction[:, index]
        strength = light.colour[:, index, :, None, None]
        dark = light.shadow[:, None, None, None]
        if index == 0:
            strength = strength * (1.0 - dark * (1.0 - _shadow(height, way)))
        cosine = (normal * way[..., None, None]).sum(1, keepdim=True).clamp_min(0)
        half = unit(way + torch.tensor([0.0, 0.0, 1.0]))
        peak = (normal * half[..., None, None]).sum(1, keepdim=True).clamp_min(0)
        spread = alpha * alpha
        lobe = spread / (peak * peak * (spread - 1) + 1) ** 2
        k = alpha * 0.5
        visible = 0.25 / ((cosine * (1 - k) + k) * (facing * (1 - k) + k))
        fresnel = mirror + (1 - mirror) * (1 - half[:, 2, None, None, None]) ** 5
        result = result + strength * cosine * (diffuse + (fresnel * lobe * visible).clamp(max=4.0))
    return result


def painted(maps: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
    """Light maps as the starter model's pictures are lit (:func:`fields.shade`): simply, in display space."""
    base, height, metal = maps["base"], maps["height"], maps["metallic"]
    normal, batch, size = normals(slopes(height)), base.shape[0], base.shape[-1]
    middle, spread = _FROM_ABOVE
    turn = np.where(rng.random(batch) < 0.6, -2.254, rng.uniform(middle - spread, middle + spread, batch))
    way = torch.from_numpy(np.stack([0.725 * np.cos(turn), 0.725 * np.sin(turn), np.full(batch, 0.69)], 1)).float()
    half = unit(way + torch.tensor([0.0, 0.0, 1.0]))
    diffuse = (normal * way[..., None, None]).sum(1, keepdim=True).clamp(0, 1)
    peak = (normal * half[..., None, None]).sum(1, keepdim=True).clamp(0, 1)
    deep = (0.30 * (blur(height, 1.25) - height).clamp_min(0)).clamp(0, 0.6)
    picture = base * (0.42 + 0.84 * diffuse) * (1 - deep)
    gloss = 0.7 * (1 - maps["roughness"]).clamp_min(0) ** 1.5 * torch.from_numpy(rng.random((batch, 1, 1, 1))).float()
    picture = picture + gloss * (0.55 * peak**48 - 0.05)
    y = torch.arange(size).float()[None, None, :, None] / size
    bands = torch.from_numpy(rng.integers(2, 6, (batch, 1, 1, 1))).float()
    wave = torch.sin(2 * np.pi * (bands * y + torch.from_numpy(rng.random((batch, 1, 1, 1))).float()))
    sheen = 0.14 * wave + 0.05 * _smooth(rng, batch, 1, size, size * 0.06)
    return (picture * (1 + metal * sheen) + 0.10 * metal * sheen.clamp_min(0)).clamp(0, 1)
