"""Stage "classifier": the judge that scores generated pictures.

A small convolutional network with two heads, material and colour, trained on real renders only. Its penultimate
features also measure diversity. It must itself reach 95 % on held-out real renders before its scores mean anything.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from . import data, materials, palette
from .common import DEVICE, Clock, autocast, log, rate
from .surface import Spec
from .vae import to_tensor

WEIGHTS = Path(__file__).with_name("scorer.safetensors")
# Families whose two colours have no order that an eye could tell.
_EITHER = ("checker", "stripes", "plaid")


class Scorer(nn.Module):
    """(B, 3, H, W) in -1…1 to material logits, colour logits and features (B, 160)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96, 160)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.material = nn.Linear(widths[-1], len(materials.FAMILIES))
        self.colour = nn.Linear(widths[-1] + 64, len(palette.NAMES))
        self.tint = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU())

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Material logits, colour logits, features."""
        features = self.body(picture).mean((2, 3))
        tint = self.tint(F.avg_pool2d(picture, 4)).mean((2, 3))
        return self.material(features), self.colour(torch.cat([features, tint], 1)), features


def colour_target(spec: Spec) -> np.ndarray:
    """The colour label as weights over the palette: both colours where their order cannot be seen."""
    target = np.zeros(len(palette.NAMES), np.float32)
    names = (spec.colour, spec.second) if spec.family in _EITHER else (spec.colour,)
    for name in names:
        target[palette.NAMES.index(name)] = 1.0 / len(names)
    return target


def _augment(pictures: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Roll; now and then blur slightly or add grain, as an autoencoder does."""
    size = pictures.shape[-1]
    pictures = torch.roll(pictures, tuple(rng.integers(size, size=2)), (2, 3))
    if rng.random() < 0.35:
        soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="circular"), 3, 1)
        pictures = torch.lerp(pictures, soft, float(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.3:
        pictures = pictures + float(rng.uniform(0.01, 0.06)) * torch.randn_like(pictures)
    return pictures.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def score(scorer: Scorer, pictures: torch.Tensor, specs: list[Spec]) -> dict[str, np.ndarray]:
    """Per picture: material right, colour right, and the features. Pictures (B, 3, H, W) in -1…1."""
    scorer.eval()
    material, colour, features = [], [], []
    for part in pictures.split(124):
        a, b, c = scorer(part)
        material.append(a.argmax(1)), colour.append(b.argmax(1)), features.append(c)
    families = np.array([materials.FAMILIES.index(spec.family) for spec in specs])
    targets = np.stack([colour_target(spec) for spec in specs])
    chosen = torch.cat(colour).cpu().numpy()
    return {
        "predicted": torch.cat(material).cpu().numpy(),
        "material": torch.cat(material).cpu().numpy() == families,
        "colour": targets[np.arange(len(specs)), chosen] > 0,
        "features": torch.cat(features).float().cpu().numpy(),
    }


def held_out(scorer: Scorer, folder: Path) -> dict[str, float]:
    """The judge's own accuracy on held-out real renders."""
    pictures, specs = data.load_set(folder, "held")
    result = score(scorer, to_tensor(pictures), specs)
    return {"material": float(result["material"].mean()), "colour": float(result["colour"].mean())}


def train(cache: Path, minutes: float, seed: int = 3) -> Scorer:
    """Train the judge for ``minutes``, from the committed weights if there are any, and write them, float16."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pictures, specs = data.load_set(cache / "data", "small")
    large, large_specs = data.load_set(cache / "data", "large")
    scorer = (load() if WEIGHTS.exists() else Scorer().to(DEVICE)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(scorer.parameters(), 2e-3, weight_decay=0.02)
    clock, step = Clock(minutes), 0
    while clock.progress < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = rate(clock.progress, 2e-3)
        if rng.random() < 0.7:
            chosen = rng.integers(len(pictures), size=128)
            batch, labels = pictures[chosen], [specs[i] for i in chosen]
        else:
            chosen = rng.integers(len(large), size=128)
            top, left = rng.integers(0, 65, 2)
            batch = large[chosen][:, top : top + 64, left : left + 64]
            labels = [large_specs[i] for i in chosen]
        families = torch.tensor([materials.FAMILIES.index(spec.family) for spec in labels], device=DEVICE)
        colours = torch.from_numpy(np.stack([colour_target(spec) for spec in labels])).to(DEVICE)
        scorer.train()
        with autocast():
            material, colour, _ = scorer(_augment(to_tensor(batch), rng))
        loss = F.cross_entropy(material.float(), families) + F.cross_entropy(colour.float(), colours)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 200 == 0:
            log(f"classifier: step {step}, {clock.spent / 60:.1f} min, {held_out(scorer, cache / 'data')}")
    save_file(
        {name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in scorer.state_dict().items()},
        WEIGHTS,
    )
    log(f"classifier: {held_out(load(), cache / 'data')}")
    return scorer


def load() -> Scorer:
    """The trained judge, from the committed weights."""
    scorer = Scorer()
    scorer.load_state_dict(load_file(WEIGHTS))
    return scorer.to(DEVICE).eval()
