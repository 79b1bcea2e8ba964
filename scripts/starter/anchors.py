"""How large the features of regular patterns are, and where they lie: on the grid on which the denoiser works.

At its coarsest level the denoiser sees fields of `GRID` pixels, and under wrapping padding it knows where in a field a
pixel lies but not in which field. If patterns may have any size and lie anywhere, it must settle both from noise, and
in the same way all over the picture; it never learnt to. Cells as large as one field, two or four that begin at a
field's edge leave little to settle. So training pictures of regular patterns have one size for each size word, and at
the noise levels that decide the layout they begin at a field's edge.
"""

from __future__ import annotations

from dataclasses import replace

from .surface import Spec

GRID = 16  # pixels of a field of the coarsest level: 4 of the autoencoder times 4 of the denoiser

_SIDES = {"small": 16.0, "medium": 32.0, "large": 64.0}  # pixels of a cell
# For each pattern the spec's pixels for each pixel of a cell, and whether it counts cells in pairs.
_FEATURES = {"brick": (1.0, False), "tiles": (1.0, False), "checker": (1.0, True), "plaid": (1 / 1.3, False),
             "stripes": (1.0, False), "dots": (1 / 0.72, True), "parquet": (1.0, True)}  # fmt: skip
# Pixels of a hexagon so that 7 by 8, 4 by 4 and 2 by 2 of them fill 128 pixels, and the side that whole ones fill.
_HEXAGONS = {"small": (17.8 / 0.8, 128), "medium": (33.5 / 0.8, 64), "large": (67.0 / 0.8, 128)}


def settled(spec: Spec) -> Spec:
    """Return a spec with the one feature size of its size word if it is of a regular pattern, or as it is."""
    if spec.family == "hexagons":
        return replace(spec, pixels=_HEXAGONS[spec.size][0])
    if spec.family not in _FEATURES:
        return spec
    return replace(spec, pixels=_SIDES[spec.size] * _FEATURES[spec.family][0])


def fits(spec: Spec, size: int) -> bool:
    """Return whether a picture of ``size`` pixels shows a settled spec in its own size, as whole cells fill it."""
    if spec.family == "hexagons":
        return size % _HEXAGONS[spec.size][1] == 0
    if spec.family not in _FEATURES:
        return True
    side = _SIDES[spec.size] * (2 if _FEATURES[spec.family][1] else 1)
    return size % side == 0
