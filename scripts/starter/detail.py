"""Stage "detail": the upscaler of the starter, which doubles a picture and adds the detail that a larger one has.

A plain convolutional network of 0.24 M parameters in the layout of Real-ESRGAN's Compact networks, so that every
program that reads those reads it. It learns from materials rendered large: what it sees is such a render averaged down,
half of the time as the starter's autoencoder gives it back, and what it must paint is the render. Renders at two, four
and eight times the ordinary scale make one network right for all passes of a repeated enlargement.

Squared errors alone would teach it blur, since fine grain cannot be predicted. So it must also match the energy of each
band of frequencies in every neighbourhood, features of the judge, and a second network that tells renders from its
pictures.
"""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from . import classifier, materials
from . import vae as vae_stage
from .common import DEVICE, ROOT, Average, Clock, autocast, load, log, rate, save
from .surface import Spec
from .workers import Team

FILE = ROOT / "blender_sd" / "models" / "starter_upscaler" / "starter_x2.safetensors"
ZOOMS = {2: (128, 14), 4: (64, 14), 8: (64, 10)}  # zoom: (pixels of the ordinary picture, pictures of each family)
CROP = 96  # pixels of what is painted
BATCH = 8
PEAK = 6e-4
_FIRST_SEED = 400_000_000
_ALONE = 0.25  # the share of the training without the second network
_WEIGHTS = {"pixels": 1.0, "energy": 0.6, "features": 0.5, "convinced": 0.04}


class Doubler(nn.Module):
    """The upscaler; its weights are named as those of Real-ESRGAN's Compact networks."""

    def __init__(self, width: int = 48, depth: int = 11):
        super().__init__()
        layers: list[nn.Module] = []
        for before in (3, *[width] * depth):
            layers += [nn.Conv2d(before, width, 3, 1, 1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 12, 3, 1, 1))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) to (B, 3, 2 H, 2 W), both 0…1: what is added to the pixels repeated."""
        added = F.pixel_shuffle(self.body(picture), 2)
        return added.float() + F.interpolate(picture, scale_factor=2, mode="nearest")


def build() -> Doubler:
    """The untrained upscaler; it starts as repeated pixels."""
    net = Doubler()
    nn.init.zeros_(net.body[-1].weight), nn.init.zeros_(net.body[-1].bias)
    return net


def spec_of(zoom: int, number: int) -> Spec:
    """Order ``number`` of the renders at a zoom: families in turn."""
    family = materials.FAMILIES[number % len(materials.FAMILIES)]
    return materials.sample(np.random.default_rng([_FIRST_SEED, zoom, number]), family)


def _draw(job: tuple[str, int, int]) -> None:
    path, zoom, number = job
    pictures = np.load(path, mmap_mode="r+")
    pictures[number] = np.round(materials.render(spec_of(zoom, number), pictures.shape[1], zoom)[0] * 255)


def prepare(folder: Path, workers: int = 2) -> None:
    """Render the training pictures, (N, S, S, 3) uint8 for each zoom, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for zoom, (pixels, each) in ZOOMS.items():
        path, count = folder / f"zoom_{zoom}.npy", each * len(materials.FAMILIES)
        if path.exists():
            continue
        part = path.with_suffix(".part.npy")
        np.lib.format.open_memmap(part, "w+", np.uint8, (count, pixels * zoom, pixels * zoom, 3)).flush()
        with get_context("fork").Pool(workers) as pool:
            list(pool.imap_unordered(_draw, [(str(part), zoom, number) for number in range(count)], chunksize=8))
        part.replace(path)
        log(f"detail: {count} renders at zoom {zoom}")


class Pairs:
    """Draws what the network sees and what it must paint, both 0…1."""

    def __init__(self, folder: Path, cache: Path, seed: int):
        self.rng = np.random.default_rng(seed)
        self.renders = {zoom: np.load(folder / f"zoom_{zoom}.npy", mmap_mode="r") for zoom in ZOOMS}
        self.vae = vae_stage.build().to(DEVICE).eval().requires_grad_(False)
        self.vae.load_state_dict((load(cache / "decoder.pt") or load(cache / "vae.pt"))["average"])

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(BATCH, 3, CROP / 2, CROP / 2) and (BATCH, 3, CROP, CROP); one half of a batch went through the VAE."""
        crops = []
        for _ in range(BATCH):
            renders = self.renders[int(self.rng.choice(list(ZOOMS)))]
            size = renders.shape[1]
            top, left = self.rng.integers(size, size=2)
            rows, columns = (np.arange(start, start + CROP) % size for start in (top, left))
            crop = renders[self.rng.integers(len(renders))][rows[:, None], columns]
            if self.rng.random() < 0.25:  # the renders' light falls from one side, other pictures' does not
                crop = np.rot90(crop, self.rng.integers(1, 4)).copy()
            crops.append(crop)
        target = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().div(255).to(DEVICE)
        small = F.avg_pool2d(target, 2)
        half = BATCH // 2
        with torch.no_grad(), autocast():
            coded = self.vae.decode(self.vae.encode(small[:half] * 2 - 1).latents).sample
        small[:half] = (coded.float() / 2 + 0.5).clamp(0, 1)
        return small, target


class Critic(nn.Module):
    """Tells renders from painted pictures, place by place."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 64, 64)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            stride = 2 if number in (1, 2) else 1
            layers += [spectral_norm(nn.Conv2d(before, after, 3 + (stride > 1), stride, 1)), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1)))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """One number for each place: high for renders."""
        return self.body(picture * 2 - 1)


