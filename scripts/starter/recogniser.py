"""Stage "recogniser": teach the branch of the map estimator that sees what a whole picture is like.

It learns ten times as fast alone as within the whole net: it names a picture's family and tells a few figures of it.
The stage "maps" takes it as it is and teaches the rest to use it. What names and tells is not shipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import lighting, maps_data, physical
from .common import Clock, Tally, load, log, rate, save
from .workers import Team

from blender_sd.engine.maps.network import TRAITS, MapNet

BATCH = 48  # of each worker
_PEAK = 2e-3
# Usual sizes of the figures: base colour less the picture's, roughness, relief, and the direction of the shading.
_USUAL = (0.08, 0.08, 0.08, 0.25, 1.0, 0.1, 0.1)
FIGURES = len(_USUAL) + 1  # metal's share besides


def whole_figures(picture: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """Return figures of whole pictures (B, FIGURES): mean base colour less the picture's mean, mean roughness, relief
    (logarithm of the mean slope), the direction in which slopes brighten the picture, and the share of metal."""
    slope = lighting.slopes(truth["height"]).flatten(2)
    relief = (slope.square().mean((1, 2)).sqrt() + 0.02).log()
    lighter = (picture - truth["base"]).mean(1).flatten(1)
    lighter = lighter - lighter.mean(1, keepdim=True)
    gram = slope @ slope.transpose(1, 2) / slope.shape[2] + 0.01 * torch.eye(2)
    shading = torch.linalg.solve(gram, (slope * lighter[:, None]).mean(2))
    offset = truth["base"].mean((2, 3)) - picture.mean((2, 3))
    mean = lambda name: truth[name].mean((1, 2, 3))[:, None]  # noqa: E731
    return torch.cat((offset, mean("roughness"), relief[:, None], shading, mean("metallic")), 1)


class Teller(nn.Linear):
    """Name families and tell figures from features (B, C)."""

    def __init__(self, features: int) -> None:
        self.families = len(physical.families(False))
        super().__init__(features, self.families + FIGURES)

    def loss(self, features: Tensor, family: Tensor, figures: Tensor) -> tuple[Tensor, dict[str, float]]:
        """What is wrong with names and figures, and its parts, the share of right names among them."""
        names, values = self(features).split((self.families, FIGURES), 1)
        naming = F.cross_entropy(names, family, label_smoothing=0.05)
        metal = F.binary_cross_entropy_with_logits(values[:, -1], figures[:, -1])
        telling = (values[:, :-1] - figures[:, :-1] / torch.tensor(_USUAL)).abs().mean()
        right = (names.argmax(1) == family).float().mean()
        parts = {"naming": naming, "telling": telling, "metal share": metal, "named": right}
        return naming + telling + metal, {name: float(value.detach()) for name, value in parts.items()}


class Pupil(nn.Module):
    """The recogniser with what reads its traits."""

    def __init__(self) -> None:
        super().__init__()
        self.recogniser = MapNet().set_wrapping(True).recogniser.to(memory_format=torch.channels_last)
        self.standard = nn.BatchNorm1d(TRAITS, affine=False)
        self.teller = Teller(TRAITS)

    def loss(self, picture: Tensor, truth: dict[str, Tensor], family: Tensor) -> tuple[Tensor, dict[str, float]]:
        """What is wrong with what a batch is taken for, and its parts."""
        folded = F.pixel_unshuffle(picture * 2 - 1, 2).contiguous(memory_format=torch.channels_last)
        traits = self.recogniser(folded).mean((2, 3))
        return self.teller.loss(self.standard(traits), family, whole_figures(picture, truth))


def alone(state: dict) -> dict[str, Tensor]:
    """Return the recogniser's weights in a checkpoint of :func:`train`."""
    first = "recogniser."
    return {name.removeprefix(first): value for name, value in state["pupil"].items() if name.startswith(first)}


def train(team: Team, cache: Path, minutes: float) -> None:
    """Train for ``minutes`` in all, from the last checkpoint if there is one."""
    path = cache / "recogniser.pt"
    torch.manual_seed(1)
    pupil, clock = Pupil(), Clock(minutes)
    if state := load(path):
        pupil.load_state_dict(state["pupil"])
        clock = Clock(minutes, state["spent"])
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=_PEAK, weight_decay=0.02, fused=True)
    batches = maps_data.Batches(cache / "maps", np.random.default_rng((int(clock.spent), team.rank))).stream(BATCH)
    steps, tally, saved, team.progress = 0, Tally(100), clock.spent, clock.progress
    while team.progress < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate(team.progress, _PEAK, hold=0.3)
        loss, parts = pupil.loss(*next(batches))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        team.share(pupil.parameters(), clock.progress)
        optimiser.step()
        steps += 1
        if (means := tally.add(parts)) and team.leads:
            log(f"recogniser: step {steps}, {clock.spent / 60:.1f} min: {means}")
        if team.leads and (clock.spent - saved > 90 or team.progress >= 1):
            saved = clock.spent
            save(path, {"pupil": pupil.state_dict(), "spent": clock.spent})
