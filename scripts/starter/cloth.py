"""Fabrics and printed patterns."""

from __future__ import annotations

import numpy as np

from .fields import count, grid, smoothstep
from .surface import Kit, Surface, mix, paint


def _print(k: Kit, mask: np.ndarray, edge_relief: float = 0.0) -> Surface:
    """Two flat colours by a 0…1 mask, with the slight unevenness of print or paint."""
    paper = 1.0 + 0.025 * k.noise(14.0, 2.2)
    albedo = mix(paint(k.other, paper), paint(k.base, paper), mask)
    if k.wear > 0.5:
        worn = smoothstep(0.8, 1.5, k.noise(7.0, 1.6))
        albedo = mix(albedo, albedo * 0.4 + 0.42, 0.7 * worn)
    return Surface(k.dirt(k.grain(albedo, 0.015), 0.2), 0.5 + 0.3 * mask, edge_relief)


def fabric(k: Kit) -> Surface:
    """Plain weave: threads over and under."""
    x, y = grid(k.size)
    n = count(k.size, max(k.px * 0.26, 4.0 * k.scale), even=True)
    u, v = x * n / k.size, y * n / k.size
    cu, cv = np.floor(u), np.floor(v)
    fu, fv = u - cu - 0.5, v - cv - 0.5
    over = (cu + cv) % 2 == 0
    across, along = np.where(over, fv, fu), np.where(over, fu, fv)
    thread = np.sqrt(np.clip(1.0 - (2.0 * across / 1.02) ** 2, 0, 1)) * (0.55 + 0.45 * np.cos(np.pi * along))
    tone = np.where(over, 1.0 + 0.09 * k.force, 1.0 - 0.07 * k.force)
    uneven = 1.0 + 0.06 * np.where(over, k.noise(3.0, 1.6, 10.0), k.noise(3.0, 1.6, 10.0, np.pi / 2))
    albedo = paint(k.base, (0.55 + 0.50 * thread) * tone * uneven)
    return Surface(k.dirt(albedo), thread.astype(np.float32), 1.3)


