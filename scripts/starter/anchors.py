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

_CELLS = {"small": 16.0, "medium": 32.0, "large": 64.0}  # pixels a side
# For most patterns the spec's pixels for each pixel of a cell, and how many cells repeat.
_CELLULAR = {"brick": (1.0, 1), "tiles": (1.0, 1), "checker": (1.0, 2), "plaid": (1 / 1.3, 1), "stripes": (1.0, 1),
             "dots": (1 / 0.72, 2), "parquet": (1.0, 2)}  # fmt: skip
# For each pattern and size word the spec's pixels, and the side of the smallest picture that holds whole cells.
_SETTLED = {family: {word: (share * side, repeat * side) for word, side in _CELLS.items()}
            for family, (share, repeat) in _CELLULAR.items()}  # fmt: skip
# 7 by 8, 4 by 4 and 2 by 2 hexagons fill 128 pixels.
_SETTLED["hexagons"] = {"small": (17.8 / 0.8, 128), "medium": (33.5 / 0.8, 64), "large": (67.0 / 0.8, 128)}


def settled(spec: Spec) -> Spec:
    """Return a spec with the one feature size of its size word if it is of a regular pattern, or as it is."""
    sizes = _SETTLED.get(spec.family)
    return replace(spec, pixels=sizes[spec.size][0]) if sizes else spec


def fits(spec: Spec, size: int) -> bool:
    """Return whether a picture of ``size`` pixels shows a settled spec in its own size, as whole cells fill it."""
    sizes = _SETTLED.get(spec.family)
    return not sizes or size % sizes[spec.size][1] == 0
