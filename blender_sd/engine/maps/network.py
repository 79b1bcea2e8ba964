"""The net that estimates a material's maps from one picture of it: a small U-Net, fully convolutional.

It works at half the picture's size and below (the picture's pixels are folded into channels first), so that it is
quick on a CPU. One vector, the mean of its deepest features over the whole picture, tells every place what the whole
is like. A picture that is worked through tile by tile takes that mean over all tiles first, and then gives the same
maps as in one piece.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 16  # sides of what goes in are multiples of it
REACH = 208  # pixels beyond which nothing changes a place's maps, the summary aside; a multiple of STRIDE
WIDTHS = (24, 48, 96, 128)
OUTPUTS = {"base": 3, "slope": 2, "height": 1, "roughness": 1, "metallic": 1}


class _Block(nn.Module):
    """Two convolutions beside an identity, each with batch normalisation."""

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


def _change(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2 if kernel == 3 else 0, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class MapNet(nn.Module):
    """Estimate maps from a picture (B, 3, H, W), sRGB 0…1, H and W multiples of `STRIDE`."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _change(12, a, 3)
        self.down_a = nn.Sequential(_Block(a))
        self.down_b = nn.Sequential(_change(a, b, 2, 2), _Block(b))
        self.down_c = nn.Sequential(_change(b, c, 2, 2), _Block(c), _Block(c))
        self.down_d = nn.Sequential(_change(c, d, 2, 2), _Block(d), _Block(d, 2))
        self.whole = nn.Sequential(nn.Linear(2 * d, d), nn.ReLU(), nn.Linear(d, 2 * d))
        self.deep = nn.Sequential(_Block(d))
        self.up_c, self.join_c = _change(d, c), nn.Sequential(_change(2 * c, c), _Block(c))
        self.up_b, self.join_b = _change(c, b), nn.Sequential(_change(2 * b, b), _Block(b))
        self.up_a, self.join_a = _change(b, a), nn.Sequential(_change(2 * a, a), _Block(a))
        self.out = nn.Conv2d(a, 4 * sum(OUTPUTS.values()), 3, padding=1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def set_wrapping(self, wrapping: bool) -> MapNet:
        """Let all convolutions wrap around (what it is trained with), or see nothing beyond the borders.

        Returns:
            This net.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and isinstance(module.padding, tuple) and max(module.padding) > 0:
                module.padding_mode = "circular" if wrapping else "zeros"
                module._reversed_padding_repeated_twice = [p for p in reversed(module.padding) for _ in (0, 1)]
        return self

    def encode(self, picture: Tensor) -> list[Tensor]:
        """Return the features of a picture at a half, a quarter, an eighth and a sixteenth of its size."""
        x = F.pixel_unshuffle(picture * 2 - 1, 2)
        levels = [self.down_a(self.stem(x))]
        for stage in (self.down_b, self.down_c, self.down_d):
            levels.append(stage(levels[-1]))
        return levels

    @staticmethod
    def summarise(deepest: Tensor) -> Tensor:
        """Return the mean of the deepest features and of their squares over the picture, (B, 2 × width)."""
        deepest = deepest.float()
        return torch.cat((deepest.mean((2, 3)), deepest.square().mean((2, 3))), 1)

    def decode(self, levels: list[Tensor], summary: Tensor) -> Tensor:
        """Return the raw maps of encoded features, given the whole picture's summary."""
        a, b, c, d = levels
        squared = summary.chunk(2, 1)
        spread = (squared[1] - squared[0].square()).clamp_min(1e-4).sqrt()
        scale, shift = self.whole(torch.cat((squared[0], spread), 1).to(d.dtype))[:, :, None, None].chunk(2, 1)
        x = self.deep(d * (1 + scale) + shift)
        for up, join, skip in ((self.up_c, self.join_c, c), (self.up_b, self.join_b, b), (self.up_a, self.join_a, a)):
            x = join(torch.cat((F.interpolate(up(x), scale_factor=2.0, mode="nearest"), skip), 1))
        return F.pixel_shuffle(self.out(x), 2)

    def read(self, raw: Tensor, picture: Tensor) -> dict[str, Tensor]:
        """Return raw maps as named ones.

        Returns:
            `base` sRGB 0…1 (the net adds to the picture), `slope` (x right, y down; pixels per pixel), `height`
            (pixels, only its coarse shape matters), `roughness` 0…1, `metallic` as a logit.
        """
        parts = dict(zip(OUTPUTS, raw.float().split(tuple(OUTPUTS.values()), 1), strict=True))
        parts["base"] = picture + parts["base"]
        parts["height"] = parts["height"] * 8.0
        parts["roughness"] = torch.sigmoid(parts["roughness"])
        return parts

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        levels = self.encode(picture)
        return self.read(self.decode(levels, self.summarise(levels[-1])), picture)
