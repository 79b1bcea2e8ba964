"""What the training stages share: folders, the clock, padding modes, weight averages and checkpoints."""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from blender_sd.engine.memory.devices import cpu_has_bf16  # noqa: E402

CACHE = ROOT / ".cache" / "starter"
MODEL = ROOT / "blender_sd" / "models" / "starter"
CONTROL = MODEL.with_name("starter_control")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def log(text: str) -> None:
    """Progress, with the time of day, to stderr."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def autocast(kind: str = DEVICE.type) -> torch.autocast:
    """bfloat16 where convolutions and matrix products on a ``kind`` of device allow it, except on processors that only
    emulate it (measured with AVX2: a convolution takes eight times as long as in float32)."""
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu" or cpu_has_bf16())


def set_circular(model: nn.Module, circular: bool) -> None:
    """Switch every convolution between wrapping and zero padding (wrapping makes outputs tile)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.padding) > 0:
            module.padding_mode = "circular" if circular else "zeros"
            module._reversed_padding_repeated_twice = [p for p in reversed(module.padding) for _ in (0, 1)]


class Clock:
    """Progress through a stage whose length is given in minutes of work, kept over restarts."""

    def __init__(self, minutes: float, spent: float = 0.0):
        self.total = minutes * 60.0
        self.before = spent
        self.start = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds worked so far, earlier runs included."""
        return self.before + time.monotonic() - self.start

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the time is used up."""
        return min(self.spent / self.total, 1.0)


def rate(progress: float, peak: float, warm: float = 0.02, floor: float = 0.02, hold: float = 0.4) -> float:
    """Learning rate: a short linear rise, a plateau until ``hold``, then a straight fall to ``floor`` of the peak."""
    if progress < warm:
        return peak * (0.05 + 0.95 * progress / warm)
    fall = max(0.0, (progress - hold) / (1.0 - hold))
    return peak * (1.0 - (1.0 - floor) * fall)


class Tally:
    """Means of the parts of a loss over every so many steps."""

    def __init__(self, every: int):
        self.every = every
        self._taken, self._sums = 0, {}

    def add(self, parts: dict[str, float]) -> str:
        """Count a step; return the means in words when that many are together, else ""."""
        self._taken += 1
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in parts.items()}
        if self._taken < self.every:
            return ""
        text = ", ".join(f"{name} {value / self._taken:.3f}" for name, value in self._sums.items())
        self._taken, self._sums = 0, {}
        return text


class Average:
    """Exponential moving average of a model's weights, taken every ``every`` steps; its horizon grows with time."""

    def __init__(self, model: nn.Module, decay: float = 0.998, every: int = 4):
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay, self.every = decay, every
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model."""
        self.steps += 1
        if self.steps % self.every:
            return
        taken = self.steps // self.every
        decay = min(self.decay, (1 + taken) / (10 + taken))
        mine, theirs = list(self.model.parameters()), list(model.parameters())
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)


def save(path: Path, state: dict) -> None:
    """Write a checkpoint under a temporary name, then rename it, so that a crash never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def load(path: Path) -> dict | None:
    """A checkpoint written by :func:`save`, or None."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def write_json(path: Path, value: object) -> None:
    """Write readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