def knit(k: Kit) -> Surface:
    """Stocking stitch: columns of V-shaped loops."""
    x, y = grid(k.size)
    nx = count(k.size, max(k.px * 0.55, 7.0 * k.scale))
    ny = count(k.size, max(k.px * 0.42, 5.4 * k.scale))
    u = x * nx / k.size
    fu = u - np.floor(u) - 0.5
    v = y * ny / k.size - 1.1 * np.abs(fu)
    fv = v - np.floor(v) - 0.5
    leg = np.abs(np.abs(fu) - 0.25) / 0.27
    loop = np.sqrt(np.clip(1.0 - leg**2, 0, 1)) * np.sqrt(np.clip(1.0 - (fv / 0.56) ** 2, 0, 1))
    fuzz = k.noise(2.4, 1.4)
    row = np.floor(v).astype(np.int32) % ny
    albedo = paint(k.pieces(row // 2), (0.42 + 0.66 * loop) * (1.0 + 0.05 * k.force * fuzz))
    return Surface(k.dirt(albedo, 0.2), np.clip(loop + 0.03 * fuzz, 0, 1).astype(np.float32), 1.8)


def plaid(k: Kit) -> Surface:
    """Tartan: the same bands of two colours crossing, with a twill line."""
    x, y = grid(k.size)
    n = count(k.size, k.px * 1.3)
    period = k.size / n
    widths = k.rng.uniform(0.20, 0.30), k.rng.uniform(0.03, 0.05)

    def bands(t: np.ndarray) -> np.ndarray:
        f = np.abs(t / period - np.floor(t / period) - 0.5)
        soft = 0.6 * k.scale / period
        broad = smoothstep(-soft, soft, widths[0] - f)
        line = smoothstep(-soft, soft, widths[1] - np.abs(f - 0.40))
        return np.clip(broad + line, 0, 1)

    half = 0.5 * (bands(x) + bands(y))
    albedo = mix(k.other * np.ones((*x.shape, 3), np.float32), k.base * np.ones(3, np.float32), 1.0 - half)
    twill = np.sin(2 * np.pi * (x + y) * count(k.size, 4.0 * k.scale) / k.size)
    return Surface(
        k.dirt(albedo * (1.0 + 0.07 * twill + 0.02 * k.noise(3.0))[..., None], 0.2), 0.5 + 0.2 * twill, 0.5
    )


def checker(k: Kit) -> Surface:
    """Chequerboard of two colours."""
    x, y = grid(k.size)
    n = count(k.size, k.px, even=True)
    soft = 0.5 * k.scale * n / k.size
    u, v = np.sin(np.pi * x * n / k.size), np.sin(np.pi * y * n / k.size)
    return _print(k, smoothstep(-1.5 * soft, 1.5 * soft, u * v), 0.4)


def stripes(k: Kit) -> Surface:
    """Stripes across, upright or diagonal."""
    x, y = grid(k.size)
    n = count(k.size, k.px)
    along = {"vertical": x, "horizontal": y, "diagonal": x + y}[k.spec.direction]
    wave = np.sin(2 * np.pi * n * along / k.size)
    soft = 2.4 * k.scale * n / k.size
    return _print(k, smoothstep(-soft, soft, wave), 0.3)


def dots(k: Kit) -> Surface:
    """Polka dots in staggered rows; the first colour is the ground."""
    x, y = grid(k.size)
    n = count(k.size, k.px * 0.72, even=True)
    u, v = x * n / k.size, y * n / k.size
    row = np.floor(v)
    fu = u + 0.5 * (row % 2)
    fu, fv = fu - np.floor(fu) - 0.5, v - row - 0.5
    soft = 0.7 * k.scale * n / k.size
    return _print(k, smoothstep(-soft, soft, np.hypot(fu, fv) - 0.29), 0.3)


def camouflage(k: Kit) -> Surface:
    """Three or four tones in flowing patches."""
    scale = max(k.px / k.scale * 0.8, 8.0)
    first, second = k.noise(scale, 2.6, 1.6), k.noise(scale, 2.6, 1.6)
    tone = np.ones((k.size, k.size), np.float32)
    tone = np.where(first > 0.45, 0.55, tone)
    tone = np.where(second > 0.55, 1.45, tone)
    tone = np.where((first < -0.75) & (second < 0.3), 0.32, tone)
    tone = 1.0 + (tone - 1.0) * min(k.force, 1.2)
    albedo = np.clip(k.base * tone[..., None] + 0.05 * (tone[..., None] > 1.2), 0, 1)
    return Surface(k.dirt(k.grain(albedo, 0.03), 0.2), np.full(tone.shape, 0.5, np.float32), 0.0)


def scales(k: Kit) -> Surface:
    """Overlapping rounded scales, each row covering the one below."""
    x, y = grid(k.size)
    nx = count(k.size, max(k.px * 0.62, 7.0 * k.scale))
    ny = count(k.size, max(k.px * 0.42, 5.0 * k.scale), even=True)
    u, v = x * nx / k.size, y * ny / k.size
    # A scale starts at its row, runs straight through it and ends in a round tip over the next row.
    row = np.floor(v)
    tip_row = (row.astype(np.int32) - 1) % ny
    tip_u = u - 0.5 * (tip_row % 2)
    tip_edge = 1.0 - np.hypot((tip_u - np.floor(tip_u) - 0.5) / 0.53, (v - row) / 1.0)
    own_row = row.astype(np.int32) % ny
    own_u = u - 0.5 * (own_row % 2)
    tip = tip_edge > 0.0
    height = np.where(tip, 0.40 + 0.25 * (v - row) + 0.35 * smoothstep(0.0, 0.30, tip_edge), 0.15 + 0.30 * (v - row))
    height = height.astype(np.float32)
    ident = np.where(tip, tip_row * nx + np.floor(tip_u).astype(np.int32) % nx,
                     own_row * nx + np.floor(own_u).astype(np.int32) % nx)
    level = k.each(nx * ny, 0.10)[ident] * (0.55 + 0.65 * height)
    return Surface(k.dirt(k.grain(paint(k.pieces(ident), level)), 0.2), height, 0.10 * k.px / k.scale + 1.6, 0.28)


FAMILIES = {
    "fabric": fabric,
    "knit": knit,
    "plaid": plaid,
    "checker": checker,
    "stripes": stripes,
    "dots": dots,
    "camouflage": camouflage,
    "scales": scales,
}
