"""Metals for the training of the map estimator: sheets, plates, perforated and worn ones, with their exact maps.

Their base colour is the metal's own reflectance, with no sheen painted into it; what shines comes from the lighting.
"""

from __future__ import annotations

import numpy as np

from .fields import count, grid, lattice, smoothstep
from .nature import lozenges
from .physical import Physical
from .surface import Kit, mix, paint, unit

# Reflectance at normal incidence as sRGB: aluminium, steel, iron, gold, brass, copper, bronze, titanium, gunmetal.
COLOURS = np.array(
    [
        (0.96, 0.96, 0.97), (0.78, 0.78, 0.79), (0.75, 0.74, 0.73), (1.00, 0.88, 0.60), (0.95, 0.89, 0.68),
        (0.97, 0.81, 0.74), (0.82, 0.70, 0.53), (0.76, 0.73, 0.69), (0.50, 0.51, 0.54),
    ],
    np.float32,
)  # fmt: skip


def colour(k: Kit) -> np.ndarray:
    """Draw a metal's colour, varied a little as alloys differ."""
    base = COLOURS[k.rng.integers(len(COLOURS))]
    return np.clip(base * k.rng.normal(1.0, 0.04) + k.rng.normal(0.0, 0.01, 3), 0.2, 1.0).astype(np.float32)


def worn(k: Kit, albedo: np.ndarray, height: np.ndarray, relief: float, rough: np.ndarray) -> Physical:
    """Finish a metal: with wear come smudges, and in patches rust, which is no metal."""
    smudge = np.clip(0.5 + 0.35 * k.noise(12.0, 2.0), 0, 1)
    rough = rough + 0.16 * k.wear * smudge + 0.02 * k.noise(2.0, 1.4)
    metal = np.ones_like(height)
    if k.wear > 0.5:
        patch = k.noise(max(k.px / k.scale * 0.7, 8.0), 1.7) + 0.15 * k.noise(3.0, 1.4)
        level = k.rng.uniform(0.3, 1.8)
        rust = smoothstep(level - 0.12, level + 0.12, patch)
        oxide = np.array([0.50, 0.26, 0.12], np.float32) * k.rng.normal(1.0, 0.08)
        albedo = mix(albedo, paint(oxide, 1.0 + 0.16 * k.noise(3.0, 1.5)), rust)
        rough = rough * (1 - rust) + 0.92 * rust
        metal = 1.0 - rust
        height = height + rust * 0.10 * k.noise(2.6, 1.5)
    return Physical(np.clip(albedo, 0, 1), height, relief, np.clip(rough, 0.05, 1.0), metal)


def _plain(k: Kit, shape: tuple[int, int], spread: float = 0.02) -> np.ndarray:
    return paint(colour(k), 1.0 + spread * k.noise(9.0, 2.0) * np.ones(shape, np.float32))


def brushed(k: Kit) -> Physical:
    """Hair lines along one axis."""
    angle = k.rng.choice([0.0, np.pi / 2])
    line = k.noise(1.5, 1.3, 24.0, angle)
    rough = k.rng.uniform(0.22, 0.45) + 0.05 * line
    return worn(k, _plain(k, line.shape) * (1.0 + 0.03 * line)[..., None], 0.5 + 0.1 * line, 0.7, rough)


def sheet(k: Kit) -> Physical:
    """Rolled sheet, slightly wavy, with scratches."""
    wave = k.noise(max(k.px / k.scale, 14.0), 3.0)
    line = np.zeros_like(wave)
    for _ in range(3):
        line = np.maximum(line, smoothstep(2.0, 2.7, k.noise(1.6, 1.5, 22.0, k.rng.uniform(0, np.pi))))
    height = 0.5 + 0.15 * wave - 0.10 * line
    rough = np.full_like(wave, k.rng.uniform(0.08, 0.4)) + 0.2 * line
    return worn(k, _plain(k, wave.shape), height, k.rng.uniform(1.0, 5.0), rough)


