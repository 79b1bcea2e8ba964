"""Laid and built materials: brick, stone, tiles, wood."""

from __future__ import annotations

import numpy as np

from .fields import count, courses, grid, lattice, smoothstep
from .surface import Kit, Surface, mix, paint, unit


def _warped(k: Kit, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates bent by smooth noise of ``amount`` finished pixels."""
    x, y = grid(k.size)
    bend = amount * k.scale
    return x + bend * k.noise(10.0, 2.5), y + bend * k.noise(10.0, 2.5)


def _mortar(k: Kit) -> np.ndarray:
    """A joint colour that stands off from the base colour: pale beside dark stones, darker beside pale ones."""
    tone = 0.72 if k.base.mean() < 0.5 else 0.40
    return np.array([1.0, 0.97, 0.91], np.float32) * tone * k.rng.normal(1.0, 0.06)


def brick(k: Kit) -> Surface:
    """Running bond with flush mortar."""
    x, y = _warped(k, 0.12 + 0.35 * k.wear)
    ny = count(k.size, k.px * 0.5, even=True)
    nx = count(k.size, k.px)
    ident, _, _, joint = courses(x, y, k.size, nx, ny, 0.5 * (np.arange(ny) % 2).astype(np.float32))
    rough = k.noise(3.0, 1.5)
    width = max(0.045 * k.px, 0.55 * k.scale)
    body = smoothstep(width * 0.7, width * 1.7, joint + 0.5 * width * (0.5 + k.wear) * k.noise(5.0, 1.8))
    tone = k.each(nx * ny, 0.13)[ident]
    albedo = paint(k.pieces(ident), tone * (1.0 + 0.05 * rough))
    warm = k.rng.normal(0.0, 0.016, nx * ny).astype(np.float32)[ident]
    albedo = albedo + warm[..., None] * np.array([1.0, 0.2, -0.6], np.float32)
    albedo = mix(paint(_mortar(k), 1.0 + 0.05 * rough), albedo, body)
    height = np.clip(0.85 * body + 0.05 * rough + 0.05 * (tone - 1.0), 0.0, 1.0)
    return Surface(k.dirt(k.grain(albedo)), height, 1.5)


def stone_wall(k: Kit) -> Surface:
    """Irregular hewn blocks in uneven courses."""
    x, y = _warped(k, 0.9)
    ny = count(k.size, k.px * 0.62, least=2)
    nx = count(k.size, k.px * 1.05)
    offsets = k.rng.uniform(0.0, 1.0, ny).astype(np.float32)
    edges = k.rng.uniform(-0.26, 0.26, (ny, nx)).astype(np.float32)
    ident, _, _, joint = courses(x, y, k.size, nx, ny, offsets, edges)
    chip = k.noise(6.0, 1.8)
    width = max(0.06 * k.px, 0.7 * k.scale)
    body = smoothstep(width * 0.1, width * 2.0, joint + 0.5 * width * chip)
    rough = k.noise(5.0, 1.4)
    tone = 1.15 * k.each(nx * ny, 0.20)[ident]
    albedo = paint(k.pieces(ident), tone * (1.0 + 0.10 * rough))
    albedo = mix(paint(k.base * 0.38, 1.0 + 0.08 * rough), albedo, body)
    height = np.clip(0.72 * body + 0.10 * rough + 0.10, 0.0, 1.0)
    return Surface(k.dirt(k.grain(albedo, 0.025)), height, 2.6)


def cobblestone(k: Kit) -> Surface:
    """Rounded setts with dark earth between."""
    x, y = _warped(k, 0.5)
    n = count(k.size, k.px * 0.62, even=True)
    _, _, ident, border = lattice(k.rng, x, y, k.size, n, n, 0.42, 0.5)
    dome = smoothstep(0.03, 0.42, border)
    stone = smoothstep(0.05, 0.15, border + 0.02 * k.noise(3.0))
    rough = k.noise(4.0, 1.5)
    albedo = paint(k.pieces(ident), k.each(n * n, 0.17)[ident] * (1.0 + 0.07 * rough))
    albedo = mix(paint(k.base * 0.28, 1.0 + 0.1 * rough), albedo, stone)
    height = np.clip(0.85 * dome + 0.05 * rough, 0.0, 1.0)
    return Surface(k.dirt(k.grain(albedo)), height, 0.16 * k.px / k.scale + 1.2, 0.12)


def gravel(k: Kit) -> Surface:
    """Loose angular pebbles of mixed tones, heaped."""
    x, y = _warped(k, 0.6)
    n = count(k.size, k.px * 0.36)
    _, _, ident, border = lattice(k.rng, x, y, k.size, n, n, 0.95)
    lift = k.rng.uniform(0.0, 0.45, n * n).astype(np.float32)[ident]
    dome = smoothstep(0.0, 0.30, border)
    tone = k.each(n * n, 0.34)[ident]
    albedo = paint(k.pieces(ident), tone) + (k.rng.normal(0, 0.035, (n * n, 3)).astype(np.float32))[ident]
    albedo = mix(k.base * 0.25, albedo, smoothstep(0.0, 0.12, border))
    return Surface(k.dirt(k.grain(albedo, 0.03), 0.2), np.clip(0.55 * dome + lift, 0, 1), 2.6)


def tiles(k: Kit) -> Surface:
    """Glazed square tiles with grout."""
    x, y = grid(k.size)
    n = count(k.size, k.px, even=k.two_coloured)
    ident, pu, pv, joint = courses(x, y, k.size, n, n, np.zeros(n, np.float32))
    width = max(0.035 * k.px, 0.55 * k.scale)
    body = smoothstep(width * 0.7, width * 1.5, joint)
    bevel = smoothstep(width * 0.7, width * 3.2, joint)
    tilt = k.rng.normal(0.0, 0.05, (2, n * n)).astype(np.float32)
    sheen = 1.0 + tilt[0][ident] * (pu - 0.5) * 3 + tilt[1][ident] * (pv - 0.5) * 3 + 0.06 * (0.5 - pv)
    glaze = k.pieces(ident, (ident // n + ident) % 2)
    albedo = paint(glaze, k.each(n * n, 0.05)[ident] * sheen * (1.0 + 0.02 * k.noise(8.0)))
    grout = np.full(3, 0.80 if k.base.mean() < 0.6 else 0.45, np.float32)
    albedo = mix(paint(grout, 1.0 + 0.04 * k.noise(2.5, 1.5)), albedo, body)
    if k.wear > 0.5:
        crack = np.abs(k.noise(16.0, 2.0))
        albedo = mix(albedo * 0.55, albedo, smoothstep(0.02, 0.07, crack))
    return Surface(k.dirt(albedo, 0.22), 0.3 * body + 0.7 * bevel, 1.7, 0.32)


def mosaic(k: Kit) -> Surface:
    """Small hand-set tesserae in shades of two colours."""
    x, y = _warped(k, 0.3)
    n = count(k.size, max(k.px * 0.40, 5.2 * k.scale))
    _, _, ident, border = lattice(k.rng, x, y, k.size, n, n, 0.30)
    piece = smoothstep(0.05, 0.13, border)
    pick = (k.rng.random(n * n) < 0.30)[ident]
    colour = np.where(pick[..., None], k.other, k.base)
    albedo = colour * k.each(n * n, 0.22)[ident][..., None]
    albedo = albedo + k.rng.normal(0.0, 0.035, (n * n, 3)).astype(np.float32)[ident]
    albedo = mix(np.full(3, 0.72, np.float32), np.clip(albedo, 0, 1), piece)
    return Surface(k.dirt(albedo, 0.25), smoothstep(0.03, 0.22, border), 1.3, 0.25)


def hexagons(k: Kit) -> Surface:
    """Hexagonal tiles."""
    x, y = grid(k.size)
    nx = count(k.size, k.px * 0.8)
    ny = count(k.size, k.px * 0.8 * 0.866, even=True)
    _, _, ident, border = lattice(k.rng, x, y, k.size, nx, ny, 0.0, 0.5)
    edge = border * (k.size / nx)
    width = max(0.04 * k.px, 0.6 * k.scale)
    body = smoothstep(width * 0.6, width * 1.4, edge)
    albedo = paint(k.pieces(ident), k.each(nx * ny, 0.14)[ident] * (1.0 + 0.03 * k.noise(6.0)))
    grout = np.full(3, 0.82 if k.base.mean() < 0.6 else 0.38, np.float32)
    albedo = mix(grout * np.ones_like(albedo), albedo, body)
    return Surface(k.dirt(k.grain(albedo), 0.22), 0.3 * body + 0.7 * smoothstep(width, 3 * width, edge), 1.4, 0.2)


def planks(k: Kit) -> Surface:
    """Floorboards along the x axis with staggered ends."""
    x, y = grid(k.size)
    ny = count(k.size, k.px * 0.55, least=2)
    nx = count(k.size, k.px * 3.2)
    ident, _, _, joint = courses(x, y, k.size, nx, ny, k.rng.random(ny).astype(np.float32))
    slide = k.rng.integers(0, k.size, ny * nx)
    fibre = k.noise(2.6, 1.7, stretch=14.0)
    cloud = k.noise(7.0, 2.2, stretch=7.0)
    column = (x.astype(np.int32) + slide[ident]) % k.size
    row = (y.astype(np.int32) + slide[ident] // 3) % k.size
    level = 1.0 + k.force * (0.07 * fibre[row, column] + 0.10 * cloud[row, column])
    body = smoothstep(0.25 * k.scale, 1.05 * k.scale, joint)
    albedo = paint(k.pieces(ident), k.each(nx * ny, 0.14)[ident] * level)
    albedo = albedo * (0.25 + 0.75 * body)[..., None]
    height = np.clip(0.8 * body + 0.05 * fibre[row, column] + 0.1, 0.0, 1.0)
    return Surface(k.dirt(k.grain(albedo, 0.015)), height, 1.2 + 0.5 * k.wear, 0.08)


def wood(k: Kit) -> Surface:
    """Sawn board: growth rings drawn out along the x axis, no joints."""
    _, y = grid(k.size)
    rings = count(k.size, k.px * 0.55)
    bend = k.noise(22.0, 3.0, stretch=2.6)
    phase = rings * y / k.size + 0.55 * bend + 0.05 * k.noise(5.0, 2.0, stretch=6.0)
    ring = phase - np.floor(phase)
    late = smoothstep(0.35, 0.92, ring) * (1.0 - smoothstep(0.93, 1.0, ring))
    fibre = k.noise(1.8, 1.5, stretch=18.0)
    level = 1.14 - 0.44 * min(k.force, 1.25) * late + 0.06 * fibre
    albedo = paint(k.base, level)
    if k.wear > 0.5:
        split = smoothstep(1.6, 2.3, k.noise(2.4, 1.8, stretch=16.0))
        albedo = mix(albedo, k.base * 0.25, split)
    return Surface(k.dirt(albedo), np.clip(0.5 - 0.2 * late + 0.08 * fibre, 0, 1), 1.0, 0.1)


def parquet(k: Kit) -> Surface:
    """Basket-weave parquet: squares of four strips, turned by 90 degrees from one to the next."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px, 12.0 * k.scale), even=True)
    cell = k.size / n
    cx, cy = np.floor(x / cell).astype(np.int32), np.floor(y / cell).astype(np.int32)
    turned = (cx + cy) % 2 == 1
    along = np.where(turned, y / cell - cy, x / cell - cx)
    across = np.where(turned, x / cell - cx, y / cell - cy)
    strips = 4 if cell >= 20 * k.scale else 3
    strip = np.floor(across * strips).astype(np.int32)
    inside = across * strips - strip
    joint = np.minimum(np.minimum(inside, 1 - inside) * cell / strips, np.minimum(along, 1 - along) * cell)
    ident = (cy * n + cx) * strips + strip
    fibre = np.where(turned, k.noise(2.4, 1.6, 9.0, np.pi / 2), k.noise(2.4, 1.6, 9.0))
    body = smoothstep(0.15 * k.scale, 0.9 * k.scale, joint)
    turn = np.where(turned, 1.0 + 0.10 * k.force, 1.0 - 0.08 * k.force)
    level = k.each(n * n * strips, 0.10)[ident] * turn * (1 + 0.06 * fibre) * (0.35 + 0.65 * body)
    albedo = paint(k.pieces(ident, turned), level)
    return Surface(k.dirt(albedo), 0.9 * body + 0.05 * unit(fibre), 1.0, 0.14)


FAMILIES = {
    "brick": brick,
    "stone wall": stone_wall,
    "cobblestone": cobblestone,
    "gravel": gravel,
    "tiles": tiles,
    "mosaic": mosaic,
    "hexagons": hexagons,
    "planks": planks,
    "wood": wood,
    "parquet": parquet,
}
