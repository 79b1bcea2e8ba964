"""Stage "unet": the text encoder and the denoising network, trained together.

Velocity prediction (Salimans & Ho 2022) on a schedule that ends in almost pure noise, so that overall colour is learnt
and not leaked. The pooled text joins the time embedding (``addition_embed_type="text"``), which steers colour and
material as a whole; cross attention on the two coarser levels does the rest. Batches alternate between wrapping and
zero padding: the model paints seamless tiles and ordinary pictures alike. Half of the work goes into pictures of twice
the side, which teach it to keep a pattern's order over many rows; patterns mostly lie on the grid of its coarsest level
(:mod:`anchors`). Scenes are also seen as a restyle sees them, which starts from a grey render instead of noise alone
(:func:`diffused`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from . import text
from .common import DEVICE, Average, Clock, autocast, load, log, rate, save
from .latents import Batch, Latents
from .muon import Both, named_with
from .workers import Team
from .wrap import twin

# kind of batch: (share of the steps, pictures)
MIX = {"small": (0.2, 64), "whole": (0.5, 16), "crop": (0.2, 64), "scene": (0.1, 16)}
PEAK = 7e-4
LAYOUT = 2 / 3  # power that sends evenly drawn numbers 0…1 towards the noisy end
LAID_OUT = 0.6  # the noise level, 0…1, below which a picture shows where its pattern lies
# The layers that Adam trains.
ENDS = ("conv_in.", "conv_out.", "token_embedding.", "position_embedding.", "positional_embedding")
STARTS = (350, 750)  # the times at which restyles start that are trained on
RESTYLED = 0.5  # their share of the scenes that far down the schedule
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.025,
    "prediction_type": "v_prediction",
    "steps_offset": 0,
    "timestep_spacing": "trailing",
}


def build() -> UNet2DConditionModel:
    """The untrained denoiser: 7.1 M parameters; its first level is thin, since most of the work would lie there."""
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        cross_attention_dim=text.WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def sampler() -> DPMSolverMultistepScheduler:
    """The sampler saved with the model; every diffusers sampler can be made from its settings.

    Its fresh noise at every step lets a pattern that began unevenly fall into order.
    """
    return DPMSolverMultistepScheduler(**SCHEDULE, final_sigmas_type="zero", algorithm_type="sde-dpmsolver++")


def latent_scale(folder: Path) -> float:
    """The factor that brings the latents to unit deviation, diffusers' ``scaling_factor``."""
    sample = np.load(folder / "lat_small.npy", mmap_mode="r")[:4096].astype(np.float32)
    return round(1.0 / float(sample.std()), 4)


