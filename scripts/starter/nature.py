"""Grown, poured and worn materials: stone, ground, plants, liquids, metal, leather."""

from __future__ import annotations

import numpy as np

from .fields import blur, count, grid, lattice, smoothstep
from .surface import Kit, Surface, mix, paint, unit


def marble(k: Kit) -> Surface:
    """Polished stone with branching veins."""
    scale = k.px * 1.1 / k.scale
    bend = k.noise(scale, 2.6)
    vein = np.abs(k.noise(scale * 0.9, 2.3) + 0.35 * bend)
    fine = np.abs(k.noise(scale * 0.45, 2.1) + 0.4 * bend)
    ink = np.exp(-vein / 0.17) + 0.5 * np.exp(-fine / 0.12)
    cloud = 1.0 + 0.07 * k.force * k.noise(scale, 2.4)
    dark = k.base.mean() < 0.32
    vein_colour = np.clip(k.base + 0.55, 0, 0.95) if dark else k.base * 0.36 + 0.03
    albedo = mix(paint(k.base, cloud), vein_colour, 0.85 * min(k.force, 1.2) * ink)
    return Surface(k.dirt(albedo, 0.15), np.full(ink.shape, 0.5, np.float32), 0.0, 0.0)


def terrazzo(k: Kit) -> Surface:
    """Chips of several colours cast in a ground colour and polished."""
    x, y = grid(k.size)
    n = count(k.size, k.px * 0.42)
    near, _, ident, border = lattice(k.rng, x, y, k.size, n, n, 0.9)
    size = k.rng.uniform(-0.02, 0.30, n * n).astype(np.float32)[ident]
    chip = smoothstep(0.0, 0.06, border - size) * (near < 0.75)
    tints = np.array([k.other, k.other * 0.6, k.base * 0.45, np.full(3, 0.93), [0.72, 0.50, 0.36]], np.float32)
    colour = tints[k.rng.integers(0, len(tints), n * n)][ident]
    albedo = mix(paint(k.base, 1.0 + 0.03 * k.noise(6.0)), colour, chip)
    return Surface(k.dirt(k.grain(albedo, 0.015), 0.2), np.full(x.shape, 0.5, np.float32), 0.0, 0.0)


def plaster(k: Kit) -> Surface:
    """Trowelled wall: broad strokes and small lumps in one colour."""
    scale = max(k.px / k.scale * 0.5, 5.0)
    stroke = np.maximum(k.noise(scale, 2.0, 2.5, 0.5), k.noise(scale, 2.0, 2.5, -0.6))
    lump = 0.65 * stroke + 0.35 * k.noise(3.5, 1.8)
    height = np.clip(0.5 + 0.16 * lump, 0, 1)
    albedo = paint(k.base, 1.0 + 0.03 * k.force * k.noise(18.0, 2.4))
    if k.wear > 0.5:
        crack = smoothstep(0.02, 0.09, np.abs(k.noise(18.0, 1.9)))
        albedo, height = albedo * (0.5 + 0.5 * crack)[..., None], height * (0.7 + 0.3 * crack)
    return Surface(k.dirt(albedo, 0.2), height, 4.2 * (0.6 + 0.4 * k.force))


def concrete(k: Kit) -> Surface:
    """Cast concrete: blotches, pores and hairline pits."""
    blotch = k.noise(max(k.px / k.scale * 0.9, 9.0), 1.7)
    x, y = grid(k.size)
    n = count(k.size, 9.0 * k.scale)
    near, _, ident, _ = lattice(k.rng, x, y, k.size, n, n, 1.0)
    radius = k.rng.uniform(-0.12, 0.17, n * n).astype(np.float32)[ident]
    pore = smoothstep(0.0, 0.08, radius - near + 0.02)
    albedo = paint(k.base, 1.0 + 0.10 * k.force * blotch + 0.03 * k.noise(2.5, 1.3))
    albedo = albedo * (1.0 - 0.55 * pore)[..., None]
    height = np.clip(0.6 - 0.5 * pore + 0.03 * k.noise(2.5, 1.4), 0, 1)
    if k.wear > 0.5:
        crack = smoothstep(0.015, 0.06, np.abs(k.noise(20.0, 1.8)))
        albedo = albedo * (0.4 + 0.6 * crack)[..., None]
    return Surface(k.dirt(albedo, 0.25), height, 1.8)


