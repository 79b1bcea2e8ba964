"""Our own estimator: the trained net of `network`, over pictures of any size, whole or tile by tile."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...core.errors import ModelNotFound
from ..models import weight_files
from .network import OUTPUTS, REACH, STRIDE, STRIDES, MapNet
from .slabs import padded

FOLDER = Path(__file__).resolve().parents[2] / "models" / "starter_maps"
_WHOLE = 1408 * 1408  # pixels up to which a picture that wraps around goes through in one piece
TILE = 1024  # pixels; the side of what a large picture is cut into, without its surroundings
_KEPT = 4  # tiles whose features are kept between the two passes


@dataclass
class Estimate:
    """What a source makes of a picture, each (1, C, H, W): `base` sRGB 0…1, `slope` (x right, y down) and `coarse`, a
    height, in pixels, `roughness` and `metallic` 0…1. `coarse` is None if the slopes say it all."""

    base: Tensor
    slope: Tensor
    coarse: Tensor | None
    roughness: Tensor
    metallic: Tensor


@lru_cache(maxsize=1)
def load(folder: str = str(FOLDER)) -> MapNet:
    """Return the shipped net, ready to use on the CPU.

    Raises:
        ModelNotFound: Its file is missing or broken.
    """
    net = MapNet()
    try:
        state = weight_files.read(Path(folder) / "model.safetensors", "estimator")
        net.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    except Exception as error:
        raise ModelNotFound("The built-in estimator of material maps cannot be read.", "Install the add-on again.",
                            repr(error)) from error
    net.eval().requires_grad_(False)
    for module in net.modules():
        _fuse(module)
    return net.to(memory_format=torch.channels_last)


def _fuse(module: nn.Module) -> None:
    """Take each normalisation of a module into the convolution before it."""
    names = list(module._modules)
    for before, after in zip(names, names[1:]):
        conv, norm = module._modules[before], module._modules[after]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module._modules[before] = fuse_conv_bn_eval(conv, norm)
            module._modules[after] = nn.Identity()


@torch.inference_mode()
def estimate(picture: Tensor, wraps: tuple[bool, bool], check: Callable[[], None] = lambda: None,
             progress: Callable[[float], None] = lambda share: None, net: MapNet | None = None) -> Estimate:
    """Return the maps of a picture (1, 3, H, W), sRGB 0…1, of any size.

    Args:
        picture: The picture.
        wraps: Whether it wraps around across, and down.
        check: Called between pieces; raises to stop.
        progress: Called with the share that is done, 0 to 1.
        net: The net; None for the shipped one.
    """
    net = net or load()
    height, width = picture.shape[-2:]
    if (all(wraps) and height * width <= _WHOLE and height % STRIDE == 0 and width % STRIDE == 0
            and min(height, width) > STRIDE):  # padding goes round the deepest features once at most
        net.set_wrapping(True)
        levels = net.encode(picture.contiguous(memory_format=torch.channels_last))
        check()
        progress(0.5)
        raw = net.decode(levels, net.summarise(levels))
    else:
        raw = _tiled(net.set_wrapping(False), picture, wraps, check, progress)
    parts = net.read(raw, picture)
    progress(1.0)
    return Estimate(parts["base"].clamp(0, 1), parts["slope"], parts["height"], parts["roughness"],
                    torch.sigmoid(parts["metallic"]))


def _tiled(net: MapNet, picture: Tensor, wraps: tuple[bool, bool], check: Callable[[], None],
           progress: Callable[[float], None]) -> Tensor:
    """Return the raw maps, tile by tile: first what the whole is like, then the maps of each tile."""
    height, width = picture.shape[-2:]
    tiles = list(_tiles(height, width))
    kept: dict[int, list[Tensor]] = {}
    total: Tensor | float = 0.0

    def encoded(number: int) -> list[Tensor]:
        top, left, rows, columns = tiles[number]
        piece = padded(picture, (left, columns), (top, rows), REACH, wraps)
        return net.encode(piece.contiguous(memory_format=torch.channels_last))

    for number, (_, _, rows, columns) in enumerate(tiles):
        check()
        levels = encoded(number)
        inside = [level[..., _inner(rows, stride), _inner(columns, stride)]
                  for level, stride in zip(levels, STRIDES, strict=True)]
        total = total + net.summarise(inside) * (inside[-1].shape[-1] * inside[-1].shape[-2])
        if number < _KEPT:
            kept[number] = levels
        progress(0.5 * (number + 1) / len(tiles))
    weight = sum(-(-rows // STRIDE) * -(-columns // STRIDE) for _, _, rows, columns in tiles)
    raw = picture.new_empty(1, sum(OUTPUTS.values()), height, width)
    for number, (top, left, rows, columns) in enumerate(tiles):
        check()
        piece = net.decode(kept.pop(number, None) or encoded(number), total / weight)
        raw[..., top:top + rows, left:left + columns] = piece[..., REACH:REACH + rows, REACH:REACH + columns]
        progress(0.5 + 0.5 * (number + 1) / len(tiles))
    return raw


def _inner(length: int, stride: int) -> slice:
    return slice(REACH // stride, REACH // stride + -(-length // STRIDE) * (STRIDE // stride))


def _tiles(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (top, left, rows, columns) of each tile."""
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield top, left, min(TILE, height - top), min(TILE, width - left)
