"""The procedural materials: which families exist, which colours suit them, and how one picture is rendered.

All pictures wrap around on both axes. They are drawn at twice their size and averaged down, so that edges are smooth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import cloth, masonry, modifiers, nature
from .fields import shade
from .surface import SIZES, TWO_COLOURS, Spec

SUPERSAMPLE = 2

_DRAW = {**masonry.FAMILIES, **nature.FAMILIES, **cloth.FAMILIES}
FAMILIES = tuple(_DRAW)

_STONE = "grey beige brown white black red".split()
_WOOD = "brown beige orange red grey black white".split()
_PAINT = "red orange yellow green teal blue purple pink brown beige white grey black".split()
_COLOURS = {
    "brick": "red red orange brown beige white grey black yellow".split(),
    "stone wall": _STONE,
    "cobblestone": _STONE,
    "gravel": _STONE,
    "planks": [*_WOOD, "blue", "green"],
    "wood": _WOOD,
    "parquet": _WOOD,
    "marble": "white white black green red grey beige pink blue".split(),
    "plaster": "white beige yellow orange pink blue green grey red".split(),
    "concrete": "grey grey white beige brown black".split(),
    "rust": "grey white red blue green yellow teal".split(),
    "metal": "grey gold copper black blue red".split(),
    "tread plate": "grey gold copper black".split(),
    "leather": "brown black red beige white green blue".split(),
    "grass": "green green green yellow brown".split(),
    "sand": "beige yellow orange white grey brown".split(),
    "snow": ["white"],
    "water": "blue teal green".split(),
    "lava": "orange red".split(),
    "camouflage": "green brown grey blue beige".split(),
    "terrazzo": "white beige grey black pink green".split(),
    "scales": [*_PAINT, "gold", "copper"],
    "mosaic": [*_PAINT, "gold"],
}
_PATTERNS = ("plaid", "checker", "stripes", "dots")


def colours(family: str) -> list[str]:
    """The colour names that a family is drawn in (all paints where nothing narrower is natural)."""
    return _COLOURS.get(family, _PAINT)


def sample(rng: np.random.Generator, family: str | None = None, modified: float = 0.0) -> Spec:
    """Draw a random spec, of a given family if named; a share of ``modified`` has a modifier where one suits."""
    family = family or FAMILIES[rng.integers(len(FAMILIES))]
    choices = colours(family)
    colour = choices[rng.integers(len(choices))]
    others = ["white", "white", "black", *_PAINT] if family in _PATTERNS else _PAINT
    others = [name for name in others if name != colour]
    if family == "plaid":
        others = [name for name in others if name in ("white", "black", "yellow", "red", "blue", "green", "grey")]
    size = tuple(SIZES)[rng.integers(3)]
    spec = Spec(
        family=family,
        colour=colour,
        second=others[rng.integers(len(others))],
        size=size,
        pixels=float(rng.uniform(*SIZES[size])),
        wear=int(rng.integers(3)),
        contrast=int(rng.integers(3)),
        direction=("horizontal", "vertical", "diagonal")[rng.integers(3)],
        seed=int(rng.integers(2**31)),
    )
    names = modifiers.fitting(family)
    if not modified or not names or rng.random() >= modified:
        return spec
    return with_modifier(spec, names[rng.integers(len(names))], rng)


def with_modifier(spec: Spec, modifier: str, rng: np.random.Generator) -> Spec:
    """Return ``spec`` with a modifier and what goes with it: ordinary wear, and paint of any colour over a natural one.
    """
    if modifier == TWO_COLOURS:
        return replace(spec, modifier=modifier)
    spec = replace(spec, modifier=modifier, wear=1)
    if modifier != "painted":
        return spec
    paints = [name for name in _PAINT if name != spec.colour]
    return replace(spec, colour=paints[rng.integers(len(paints))], second=spec.colour)


def render(spec: Spec, size: int, zoom: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Render a spec at ``size`` pixels.

    Returns the lit picture (size, size, 3), float32 sRGB 0…1, and its height map (size, size), float32 0…1; row 0 is
    the top. The picture's feature size depends on the spec and ``zoom`` alone: a larger picture shows more of the
    material, and ``zoom`` times the size at ``zoom`` shows the same part in finer detail, with the same bricks.
    """
    large, scale = size * SUPERSAMPLE, SUPERSAMPLE * zoom
    surface = modifiers.draw(_DRAW[spec.family], spec, large, scale)
    height = np.clip(surface.height, 0.0, 1.0).astype(np.float32)
    picture = shade(surface.albedo.astype(np.float32), height, surface.relief * scale, surface.gloss, 2.5 * zoom)
    if surface.glow is not None:
        picture = np.clip(picture + surface.glow, 0.0, 1.0)
    return halve(picture), halve(height)


def halve(image: np.ndarray) -> np.ndarray:
    """Average every 2 × 2 pixels."""
    h, w = image.shape[0] // 2, image.shape[1] // 2
    return image.reshape(h, 2, w, 2, *image.shape[2:]).mean((1, 3)).astype(np.float32)
