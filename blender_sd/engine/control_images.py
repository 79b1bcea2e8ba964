"""Control pictures made from ordinary ones: edges and blur. Depth, normals and lines of a scene come from Blender itself."""
from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

LOW, HIGH = 0.08, 0.2  # of the strongest possible step of brightness; A1111's 100 and 200 of a Sobel's 1020


def prepared(kind: str, picture: Image.Image) -> Image.Image:
    """What a ControlNet of `kind` reads (RGB, of the same size), from `picture` (RGB): "canny" draws white edges on black,
    "blur" takes the detail away; every other kind is a control picture already."""
    if kind == "canny":
        return Image.fromarray(canny(np.asarray(picture.convert("L"), np.float32) / 255).astype(np.uint8) * 255).convert("RGB")
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 64))
    return picture


def canny(grey: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """The edges of `grey` (H×W float32, 0..1) as H×W bool, one pixel wide (Canny 1986): smoothed gradients, thinned to their
    crest, kept where strong, or connected to what is."""
    smooth = ndimage.gaussian_filter(grey, sigma, mode="nearest")
    down, across = ndimage.sobel(smooth, 0, mode="nearest") / 4, ndimage.sobel(smooth, 1, mode="nearest") / 4
    strength = np.hypot(down, across)
    # The two neighbours along the gradient, which is rounded to one of four directions.
    direction = np.rint(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 4
    wide = np.pad(strength, 1)
    crest = np.zeros_like(strength, bool)
    for number, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = wide[1 + dy : wide.shape[0] - 1 + dy, 1 + dx : wide.shape[1] - 1 + dx]
        behind = wide[1 - dy : wide.shape[0] - 1 - dy, 1 - dx : wide.shape[1] - 1 - dx]
        crest |= (direction == number) & (strength > ahead) & (strength >= behind)
    weak = crest & (strength > LOW)
    labels, count = ndimage.label(weak, np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(labels[weak & (strength > HIGH)])] = True
    strong[0] = False
    return strong[labels]