def rust(k: Kit) -> Surface:
    """Painted sheet metal being eaten by rust."""
    patch = k.noise(max(k.px / k.scale * 0.9, 8.0), 1.7) + 0.12 * k.noise(3.0, 1.4)
    level = (0.75, 0.15, -0.4)[k.spec.wear]
    eaten = smoothstep(level - 0.12, level + 0.12, patch)
    deep = smoothstep(level + 0.4, level + 1.4, patch + 0.3 * k.noise(4.0, 1.6))
    oxide = mix(np.array([0.62, 0.31, 0.12], np.float32) * np.ones((*patch.shape, 3), np.float32),
                np.array([0.30, 0.14, 0.08], np.float32), deep)
    oxide = oxide * (1.0 + 0.13 * k.noise(3.0, 1.5))[..., None]
    albedo = mix(paint(k.base, 1.0 + 0.04 * k.noise(8.0)), oxide, eaten)
    height = np.clip(0.7 - 0.35 * eaten + 0.07 * eaten * k.noise(3.0, 1.6), 0, 1)
    return Surface(k.grain(albedo), height, 1.8)


def metal(k: Kit) -> Surface:
    """Brushed metal: hair lines along the x axis under a soft sheen."""
    brush = k.noise(1.9, 1.3, stretch=26.0)
    _, y = grid(k.size)
    bands = count(k.size, 40 * k.scale)
    sheen = np.sin(2 * np.pi * (bands * y / k.size + k.rng.random())) * 0.16 + 0.05 * k.noise(18.0, 2.5, 4.0)
    level = 1.02 + sheen + 0.075 * k.force * brush
    albedo = paint(k.base, level) + (0.10 * np.clip(sheen, 0, 1))[..., None]
    if k.wear > 0.5:
        scratch = smoothstep(2.0, 2.6, k.noise(1.8, 1.5, 20.0, k.rng.uniform(0.2, 1.2)))
        albedo = mix(albedo, np.clip(k.base * 1.35, 0, 1), 0.7 * scratch)
    return Surface(k.dirt(np.clip(albedo, 0, 1), 0.25), np.clip(0.5 + 0.08 * brush, 0, 1), 0.5, 0.0)


