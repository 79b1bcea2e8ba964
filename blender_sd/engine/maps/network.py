"""The net that estimates a material's maps from one picture of it: a small U-Net, fully convolutional.

It works at half the picture's size and below (the picture's pixels are folded into channels first), so that it is
quick on a CPU. A branch of its own, the recogniser, sees what the whole picture is like: which material, how lit. Means
over the whole picture of its traits and of the features at every level scale and shift the features on the way up. A
picture that is worked through tile by tile takes those means over all tiles first, and then gives the same maps as in
one piece.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (2, 4, 8, 16, 16)  # pixels of the picture that a feature of each level covers, the traits last
STRIDE = STRIDES[-1]  # sides of what goes in are multiples of it
REACH = 288  # pixels beyond which nothing changes a place's maps, the summary aside; a multiple of STRIDE
WIDTHS = (24, 48, 96, 128)
SIGHT = (40, 80, 128)  # widths of the recogniser, which begins at a quarter of the picture's size
TRAITS = 256  # what the recogniser says of each place
HIDDEN = 384  # width of what the summary is read with
OUTPUTS = {"base": 3, "slope": 2, "height": 1, "roughness": 1, "metallic": 1, "gain": 1}


class _Block(nn.Module):
    """Two convolutions beside an identity, which it is at first, each with batch normalisation."""

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.second_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


def _change(before: int, after: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2 if kernel == 3 else 0, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class _Standard(nn.BatchNorm1d):
    """Bring each feature of a summary to a mean of 0 and a deviation of 1, by running figures in training too: the few
    pictures of a batch say too little of the rest."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > 1:
            with torch.no_grad():
                super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


def _steered(x: Tensor, steer: Tensor) -> Tensor:
    scale, shift = steer.chunk(2, 1)
    return x * (1 + scale) + shift


class MapNet(nn.Module):
    """Estimate maps from a picture (B, 3, H, W), sRGB 0…1, H and W multiples of `STRIDE`."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = _change(12, a, 3)
        self.down_a = nn.Sequential(_Block(a))
        self.down_b = nn.Sequential(_change(a, b, 2, 2), _Block(b))
        self.down_c = nn.Sequential(_change(b, c, 2, 2), _Block(c), _Block(c))
        self.down_d = nn.Sequential(_change(c, d, 2, 2), _Block(d), _Block(d, 2), _Block(d))
        e, f, g = SIGHT
        self.recogniser = nn.Sequential(_change(12, e, 3, 2), _Block(e), _change(e, f, 3, 2), _Block(f),
                                        _change(f, g, 3, 2), _Block(g), _change(g, TRAITS))
        self.standard = _Standard(2 * sum(WIDTHS) + TRAITS, momentum=0.02, affine=False)
        self.whole = nn.Sequential(nn.Linear(self.standard.num_features, HIDDEN), nn.LayerNorm(HIDDEN), nn.SiLU())
        self.more = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.LayerNorm(HIDDEN), nn.SiLU())
        self.steer = nn.Linear(2 * HIDDEN, 2 * sum(WIDTHS))
        self.deep = nn.Sequential(_Block(d), _Block(d))
        self.up_c, self.join_c = _change(d, c), nn.Sequential(_change(2 * c, c), _Block(c), _Block(c))
        self.up_b, self.join_b = _change(c, b), nn.Sequential(_change(2 * b, b), _Block(b), _Block(b))
        self.up_a, self.join_a = _change(b, a), nn.Sequential(_change(2 * a, a), _Block(a), _Block(a))
        self.out = nn.Conv2d(a, 4 * sum(OUTPUTS.values()), 3, padding=1)
        # How rough, how metallic, how much brighter the whole is reaches the maps without a detour through the levels.
        self.overall = nn.Linear(2 * HIDDEN, sum(OUTPUTS.values()))
        nn.init.normal_(self.out.weight, std=0.01)
        for start in (self.out.bias, self.overall.weight, self.overall.bias):
            nn.init.zeros_(start)

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
        """Return the features of a picture at a half, a quarter, an eighth and a sixteenth of its size, and its traits,
        at a sixteenth too."""
        x = F.pixel_unshuffle(picture * 2 - 1, 2)
        levels = [self.down_a(self.stem(x))]
        for stage in (self.down_b, self.down_c, self.down_d):
            levels.append(stage(levels[-1]))
        return [*levels, self.recogniser(x)]

    def summarise(self, levels: list[Tensor]) -> Tensor:
        """Return means over the picture: of the features of each level, of their squares, and of the traits."""
        *levels, traits = (level.float() for level in levels)
        parts = [level.mean((2, 3)) for level in levels] + [level.square().mean((2, 3)) for level in levels]
        return torch.cat((*parts, traits.mean((2, 3))), 1)

    def understand(self, summary: Tensor) -> Tensor:
        """Return what the summary says of the picture, (B, 2 × HIDDEN)."""
        mean, squared, traits = summary.split((sum(WIDTHS), sum(WIDTHS), TRAITS), 1)
        spread = (squared - mean.square()).clamp_min(1e-4).sqrt()
        summary = self.standard(torch.cat((mean, spread, traits), 1))
        first = self.whole(summary)
        return torch.cat((first, self.more(first)), 1)

    def decode(self, levels: list[Tensor], summary: Tensor) -> Tensor:
        """Return the raw maps of what :meth:`encode` gives, given the whole picture's summary."""
        return self.guided(levels, self.understand(summary))

    def guided(self, levels: list[Tensor], understood: Tensor) -> Tensor:
        """Return the raw maps of what :meth:`encode` gives, given what the whole picture is understood to be."""
        a, b, c, d, _ = levels
        steer = self.steer(understood).to(d.dtype)[:, :, None, None].split([2 * width for width in WIDTHS], 1)
        x = self.deep(_steered(d, steer[3]))
        for up, join, skip, way in ((self.up_c, self.join_c, c, steer[2]), (self.up_b, self.join_b, b, steer[1]),
                                    (self.up_a, self.join_a, a, steer[0])):
            x = join(torch.cat((F.interpolate(up(x), scale_factor=2.0, mode="nearest"), skip), 1))
            x = _steered(x, way)
        return F.pixel_shuffle(self.out(x), 2) + self.overall(understood)[..., None, None].to(x.dtype)

    def read(self, raw: Tensor, picture: Tensor) -> dict[str, Tensor]:
        """Return raw maps as named ones.

        Returns:
            `base` sRGB 0…1 (the net scales the picture and adds to it), `slope` (x right, y down; pixels per pixel),
            `height` (pixels, only its coarse shape matters), `roughness` 0…1, `metallic` as a logit.
        """
        parts = dict(zip(OUTPUTS, raw.float().split(tuple(OUTPUTS.values()), 1), strict=True))
        # Light dims or brightens; what it adds, and what metal mirrors, is taken away with the picture itself.
        parts["base"] = picture * (1 + parts.pop("gain")) + parts["base"]
        parts["height"] = parts["height"] * 8.0
        parts["roughness"] = torch.sigmoid(parts["roughness"])
        return parts

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        levels = self.encode(picture)
        return self.read(self.decode(levels, self.summarise(levels)), picture)
