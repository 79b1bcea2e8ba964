"""Measure a full-size Stable Diffusion 1.5 on the processor: seconds per step at 512², stock diffusers, this engine,
and peers.

The architecture is the real one, the weights are random: speed does not depend on them. Stock and the engine run in
turn; stock: `StableDiffusionPipeline.from_pretrained(folder)` and a call, nothing else set. Then OpenVINO, and
stable-diffusion.cpp with weights of 16 and 8 bits, where they install (`peers`). All use all cores.
"""
from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common, peers

DESCRIPTION = "full-size SD 1.5 on the CPU, random weights, 512²: stock diffusers' seconds per step ÷ ours, and peers'"
STEPS = 2
ROUNDS = 2
SIDE = 512
LIMIT = 240  # seconds for each peer to load and paint


def run(log: Callable[[str], None]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine.memory import devices

    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as temporary:
        folder, checkpoint = build(Path(temporary))
        log("built a model of SD 1.5's size")
        figures = _in_turn(str(folder), log)
        figures["bf16"] = int(devices.cpu_has_bf16())
        figures |= _peers(folder, checkpoint, int(figures["our_threads"]), bool(figures["bf16"]), log)
    figures["ratio"] = figures["stock_s"] / figures["ours_s"]
    return {"figures": figures, "bars": {"ratio": common.bar(figures["ratio"], ">= 2")} if figures["bf16"] else {}}


def _in_turn(folder: str, log: Callable[[str], None]) -> dict[str, float]:
    import torch
    from blender_sd.engine import Engine

    figures = {"stock_threads": torch.get_num_threads()}
    engine = Engine()
    engine.warm()
    figures["our_threads"] = torch.get_num_threads()
    stock = _stock(folder)
    ours, theirs = [], []
    for number in range(ROUNDS):
        ours.append(_ours(engine, folder))
        torch.set_num_threads(figures["stock_threads"])
        theirs.append(stock())
        torch.set_num_threads(figures["our_threads"])
        log(f"round {number + 1} of {ROUNDS}: {ours[-1]:.2f} s a step against {theirs[-1]:.2f} s")
    engine.close()
    return {**figures, "stock_s": common.median(theirs), "ours_s": common.median(ours)}


def _peers(folder: Path, checkpoint: Path, threads: int, bf16: bool, log: Callable[[str], None]) -> dict[str, float]:
    """Return the seconds per step of each peer that can be measured here."""
    work = (SIDE, STEPS, threads)
    found = {
        "openvino_s": peers.seconds(
            "openvino", "peer_openvino.py", (folder, *work, "bf16" if bf16 else "f32"), LIMIT, log, borrows=True
        )
    }
    for kind in ("f16", "q8_0"):  # one step is enough: they take long
        found[f"sdcpp_{kind}_s"] = peers.seconds(
            "sdcpp", "peer_sdcpp.py", (checkpoint, SIDE, 1, threads, kind), LIMIT, log
        )
    for name, value in found.items():
        if value is not None:
            log(f"{name.removesuffix('_s')}: {value:.2f} s a step")
    return {name: value for name, value in found.items() if value is not None}


def build(root: Path) -> tuple[Path, Path]:
    """(a model folder, a checkpoint in one file) with SD 1.5's UNet and text encoder. The folder is in fp32, which is
    what stock diffusers computes in where nothing else is asked for, with a small VAE: its work is no part of a step.
    The file is in fp16, with SD 1.5's own VAE, for readers that know no other."""
    folder = Path(common.tiny_model(root / "sd15"))  # its tokenizer, scheduler and VAE
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from tests.support.ldm_layout import write
    from transformers import CLIPTextConfig, CLIPTextModel

    pipe = StableDiffusionPipeline.from_pretrained(folder)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=768,
        attention_head_dim=8,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
    )
    ends = {name: getattr(pipe.text_encoder.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                        num_attention_heads=12, max_position_embeddings=77, projection_dim=768, **ends))
    pipe.register_modules(unet=unet, text_encoder=text)
    pipe.save_pretrained(folder, safe_serialization=True)
    vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    pipe.register_modules(vae=vae)
    return folder, write(pipe.to(dtype=torch.float16), root / "sd15.safetensors")


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

    engine.generate(
        "brick", seed=1, steps=STEPS + 1, guidance=5.0, size=(SIDE, SIDE), model=folder, sampler="ddim", on_event=hear
    )
    return (times[-1] - times[0]) / STEPS