def energies(picture: torch.Tensor) -> list[torch.Tensor]:
    """How strong each of three bands of frequencies is round every place: logarithms of RMS."""
    result = []
    for _ in range(3):
        soft = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="reflect"), 3, 1)
        power = F.avg_pool2d((picture - soft).square().mean(1, keepdim=True), 8, 4)
        result.append((power + 1e-5).log() / 2)
        picture = F.avg_pool2d(picture, 2)
    return result


def levels(judge: classifier.Scorer, picture: torch.Tensor) -> list[torch.Tensor]:
    """What the judge's first layers make of a picture."""
    result, value = [], picture * 2 - 1
    for number, layer in enumerate(judge.body[:12]):
        value = layer(value)
        if number % 6 == 5:
            result.append(value)
    return result


def _likeness(first: list[torch.Tensor], second: list[torch.Tensor]) -> torch.Tensor:
    """How far features, and which of them come together, are apart."""
    total = torch.zeros(())
    for a, b in zip(first, second, strict=True):
        scale = b.std() + 1e-3
        grams = [torch.einsum("bcij,bdij->bcd", one / scale, one / scale) / one[0, 0].numel() for one in (a, b)]
        total = total + F.l1_loss(a, b) / scale * 0.3 + F.l1_loss(*grams)
    return total


class Trainer:
    """The upscaler and its critic, their optimisers and the upscaler's average; checkpoints carry all of it."""

    def __init__(self, cache: Path):
        torch.manual_seed(11)
        self.path = cache / "detail.pt"
        self.net = build().to(DEVICE).to(memory_format=torch.channels_last)
        self.critic = Critic().to(DEVICE).to(memory_format=torch.channels_last)
        self.judge = classifier.load().to(DEVICE).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), PEAK, betas=(0.9, 0.98), weight_decay=0.0)
        self.critics = torch.optim.AdamW(self.critic.parameters(), PEAK, betas=(0.5, 0.98), weight_decay=0.0)
        self.average = Average(self.net)
        self.spent, self.step = 0.0, 0
        if FILE.exists():
            restored = {name: value.float() for name, value in load_file(FILE).items()}
            self.net.load_state_dict(restored)
            self.average.model.load_state_dict(restored)
        if state := load(self.path):
            self.net.load_state_dict(state["net"])
            self.critic.load_state_dict(state["critic"])
            self.average.model.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.critics.load_state_dict(state["critics"])
            self.spent, self.step = state["spent"], state["step"]
            self.average.steps = self.step

    def checkpoint(self, spent: float) -> None:
        """Write everything needed to go on later."""
        save(self.path, {"net": self.net.state_dict(), "critic": self.critic.state_dict(),
                         "average": self.average.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                         "critics": self.critics.state_dict(), "spent": spent, "step": self.step})  # fmt: skip

    def train_step(self, small: torch.Tensor, target: torch.Tensor, progress: float) -> dict[str, float]:
        """One step of the upscaler and, later on, of its critic; returns the losses."""
        for group in [*self.optimiser.param_groups, *self.critics.param_groups]:
            group["lr"] = rate(progress, PEAK)
        contested = progress > _ALONE
        with autocast():
            painted = self.net(small.contiguous(memory_format=torch.channels_last))
            parts = {"pixels": F.l1_loss(painted, target),
                     "energy": sum(F.l1_loss(a, b) for a, b in zip(energies(painted), energies(target), strict=True)),
                     "features": _likeness(levels(self.judge, painted), levels(self.judge, target))}  # fmt: skip
            if contested:
                parts["convinced"] = -self.critic(painted).float().mean()
        loss = sum(_WEIGHTS[name] * part for name, part in parts.items())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.net)
        if contested:
            with autocast():
                real, made = self.critic(target).float(), self.critic(painted.detach()).float()
            parts["critic"] = F.relu(1 - real).mean() + F.relu(1 + made).mean()
            self.critics.zero_grad(set_to_none=True)
            parts["critic"].backward()
            self.critics.step()
        self.step += 1
        return {name: float(part.detach()) for name, part in parts.items()}


def train(team: Team, cache: Path, minutes: float) -> None:
    """Train (or go on training) for ``minutes`` in all. One process: a step is too short to be shared."""
    trainer = Trainer(cache)
    source = Pairs(cache / "detail", cache, 11 + trainer.step)
    clock, sums, taken = Clock(minutes, trainer.spent), {}, 0
    saved = clock.spent
    while clock.progress < 1.0:
        parts = trainer.train_step(*source.draw(), clock.progress)
        sums, taken = {name: sums.get(name, 0.0) + value for name, value in parts.items()}, taken + 1
        if taken == 100:
            text = ", ".join(f"{name} {value / taken:.4f}" for name, value in sums.items())
            log(f"detail: step {trainer.step}, {clock.spent / 60:.1f} min: {text}")
            sums, taken = {}, 0
        if clock.spent - saved > 90 or clock.progress >= 1.0:
            trainer.checkpoint(clock.spent)
            saved = clock.spent


def export(cache: Path) -> None:
    """Write the averaged network in float16."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    state = load(cache / "detail.pt")["average"]
    about = {"modelspec.title": "Starter upscaler x2", "modelspec.license": "CC0-1.0"}
    save_file({name: value.half().contiguous() for name, value in state.items()}, FILE, metadata=about)
    FILE.chmod(0o644)
