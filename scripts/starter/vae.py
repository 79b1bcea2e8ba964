"""Stage "vae": the picture autoencoder, f = 4 with 4 latent channels.

An ``AutoencoderTiny`` (no norms, no attention: cheap, and it commutes with rolling under wrapping padding), trained on
squared and absolute error of the pixels and of their edges. Latents are pushed towards zero mean and unit covariance,
so that the diffusion model sees white, centred numbers, and a little noise on them teaches the decoder to forgive.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import nn

from . import data, scenes
from .common import DEVICE, Average, Clock, autocast, load, log, rate, save, set_circular
from .workers import Team
from .wrap import twin

BATCH = 16
PEAK = 1e-3
CROP = 64
WIDTH = 48


def build() -> AutoencoderTiny:
    """The untrained autoencoder: 1 M parameters, most of the work below full size, where it is cheap."""
    return AutoencoderTiny(
        encoder_block_out_channels=(WIDTH,) * 3,
        decoder_block_out_channels=(WIDTH,) * 3,
        num_encoder_blocks=(0, 3, 4),
        num_decoder_blocks=(4, 3, 1),
        latent_channels=4,
        upsampling_scaling_factor=2,
        scaling_factor=1.0,
        force_upcast=False,
    )


class Pictures:
    """Random batches of training pictures: whole periodic ones rolled at random, or crops and scenes."""

    def __init__(self, folder: Path, seed: int):
        self.rng = np.random.default_rng(seed)
        self.count = BATCH
        self.large = data.load_set(folder, "large")[0]
        self.small = data.load_set(folder, "small")[0]
        self.scenes = scenes.load(folder, "scenes")["picture"]

    def batch(self, circular: bool) -> torch.Tensor:
        """(self.count, 3, 64, 64) in -1…1, channels last."""
        rng = self.rng
        if circular:
            chosen = self.small[np.sort(rng.integers(len(self.small), size=self.count))]
            shift = rng.integers(CROP, size=2)
            pictures = np.roll(chosen, tuple(shift), (1, 2))
        else:
            share = self.count // 4
            pictures = np.concatenate([self._crops(self.large, self.count - share), self._crops(self.scenes, share)])
        return to_tensor(pictures)

    def _crops(self, pictures: np.ndarray, number: int) -> np.ndarray:
        """Pieces of random pictures, all from the same place in them."""
        top, left = self.rng.integers(0, pictures.shape[1] - CROP + 1, 2)
        return pictures[np.sort(self.rng.integers(len(pictures), size=number)), top : top + CROP, left : left + CROP]


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) in -1…1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def high_frequency(pictures: torch.Tensor) -> torch.Tensor:
    """Spectral energy above a quarter cycle per pixel, (B, 3, H, W) to (B,); a Hann window hides the borders."""
    size = pictures.shape[-1]
    window = torch.hann_window(size, periodic=False, device=pictures.device)
    spectrum = torch.fft.fft2((pictures - pictures.mean((2, 3), True)) * window[:, None] * window).abs() ** 2
    f = torch.fft.fftfreq(size, device=pictures.device)
    return (spectrum * (torch.hypot(f[:, None], f) > 0.25)).sum((1, 2, 3))


@torch.no_grad()
def measure(vae: AutoencoderTiny, pictures: torch.Tensor) -> dict[str, float]:
    """Quality on periodic pictures (B, 3, H, W) in -1…1: PSNR in dB, and the share of high-frequency energy kept."""
    set_circular(vae, True)
    error, kept, real = 0.0, 0.0, 0.0
    for part in pictures.split(62):
        with autocast():
            output = vae.decode(vae.encode(part).latents).sample
        output = output.float().clamp(-1, 1)
        error += F.mse_loss(output, part, reduction="sum").item()
        kept += high_frequency(output).sum().item()
        real += high_frequency(part).sum().item()
    mse = error / pictures.numel() / 4.0
    return {"psnr": -10.0 * float(np.log10(mse)), "high_frequency": kept / real}


def _latent_penalty(latents: torch.Tensor) -> torch.Tensor:
    """How far the batch's latents are from zero mean and unit covariance."""
    flat = latents.permute(1, 0, 2, 3).reshape(4, -1)
    mean = flat.mean(1, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).T / flat.shape[1]
    return mean.square().sum() + (covariance - torch.eye(4, device=flat.device)).square().sum()


def _edges(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]


def distance(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared plus absolute error, and the absolute error of the edges."""
    edges = sum(F.l1_loss(a, b) for a, b in zip(_edges(output), _edges(target), strict=True))
    return F.mse_loss(output, target) + 0.25 * F.l1_loss(output, target) + 0.2 * edges


def train(team: Team, cache: Path, minutes: float, seed: int = 1) -> None:
    """Train (or go on training) the autoencoder for ``minutes`` in all."""
    torch.manual_seed(seed)
    path = cache / "vae.pt"
    vae = build().to(DEVICE).to(memory_format=torch.channels_last)
    average = Average(vae, 0.99)
    optimiser = torch.optim.AdamW(vae.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    step, spent = 0, 0.0
    if state := load(path):
        vae.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        if state["optimiser"]:  # a restored model has none
            optimiser.load_state_dict(state["optimiser"])
        step, spent, average.steps = state["step"], state["spent"], state["step"]
    wrapped = twin(vae, lambda: build().to(DEVICE).to(memory_format=torch.channels_last))
    plain_step, wrapped_step = torch.compile(_forward, dynamic=False), torch.compile(_forward, dynamic=False)
    torch.manual_seed(seed + step + 1000 * team.rank)
    pictures, clock = Pictures(cache / "data", seed + step + 1000 * team.rank), Clock(minutes, spent)
    pictures.count = BATCH // team.size
    held = to_tensor(data.load_set(cache / "data", "held")[0][:248])
    kinds = np.random.default_rng(seed + step)
    team.progress = clock.progress
    while team.progress < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = rate(team.progress, PEAK)
        circular = bool(kinds.random() < 0.4)
        target = pictures.batch(circular)
        with autocast():
            latents, output = wrapped_step(wrapped, target) if circular else plain_step(vae, target)
        loss = distance(output.float(), target) + 0.01 * _latent_penalty(latents.float())
        optimiser.zero_grad()
        loss.backward()
        team.share(vae.parameters(), clock.progress)
        nn.utils.clip_grad_norm_(vae.parameters(), 0.5)
        optimiser.step()
        average.update(vae)
        step += 1
        if team.leads and (step % 200 == 0 or team.progress >= 1.0):
            figures = measure(average.model, held)
            log(f"vae: step {step}, {clock.spent / 60:.1f} min, loss {loss.item():.4f}, {figures}")
            states = {"model": vae.state_dict(), "average": average.model.state_dict()}
            save(path, {**states, "optimiser": optimiser.state_dict(), "step": step, "spent": clock.spent})


def _forward(vae: AutoencoderTiny, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode and decode with a little noise on the latents, so that the decoder forgives small errors."""
    latents = vae.encoder(picture)
    return latents, vae.decoder(latents + 0.05 * torch.randn_like(latents))
