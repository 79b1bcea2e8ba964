"""Stage "classifier": the two judges that score generated pictures.

Small convolutional networks with three heads, material, colour and modifier, trained on real renders only: whole
pictures, crops of larger ones, and crops of objects with everything else masked. They differ in their seeds; where both
are asked, the lower score counts. A judge must itself reach 97 % on held-out real renders before its scores mean
anything. Its penultimate features also measure diversity.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import data, materials, modifiers, palette
from .common import DEVICE, Clock, autocast, log, rate
from .muon import Both
from .surface import Spec
from .vae import to_tensor

WEIGHTS = {number: Path(__file__).with_name(f"scorer_{number}.safetensors") for number in (1, 2)}
MODIFIERS = ("", *modifiers.MODIFIERS)  # the first stands for none
HEADS = ("material", "colour", "modifier")
# Families whose two colours have no order that an eye could tell.
_EITHER = ("checker", "stripes", "plaid")
# Families that show cracks when they are old.
_CRACKING = ("tiles", "plaster", "concrete")
FEATURES = 192
_BATCH = 128
_PEAK = 2e-3


class Verdict(NamedTuple):
    """What a judge makes of pictures: logits (B, classes) of each head, and features (B, `FEATURES`)."""

    material: Tensor
    colour: Tensor
    modifier: Tensor
    features: Tensor


class Scorer(nn.Module):
    """A judge."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, FEATURES)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.material = nn.Linear(widths[-1], len(materials.FAMILIES))
        self.colour = nn.Linear(widths[-1] + 64, len(palette.NAMES))
        self.tint = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU())
        self.modifier = nn.Linear(widths[-1], len(MODIFIERS))
        nn.init.zeros_(self.modifier.weight), nn.init.zeros_(self.modifier.bias)

    def forward(self, picture: Tensor) -> Verdict:
        """Judge pictures (B, 3, H, W) in -1…1."""
        features = self.body(picture).mean((2, 3))
        tint = self.tint(F.avg_pool2d(picture, 4)).mean((2, 3))
        return Verdict(self.material(features), self.colour(torch.cat([features, tint], 1)), self.modifier(features),
                       features)  # fmt: skip


