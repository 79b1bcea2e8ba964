"""The estimate that needs no trained net: brightness taken for height, unevenness for roughness, and nothing metallic.

It is what the trained estimator is measured against, and what remains where its file is missing.
"""
from __future__ import annotations

import torch
from torch import Tensor

from .estimator import Estimate
from .height import BOTH, blur, slopes

_SCALES = (1.0, 2.0, 4.0, 8.0, 16.0)  # pixels
_RELIEF = 5.0  # pixels of height for a factor e of brightness, at each scale
_LUMA = (0.2126, 0.7152, 0.0722)


def estimate(picture: Tensor, wraps: tuple[bool, bool] = BOTH) -> Estimate:
    """Return the maps of a picture (1, 3, H, W), sRGB 0…1.

    The base colour is the picture. The height adds up the bands of its logarithmic brightness; roughness is 0.5, and
    more where the picture is uneven within a few pixels.
    """
    level = sum(weight * picture[:, i:i + 1] for i, weight in enumerate(_LUMA))
    bright = torch.log(level.clamp_min(0.02))
    height = torch.zeros_like(bright)
    finer = bright
    for scale in _SCALES:
        coarser = blur(bright, scale, wraps)
        height = height + (finer - coarser) * (_RELIEF * scale / _SCALES[-1])
        finer = coarser
    uneven = (blur(bright.square(), 3.0, wraps) - blur(bright, 3.0, wraps).square()).clamp_min(0).sqrt()
    roughness = (0.5 + 0.8 * uneven).clamp(0, 1)
    return Estimate(picture, slopes(height, wraps), None, roughness, torch.zeros_like(level))