def lozenges(k: Kit) -> tuple[np.ndarray, float]:
    """Return the relief of tread plate, raised lozenges at plus and minus 45 degrees, and the pixels of a cell."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px * 0.55, 8.0 * k.scale), even=True)
    cell = k.size / n
    cx, cy = np.floor(x / cell), np.floor(y / cell)
    u, v = x / cell - cx - 0.5, y / cell - cy - 0.5
    sign = np.where((cx + cy) % 2 == 0, 1.0, -1.0)
    along, across = (u + sign * v) * 0.7071, (v - sign * u) * 0.7071
    return smoothstep(0.0, 0.5, 1.0 - np.sqrt((along / 0.56) ** 2 + (across / 0.17) ** 2)), cell


def plate(k: Kit) -> Surface:
    """Tread plate."""
    bump, cell = lozenges(k)
    albedo = paint(k.base, 0.92 + 0.16 * bump + 0.04 * k.noise(2.0, 1.4, 6.0))
    if k.wear > 0.5:
        brown = np.array([0.42, 0.24, 0.13], np.float32)
        albedo = mix(albedo, brown, 0.8 * smoothstep(0.5, 1.4, k.noise(9.0, 1.8)) * (1 - 0.7 * bump))
    return Surface(k.dirt(albedo, 0.2), bump, 0.10 * cell / k.scale + 0.8, 0.35)


def leather(k: Kit) -> Surface:
    """Grained hide: soft pebbles between fine creases."""
    x, y = grid(k.size)
    bend = 0.8 * k.scale
    n = count(k.size, max(k.px * 0.30, 4.6 * k.scale))
    _, _, ident, border = lattice(
        k.rng, x + bend * k.noise(6.0), y + bend * k.noise(6.0), k.size, n, n, 0.85
    )
    pebble = smoothstep(0.0, 0.34, border)
    crease = np.exp(-np.abs(k.noise(20.0, 2.4)) / 0.06) * k.wear
    height = np.clip(0.8 * pebble - 0.4 * crease + 0.1, 0, 1)
    level = 0.80 + 0.24 * pebble + 0.05 * k.noise(16.0, 2.2) - 0.2 * crease
    return Surface(k.dirt(paint(k.base, level * k.each(n * n, 0.03)[ident]), 0.2), height, 1.6, 0.30)


def grass(k: Kit) -> Surface:
    """Lawn seen from above: layers of blades leaning different ways."""
    width = max(k.px / k.scale * 0.16, 2.2)
    top, tone = np.full((k.size, k.size), -9.0, np.float32), np.zeros((k.size, k.size), np.float32)
    for layer in range(5):
        lean = np.pi / 2 + k.rng.uniform(-0.75, 0.75)
        blade = k.noise(width, 2.2, 5.0, lean) + 0.15 * layer
        tone = np.where(blade > top, k.rng.normal(0.0, 0.13), tone)
        top = np.maximum(top, blade)
    height = unit(top)
    level = 0.38 + 1.05 * height**1.3 + k.force * tone
    albedo = paint(k.base, level)
    albedo[..., 0] += 0.10 * np.clip(tone + 0.05, 0, 1)
    return Surface(k.dirt(np.clip(albedo, 0, 1), 0.3), height, 2.6)


def sand(k: Kit) -> Surface:
    """Wind ripples in fine sand."""
    _, y = grid(k.size)
    n = count(k.size, k.px * 0.6)
    phase = n * y / k.size + 0.22 * k.noise(18.0, 2.8) + 0.03 * k.noise(6.0)
    saw = phase - np.floor(phase)
    ripple = np.where(saw < 0.68, saw / 0.68, (1.0 - saw) / 0.32)
    height = np.clip(0.8 * smoothstep(0, 1, ripple) + 0.03 * k.noise(2.0, 1.2), 0, 1)
    albedo = paint(k.base, 0.95 + 0.10 * k.force * (ripple - 0.5) + 0.05 * k.noise(1.8, 1.0))
    return Surface(albedo, height, (0.10 + 0.04 * k.force) * k.px / k.scale + 0.4)


def snow(k: Kit) -> Surface:
    """Soft drifts with blue shadows and a few bright crystals."""
    drift = k.noise(max(k.px / k.scale * 0.9, 9.0), 3.0)
    height = unit(drift + 0.04 * k.noise(2.2, 1.6))
    cold = np.array([0.74, 0.84, 0.97], np.float32)
    albedo = mix(np.full((*height.shape, 3), 0.95, np.float32), cold, 0.9 - 0.9 * height)
    sparkle = smoothstep(2.2, 2.9, k.noise(1.6, 1.0))
    return Surface(
        albedo * np.float32(0.98), height, 0.28 * max(k.px / k.scale, 12.0) + 2.0, 0.0, sparkle[..., None] * 0.4
    )


def water(k: Kit) -> Surface:
    """A pool from above: a net of light over the coloured depth."""
    x, y = grid(k.size)
    n = count(k.size, k.px * 0.75, least=2)
    bend = 0.16 * k.px
    _, _, _, border = lattice(k.rng, x + bend * k.noise(14.0, 2.6), y + bend * k.noise(14.0, 2.6), k.size, n, n, 0.85)
    net = np.exp(-border / 0.07) + 0.35 * np.exp(-border / 0.22)
    level = 0.88 + 0.10 * k.noise(18.0, 2.6)
    light = np.clip(k.base * 0.6 + 0.52, 0, 1)
    albedo = mix(paint(k.base, level), light, min(k.force, 1.2) * 0.8 * blur(net, 0.5 * k.scale))
    return Surface(albedo, np.clip(0.4 + 0.3 * net, 0, 1), 0.0)


def lava(k: Kit) -> Surface:
    """Black crust broken by glowing cracks."""
    x, y = grid(k.size)
    n = count(k.size, k.px * 0.8, least=2)
    bend = 0.12 * k.px
    _, _, ident, border = lattice(k.rng, x + bend * k.noise(9.0, 2.0), y + bend * k.noise(9.0, 2.0), k.size, n, n, 0.85)
    border = border + 0.03 * k.noise(4.0, 1.6)
    crust = smoothstep(0.04, 0.26, border)
    rough = k.noise(4.0, 1.6)
    albedo = paint(np.array([0.17, 0.14, 0.13], np.float32), k.each(n * n, 0.2)[ident] * (1.0 + 0.2 * rough))
    heat = np.clip(np.exp(-np.clip(border, 0, 1) / 0.075) * (0.8 + 0.35 * k.force), 0, 1)
    hot = np.clip(k.base * 1.05 + np.array([0.18, 0.12, 0.0], np.float32), 0, 1)
    ramp = mix(k.base * np.ones_like(albedo), hot + np.array([0.0, 0.22, 0.10], np.float32), heat**3)
    height = np.clip(0.7 * crust + 0.08 * rough + 0.1, 0, 1)
    return Surface(albedo, height, 2.4, 0.0, ramp * heat[..., None])


FAMILIES = {
    "marble": marble,
    "terrazzo": terrazzo,
    "plaster": plaster,
    "concrete": concrete,
    "rust": rust,
    "metal": metal,
    "tread plate": plate,
    "leather": leather,
    "grass": grass,
    "sand": sand,
    "snow": snow,
    "water": water,
    "lava": lava,
}