def tread(k: Kit) -> Physical:
    """Tread plate."""
    bump, cell = lozenges(k)
    rough = k.rng.uniform(0.2, 0.45) - 0.08 * bump
    return worn(k, _plain(k, bump.shape), bump, 0.10 * cell / k.scale + 0.8, rough)


def cast(k: Kit) -> Physical:
    """Cast metal: a pitted, sandy skin."""
    skin = 0.6 * k.noise(4.0, 1.6) + 0.4 * k.noise(12.0, 2.2)
    rough = k.rng.uniform(0.45, 0.7) + 0.05 * k.noise(6.0, 1.6)
    return worn(k, _plain(k, skin.shape, 0.05), np.clip(0.5 + 0.17 * skin, 0, 1), k.rng.uniform(2.0, 4.5), rough)


def perforated(k: Kit) -> Physical:
    """Perforated sheet: holes with rounded rims over a dark ground."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px * 0.5, 8.0 * k.scale), even=True)
    near, _, _, _ = lattice(k.rng, x, y, k.size, n, n, 0.0, k.rng.choice([0.0, 0.5]))
    radius = k.rng.uniform(0.24, 0.36)
    solid = smoothstep(radius - 0.05, radius + 0.05, near)
    rough = k.rng.uniform(0.15, 0.4) + 0.4 * (1 - solid)
    albedo = mix(np.full((*near.shape, 3), 0.05, np.float32), _plain(k, near.shape), solid)
    result = worn(k, albedo, solid, 2.4, rough)
    result.metallic = result.metallic * (solid > 0.5)
    return result


def panels(k: Kit) -> Physical:
    """Square metal tiles with bevelled edges, each brushed to its own roughness."""
    x, y = grid(k.size)
    n = count(k.size, k.px)
    cell = k.size / n
    cx, cy = np.floor(x / cell).astype(np.int32), np.floor(y / cell).astype(np.int32)
    u, v = x / cell - cx, y / cell - cy
    joint = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) * cell
    body = smoothstep(0.5 * k.scale, 2.2 * k.scale, joint)
    ident = cy * n + cx
    line = k.noise(1.7, 1.4, 14.0)
    albedo = paint(colour(k), k.each(n * n, 0.04)[ident] * (0.45 + 0.55 * body))
    rough = k.rng.uniform(0.15, 0.4) + k.rng.normal(0, 0.06, n * n)[ident] + 0.04 * line
    return worn(k, albedo, 0.9 * body + 0.03 * line, 2.0, rough)


def knurled(k: Kit) -> Physical:
    """Diamond knurling: two families of grooves crossing."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px * 0.4, 7.0 * k.scale))
    u = np.abs(((x + y) * n / k.size) % 1.0 - 0.5) * 2
    v = np.abs(((x - y) * n / k.size) % 1.0 - 0.5) * 2
    height = np.minimum(u, v)
    rough = k.rng.uniform(0.15, 0.4) * np.ones_like(height)
    return worn(k, _plain(k, height.shape), height, 0.12 * k.px / k.scale + 0.6, rough)


def painted(k: Kit) -> Physical:
    """Painted sheet whose coat has chipped off in patches down to bare metal."""
    patch = k.noise(max(k.px / k.scale * 0.8, 8.0), 1.7) + 0.12 * k.noise(3.0, 1.4)
    level = k.rng.uniform(-0.4, 1.2)
    bare = smoothstep(level - 0.06, level + 0.06, patch)
    coat = paint(k.base, 1.0 + 0.03 * k.noise(9.0))
    albedo = mix(coat, _plain(k, patch.shape), bare)
    rough = (1 - bare) * k.rng.uniform(0.25, 0.7) + bare * k.rng.uniform(0.2, 0.45)
    height = 0.7 - 0.35 * bare + 0.03 * k.noise(3.0, 1.6)
    return Physical(albedo, height, k.rng.uniform(1.0, 2.2), np.clip(rough + 0.02 * k.noise(3.0), 0.05, 1), bare)


