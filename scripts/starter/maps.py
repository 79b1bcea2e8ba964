"""Stage "maps": train the estimator of material maps as a regression, and export it.

The net sees pictures of 128 × 128 pixels that wrap around and learns base colour without light, slopes, a coarse
height, roughness and what is metal. The height that counts is the one integrated from slopes and coarse height. Its
recogniser is taken as the stage before left it, and learns on at a lower rate.
"""

from __future__ import annotations

from pathlib import Path
from types import MethodType

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from . import lighting, maps_data, recogniser
from .common import ROOT, Average, Clock, Tally, load, log, rate, save, write_json
from .muon import Both
from .workers import Team

from blender_sd.engine.maps.height import integrate
from blender_sd.engine.maps.network import HIDDEN, MapNet

FOLDER = ROOT / "blender_sd" / "models" / "starter_maps"
BATCH = 12  # of each worker
_PEAK = 1e-3
_HOLD = 0.15  # share of the time at that rate
_WIDE = 0.12  # share of the rate for layers with hundreds of inputs, which a full step throws far
_GENTLY = 0.4  # share of the rate for the recogniser, which has been taught
_TELLING = 0.3  # weight of naming a picture's family and telling figures of the whole
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
        + 0.7 * (error + 1e-4).log().mean(),
        "normal": 2.0 * F.l1_loss(lighting.normals(estimate["slope"]), normal)
        + 1.0 * F.l1_loss(lighting.normals(lighting.slopes(height)), normal),
        "height": _height_loss(height, level),
        "roughness": 0.5 * F.l1_loss(estimate["roughness"], truth["roughness"])
        + 0.25 * F.l1_loss(estimate["roughness"].mean((2, 3)), truth["roughness"].mean((2, 3))),
        "metallic": 1.0 * F.binary_cross_entropy_with_logits(
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
    return 0.35 * ((height - level) / (deviation + 0.3)).abs().mean() + 1.5 * (unlike * shaped).mean()


class _Wrapping(torch.autograd.Function):
    """Padding that wraps around, by half as many copies as torch's own, which takes a third of a step."""

    @staticmethod
    def forward(ctx, x: Tensor, p: int) -> Tensor:
        ctx.p, (height, width) = p, x.shape[-2:]
        size = (*x.shape[:2], height + 2 * p, width + 2 * p)
        out = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        out[..., p:-p, p:-p] = x
        out[..., :p, p:-p], out[..., -p:, p:-p] = x[..., -p:, :], x[..., :p, :]
        out[..., :p], out[..., -p:] = out[..., width : width + p], out[..., p : 2 * p]
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        p, grad = ctx.p, grad.clone()
        height, width = grad.shape[-2] - 2 * p, grad.shape[-1] - 2 * p
        grad[..., width : width + p] += grad[..., :p]
        grad[..., p : 2 * p] += grad[..., -p:]
        grad[..., height : height + p, p:-p] += grad[..., :p, p:-p]
        grad[..., p : 2 * p, p:-p] += grad[..., -p:, p:-p]
        return grad[..., p:-p, p:-p], None


def _wrapped(self: nn.Conv2d, x: Tensor) -> Tensor:
    padding = self.padding[0]
    x = _Wrapping.apply(x, padding) if padding else x
    return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation)


