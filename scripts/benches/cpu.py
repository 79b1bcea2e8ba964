"""A full-size Stable Diffusion 1.5 on the processor: seconds per step at 512², stock diffusers against this engine.

The architecture is the real one, the weights are random: speed does not depend on them. They run in turn. Stock:
`StableDiffusionPipeline.from_pretrained(folder)` and a call, nothing else set; both on all cores.
"""
from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "full-size SD 1.5 on the CPU, random weights, 512²: stock diffusers' seconds per step ÷ ours"
STEPS = 2
ROUNDS = 2
SIDE = 512


def run(log: Callable[[str], None]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    import torch
    from blender_sd.engine import Engine, devices

    with tempfile.TemporaryDirectory(prefix="sd-bench-") as temporary:
        folder = build(Path(temporary) / "sd15")
        log("built a model of SD 1.5's size")
        figures = {"stock_threads": torch.get_num_threads()}
        engine = Engine()
        engine.warm()
        figures["our_threads"] = torch.get_num_threads()
        stock = _stock(str(folder))
        ours, theirs = [], []
        for number in range(ROUNDS):
            ours.append(_ours(engine, str(folder)))
            torch.set_num_threads(figures["stock_threads"])
            theirs.append(stock())
            torch.set_num_threads(figures["our_threads"])
            log(f"round {number + 1} of {ROUNDS}: {ours[-1]:.2f} s a step against {theirs[-1]:.2f} s")
        engine.close()
    figures |= {"stock_s": common.median(theirs), "ours_s": common.median(ours), "bf16": int(devices.cpu_has_bf16())}
    figures["ratio"] = figures["stock_s"] / figures["ours_s"]
    return {"figures": figures, "bars": {"ratio": common.bar(figures["ratio"], ">= 2")} if figures["bf16"] else {}}


def build(folder: Path) -> Path:
    """A model folder with SD 1.5's UNet and text encoder, a small VAE (its work is no part of a step), in fp32, which is
    what stock diffusers computes in where nothing else is asked for."""
    common.tiny_model(folder)  # its tokenizer, scheduler and VAE
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    torch.manual_seed(0)
    width = pipe.text_encoder.config.hidden_size
    unet = UNet2DConditionModel(sample_size=64, in_channels=4, out_channels=4, cross_attention_dim=width, attention_head_dim=8,
                                block_out_channels=(320, 640, 1280, 1280), layers_per_block=2)
    pipe.register_modules(unet=unet)
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def _stock(folder: str) -> Callable[[], float]:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)

    def call() -> float:
        times: list[float] = []
        pipe("brick", width=SIDE, height=SIDE, num_inference_steps=STEPS + 1, guidance_scale=5.0, output_type="latent",
             callback_on_step_end=lambda *_: times.append(time.perf_counter()) or {})
        return (times[-1] - times[0]) / STEPS

    return call


def _ours(engine, folder: str) -> float:
    from blender_sd.protocol.messages import Step

    times: list[float] = []

    def hear(event: object) -> None:
        if isinstance(event, Step) and event.step:
            times.append(time.perf_counter())

    engine.generate("brick", seed=1, steps=STEPS + 1, guidance=5.0, size=(SIDE, SIDE), model=folder, sampler="ddim", on_event=hear)
    return (times[-1] - times[0]) / STEPS

