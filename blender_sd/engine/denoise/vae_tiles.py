"""A VAE in tiles (diffusers' own), which keeps its memory small; tiles of a seamless picture wrap round the border."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

_MARGIN = 8  # latent pixels; more than a tile's border reaches across


@contextmanager
def tiled(vae: Any, wanted: bool, scale: int) -> Iterator[None]:
    """Return a context in which `vae` works in tiles, if that is `wanted`. `scale`: pixels per latent pixel."""
    if not wanted:
        yield
        return
    before = {name: getattr(vae, name) for name in ("spatial_scale_factor", "tile_latent_min_size")
              if hasattr(vae, name)}
    if before.get("spatial_scale_factor", scale) != scale:  # AutoencoderTiny assumes a scale of 8
        vae.spatial_scale_factor, vae.tile_latent_min_size = scale, vae.tile_sample_min_size // scale
    vae.enable_tiling()
    try:
        yield
    finally:
        vae.disable_tiling()
        for name, value in before.items():
            setattr(vae, name, value)


def round_border(method: Callable, tiling: str, scale: int) -> Callable:
    """Return a VAE's `decode` or `encode` for pictures that repeat along `tiling`.

    It sees a margin that wraps round the border; the margin's result is cut off. Its own convolutions need not wrap.

    Args:
        method: The VAE class's method.
        tiling: none, x, y or xy.
        scale: Pixels per latent pixel.
    """
    if tiling == "none":
        return method
    decodes = method.__name__ == "decode"

    def run(vae: Any, value: torch.Tensor, *args: Any, **options: Any) -> Any:
        unit = 1 if decodes else scale
        height, width = value.shape[-2:]
        x, y = (min(_MARGIN * unit, side // unit * unit) if axis in tiling else 0
                for axis, side in (("x", width), ("y", height)))
        result = method(vae, F.pad(value, (x, x, y, y), mode="circular"), *args, **options)
        into = scale if decodes else 1
        rows, columns = slice(y // unit * into, y // unit * into + height // unit * into), slice(
            x // unit * into, x // unit * into + width // unit * into)
        return _cut(result, rows, columns)

    return run


def _cut(result: Any, rows: slice, columns: slice) -> Any:
    if isinstance(result, tuple):
        return (result[0][..., rows, columns], *result[1:])
    if getattr(result, "latent_dist", None) is not None:
        old = result.latent_dist
        result.latent_dist = type(old)(old.parameters[..., rows, columns], old.deterministic)
    else:
        name = next(name for name in ("sample", "latents", "latent") if getattr(result, name, None) is not None)
        setattr(result, name, getattr(result, name)[..., rows, columns])
    return result
