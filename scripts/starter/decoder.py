"""Stage "decoder": fine grain, after the autoencoder is finished.

An autoencoder trained on pixel distance alone leaves out what it cannot predict: its pictures are too smooth. Here the
decoder goes on alone, the encoder frozen, so that the latents, and every denoiser trained on them, stay as they are.
Added to the pixel distance is how far the local strength of fine detail is from the real one: grain need not lie where
it lay, but there must be as much of it (a statistical texture term in the spirit of Portilla & Simoncelli 2000).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import nn

from . import data, vae
from .common import DEVICE, Average, Clock, autocast, load, log, rate, save, set_circular

PEAK = 4e-4
WEIGHT = 0.5  # of the detail term
_CELL = 8  # pixels over which the strength of detail is compared
# Differences across, down and both ways: what changes from one pixel to the next, by direction.
_FILTERS = torch.tensor([
    [[0, 0, 0], [-0.5, 1, -0.5], [0, 0, 0]],
    [[0, -0.5, 0], [0, 1, 0], [0, -0.5, 0]],
    [[0.5, 0, -0.5], [0, 0, 0], [-0.5, 0, 0.5]],
])


def detail(pictures: torch.Tensor) -> torch.Tensor:
    """The local strength of fine detail, (B, 3, H, W) in -1…1 to (B, 9, H/8, W/8): each channel's RMS in three
    directions.
    """
    filters = _FILTERS.to(pictures).repeat(3, 1, 1)[:, None]
    fine = F.conv2d(pictures, filters, padding=1, groups=3)
    return (F.avg_pool2d(fine.square(), _CELL) + 1e-4).sqrt()


def prepare(cache: Path) -> AutoencoderTiny:
    """The autoencoder as the stage before left it."""
    model = vae.build().to(DEVICE).to(memory_format=torch.channels_last)
    model.load_state_dict(load(cache / "vae.pt")["average"])
    return model


def train(cache: Path, minutes: float, seed: int = 4) -> None:
    """Train the decoder for ``minutes`` and write ``decoder.pt``."""
    torch.manual_seed(seed)
    model = prepare(cache)
    model.encoder.requires_grad_(False)
    average = Average(model, 0.99)
    optimiser = torch.optim.AdamW(model.decoder.parameters(), PEAK, betas=(0.9, 0.99), weight_decay=1e-3)
    pictures, clock, step = vae.Pictures(cache / "data", seed), Clock(minutes), 0
    held = vae.to_tensor(data.load_set(cache / "data", "held")[0][:248])
    kinds = np.random.default_rng(seed)
    log(f"decoder: before {vae.measure(average.model, held)}")
    while clock.progress < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = rate(clock.progress, PEAK)
        circular = bool(kinds.random() < 0.5)
        set_circular(model, circular)
        target = pictures.batch(circular)
        with autocast():
            with torch.no_grad():
                latents = model.encoder(target)
            output = model.decoder(latents + 0.05 * torch.randn_like(latents)).float()
        loss = vae.distance(output, target) + WEIGHT * F.l1_loss(detail(output), detail(target))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.decoder.parameters(), 0.5)
        optimiser.step()
        average.update(model)
        step += 1
        if step % 200 == 0 or clock.progress >= 1.0:
            figures = vae.measure(average.model, held)
            log(f"decoder: step {step}, {clock.spent / 60:.1f} min, loss {loss.item():.4f}, {figures}")
    save(cache / "decoder.pt", {"average": average.model.state_dict()})
