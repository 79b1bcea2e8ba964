"""Stage "control": a small ControlNet that makes the starter follow a depth picture or a line drawing.

Trained on what the materials themselves know: every periodic picture was rendered with its height map. Half of the
batches see the heights as grey (white = high, as depth ControlNets take near), half see lines drawn from them (white on
black). Scenes come with the depth and line pictures that the add-on draws of them. The denoiser and the text encoder
stay as they are (Zhang et al. 2023, "Adding Conditional Control to Text-to-Image Diffusion Models"); the ControlNet
begins as a copy of the denoiser's way down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from . import data, scenes, text
from . import unet as unet_stage
from .common import DEVICE, Average, Clock, autocast, load, log, rate, save
from .latents import SIDES, Batch, Latents, crops
from .muon import Both, named_with
from .workers import Team
from .wrap import twin

# kind of batch: (share of the steps, pictures)
MIX = {"small": (0.25, 32), "whole": (0.15, 8), "crop": (0.15, 32), "scene": (0.45, 8)}
PEAK = 6e-4
# The layers that Adam trains: where the net takes in and gives out.
ENDS = ("conv_in.", "conv_out.", "controlnet_down_blocks.", "controlnet_mid_block.")


def build() -> ControlNetModel:
    """The untrained ControlNet, 2.9 M parameters: the denoiser's levels, and a way in that shrinks by four, as the VAE.
    """
    keys = (
        "in_channels", "down_block_types", "block_out_channels", "layers_per_block", "cross_attention_dim",
        "attention_head_dim", "norm_num_groups", "resnet_time_scale_shift", "addition_embed_type",
        "addition_embed_type_num_heads",
    )  # fmt: skip
    config = unet_stage.build().config
    return ControlNetModel(**{key: config[key] for key in keys}, conditioning_embedding_out_channels=(16, 32, 64))


def lines(heights: np.ndarray, threshold: float) -> np.ndarray:
    """White lines on black where heights (B, S, S), 0…1, change by more than `threshold` a pixel; wrapping, float32."""
    across, down = ((np.roll(heights, 1, axis) - np.roll(heights, -1, axis)) / 2 for axis in (1, 2))
    return (np.hypot(across, down) > threshold).astype(np.float32)


class Pairs:
    """Draws latents with what each picture was rendered with: its height map, or a scene's depth and lines."""

    def __init__(self, folder: Path, seed: int, scale: float):
        self.latents = Latents(folder, seed, scale)
        self.rng = self.latents.rng
        small, large = data.load_heights(folder, "small"), data.load_heights(folder, "large")
        self.heights = {"small": small, "whole": large, "crop": large}
        self.scenes = scenes.load(folder, "scenes")

    def draw(self, kind: str, batch: int) -> tuple[Batch, torch.Tensor]:
        """A batch and its control pictures (B, 3, h, w), 0…1, of the pictures' size."""
        indices, moves = self.latents.choose(kind, batch)
        drawn = self.rng.random() < 0.5
        if kind == "scene":
            layer = self.scenes["lines" if drawn else "depth"]
            control = crops(layer, self.latents.corners[kind], indices, SIDES[kind]).astype(np.float32) / 255
        else:
            control = self._heights(kind, indices, moves).astype(np.float32) / 255
            control = lines(control, float(self.rng.uniform(0.04, 0.12))) if drawn else control
        picture = torch.from_numpy(control)[:, None].expand(-1, 3, -1, -1).contiguous().to(DEVICE)
        return self.latents.batch(kind, indices, moves), picture

    def _heights(self, kind: str, indices: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """The height maps (B, S, S) of materials."""
        heights = self.heights[kind]
        if kind == "crop":
            return crops(heights, self.latents.corners[kind], indices, SIDES[kind])
        return np.stack([
            np.roll(heights[i % len(heights)], tuple(4 * move), (0, 1))
            for i, move in zip(indices, moves, strict=True)
        ])


class Trainer:
    """The ControlNet being trained beside the finished denoiser; checkpoints carry all of it."""

    def __init__(self, team: Team, cache: Path, seed: int):
        torch.manual_seed(seed)
        self.team, self.path = team, cache / "control.pt"
        finished = load(cache / "unet.pt")
        self.tokenizer = text.build_tokenizer()
        self.encoder = text.build_encoder(self.tokenizer).to(DEVICE).requires_grad_(False)
        self.encoder.load_state_dict(finished["encoder_average"])
        unet = _denoiser(finished["unet_average"])
        self.control = _ready(build())
        self.control.load_state_dict(finished["unet_average"], strict=False)
        self.average = Average(self.control)
        self.parameters = list(self.control.parameters())
        ends = named_with(self.control.named_parameters(), ENDS)
        self.optimiser = Both([{"params": self.parameters}], ends, 0.01, team)
        self.step, self.spent = 0, 0.0
        self._resume()
        self.networks = {
            True: (twin(self.control, lambda: _ready(build())), twin(unet, lambda: _denoiser(None))),
            False: (self.control, unet),
        }
        for pair in self.networks.values():
            for network in pair:
                network.set_attn_processor(AttnProcessor())
        self.alphas = unet_stage.sampler().alphas_cumprod.to(DEVICE)
        torch.manual_seed(seed + self.step + 1000 * team.rank)

    def _resume(self) -> None:
        state = load(self.path)
        if not state:
            return
        self.control.load_state_dict(state["control"])
        self.average.model.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent = state["step"], state["spent"]
        self.average.steps = self.step

    def checkpoint(self, spent: float) -> None:
        """Write everything needed to go on later."""
        state = {"control": self.control.state_dict(), "average": self.average.model.state_dict(),
                 "optimiser": self.optimiser.state_dict(), "step": self.step, "spent": spent}  # fmt: skip
        save(self.path, state)

    def train_step(self, batch: Batch, picture: torch.Tensor, progress: float) -> float:
        """One step on this worker's part of a batch; returns its loss."""
        count = len(batch.latents)
        # Layout is decided at the noisy end: the square root draws twice as often from there.
        place = (torch.arange(count, device=DEVICE) + torch.rand(count, device=DEVICE)) / count
        times = (place[torch.randperm(count, device=DEVICE)].sqrt() * 1000).long().clamp(max=999)
        noisy, target = unet_stage.diffused(batch, times, self.alphas)
        with autocast():
            hidden = self.encoder(text.tokenize(self.tokenizer, batch.texts).to(DEVICE)).last_hidden_state
            output = _predict(*self.networks[batch.circular], noisy, times, hidden, picture)
        loss = F.mse_loss(output.float(), target)
        self.optimiser.zero_grad()
        loss.backward()
        self.team.share(self.parameters, progress)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step(rate(self.team.progress, PEAK))
        self.average.update(self.control)
        self.step += 1
        return loss.item()


def _ready(network: nn.Module) -> nn.Module:
    return network.to(DEVICE).to(memory_format=torch.channels_last)


def _denoiser(weights: dict | None) -> UNet2DConditionModel:
    network = _ready(unet_stage.build()).requires_grad_(False)
    if weights is not None:
        network.load_state_dict(weights)
    return network


def _predict(
    control, unet, noisy: torch.Tensor, times: torch.Tensor, hidden: torch.Tensor, picture: torch.Tensor
) -> torch.Tensor:
    down, middle = control(noisy, times, hidden, picture, return_dict=False)
    return unet(
        noisy,
        times,
        hidden,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
        return_dict=False,
    )[0]


def train(team: Team, cache: Path, minutes: float, seed: int = 3) -> None:
    """Train (or go on training) for ``minutes`` in all."""
    trainer = Trainer(team, cache, seed)
    source = Pairs(cache / "data", seed + trainer.step + 1000 * team.rank, unet_stage.latent_scale(cache / "data"))
    order = np.random.default_rng(seed + trainer.step)
    clock = Clock(minutes, trainer.spent)
    losses: list[float] = []
    saved, team.progress = clock.spent, clock.progress
    while team.progress < 1.0:
        kind = str(order.choice(list(MIX), p=[share for share, _ in MIX.values()]))
        losses.append(trainer.train_step(*source.draw(kind, MIX[kind][1] // team.size), clock.progress))
        if not team.leads:
            continue
        if trainer.step % 50 == 0:
            log(f"control: step {trainer.step}, {clock.spent / 60:.1f} min, loss {np.mean(losses[-50:]):.4f}")
        if clock.spent - saved > 150 or team.progress >= 1.0:
            trainer.checkpoint(clock.spent)
            saved = clock.spent
