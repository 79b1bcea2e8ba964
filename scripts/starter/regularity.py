"""How regular a pattern is: 1 as the real renders of its prompt, 0 as those renders with their lattice destroyed.

A regular pattern puts its power into few frequencies, the harmonics of its lattice; courses that wander and squares of
uneven size spread it. The raw measure is therefore the share of the power that lies in the strongest frequencies of a
seamless picture. It is taken in each octave on its own and weighted by the real renders' power there, so that blur and
grain, which change the octaves against each other, change it little. It is blind to colour, contrast and place.
"""

from __future__ import annotations

import numpy as np

from . import anchors, materials
from .surface import Spec

PATTERNS = ("brick", "tiles", "checker", "plaid", "stripes", "dots", "hexagons", "parquet")
# cycles across the picture; what is slower is light and dirt, what is finer is grain
_OCTAVES = (1.5, 3.0, 6.0, 12.0, 24.0, 48.0)
_PEAKS = 6  # frequencies of an octave (with their mirror images) that hold the pattern


def octaves(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each octave of frequencies its power and the share of its strongest frequencies in that, 0…1.

    Args:
        picture: (size, size, 3) float32 sRGB 0…1, seamless on both axes.
    """
    size = picture.shape[0]
    spectrum = np.fft.fft2(picture - picture.mean((0, 1)), axes=(0, 1))
    power = (np.abs(spectrum) ** 2).sum(-1)
    f = np.fft.fftfreq(size) * size
    radius = np.hypot(f[:, None], f)
    rings = [
        np.sort(power[(radius >= low) & (radius < high)]) for low, high in zip(_OCTAVES, _OCTAVES[1:], strict=False)
    ]
    return np.array([ring.sum() for ring in rings]), np.array(
        [ring[-2 * _PEAKS :].sum() / max(ring.sum(), 1e-12) for ring in rings]
    )


def jittered(picture: np.ndarray, period: float, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Return ``picture`` with its features moved about.

    Args:
        picture: (size, size, channels), seamless on both axes.
        period: size of a feature in pixels.
        amount: 0 moves nothing; 1 moves features by half a period (standard deviation), each on its own.
        rng: where to.
    """
    size = picture.shape[0]
    f = np.fft.fftfreq(size)
    gain = np.exp(-2.0 * (np.pi * 0.5 * period) ** 2 * (f[:, None] ** 2 + f**2))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    for at in (x, y):
        field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * gain).real
        at += amount * 0.5 * period * (field / field.std()).astype(np.float32)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = (x - left)[..., None], (y - top)[..., None]
    take = lambda dx, dy: picture[(top + dy) % size, (left + dx) % size]  # noqa: E731
    return (1 - v) * ((1 - u) * take(0, 0) + u * take(1, 0)) + v * ((1 - u) * take(0, 1) + u * take(1, 1))


def specs(pattern: str, count: int, seed: int = 90_000) -> list[Spec]:
    """Return ``count`` held-out orders for renders of ``pattern``."""
    return [
        anchors.settled(materials.sample(np.random.default_rng([seed, PATTERNS.index(pattern), number]), pattern))
        for number in range(count)
    ]


def score(pictures: np.ndarray, ordered: list[Spec]) -> float:
    """Return how regular ``pictures`` (N, size, size, 3), painted for ``ordered`` of one pattern, are: 0 … 1."""
    size, rng = pictures.shape[1], np.random.default_rng(17)
    painted, whole, broken = [], [], []
    for picture, spec in zip(pictures, ordered, strict=True):
        real = materials.render(spec, size)[0]
        power, shares = octaves(real)
        weights = power / power.sum()
        whole.append(weights @ shares)
        broken.append(weights @ octaves(jittered(real, spec.pixels, 1.0, rng))[1])
        painted.append(weights @ octaves(picture)[1])
    low, high = np.mean(broken), np.mean(whole)
    return float(np.clip((np.mean(painted) - low) / (high - low), 0.0, 1.0))
