"""Control pictures made from ordinary ones: edges and blur. Blender itself makes a scene's depth, normals and lines."""
from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

LOW, HIGH = 0.08, 0.2  # shares of the strongest possible step; as A1111's 100 and 200 of a Sobel filter's 1020


def prepared(kind: str, picture: Image.Image) -> Image.Image:
    """Return what a ControlNet reads: RGB, of the picture's size.

    Args:
        kind: "canny" draws white edges on black, "blur" removes detail; for other kinds, the picture is a control
            picture already.
        picture: The picture, RGB.
    """
    if kind == "canny":
        return Image.fromarray(canny(np.asarray(picture.convert("L"),
                                                np.float32) / 255).astype(np.uint8) * 255).convert("RGB")
    if kind == "blur":
        return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 64))
    return picture


def canny(grey: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Return the edges of a picture, one pixel wide (Canny 1986).

    Gradients of the smoothed picture are thinned to their crest and kept if strong, or connected to strong ones.

    Args:
        grey: H×W float32, 0 to 1.
        sigma: Radius of the smoothing in pixels.

    Returns:
        H×W bool.
    """
    smooth = ndimage.gaussian_filter(grey, sigma, mode="nearest")
    down, across = ndimage.sobel(smooth, 0, mode="nearest") / 4, ndimage.sobel(smooth, 1, mode="nearest") / 4
    strength = np.hypot(down, across)
    # The two neighbours along the gradient, which is rounded to one of four directions.
    direction = np.rint(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 4
    wide = np.pad(strength, 1)
    crest = np.zeros_like(strength, bool)
    for number, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        front = wide[1 + dy : wide.shape[0] - 1 + dy, 1 + dx : wide.shape[1] - 1 + dx]
        back = wide[1 - dy : wide.shape[0] - 1 - dy, 1 - dx : wide.shape[1] - 1 - dx]
        crest |= (direction == number) & (strength > front) & (strength >= back)
    weak = crest & (strength > LOW)
    labels, count = ndimage.label(weak, np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(labels[weak & (strength > HIGH)])] = True
    strong[0] = False
    return strong[labels]