def corrugated(k: Kit) -> Physical:
    """Corrugated iron: parallel waves."""
    x, _ = grid(k.size)
    n = count(k.size, max(k.px * 0.6, 9.0 * k.scale))
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * n * x / k.size)
    rough = k.rng.uniform(0.25, 0.5) * np.ones_like(wave)
    return worn(k, _plain(k, wave.shape, 0.04), wave, 0.16 * k.px / k.scale + 0.6, rough)


def riveted(k: Kit) -> Physical:
    """Overlapping plates held by rows of rivets."""
    x, y = grid(k.size)
    n = count(k.size, k.px * 1.1)
    cell = k.size / n
    u, v = (x / cell) % 1.0, (y / cell) % 1.0
    joint = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v)) * cell
    plate = smoothstep(0.3 * k.scale, 1.4 * k.scale, joint)
    corner = np.hypot(np.minimum(u, 1 - u) - 0.16, np.minimum(v, 1 - v) - 0.16)
    head = np.sqrt(np.clip(1.0 - (corner / 0.085) ** 2, 0, 1))
    rough = k.rng.uniform(0.25, 0.5) + 0.06 * (1 - head) + 0.03 * k.noise(4.0)
    albedo = _plain(k, plate.shape, 0.03) * (0.5 + 0.5 * plate)[..., None]
    return worn(k, albedo, 0.5 * plate + 0.5 * head, 0.06 * cell / k.scale + 1.4, rough)


def hammered(k: Kit) -> Physical:
    """Hammered metal: round dents side by side."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px * 0.5, 7.0 * k.scale))
    near, _, _, _ = lattice(k.rng, x, y, k.size, n, n, 0.75)
    dent = unit(np.clip(near, 0, 0.9) ** 2)
    rough = k.rng.uniform(0.15, 0.4) * np.ones_like(dent)
    return worn(k, _plain(k, dent.shape), dent, 0.14 * k.px / k.scale + 0.8, rough)


def mesh(k: Kit) -> Physical:
    """Woven wire: round wires over and under."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px * 0.35, 6.0 * k.scale), even=True)
    u, v = x * n / k.size, y * n / k.size
    cu, cv = np.floor(u), np.floor(v)
    fu, fv = u - cu - 0.5, v - cv - 0.5
    sign = np.where((cu + cv) % 2 == 0, 1.0, -1.0)
    wire = 0.36
    warp = np.sqrt(np.clip(1 - (fu / wire) ** 2, 0, 1)) * (0.65 + 0.35 * sign * np.cos(np.pi * fv))
    weft = np.sqrt(np.clip(1 - (fv / wire) ** 2, 0, 1)) * (0.65 - 0.35 * sign * np.cos(np.pi * fu))
    height = np.maximum(warp, weft)
    solid = smoothstep(0.02, 0.12, height)
    albedo = mix(np.full((*height.shape, 3), 0.04, np.float32), _plain(k, height.shape), solid)
    rough = k.rng.uniform(0.15, 0.4) + 0.5 * (1 - solid)
    result = worn(k, albedo, height, 0.11 * k.px / k.scale + 1.0, rough)
    result.metallic = result.metallic * (solid > 0.5)
    return result


FAMILIES = {
    "brushed metal": brushed,
    "metal sheet": sheet,
    "tread plate": tread,
    "cast metal": cast,
    "perforated metal": perforated,
    "metal panels": panels,
    "knurled metal": knurled,
    "painted metal": painted,
    "corrugated metal": corrugated,
    "riveted metal": riveted,
    "hammered metal": hammered,
    "woven wire": mesh,
}
HELD_OUT = ("corrugated metal", "riveted metal", "hammered metal", "woven wire")
