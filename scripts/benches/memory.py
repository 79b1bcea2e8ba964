"""Measure how much memory each memory mode takes for the same model and picture: SD 1.5's size with random weights,
640².

Each mode has a process of its own, and two peaks: while the model is loaded, and while the picture is painted. On a
graphics card they are torch's there. On a processor they are what the process holds in RAM, without what Python and its
libraries take; the pages of the weights' files that are mapped and in use count, though the system could take those
back.
"""
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

if __package__:
    from . import common
    ROOT = common.ROOT
else:  # one mode, in its own process
    ROOT = Path(__file__).resolve().parents[2]

DESCRIPTION = "peak memory of each memory mode for a full-size SD 1.5, random weights, 640²"
SIDE = 640  # larger than a tile of its VAE, so that tiles save something


def run(log: Callable[[str], None]) -> dict:
    sys.path.insert(0, str(ROOT))
    from blender_sd.engine import Engine
    from blender_sd.engine.memory import memory_modes

    engine = Engine()
    engine.warm()
    modes = memory_modes.available(engine._painter.loader.library.device)
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as temporary:
        folder = build(Path(temporary) / "sd15")
        log("built a model of SD 1.5's size")
        peaks = {}
        for mode in modes:
            command = [sys.executable, __file__, str(folder), mode]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            peaks[mode] = json.loads(done.stdout.splitlines()[-1])
            both = peaks[mode]
            log(f"{mode}: {both['loading']:.0f} MB while loading, {both['painting']:.0f} MB while painting")
    figures = {f"{mode}_{when}_mb": peak for mode, both in peaks.items() for when, peak in both.items()}
    painting = {mode: both["painting"] for mode, both in peaks.items()}
    figures |= {f"{mode}_of_full": painting[mode] / painting["full"] for mode in modes[1:]}
    bars = {
        f"{below}_of_{above}": common.bar(painting[below] / painting[above], "< 1")
        for above, below in zip(modes, modes[1:])
    }
    return {"figures": figures, "bars": bars}


def build(folder: Path) -> Path:
    """Make a model folder in bf16 with SD 1.5's UNet and VAE."""
    common.tiny_model(folder)  # its tokenizer, scheduler and text encoder
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel

    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    torch.manual_seed(0)
    levels = 4
    torch.set_default_dtype(torch.bfloat16)
    try:
        unet = UNet2DConditionModel(
            sample_size=64,
            in_channels=4,
            out_channels=4,
            cross_attention_dim=pipe.text_encoder.config.hidden_size,
            attention_head_dim=8,
            block_out_channels=(320, 640, 1280, 1280),
            layers_per_block=2,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        )
    finally:
        torch.set_default_dtype(torch.float32)
    pipe.register_modules(unet=unet, vae=vae)
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def one(folder: str, mode: str) -> dict[str, float]:
    """Return the peaks in MB while the model is loaded and while one picture is made in the memory mode `mode`."""
    sys.path.insert(0, str(ROOT))
    from blender_sd.engine import Engine

    engine = Engine(memory_use=mode, preview_px=0)
    ready = engine.warm()
    engine.generate("brick", seed=1, steps=1, size=(64, 64))  # the starter model: what libraries need at first is there
    engine._painter.loader.library.clear()
    peak = _on_card if ready.device.startswith("cuda") else _in_ram
    with peak() as loading:
        engine._load(folder)
    with peak() as painting:
        engine.generate("brick", seed=1, steps=1, guidance=1.0, size=(SIDE, SIDE), model=folder, sampler="ddim")
    held = loading.pop("before") - painting.pop("before")  # below 0: painting begins with the weights
    return {"loading": loading["peak"] / 1e6, "painting": (painting["peak"] - held) / 1e6}


@contextmanager
def _on_card() -> Iterator[dict[str, float]]:
    """Measure torch's peak on the card within the block, counted from zero."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    found: dict[str, float] = {"before": 0.0}
    yield found
    found["peak"] = torch.cuda.max_memory_allocated()


@contextmanager
def _in_ram() -> Iterator[dict[str, float]]:
    """Measure the process's peak within the block above its memory before, and the latter."""
    import psutil

    process, done = psutil.Process(), threading.Event()
    found: dict[str, float] = {"before": process.memory_info().rss, "peak": 0.0}

    def watch() -> None:
        while not done.wait(0.01):
            found["peak"] = max(found["peak"], process.memory_info().rss - found["before"])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield found
    done.set()
    thread.join()


if __name__ == "__main__":
    print(json.dumps(one(*sys.argv[1:])))
