"""Physical maps of the procedural materials: base colour, height, roughness and metallic, exactly as drawn.

The surfaces of :mod:`masonry`, :mod:`nature` and :mod:`cloth` know colour and height; roughness follows from what they
are made of: one value where they stand out, one in joints and hollows, a little unevenness.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import cloth, masonry, materials, nature
from .fields import smoothstep
from .surface import Kit, Spec, Surface


@dataclass
class Physical:
    """``base`` (H, W, 3) sRGB 0…1, ``height`` (H, W), ``relief`` pixels of the finished picture for a height of 1,
    ``roughness`` and ``metallic`` (H, W) 0…1."""

    base: np.ndarray
    height: np.ndarray
    relief: float
    roughness: np.ndarray
    metallic: np.ndarray


_DRAW = {**masonry.FAMILIES, **nature.FAMILIES, **cloth.FAMILIES}
# Roughness where a material stands out (lowest, highest) and in its hollows.
_ROUGHNESS = {
    "brick": (0.75, 0.95, 0.92), "stone wall": (0.65, 0.90, 0.90), "cobblestone": (0.45, 0.80, 0.92),
    "gravel": (0.60, 0.90, 0.92), "tiles": (0.06, 0.30, 0.80), "mosaic": (0.10, 0.35, 0.82),
    "hexagons": (0.10, 0.40, 0.82), "planks": (0.35, 0.70, 0.80), "wood": (0.35, 0.65, 0.68),
    "parquet": (0.20, 0.45, 0.55), "marble": (0.05, 0.25, 0.25), "terrazzo": (0.08, 0.30, 0.30),
    "plaster": (0.80, 0.95, 0.95), "concrete": (0.60, 0.85, 0.92), "leather": (0.35, 0.55, 0.70),
    "grass": (0.60, 0.85, 0.92), "sand": (0.85, 0.97, 0.95), "fabric": (0.75, 0.95, 0.95),
    "knit": (0.85, 0.97, 0.97), "plaid": (0.75, 0.92, 0.92), "checker": (0.20, 0.70, 0.70),
    "stripes": (0.20, 0.70, 0.70), "dots": (0.20, 0.70, 0.70), "camouflage": (0.75, 0.92, 0.92),
    "scales": (0.20, 0.45, 0.70),
}  # fmt: skip
# Patterns that exist in metal too; drawn so now and then, so that the pattern alone does not tell what is metal.
_ALSO_METAL = ("tiles", "mosaic", "fabric", "checker", "dots", "planks")
HELD_OUT = ("hexagons", "parquet", "leather", "knit", "scales", "stone wall")


def _of_surface(k: Kit, surface: Surface) -> Physical:
    """Give a surface without physical properties its roughness; now and then make it a metal."""
    from . import metals

    low, high, hollow = _ROUGHNESS[k.spec.family]
    height = np.clip(surface.height, 0, 1)
    first, last = np.percentile(height, (15, 70))
    out = smoothstep(first, last, height) if last - first > 0.03 else np.ones_like(height)
    rough = k.rng.uniform(low, high) * out + hollow * (1 - out)
    rough = rough + 0.03 * k.noise(6.0, 1.8) + 0.10 * k.wear * (1 - rough) * np.clip(k.noise(13.0, 2.0), 0, 1)
    base, metal = surface.albedo, np.zeros_like(height)
    if k.spec.family in _ALSO_METAL and k.rng.random() < 0.25:
        tone = base.mean(-1, keepdims=True) / max(float(base.mean()), 1e-3)
        metal = (height > first + 0.3 * (last - first)) if last - first > 0.03 else metal + 1.0
        shade = metals.colour(k) * (1.0 + 0.35 * (tone - 1.0))
        base = np.where(metal[..., None] > 0, shade, base)
        rough = np.where(metal > 0, np.clip(rough, 0.12, 0.5), rough)
    return Physical(np.clip(base, 0, 1), height, surface.relief, np.clip(rough, 0.04, 1.0), metal)


def families(held_out: bool) -> tuple[str, ...]:
    """The families trained on, or those never trained on."""
    from . import metals

    hidden = (*HELD_OUT, *metals.HELD_OUT)
    return hidden if held_out else tuple(name for name in (*_ROUGHNESS, *metals.FAMILIES) if name not in hidden)


def is_metal(family: str) -> bool:
    """Whether a family is one of the metals."""
    from . import metals

    return family in metals.FAMILIES


def sample(rng: np.random.Generator, family: str) -> Spec:
    """Draw a spec of a family; metals take their colour from the metals."""
    if family in _ROUGHNESS:
        return materials.sample(rng, family)
    return replace(materials.sample(rng, "metal"), family=family, colour=str(rng.choice(materials.colours("dots"))))


def render(spec: Spec, size: int) -> dict[str, np.ndarray]:
    """Draw a spec's maps at ``size`` pixels, wrapping on both axes, features 1 to 2.4 times the starter's.

    Returns float32 ``base`` (size, size, 3) sRGB, ``height`` (size, size) in pixels, ``roughness``, ``metallic``.
    """
    from . import metals

    rng = np.random.default_rng(spec.seed + 1)
    scale = float(np.exp(rng.uniform(0.0, np.log(2.4))))
    kit = Kit(spec, 2 * size, 2 * scale)
    if spec.family in metals.FAMILIES:
        drawn = metals.FAMILIES[spec.family](kit)
    else:
        drawn = _of_surface(kit, _DRAW[spec.family](kit))
    relief = drawn.relief * scale * float(np.exp(rng.uniform(np.log(0.7), np.log(1.7))))
    maps = {"base": drawn.base, "height": drawn.height * relief, "roughness": drawn.roughness,
            "metallic": drawn.metallic}
    return {name: materials.halve(np.asarray(value, np.float32)) for name, value in maps.items()}
