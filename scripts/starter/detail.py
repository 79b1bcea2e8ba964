"""Stage "detail": the upscaler of the starter, which doubles a picture and adds the detail that a larger one has.

A plain convolutional network of 0.24 M parameters in the layout of Real-ESRGAN's Compact networks, so that every
program that reads those reads it. It learns from materials rendered large: what it sees is such a render averaged down,
half of the time as the starter's autoencoder gives it back, and what it must paint is the render. Renders at two, four
and eight times the ordinary scale make one network right for all passes of a repeated enlargement.

Squared errors alone would teach it blur, since fine grain cannot be predicted. So it must also match the energy of each
band of frequencies in every neighbourhood, features of the judge, and a second network that tells renders from its
pictures. None of these sees that the step from one doubled pixel to the next is larger than that inside it, which shows
as a grid, so the evenness of the steps is a loss of its own. Part of what it sees is sharpened and grainy, as its own
pictures are, which a repeated enlargement gives it.
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

from . import captions, classifier, evaluate, materials
from . import vae as vae_stage
from .common import DEVICE, MODEL, ROOT, Average, Clock, autocast, load, log, rate, save
from .surface import Spec
from .workers import Team

FILE = ROOT / "blender_sd" / "models" / "starter_upscaler" / "starter_x2.safetensors"
ZOOMS = {2: (128, 14), 4: (64, 14), 8: (64, 10)}  # zoom: (pixels of the ordinary picture, pictures of each family)
CROP = 96  # pixels of what is painted
BATCH = 8
PEAK = 6e-4
_FIRST_SEED = 400_000_000
_ALONE = 0.25  # the share of the training without the second network
_WEIGHTS = {"pixels": 1.0, "energy": 0.6, "features": 0.5, "convinced": 0.04, "grid": 0.4}
_GRID_AREA = 24  # pixels of a neighbourhood whose steps are compared
_SETTLING, _ROUNDS = 40, 8  # batches, and how often each is used
_ROUGH = 0.35  # the share of pictures that are sharpened and get grain


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
        return self.finish(self.body[:-1](picture), picture)

    def finish(self, features: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        """The doubled picture, from what the layers before the last make of it."""
        added = F.pixel_shuffle(self.body[-1](features), 2)
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
        return self._roughened(small), target

    def _roughened(self, small: torch.Tensor) -> torch.Tensor:
        """Sharpen some of the pictures and add grain to them."""
        sharper, grain = (
            torch.from_numpy(self.rng.uniform(0, most, (BATCH, 1, 1, 1)) * (self.rng.random((BATCH, 1, 1, 1)) < _ROUGH))
            .float().to(DEVICE) for most in (1.5, 0.03)
        )  # fmt: skip
        soft = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="reflect"), 3, 1)
        noise = torch.from_numpy(self.rng.standard_normal(small.shape, np.float32)).to(DEVICE)
        return (small + (small - soft) * sharper + noise * grain).clamp(0, 1)


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


def unevenness(picture: torch.Tensor) -> torch.Tensor:
    """How unlike, as a logarithm, the steps between doubled pixels and those inside them are in every neighbourhood."""
    ratios = []
    for turned in (picture, picture.transpose(2, 3)):
        steps = (turned[..., 1:] - turned[..., :-1]).float().square().mean(1, keepdim=True)
        inside, between = steps[..., ::2][..., :-1], steps[..., 1::2]
        area = (_GRID_AREA, _GRID_AREA // 2)
        powers = [F.avg_pool2d(part, area, (area[0] // 2, area[1] // 2)) + 1e-5 for part in (between, inside)]
        ratios.append(((powers[0] / powers[1]).log() / 2).flatten(1))
    return torch.cat(ratios, 1)


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
                     "features": _likeness(levels(self.judge, painted), levels(self.judge, target)),
                     "grid": F.l1_loss(unevenness(painted), unevenness(target))}  # fmt: skip
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


def _own(net: Doubler, count: int, seed: int = 9000) -> list[torch.Tensor]:
    """Parts of the starter's pictures (BATCH, 3, CROP / 2, CROP / 2), by turns as it paints them and doubled once."""
    specs = [spec_of(2, number) for number in range(len(materials.FAMILIES))]
    pipe = evaluate.load_pipeline(MODEL)
    evaluate.tile(pipe, True)
    prompts = [captions.canonical(spec) for spec in specs]
    painted = evaluate.generate(pipe, prompts, 128, evaluate.FEW_STEPS, seed=seed)
    pictures = torch.from_numpy(painted).permute(0, 3, 1, 2).to(DEVICE)
    doubled = torch.cat([net(part).clamp(0, 1) for part in pictures.split(4)])
    rng, side = np.random.default_rng(seed), CROP // 2
    batches = []
    for number in range(count):
        source, crops = (pictures, doubled)[number % 2], []
        for item in rng.permutation(len(source))[:BATCH]:
            top, left = rng.integers(source.shape[-1] - side, size=2)
            crops.append(source[item, :, top : top + side, left : left + side])
        batches.append(torch.stack(crops))
    return batches


def settle(net: Doubler, source: Pairs) -> None:
    """Train the last layer alone until the steps between pixels are even, close to what the net painted before.

    It takes minutes where training all layers for that takes hours: what the layers before give is drawn once. Half of
    the pictures are the starter's own, which are harder than renders, pixel by pixel; there is no render of them to
    compare with, so they must stay what they were but for the grid.
    """
    last, drawn = net.body[-1].requires_grad_(True), []
    with torch.no_grad():
        for own in _own(net, _SETTLING // 2):
            for small, target in (source.draw(), (own, None)):
                before = net(small)
                drawn.append((small, before if target is None else target, net.body[:-1](small), before))
    optimiser = torch.optim.Adam(last.parameters(), 1e-3)
    steps = _ROUNDS * len(drawn)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 - step / steps)
        small, target, features, before = drawn[step % len(drawn)]
        painted = net.finish(features, small)
        loss = F.l1_loss(painted, target) + 0.3 * F.l1_loss(painted, before)
        loss = loss + 0.4 * unevenness(painted).abs().mean()
        loss = loss + 0.6 * sum(F.l1_loss(a, b) for a, b in zip(energies(painted), energies(target), strict=True))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % len(drawn) < 2:
            uneven = float(unevenness(painted).mean().exp())
            log(f"detail: settling, step {step}, {'own' if target is before else 'renders'}: grid {uneven:.3f}")
    last.requires_grad_(False)


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
        if clock.spent - saved > 90:
            trainer.checkpoint(clock.spent)
            saved = clock.spent
    settle(trainer.average.model, source)
    trainer.checkpoint(clock.spent)


def export(cache: Path) -> None:
    """Write the averaged network in float16."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    state = load(cache / "detail.pt")["average"]
    about = {"modelspec.title": "Starter upscaler x2", "modelspec.license": "CC0-1.0"}
    save_file({name: value.half().contiguous() for name, value in state.items()}, FILE, metadata=about)
    FILE.chmod(0o644)
