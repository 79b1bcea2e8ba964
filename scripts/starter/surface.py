"""What the material families share: the description of one picture, the surface they return, and colour helpers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import palette
from .fields import noise

TWO_COLOURS = "two colours"
SIZES = {"small": (13.0, 18.0), "medium": (21.0, 30.0), "large": (38.0, 50.0)}


@dataclass(frozen=True)
class Spec:
    """One material picture, completely described: the same spec renders the same pixels.

    ``pixels`` is the feature size (a brick's length, a tile's edge) in pixels of the finished picture, ``wear`` and
    ``contrast`` are 0 (new / soft), 1 (ordinary) or 2 (old / strong), ``direction`` is for stripes only. ``modifier``
    is what happened to the material, a name of :data:`modifiers.MODIFIERS`, or nothing.
    """

    family: str
    colour: str
    second: str
    size: str
    pixels: float
    wear: int
    contrast: int
    direction: str
    seed: int
    modifier: str = ""


@dataclass
class Surface:
    """Unlit surface: ``albedo`` (H, W, 3) sRGB 0…1, ``height`` (H, W) 0…1, ``relief`` in pixels of the finished
    picture, ``gloss`` 0…1, ``glow`` (H, W, 3) added after lighting."""

    albedo: np.ndarray
    height: np.ndarray
    relief: float
    gloss: float = 0.0
    glow: np.ndarray | None = None


class Kit:
    """A family's tools for one picture: its random numbers, scale, colours and strengths."""

    def __init__(self, spec: Spec, size: int, scale: float):
        self.spec = spec
        self.size = size
        self.scale = scale
        self.px = spec.pixels * scale
        self.rng = np.random.default_rng(spec.seed)
        self.base = self._vary(spec.colour)
        self.other = self._vary(spec.second)
        self.wear = (0.0, 0.45, 1.0)[spec.wear]
        self.force = (0.55, 1.0, 1.5)[spec.contrast]
        self.two_coloured = spec.modifier == TWO_COLOURS

    def _vary(self, name: str) -> np.ndarray:
        """The named colour, moved a little as two batches of paint differ."""
        colour = np.array(palette.COLOURS[name], np.float32)
        return np.clip(colour * self.rng.normal(1.0, 0.05) + self.rng.normal(0.0, 0.012, 3), 0.03, 0.96).astype(
            np.float32
        )

    def noise(self, pixels: float, slope: float = 2.0, stretch: float = 1.0, angle: float = 0.0) -> np.ndarray:
        """Unit noise with features of ``pixels`` finished pixels."""
        return noise(self.rng, self.size, pixels * self.scale, slope, stretch, angle)

    def pieces(self, ident: np.ndarray, turn: np.ndarray | None = None) -> np.ndarray:
        """Return the base colour; for two colours a (H, W, 3) map of either, one for each piece.

        Args:
            ident: each pixel's piece, (H, W) whole numbers from 0.
            turn: (H, W) 0 or 1, which of the colours a pixel has where the pieces can take turns.
        """
        if not self.two_coloured:
            return self.base
        if turn is None:
            rng = np.random.default_rng([self.spec.seed, 2])  # of its own: one colour and two have the same pieces
            turn = (rng.permutation(int(ident.max()) + 1) % 2)[ident]
        return np.where((turn > 0)[..., None], self.other, self.base)

    def each(self, number: int, spread: float) -> np.ndarray:
        """One brightness factor round 1 for each of ``number`` pieces."""
        return np.exp(self.rng.normal(0.0, spread * self.force, number)).astype(np.float32)

    def grain(self, albedo: np.ndarray, amount: float = 0.02) -> np.ndarray:
        """Fine speckle that keeps a surface from looking like plastic."""
        return albedo * (1.0 + amount * self.noise(2.0, 1.6))[..., None]

    def dirt(self, albedo: np.ndarray, amount: float = 0.30) -> np.ndarray:
        """Stains that grow with wear."""
        if not self.wear:
            return albedo
        stain = np.clip(self.noise(14.0, 2.2) * 0.5 + 0.25 * self.noise(4.0, 1.6), 0.0, 1.2)
        return mix(albedo, albedo * np.array([0.50, 0.45, 0.40], np.float32), amount * 2.0 * self.wear * stain)


def mix(first: np.ndarray, second: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Blend two colours or colour images by a (H, W) mask in 0…1."""
    weight = np.clip(amount, 0.0, 1.0)[..., None]
    return first * (1.0 - weight) + second * weight


def paint(colour: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A colour scaled by a (H, W) brightness map."""
    return np.clip(colour * level[..., None], 0.0, 1.0).astype(np.float32)


def unit(field: np.ndarray) -> np.ndarray:
    """Stretch a field to 0…1."""
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)