def diffused(batch: Batch, times: torch.Tensor, alphas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy latents (channels last), and the velocity that is to be predicted from them.

    A restyle starts at a time t₀ from α₀ · twin + σ₀ · noise. Seen from the latents that it shall arrive at, that is
    noise of noise + α₀/σ₀ · (twin − latents). A deterministic sampler keeps the same share of it all the way down.

    Args:
        batch: the latents, with or without twins.
        times: (B,) whole numbers in 0…999.
        alphas: the schedule's cumulative products, (1000,).
    """
    alpha = alphas[times].sqrt()[:, None, None, None]
    sigma = (1.0 - alphas[times]).sqrt()[:, None, None, None]
    noise = torch.randn_like(batch.latents)
    if batch.twins is not None:
        low = times.clamp(min=STARTS[0])
        start = (low + torch.rand(len(times), device=times.device) * (STARTS[1] - low)).long().clamp(max=STARTS[1])
        share = (alphas[start] / (1.0 - alphas[start])).sqrt()
        some = torch.rand(len(times), device=times.device) < RESTYLED
        share = torch.where(some & (times < STARTS[1]), share, 0.0)
        noise = noise + share[:, None, None, None] * (batch.twins - batch.latents)
    noisy = (alpha * batch.latents + sigma * noise).contiguous(memory_format=torch.channels_last)
    return noisy, alpha * noise - sigma * batch.latents


class Trainer:
    """The networks being trained, their averages and their optimiser; checkpoints carry all of it."""

    def __init__(self, team: Team, cache: Path, seed: int):
        torch.manual_seed(seed)
        self.team = team
        self.path = cache / "unet.pt"
        self.tokenizer = text.build_tokenizer()
        self.unet = build().to(DEVICE).to(memory_format=torch.channels_last)
        self.encoder = text.build_encoder(self.tokenizer).to(DEVICE)
        self.average, self.encoder_average = Average(self.unet), Average(self.encoder)
        named = [*self.unet.named_parameters(), *self.encoder.named_parameters()]
        self.parameters = [parameter for _, parameter in named]
        self.optimiser = Both([{"params": self.parameters}], named_with(named, ENDS), 0.01, team)
        self.step, self.samples, self.spent = 0, 0, 0.0
        self._resume()
        wrapped = twin(self.unet, lambda: build().to(DEVICE).to(memory_format=torch.channels_last))
        self.networks = {True: wrapped, False: self.unet}
        for network in self.networks.values():
            # Plain matrix products: on a CPU the backward of fused attention is slower at a few dozen tokens.
            network.set_attn_processor(AttnProcessor())
        self.forward = {flag: torch.compile(_predict, dynamic=False) for flag in (True, False)}
        self.alphas = sampler().alphas_cumprod.to(DEVICE)
        torch.manual_seed(seed + self.step + 1000 * team.rank)

    def _resume(self) -> None:
        state = load(self.path)
        if not state:
            return
        self.unet.load_state_dict(state["unet"])
        self.encoder.load_state_dict(state["encoder"])
        self.average.model.load_state_dict(state["unet_average"])
        self.encoder_average.model.load_state_dict(state["encoder_average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.samples, self.spent = state["step"], state["samples"], state["spent"]
        self.average.steps = self.encoder_average.steps = self.step

    def checkpoint(self, spent: float) -> None:
        """Write everything needed to go on later."""
        save(
            self.path,
            {
                "unet": self.unet.state_dict(),
                "encoder": self.encoder.state_dict(),
                "unet_average": self.average.model.state_dict(),
                "encoder_average": self.encoder_average.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "samples": self.samples,
                "spent": spent,
            },
        )

    def train_step(self, batch: Batch, progress: float) -> float:
        """One step on this worker's part of a batch; returns its loss."""
        count = len(batch.latents)
        # Stratified over the batch: every step sees all noise levels, those that decide the layout more often.
        place = (torch.arange(count, device=DEVICE) + torch.rand(count, device=DEVICE)) / count
        place = place[torch.randperm(count, device=DEVICE)].pow(LAYOUT)
        # Patterns off the grid are seen only where their place shows, as in a picture that is painted over.
        times = (torch.where(batch.loose, LAID_OUT * place, place) * 1000).long().clamp(max=999)
        noisy, target = diffused(batch, times, self.alphas)
        tokens = text.tokenize(self.tokenizer, batch.texts).to(DEVICE)
        with autocast():
            hidden = self.encoder(tokens).last_hidden_state
            output = self.forward[batch.circular](self.networks[batch.circular], noisy, times, hidden)
        loss = F.mse_loss(output.float(), target)
        learning_rate = rate(self.team.progress, PEAK)
        self.optimiser.zero_grad()
        loss.backward()
        self.team.share(self.parameters, progress)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step(learning_rate)
        self.average.update(self.unet)
        self.encoder_average.update(self.encoder)
        self.step += 1
        self.samples += count * self.team.size
        return loss.item()


def _predict(unet, noisy: torch.Tensor, times: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    return unet(noisy, times, hidden, return_dict=False)[0]


def train(team: Team, cache: Path, minutes: float, seed: int = 2) -> None:
    """Train (or go on training) for ``minutes`` in all."""
    trainer = Trainer(team, cache, seed)
    scale = latent_scale(cache / "data")
    source = Latents(cache / "data", seed + trainer.step + 1000 * team.rank, scale)
    order = np.random.default_rng(seed + trainer.step)
    clock = Clock(minutes, trainer.spent)
    kinds, shares = list(MIX), [share for share, _ in MIX.values()]
    losses: list[float] = []
    saved, team.progress = clock.spent, clock.progress
    while team.progress < 1.0:
        kind = str(order.choice(kinds, p=shares))
        batch = source.draw(kind, MIX[kind][1] // team.size)
        losses.append(trainer.train_step(batch, clock.progress))
        if not team.leads:
            continue
        if trainer.step % 50 == 0:
            log(
                f"unet: step {trainer.step}, {trainer.samples} samples, {clock.spent / 60:.1f} min, loss "
                f"{np.mean(losses[-50:]):.4f}"
            )
        if clock.spent - saved > 150 or team.progress >= 1.0:
            trainer.checkpoint(clock.spent)
            saved = clock.spent
