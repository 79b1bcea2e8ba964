"""Bring estimated slopes and an estimated height together into one height, and take from it what follows: normals that
agree with it exactly, and occlusion.

Slopes are (x right, y down) in pixels of height per pixel, heights in pixels. On an axis that wraps around, so does
everything here; on another axis the picture is continued by its mirror image.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

# Weight of the height beside the slopes, as the square of a frequency in radians per pixel: what is longer than about
# thirty pixels follows the height, because slopes err most there.
TRUST = 0.05
BOTH = (True, True)
_OPENNESS = ((2.0, 1.2), (4.5, 1.2), (10.0, 1.2))  # scales of occlusion in pixels, and how much each counts


def slopes(height: Tensor, wraps: tuple[bool, bool] = BOTH) -> Tensor:
    """Return the central differences (B, 2, H, W) of a height (B, 1, H, W).

    Args:
        height: In pixels.
        wraps: Whether it wraps around across, and down.
    """
    across = (torch.roll(height, -1, 3) - torch.roll(height, 1, 3)) * 0.5
    down = (torch.roll(height, -1, 2) - torch.roll(height, 1, 2)) * 0.5
    if not wraps[0] and height.shape[3] > 1:
        across[..., 0], across[..., -1] = height[..., 1] - height[..., 0], height[..., -1] - height[..., -2]
    if not wraps[1] and height.shape[2] > 1:
        down[..., 0, :] = height[..., 1, :] - height[..., 0, :]
        down[..., -1, :] = height[..., -1, :] - height[..., -2, :]
    return torch.cat((across, down), 1)


def integrate(slope: Tensor, coarse: Tensor | None = None, wraps: tuple[bool, bool] = BOTH,
              trust: float = TRUST) -> Tensor:
    """Return the height whose central differences come closest to the slopes (Frankot and Chellappa 1988, with the
    symbol of the central difference), and whose coarse shape comes closest to another height's.

    Args:
        slope: (B, 2, H, W).
        coarse: (B, 1, H, W), or None for slopes alone.
        wraps: Whether it wraps around across, and down.
        trust: The coarse height's weight.

    Returns:
        The height (B, 1, H, W) with a mean of zero.
    """
    size = slope.shape[-2:]
    slope = _mirrored(slope, wraps, odd=True)
    top, bottom = _divergence(slope)
    if coarse is None:
        top, bottom = torch.where(bottom > 1e-6, top, 0), bottom.clamp_min(1e-8)
    else:
        top = top + trust * torch.fft.rfft2(_mirrored(coarse, wraps).float())
        bottom = bottom + trust
    spectrum = top / bottom
    spectrum[..., 0, 0] = 0
    height = torch.fft.irfft2(spectrum, s=slope.shape[-2:])[..., :size[0], :size[1]]
    return height - height.mean((2, 3), keepdim=True)


def normals(height: Tensor, wraps: tuple[bool, bool] = BOTH) -> Tensor:
    """Return the unit normals (B, 3, H, W) of a height in tangent space, y up (OpenGL's)."""
    slope = slopes(height, wraps)
    length = (slope.square().sum(1, keepdim=True) + 1).rsqrt()
    return torch.cat((-slope[:, :1] * length, slope[:, 1:] * length, length), 1)


def blur(field: Tensor, sigma: float, wraps: tuple[bool, bool] = BOTH) -> Tensor:
    """Return a field (B, C, H, W) after a Gaussian blur of `sigma` pixels."""
    size = field.shape[-2:]
    field = _mirrored(field, wraps).float()
    down, across = _frequencies(field)
    gain = torch.exp(-0.5 * sigma**2 * (down**2 + across**2))
    return torch.fft.irfft2(torch.fft.rfft2(field) * gain, s=field.shape[-2:])[..., :size[0], :size[1]]


def occlusion(height: Tensor, wraps: tuple[bool, bool] = BOTH) -> Tensor:
    """Return how open each place of a height is to the sky, 0 to 1, from how far it lies below its surroundings."""
    deep = torch.zeros_like(height)
    for sigma, weight in _OPENNESS:
        deep = deep + weight * (blur(height, sigma, wraps) - height).clamp_min(0) / sigma
    return 1.0 / (1.0 + deep)


def _frequencies(field: Tensor) -> tuple[Tensor, Tensor]:
    """Angular frequencies (down, across), shaped to broadcast over `torch.fft.rfft2`."""
    down = 2 * math.pi * torch.fft.fftfreq(field.shape[-2], device=field.device)[:, None]
    return down, 2 * math.pi * torch.fft.rfftfreq(field.shape[-1], device=field.device)[None]


def _divergence(slope: Tensor) -> tuple[Tensor, Tensor]:
    """The spectrum of the slopes' divergence, and the symbol that the height's is multiplied by to give it."""
    down, across = _frequencies(slope)
    steps = torch.sin(across), torch.sin(down)
    spectrum = torch.fft.rfft2(slope.float())
    # The symbol of a central difference is i sin ω; its conjugate is -i sin ω.
    top = -1j * (steps[0] * spectrum[:, :1] + steps[1] * spectrum[:, 1:])
    return top, steps[0] ** 2 + steps[1] ** 2


def _mirrored(field: Tensor, wraps: tuple[bool, bool], odd: bool = False) -> Tensor:
    """Continue a field by its mirror image on the axes that do not wrap around.

    With `odd`, its two channels are slopes (across, down), which change their sign in the mirror.
    """
    for axis, dim, wrapping in ((0, 3, wraps[0]), (1, 2, wraps[1])):
        if not wrapping:
            image = field.flip(dim)
            if odd:
                sign = field.new_ones(1, 2, 1, 1)
                sign[:, axis] = -1
                image = image * sign
            field = torch.cat((field, image), dim)
    return field
