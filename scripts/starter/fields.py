"""Periodic building blocks for procedural materials: noise, cells, brick layouts, blurs and shading.

Everything here wraps around: the left edge continues at the right one and the bottom at the top, exactly. Arrays are
float32 of shape (size, size), row 0 at the top; lengths are in pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=16)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel-centre coordinates (x, y), each (size, size) in pixels."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) + 0.5
    return x, y


@lru_cache(maxsize=16)
def _frequencies(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (fx, fy) in cycles per pixel, in the layout of ``numpy.fft.rfft2``."""
    fy = np.fft.fftfreq(size).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(size).astype(np.float32)[None, :]
    return fx, fy


def noise(
    rng: np.random.Generator,
    size: int,
    scale: float,
    slope: float = 2.0,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> np.ndarray:
    """Fractal noise, zero mean and unit deviation.

    Features are about ``scale`` pixels wide; the spectrum falls with ``slope`` beyond that (1 rough, 3 smooth).
    ``stretch`` > 1 lengthens them along ``angle`` (radians from the x axis).
    """
    fx, fy = _frequencies(size)
    along = (fx * np.cos(angle) + fy * np.sin(angle)) * scale * stretch
    across = (fy * np.cos(angle) - fx * np.sin(angle)) * scale
    amplitude = (1.0 + 4.0 * (along**2 + across**2)) ** (-slope / 2)
    amplitude[0, 0] = 0.0
    spectrum = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32)) * amplitude
    field = np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32)
    return field / max(float(field.std()), 1e-6)


def blur(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a (size, size) field, ``sigma`` in pixels."""
    fx, fy = _frequencies(field.shape[0])
    gain = np.exp(-2.0 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    return np.fft.irfft2(np.fft.rfft2(field) * gain, s=field.shape).astype(np.float32)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, a smooth ramp between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def count(size: int, pixels: float, even: bool = False, least: int = 1) -> int:
    """How many features of about ``pixels`` fit round the period ``size`` (at least ``least``; even on request)."""
    number = size / max(pixels, 1.0)
    if even:
        return max(2 * round(number / 2), 2, least)
    return max(round(number), least)


def lattice(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    size: int,
    nx: int,
    ny: int,
    jitter: float,
    shift: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nearest points of a jittered grid of ``nx`` × ``ny`` points (Worley noise).

    ``shift`` moves every other row by that part of a cell (0.5 with no jitter gives hexagons; ``ny`` must be even).
    Returns the distances to the nearest and second nearest point in cell widths, the nearest point's number, and the
    distance to the border between the two in cell widths.
    """
    px = rng.uniform(-0.5, 0.5, (ny, nx)).astype(np.float32) * jitter
    py = rng.uniform(-0.5, 0.5, (ny, nx)).astype(np.float32) * jitter
    u, v = x * (nx / size), y * (ny / size)
    row, aspect = np.floor(v), nx / ny
    best = np.full(x.shape, 9e9, np.float32)
    second = best.copy()
    owner = np.zeros(x.shape, np.int32)
    bx, by, sx, sy = (np.zeros(x.shape, np.float32) for _ in range(4))
    for j in (-1, 0, 1):
        r = row + j
        ri = r.astype(np.int32) % ny
        offset = shift * (ri % 2)
        column = np.floor(u - offset)
        for i in (-1, 0, 1):
            c = column + i
            ci = c.astype(np.int32) % nx
            dx = c + 0.5 + offset + px[ri, ci] - u
            dy = (r + 0.5 + py[ri, ci] - v) * aspect
            d = dx * dx + dy * dy
            nearer = d < best
            runner = ~nearer & (d < second)
            second = np.where(nearer, best, np.where(runner, d, second))
            sx = np.where(nearer, bx, np.where(runner, dx, sx))
            sy = np.where(nearer, by, np.where(runner, dy, sy))
            best = np.where(nearer, d, best)
            bx, by = np.where(nearer, dx, bx), np.where(nearer, dy, by)
            owner = np.where(nearer, ri * nx + ci, owner)
    # Distance from the pixel to the line halfway between its two nearest points.
    gap = np.hypot(sx - bx, sy - by) + 1e-6
    border = (second - best) / (2.0 * gap)
    return np.sqrt(best), np.sqrt(second), owner, border


def courses(
    x: np.ndarray, y: np.ndarray, size: int, nx: int, ny: int, offsets: np.ndarray, edges: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of bricks: ``ny`` rows of ``nx`` bricks, row r shifted by ``offsets[r]`` brick lengths.

    ``edges`` (ny, nx), if given, moves every brick's left edge by that part of its length. Returns each pixel's brick
    number, its position (u, v) inside the brick in 0…1, and its distance to the nearest joint in pixels.
    """
    v = y * (ny / size)
    row = np.floor(v).astype(np.int32) % ny
    u = x * (nx / size) - offsets[row]
    column = np.floor(u).astype(np.int32)
    if edges is None:
        left, right = column.astype(np.float32), column + 1.0
    else:
        column = column - (u - column < edges[row, column % nx])
        column = column + (u - column - 1 >= edges[row, (column + 1) % nx])
        left = column + edges[row, column % nx]
        right = column + 1 + edges[row, (column + 1) % nx]
    pu, pv = (u - left) / (right - left), v - np.floor(v)
    joint_x = np.minimum(u - left, right - u) * (size / nx)
    joint_y = np.minimum(pv, 1.0 - pv) * (size / ny)
    return row * nx + column % nx, pu.astype(np.float32), pv, np.minimum(joint_x, joint_y).astype(np.float32)


def gradient(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wrapping central differences (d/dx, d/dy) per pixel; y grows downwards."""
    dx = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) * 0.5
    dy = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) * 0.5
    return dx, dy


def shade(
    albedo: np.ndarray, height: np.ndarray, relief: float, gloss: float, reach: float = 2.5
) -> np.ndarray:
    """Light a surface from the upper left.

    ``albedo`` (H, W, 3) sRGB 0…1, ``height`` (H, W) 0…1, ``relief`` the height range in pixels, ``gloss`` 0…1 the
    strength of the highlight (Blinn–Phong with a half vector between light and viewer). Hollows are darkened by an
    estimate of occlusion: how far a pixel lies below its neighbourhood, blurred over ``reach`` pixels.
    """
    dx, dy = gradient(height * relief)
    length = np.sqrt(dx * dx + dy * dy + 1.0)
    light = np.array([-0.46, -0.56, 0.69], np.float32)
    diffuse = (-dx * light[0] - dy * light[1] + light[2]) / length
    half = light + np.array([0.0, 0.0, 1.0], np.float32)
    half = half / np.linalg.norm(half)
    facing = np.clip((-dx * half[0] - dy * half[1] + half[2]) / length, 0.0, 1.0)
    below = np.clip(blur(height, reach) - height, 0.0, 1.0) * min(relief, 6.0)
    level = (0.42 + 0.84 * np.clip(diffuse, 0.0, 1.0)) * (1.0 - np.clip(0.30 * below, 0.0, 0.6))
    lit = albedo * level[..., None]
    if gloss:
        lit = lit + (gloss * (0.55 * facing**48 - 0.05))[..., None]
    return np.clip(lit, 0.0, 1.0)
