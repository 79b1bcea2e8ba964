"""Stage "maps": train the estimator of material maps as a regression, and export it.

The net sees pictures of 128 × 128 pixels that wrap around and learns base colour without light, slopes, a coarse
height, roughness and what is metal. The height that counts is the one integrated from slopes and coarse height.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from . import lighting, maps_data
from .common import ROOT, Average, Clock, autocast, load, log, rate, save, write_json
from .workers import Team

from blender_sd.engine.maps.height import integrate
from blender_sd.engine.maps.network import MapNet

FOLDER = ROOT / "blender_sd" / "models" / "starter_maps"
BATCH = 8  # of each worker
_PEAK = 1.5e-3
_RARER = 2.2  # times as many pixels are no metal; metal counts that much more, so that neither is preferred


def loss_of(estimate: dict[str, Tensor], truth: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of what is wrong with a batch's maps, and its parts."""
    height = integrate(estimate["slope"], estimate["height"])
    level = truth["height"] - truth["height"].mean((2, 3), keepdim=True)
    normal = lighting.normals(lighting.slopes(truth["height"]))
    error = (estimate["base"] - truth["base"]).square().mean((1, 2, 3))  # of each picture, as in decibels
    parts = {
        "base": 4.0 * F.l1_loss(estimate["base"], truth["base"])
        + 2.0 * F.l1_loss(estimate["base"].mean((2, 3)), truth["base"].mean((2, 3)))
        + 0.1 * (error + 1e-4).log().mean(),
        "normal": 2.0 * F.l1_loss(lighting.normals(estimate["slope"]), normal)
        + 1.0 * F.l1_loss(lighting.normals(lighting.slopes(height)), normal),
        "height": _height_loss(height, level),
        "roughness": 1.5 * F.l1_loss(estimate["roughness"], truth["roughness"]),
        "metallic": 0.35 * F.binary_cross_entropy_with_logits(
            estimate["metallic"], truth["metallic"], torch.where(truth["metallic"] > 0.5, _RARER, 1.0)
        ),
    }
    return sum(parts.values()), {name: float(value.detach()) for name, value in parts.items()}


def _height_loss(height: Tensor, level: Tensor) -> Tensor:
    """What is wrong with heights whose means are zero: their size, and, where there is relief, their shape."""
    deviation = level.std((2, 3), keepdim=True)
    energies = (height.square().mean((1, 2, 3)) + 1e-3) * (level.square().mean((1, 2, 3)) + 1e-3)
    unlike = 1.0 - (height * level).mean((1, 2, 3)) / energies.sqrt()
    shaped = (deviation.flatten() > 0.3).float()
    return 0.35 * ((height - level) / (deviation + 0.3)).abs().mean() + 0.3 * (unlike * shaped).mean()


def _optimiser(net: MapNet) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=_PEAK, weight_decay=1e-3, betas=(0.9, 0.98))


def restore(cache: Path, steps: int = 1000) -> None:
    """Make a checkpoint of the net that is shipped, to train it further with a new clock; ``steps`` is how far back
    the average of its weights is taken to reach."""
    net = MapNet()
    state = {name: value.float() for name, value in load_file(FOLDER / "model.safetensors").items()}
    net.load_state_dict(state, strict=False)
    weights = net.state_dict()
    save(cache / "maps.pt", {"net": weights, "average": weights, "steps": steps, "spent": 0.0,
                             "optimiser": _optimiser(net).state_dict()})  # fmt: skip


def train(team: Team, cache: Path, minutes: float) -> None:
    """Train for ``minutes`` in all, from the last checkpoint if there is one."""
    folder, path = cache / "maps", cache / "maps.pt"
    torch.manual_seed(1)
    net = MapNet().set_wrapping(True).to(memory_format=torch.channels_last)
    optimiser = _optimiser(net)
    average, clock = Average(net), Clock(minutes)
    state = load(path)
    if state:
        net.load_state_dict(state["net"])
        average.model.load_state_dict(state["average"])
        average.steps = state["steps"]
        optimiser.load_state_dict(state["optimiser"])
        clock = Clock(minutes, state["spent"])
    batches = maps_data.Batches(folder, np.random.default_rng((int(clock.spent), team.rank)))
    while not batches.look():
        time.sleep(1)
    saved, sums, taken = clock.spent, {}, 0
    team.progress = clock.progress
    while team.progress < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate(team.progress, _PEAK)
        picture, truth = batches.take(BATCH)
        with autocast("cpu"):
            levels = net.encode(picture.contiguous(memory_format=torch.channels_last))
            raw = net.decode(levels, net.summarise(levels[-1]))
        loss, parts = loss_of(net.read(raw, picture), truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        team.share(net.parameters(), clock.progress)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update(net)
        taken += 1
        sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
        if taken == 50:
            files = batches.look()
            text = ", ".join(f"{name} {value / taken:.3f}" for name, value in sums.items())
            if team.leads:
                log(f"maps: step {average.steps}, {clock.spent / 60:.1f} min, {files} files: {text}")
            sums, taken = {}, 0
        if team.leads and (clock.spent - saved > 90 or team.progress >= 1):
            saved = clock.spent
            save(path, {"net": net.state_dict(), "average": average.model.state_dict(), "steps": average.steps,
                        "optimiser": optimiser.state_dict(), "spent": clock.spent})  # fmt: skip


@torch.no_grad()
def averaged(cache: Path, batches: int = 24) -> MapNet:
    """The averaged net of the last checkpoint, its normalisation measured afresh."""
    net = MapNet().set_wrapping(True)
    net.load_state_dict(load(cache / "maps.pt")["average"])
    source = maps_data.Batches(cache / "maps", np.random.default_rng(7))
    source.look()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    net.train()
    for _ in range(batches):
        net(source.take(16)[0])
    return net.eval()


def export(cache: Path) -> None:
    """Write the averaged net in float16 with a description beside it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in averaged(cache).state_dict().items()
             if not name.endswith("num_batches_tracked")}  # fmt: skip
    save_file(state, FOLDER / "model.safetensors")
    (FOLDER / "model.safetensors").chmod(0o644)
    write_json(FOLDER / "config.json", {"kind": "material maps", "version": 1})