class Student:
    """The net in training, its average, and what tells what the whole picture is. Telling serves the training alone: it
    teaches the net to tell materials and lights apart, from which roughness, metal and base colour follow."""

    def __init__(self) -> None:
        self.net = MapNet().to(memory_format=torch.channels_last)
        for module in self.net.modules():
            if isinstance(module, nn.Conv2d):
                module.forward = MethodType(_wrapped, module)
        self.net.recogniser.eval()  # its normalisation stays
        self.teller = recogniser.Teller(2 * HIDDEN)
        self.average = Average(self.net, 0.988)
        parts = (self.net.whole, self.net.more, self.net.steer, self.teller, self.net.overall)
        wide = [p for part in parts for p in part.parameters()]
        taught = list(self.net.recogniser.parameters())
        slow = {id(p) for p in (*wide, *taught)}
        rest = [p for p in self.net.parameters() if id(p) not in slow]
        self.parameters = [*rest, *wide, *taught]
        groups = [{"params": group, "share": share} for group, share in ((rest, 1.0), (wide, _WIDE), (taught, _GENTLY))]
        matrices = [p for p in self.parameters if p.dim() != 4]
        self.optimiser = Both(groups, [*wide, *matrices, self.net.out.weight])

    def state(self) -> dict:
        """What a checkpoint keeps."""
        parts = {"net": self.net, "average": self.average.model, "teller": self.teller}
        return {**{name: part.state_dict() for name, part in parts.items()}, "optimiser": self.optimiser.state_dict(),
                "steps": self.average.steps}  # fmt: skip

    def resume(self, state: dict) -> None:
        """Go on from what a checkpoint kept."""
        self.net.load_state_dict(state["net"])
        self.average.model.load_state_dict(state["average"])
        self.average.steps = state["steps"]
        self.teller.load_state_dict(state["teller"])
        self.optimiser.load_state_dict(state["optimiser"])

    def recognise(self, state: dict) -> None:
        """Take the recogniser as the stage before kept it."""
        for net in (self.net, self.average.model):
            net.recogniser.load_state_dict(recogniser.alone(state))

    def loss(self, picture: Tensor, truth: dict[str, Tensor], family: Tensor) -> tuple[Tensor, dict[str, float]]:
        """What is wrong with a batch's maps and with what it is taken for, and the parts."""
        levels = self.net.encode(picture.contiguous(memory_format=torch.channels_last))
        understood = self.net.understand(self.net.summarise(levels))
        loss, parts = loss_of(self.net.read(self.net.guided(levels, understood), picture), truth)
        telling, more = self.teller.loss(understood, family, recogniser.whole_figures(picture, truth))
        return loss + _TELLING * telling, {**parts, **more}

    def step(self, progress: float) -> None:
        """Follow the gradients, at the rate for a share of the time."""
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step(rate(progress, _PEAK, hold=_HOLD))
        self.average.update(self.net)


def restore(cache: Path, steps: int = 1000) -> None:
    """Make checkpoints of the net that is shipped, to train it and its recogniser further with a new clock; ``steps``
    is how far back the average of its weights is taken to reach."""
    student, pupil = Student(), recogniser.Pupil()
    weights = {name: value.float() for name, value in load_file(FOLDER / "model.safetensors").items()}
    for net in (student.net, student.average.model):
        net.load_state_dict(weights, strict=False)
    pupil.recogniser.load_state_dict(student.net.recogniser.state_dict())
    save(cache / "maps.pt", {**student.state(), "optimiser": [], "steps": steps, "spent": 0.0})
    save(cache / "recogniser.pt", {"pupil": pupil.state_dict(), "spent": 0.0})


def begin(cache: Path, minutes: float) -> tuple[Student, Clock]:
    """Return what is trained, as the last checkpoint has it, and its clock. The recogniser is taken as the stage before
    left it until this stage has begun."""
    torch.manual_seed(1)
    student, clock = Student(), Clock(minutes)
    if state := load(cache / "maps.pt"):
        student.resume(state)
        clock = Clock(minutes, state["spent"])
    if not clock.before and (state := load(cache / "recogniser.pt")):
        student.recognise(state)
    return student, clock


def train(team: Team, cache: Path, minutes: float) -> None:
    """Train for ``minutes`` in all, from the last checkpoint if there is one."""
    path, (student, clock) = cache / "maps.pt", begin(cache, minutes)
    rng = np.random.default_rng((int(clock.spent), team.rank))
    batches = maps_data.Batches(cache / "maps", rng).stream(BATCH)
    saved, tally = clock.spent, Tally(50)
    team.progress = clock.progress
    while team.progress < 1:
        loss, parts = student.loss(*next(batches))
        student.optimiser.zero_grad()
        loss.backward()
        progress = team.progress
        team.share(student.parameters, clock.progress)
        student.step(progress)
        if (means := tally.add(parts)) and team.leads:
            log(f"maps: step {student.average.steps}, {clock.spent / 60:.1f} min: {means}")
        if team.leads and (clock.spent - saved > 90 or team.progress >= 1):
            saved = clock.spent
            save(path, {**student.state(), "spent": clock.spent})


@torch.no_grad()
def averaged(cache: Path, batches: int = 24) -> MapNet:
    """The averaged net of the last checkpoint, its normalisation measured afresh; the recogniser was trained with its
    own as it is."""
    net = MapNet().set_wrapping(True)
    net.load_state_dict(load(cache / "maps.pt")["average"])
    source = maps_data.Batches(cache / "maps", np.random.default_rng(7))
    source.look()
    kept = set(net.recogniser.modules())
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module not in kept:
            module.reset_running_stats()
            module.momentum = None
    net.train().recogniser.eval()
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
