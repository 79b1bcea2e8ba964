"""Colours by name: their sRGB values, their synonyms, and the CIE Lab measure used to compare them."""

from __future__ import annotations

import numpy as np

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.64, 0.16, 0.12),
    "orange": (0.88, 0.45, 0.10),
    "yellow": (0.90, 0.77, 0.18),
    "green": (0.24, 0.50, 0.17),
    "teal": (0.12, 0.55, 0.54),
    "blue": (0.16, 0.31, 0.67),
    "purple": (0.43, 0.21, 0.57),
    "pink": (0.90, 0.55, 0.65),
    "brown": (0.42, 0.26, 0.15),
    "beige": (0.82, 0.72, 0.55),
    "white": (0.91, 0.90, 0.88),
    "grey": (0.52, 0.52, 0.53),
    "black": (0.17, 0.17, 0.18),
    "gold": (0.83, 0.63, 0.20),
    "copper": (0.73, 0.42, 0.29),
}

SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet", "ruby"),
    "orange": ("orange", "tangerine", "amber"),
    "yellow": ("yellow", "lemon", "mustard"),
    "green": ("green", "emerald", "olive green"),
    "teal": ("teal", "turquoise", "cyan"),
    "blue": ("blue", "navy", "cobalt", "azure"),
    "purple": ("purple", "violet", "lilac"),
    "pink": ("pink", "rose", "salmon"),
    "brown": ("brown", "chocolate", "chestnut", "umber"),
    "beige": ("beige", "cream", "tan", "ivory", "sandy"),
    "white": ("white", "bright white", "pale white"),
    "grey": ("grey", "gray", "ash", "slate"),
    "black": ("black", "charcoal", "ebony", "dark black"),
    "gold": ("gold", "golden"),
    "copper": ("copper", "bronze"),
}

NAMES = tuple(COLOURS)


def srgb_to_linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB 0…1 to linear light (IEC 61966-2-1)."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB 0…1 of shape (…, 3) to CIE L*a*b* with the D65 white point."""
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = srgb_to_linear(np.asarray(rgb, np.float64)) @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def mean_lab(image: np.ndarray) -> np.ndarray:
    """Lab of an image's mean colour, averaged in linear light: (…, H, W, 3) sRGB to (…, 3)."""
    mean = srgb_to_linear(image).mean(axis=(-3, -2))
    return lab(np.where(mean <= 0.0031308, mean * 12.92, 1.055 * mean ** (1 / 2.4) - 0.055))


def delta_e(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CIE76 colour difference between Lab values of shape (…, 3)."""
    return np.linalg.norm(np.asarray(first) - np.asarray(second), axis=-1)
