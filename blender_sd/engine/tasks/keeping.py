"""Kept regions: the source's own pixels over a new picture, cut out at their edges as if rendered alone.

A pixel at the edge of a kept object mixes the object with what was behind it in the source. Laid over another picture
by its coverage, the old background would shine round it as a halo. So the object's own colour is estimated there: from
the colours just inside and just outside, which are then corrected so that both mix to what the source shows (as Forte
2021, "Approximate Fast Foreground Colour Estimation", does). Everything is mixed in linear light.
"""
from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image
from scipy import ndimage

from ...geometry import colours
from ..conditioning.regions import Layout

_FULL = 255
_RADIUS = 1.5  # pixels; standard deviation of the neighbourhood that colours are estimated from
_NEARLY = 230  # of 255 of what is seen of a pixel
_LEAST = 1e-3  # weight of a neighbourhood that a colour can be taken from
_REACH = 7  # pixels; beyond, that neighbourhood has no weight


def within_alpha(layout: Layout, alpha: Image.Image | None) -> Layout:
    """Return a layout whose kept shares are of what is seen of each pixel, not of all of it.

    Where the source is transparent behind a kept object, nothing of a background is mixed into the object's edge: all
    that its straight colour shows is the object.

    Args:
        layout: The layout by coverage.
        alpha: The source's alpha, L; None where it is opaque.
    """
    if layout.kept is None or alpha is None:
        return layout
    seen = np.asarray(alpha)
    share = np.rint(layout.kept * (_FULL / np.maximum(seen, 1))).clip(0, _FULL).astype(np.uint8)
    # Both are rounded, and a filter may count a sample more: what is nearly all is all
    share = np.where((share >= _NEARLY) & (layout.kept > 0), _FULL, share).astype(np.uint8)
    return replace(layout, kept=np.where((seen > 0) & (seen < _FULL), share, layout.kept))


def repainted(layout: Layout) -> np.ndarray:
    """Return where a picture with kept regions is painted at all: H×W bool, False where they cover it fully."""
    return layout.kept < _FULL


def mixes(layout: Layout) -> np.ndarray:
    """Return where kept and new are mixed: H×W bool."""
    touched = (layout.kept > 0) & (layout.kept < _FULL)
    if layout.fade is not None:
        touched |= (layout.fade > 0) & (layout.kept < _FULL)
    return touched


def over(source: Image.Image, painted: Image.Image, layout: Layout) -> Image.Image:
    """Return the kept regions of `source` over `painted`, RGB pictures of one size.

    Pixels that are kept fully are those of the source, bit for bit; pixels that are not kept at all, those of
    `painted`.
    """
    below, above = np.asarray(painted), np.asarray(source)
    whole = layout.kept == _FULL
    touched = mixes(layout)
    result = np.where(whole[..., None], above, below)
    if touched.any():
        result[touched] = colours.displayed(mixed(colours.linear(above)[..., :3], colours.linear(below)[..., :3],
                                                  layout, touched))
    return Image.fromarray(result)


def mixed(above: np.ndarray, below: np.ndarray, layout: Layout, touched: np.ndarray,
          brightest: float = 1.0) -> np.ndarray:
    """Return the colours of the pixels that are `touched` (H×W bool): kept and new by coverage, then the feather.

    Args:
        above: The source, H×W×3 float32, linear.
        below: The new picture, likewise.
        layout: What is kept.
        touched: Where anything is mixed.
        brightest: The largest value that a colour may have.

    Returns:
        N×3 float32, linear.
    """
    box = _box_of(touched)
    fade = None if layout.fade is None else layout.fade[box]
    return _mixed(above[box], below[box], layout.kept[box], fade, touched[box], brightest)


def _box_of(touched: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns that hold all pixels that are `touched`, and their neighbourhoods."""
    rows, columns = (np.flatnonzero(touched.any(axis)) for axis in (1, 0))
    return tuple(slice(max(0, int(places[0]) - _REACH), int(places[-1]) + _REACH + 1) for places in (rows, columns))


def _mixed(light: np.ndarray, below: np.ndarray, kept: np.ndarray, fade: np.ndarray | None, where: np.ndarray,
           brightest: float) -> np.ndarray:
    share = (kept / np.float32(_FULL))[..., None]
    result = own_colours(light, share, brightest)[where] * share[where] + below[where] * (1 - share[where])
    if fade is not None:
        result += (light[where] - result) * fade[where][:, None]
    return result


def own_colours(light: np.ndarray, share: np.ndarray, brightest: float = 1.0) -> np.ndarray:
    """Return the colours of what covers the picture by `share`, without what shines through from behind it.

    Args:
        light: H×W×3 float32, linear.
        share: H×W×1 float32, 0 to 1.
        brightest: The largest value that a colour may have.

    Returns:
        H×W×3 float32, linear, from 0; where nothing is covered, the nearest covered colours.
    """
    behind = 1 - share
    front, back = _near(light, share), _near(light, behind)
    # The smallest change of both colours that makes them mix to what is seen
    missing = (light - share * front - behind * back) / (share * share + behind * behind)
    return np.clip(front + share * missing, 0, brightest)


def _near(light: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the mean of the colours round each pixel that `share` covers fully; of thin things, mostly."""
    blur = (_RADIUS, _RADIUS, 0)
    result, left = np.zeros_like(light), np.ones(share.shape, bool)
    for weight in ((share >= 1).astype(np.float32), share ** 4, share):
        total = ndimage.gaussian_filter(weight, blur, mode="nearest")
        usable = left & (total > _LEAST)
        mean = ndimage.gaussian_filter(light * weight, blur, mode="nearest") / np.maximum(total, _LEAST)
        result = np.where(usable, mean, result)
        left &= ~usable
    return result
