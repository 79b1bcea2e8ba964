"""Kept regions of sources with more than 8 bits: their own values, in a picture of the same depth.

What the model paints has 8 bits, as displayed. It is brought to the source's depth: back to scene-linear light, through
the inverse of the view transform, or to 16 bits.
"""
from __future__ import annotations

import numpy as np
from PIL import Image

from ...geometry import colours
from ...protocol import light
from ...protocol.light import DEEP_KEY, Light
from ...protocol.messages import Source
from ..conditioning.regions import Layout
from ..conditioning.view_inverse import scene_linear
from . import keeping

_FULL = 255
_WORDS = 65535


def of_source(source: Source | None, size: tuple[int, int]) -> tuple[Light | None, str]:
    """Return a source's values of high depth, and a note if a result of `size` (width, height) cannot have them."""
    if source is None or source.encoded is None or not light.is_light(source.encoded[:64]):
        return None, ""
    deep = light.read(source.encoded)
    if deep.shown.shape[1::-1] != size:
        return None, ("The result has another size than the source, so kept regions are the source's pixels as "
                      "displayed, with 8 bits.")
    return deep, ""


def with_depth(image: Image.Image, deep: Light | None, painted: Image.Image | None, layout: Layout) -> Image.Image:
    """Return `image` with the same picture in the depth of its source, for `engine.Engine` to write.

    Args:
        image: The finished picture.
        deep: The source; None for one of 8 bits, whose picture is left as it is.
        painted: What was painted, of the same size, before kept regions were laid over it; None if nothing was.
        layout: What is kept.
    """
    if deep is not None and layout.kept is not None:
        image.info[DEEP_KEY] = deep.values if painted is None else _over(deep, np.asarray(painted), layout)
        if deep.bits == light.SIXTEEN:
            image.info[DEEP_KEY] = _words(image.info[DEEP_KEY])
    return image


def _over(deep: Light, painted: np.ndarray, layout: Layout) -> np.ndarray:
    """Return kept regions over what was painted: H×W×4 float32 in the form of `deep.values`."""
    whole, touched = layout.kept == _FULL, keeping.mixes(layout)
    alpha = deep.values[..., 3:]
    encoded = deep.bits == light.SIXTEEN
    above = deep.values[..., :3]
    if encoded:
        above, below = _decoded(above), colours.linear(painted)[..., :3]
        result = painted.astype(np.float32) / _FULL
    else:
        above = np.divide(above, alpha, out=above.copy(), where=alpha > 0)
        result = below = scene_linear(painted, deep.view)
    if touched.any():
        mixed = keeping.mixed(above, below, layout, touched, 1.0 if encoded else np.inf)
        result = result.copy()
        result[touched] = _encoded(mixed) if encoded else mixed
    if not encoded:
        result = result * alpha
    return np.concatenate((np.where(whole[..., None], deep.values[..., :3], result), alpha), -1)


def _words(values: np.ndarray) -> np.ndarray:
    """Return 0 to 1 as uint16; without alpha where all of it is opaque."""
    words = np.rint(values * _WORDS).clip(0, _WORDS).astype(np.uint16)
    return words if (words[..., 3] < _WORDS).any() else words[..., :3]


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _encoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * np.maximum(values, 0) ** (1 / 2.4) - 0.055)