def targets(spec: Spec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the label of each head as weights over its classes: several where they cannot be told apart."""
    material = np.zeros(len(materials.FAMILIES), np.float32)
    material[materials.FAMILIES.index(spec.family)] = 1.0
    colour = np.zeros(len(palette.NAMES), np.float32)
    either = spec.family in _EITHER or spec.modifier == modifiers.TWO_COLOURS
    for name in (spec.colour, spec.second) if either else (spec.colour,):
        colour[palette.NAMES.index(name)] = 0.5 if either else 1.0
    modifier = np.zeros(len(MODIFIERS), np.float32)
    cracking = not spec.modifier and spec.wear == 2 and spec.family in _CRACKING
    for name in ("", "cracked") if cracking else (spec.modifier,):
        modifier[MODIFIERS.index(name)] = 0.5 if cracking else 1.0
    return material, colour, modifier


def masked(pictures: Tensor, masks: Tensor) -> Tensor:
    """Return pictures (B, 3, H, W) in -1…1 in middle grey where masks (B, 1, H, W) are 0, as the judges know objects.
    """
    return pictures * masks


def _augment(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Roll and mirror; now and then blur slightly or add grain, as an autoencoder does."""
    size = pictures.shape[-1]
    pictures = torch.roll(pictures, tuple(rng.integers(size, size=2)), (2, 3))
    if rng.random() < 0.5:
        pictures = pictures.flip(3)
    if rng.random() < 0.35:
        soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="circular"), 3, 1)
        pictures = torch.lerp(pictures, soft, float(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.3:
        pictures = pictures + float(rng.uniform(0.01, 0.06)) * torch.randn_like(pictures)
    return pictures.contiguous(memory_format=torch.channels_last)


def objects(pictures: Tensor, rng: np.random.Generator, size: int = 64) -> Tensor:
    """Return masked crops (B, 3, size, size) of objects covered with pictures (B, 3, S, S), periodic, in -1…1.

    The objects are slanted planes and balls, turned, near or far, and lit from a side.
    """
    batch, side = len(pictures), pictures.shape[-1]

    def draw(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (batch, 1, 1)).astype(np.float32)).to(DEVICE)

    v, u = torch.meshgrid(*[torch.linspace(-1, 1, size, device=DEVICE)] * 2, indexing="ij")
    radius = (u.square() + v.square())[None] / draw(0.6, 1.15).square()
    ball = (draw(0, 1) < 0.4).float()
    slant = 1.0 + draw(-0.3, 0.3) * u + draw(-0.3, 0.3) * v
    stretch = torch.lerp(slant, (1.0 - 0.75 * radius.clamp(max=1)).rsqrt(), ball)
    angle, reach = draw(-0.5, 0.5), draw(0.7, 1.3) * stretch * size / side
    x = (u * angle.cos() - v * angle.sin()) * reach + draw(-1, 1)
    y = (u * angle.sin() + v * angle.cos()) * reach + draw(-1, 1)
    place = (torch.stack([x, y], -1).add(1).remainder(2) - 1) * (side / (side + 2))  # once round the picture
    crop = F.grid_sample(F.pad(pictures, [1] * 4, mode="circular"), place, align_corners=False)
    light = (draw(0.8, 1.15) + draw(-0.35, 0.35) * u + draw(-0.35, 0.35) * v)[:, None].clamp(0.3, 1.4)
    sides = [draw(-3.15, 3.15) for _ in range(3)]
    edges = torch.stack([u * way.cos() + v * way.sin() < draw(0.3, 1.3) for way in sides])
    inside = torch.where(ball > 0, radius < 1, edges.all(0))
    return masked(((crop + 1) * light - 1).clamp(-1, 1), inside[:, None].float())


@torch.no_grad()
def score(scorer: Scorer, pictures: Tensor, specs: list[Spec]) -> dict[str, np.ndarray]:
    """Judge pictures (B, 3, H, W) in -1…1 painted for specs.

    Returns per picture whether each of `HEADS` is right, the number of the material ("predicted"), and the features.
    """
    scorer.eval()
    parts = [scorer(part) for part in pictures.split(124)]
    verdict = Verdict(*(torch.cat(part).float().cpu() for part in zip(*parts, strict=True)))
    labels = [np.stack(label) for label in zip(*map(targets, specs), strict=True)]
    rows = np.arange(len(specs))
    result = {
        head: label[rows, getattr(verdict, head).argmax(1).numpy()] > 0
        for head, label in zip(HEADS, labels, strict=True)
    }
    return result | {"predicted": verdict.material.argmax(1).numpy(), "features": verdict.features.numpy()}


def lowest(scorers: list[Scorer], pictures: Tensor, specs: list[Spec]) -> dict[str, float]:
    """Return the share of pictures that are right in each of `HEADS`, by the judge that finds fewest of them right."""
    results = [score(scorer, pictures, specs) for scorer in scorers]
    return {head: min(float(result[head].mean()) for result in results) for head in HEADS}


class _Batches:
    """Draws training batches: whole pictures, crops of larger ones, and masked objects."""

    def __init__(self, folder: Path, rng: np.random.Generator):
        self.rng = rng
        self.small, self.small_specs = data.load_set(folder, "small")
        self.large, self.large_specs = data.load_set(folder, "large")

    def draw(self) -> tuple[Tensor, list[Tensor]]:
        """Return pictures (B, 3, 64, 64) in -1…1 and the labels of each head."""
        kind = self.rng.choice(["small", "crop", "object"], p=[0.55, 0.20, 0.25])
        source, specs = (self.small, self.small_specs) if kind == "small" else (self.large, self.large_specs)
        chosen = self.rng.integers(len(source), size=_BATCH)
        pictures = to_tensor(source[chosen])
        if kind == "crop":
            top, left = self.rng.integers(0, 65, 2)
            pictures = pictures[:, :, top : top + 64, left : left + 64]
        pictures = _augment(pictures, self.rng)
        if kind == "object":
            pictures = objects(pictures, self.rng)
        labels = zip(*(targets(specs[i]) for i in chosen), strict=True)
        return pictures, [torch.from_numpy(np.stack(label)).to(DEVICE) for label in labels]


def train(cache: Path, minutes: float, number: int) -> None:
    """Train a judge for ``minutes``, from its committed weights if there are any, and write them, float16."""
    torch.manual_seed(number)
    source = _Batches(cache / "data", np.random.default_rng(number))
    held, specs = data.load_set(cache / "data", "held")
    held = to_tensor(np.array(held))
    scorer = (load(number) if WEIGHTS[number].exists() else Scorer().to(DEVICE)).to(memory_format=torch.channels_last)
    heads = [p for name, p in scorer.named_parameters() if not name.startswith("body.")]
    optimiser = Both([{"params": list(scorer.parameters())}], heads, weight_decay=0.02)
    clock, step = Clock(minutes), 0
    while clock.progress < 1.0:
        pictures, labels = source.draw()
        scorer.train()
        with autocast():
            verdict = scorer(pictures)
        loss = sum(F.cross_entropy(getattr(verdict, head).float(), label)
                   for head, label in zip(HEADS, labels, strict=True))  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step(rate(clock.progress, _PEAK))
        step += 1
        if step % 200 == 0:
            right = lowest([scorer], held, specs)
            log(f"classifier {number}: step {step}, {clock.spent / 60:.1f} min, loss {loss.item():.3f}, {right}")
    state = {name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in scorer.state_dict().items()}
    save_file(state, WEIGHTS[number])
    log(f"classifier {number}: {lowest([load(number)], held, specs)}")


def load(number: int = 1) -> Scorer:
    """Return a trained judge, from its committed weights."""
    scorer = Scorer()
    scorer.load_state_dict(load_file(WEIGHTS[number]))
    return scorer.to(DEVICE).eval()


def judges() -> list[Scorer]:
    """Return all judges that have been trained."""
    return [load(number) for number, path in WEIGHTS.items() if path.exists()]
