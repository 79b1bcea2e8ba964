"""Regions of a picture: their masks read and made exclusive, and what each asks for laid out over the picture.

Masks are pictures of coverage, white where a region lies and grey where it covers a part of a pixel. Where they
overlap, the more specific region takes its share first (`core.regions`).
"""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage

from ...core.errors import SourceUnusable
from ...core.regions import MASK, NAMED, REGION_KINDS, Region, by_precedence
from ...core.request import Request
from ...protocol.messages import Source
from . import sources

CELL = 4  # pixels a side of the cells that maps are made of; no autoencoder has smaller latents
_FULL = 255
_TINY = 64  # pixels; less than most models can draw anything in


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the regions lie in what is painted.

    Attributes:
        numbers: Which of the request's regions have a map: those with a prompt, a strength, or a weight for controls.
        maps: Their shares of each cell, len(numbers)×rows×columns float32, 0 to 1; at most 1 together.
        kept: The share of each pixel that is kept, H×W uint8, of the picture's size; None where nothing is.
        fade: How much of the source shows beyond that, H×W float32, 0 to 1 (the feather); None for nothing.
        notes: What the artist should know.
    """

    numbers: tuple[int, ...] = ()
    maps: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))
    kept: np.ndarray | None = None
    fade: np.ndarray | None = None
    notes: tuple[str, ...] = ()


NONE = Layout()


def lay_out(request: Request, inputs: dict[str, Source], size: tuple[int, int], canvas: tuple[int, int]) -> Layout:
    """Return where the regions of a request lie.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; "region0", "region1", … are the masks.
        size: (width, height) of the picture in pixels.
        canvas: (width, height) of what is painted: the picture, extended to the right and downwards.

    Raises:
        SourceUnusable: A mask is missing or broken.
    """
    if not request.regions:
        return NONE
    room = np.full((size[1], size[0]), _FULL, np.uint8)
    shares: dict[int, np.ndarray] = {}
    notes: list[str] = []
    kept, fade = None, None
    for number in by_precedence(request.regions):
        region = request.regions[number]
        mask, note = _read(inputs.get(f"region{number}"), region, size)
        share = np.minimum(mask, room)
        room -= share
        behind = region.kind in NAMED and any(
            other.kind in NAMED and REGION_KINDS.index(other.kind) < REGION_KINDS.index(region.kind)
            for other in request.regions)
        notes += filter(None, (note, _remark(region, mask, share, behind)))
        if region.keep:
            kept = share if kept is None else kept + share
            fade = _faded(fade, share, region.feather)
        if _asks(region) and share.any():
            shares[number] = _in_cells(share, canvas)
    return Layout(tuple(shares), np.stack(list(shares.values())) if shares else NONE.maps, kept, fade,
                  tuple(notes))


# ---- inside ----------------------------------------------------------------------------------------------------------


def _asks(region: Region) -> bool:
    """Return whether a region asks the model for anything of its own."""
    return bool(region.prompt) or region.strength is not None or region.control != 1


def _read(source: Source | None, region: Region, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Return the coverage in a mask, H×W uint8, and a note if it had to be resampled, else ""."""
    if source is None:
        raise SourceUnusable(f"There is no mask of {region.label}.", "Take the region out, or give one.")
    picture, alpha = sources.open_source(source)
    grey = picture.convert("L")
    if alpha is not None:
        grey = Image.fromarray((np.asarray(grey, np.uint16) * np.asarray(alpha) // _FULL).astype(np.uint8))
    if grey.size == size:
        return np.asarray(grey), ""
    note = ""
    if grey.width * size[1] != grey.height * size[0]:
        note = "A mask has another shape than the picture and was stretched to it." if region.kind == MASK else (
            f"The mask of {region.label} has another shape than the picture and was stretched to it.")
    return np.asarray(grey.resize(size, Image.Resampling.BOX if grey.width > size[0] else
                                  Image.Resampling.BILINEAR)), note


def _remark(region: Region, mask: np.ndarray, share: np.ndarray, behind: bool) -> str:
    """Return what the artist should know of a region, or "". `behind`: whether the scene has taken what more specific
    regions cover out of its mask already."""
    if not mask.any() and behind:
        return f"Nothing of {region.label} is seen outside more specific regions, so its own changes nothing."
    if not mask.any():
        return f"Nothing of {region.label} is seen in the picture, so its region changes nothing."
    if not share.any():
        return f"More specific regions cover all of {region.label}, so its own changes nothing."
    pixels = int(share.sum(dtype=np.int64)) / _FULL
    if region.prompt and pixels < _TINY:
        return f"Only {max(1, round(pixels))} pixels of {region.label} are seen: too few for its prompt to show."
    return ""


def _faded(fade: np.ndarray | None, share: np.ndarray, pixels: int) -> np.ndarray | None:
    """Return how much of the source shows, with the feather of another kept region: 1 at its edge, 0 beyond `pixels`.
    """
    inside = share > _FULL // 2
    if pixels <= 0 or not inside.any():
        return fade
    mine = np.clip(1 - ndimage.distance_transform_edt(~inside) / (pixels + 1), 0, 1).astype(np.float32)
    return mine if fade is None else np.maximum(fade, mine)


def _in_cells(share: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Return the mean share of each cell of the canvas, whose sides are multiples of a cell; float32, 0 to 1."""
    height, width = share.shape
    whole = np.pad(share, ((0, canvas[1] - height), (0, canvas[0] - width)), mode="edge")
    cells = whole.reshape(canvas[1] // CELL, CELL, canvas[0] // CELL, CELL)
    return cells.mean((1, 3), dtype=np.float32) / _FULL
