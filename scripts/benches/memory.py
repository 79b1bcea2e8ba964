"""How much memory each rung of the ladder takes for the same model and picture: SD 1.5's size with random weights, 1024².

Each rung has a process of its own. On a graphics card the figure is torch's peak there, on a processor the process's own
(anonymous) memory, without what Python and its libraries take.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

if __package__:
    from . import common, cpu
    ROOT = common.ROOT
else:  # one rung, in its own process
    ROOT = Path(__file__).resolve().parents[2]

DESCRIPTION = "peak memory of each rung of the ladder for a full-size SD 1.5, random weights, 1024²"
SIDE = 1024


def run(log: Callable[[str], None]) -> dict:
    sys.path.insert(0, str(ROOT))
    from blender_sd.engine import Engine, ladder

    engine = Engine()
    engine.warm()
    rungs = ladder.on(engine._loader.library.device)
    with tempfile.TemporaryDirectory(prefix="sd-bench-") as temporary:
        folder = build(Path(temporary) / "sd15")
        log("built a model of SD 1.5's size")
        peaks = {}
        for rung in rungs:
            command = [sys.executable, __file__, str(folder), rung]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            peaks[rung] = json.loads(done.stdout.splitlines()[-1])
            log(f"{rung}: {peaks[rung]:.0f} MB")
    figures = {f"{rung}_mb": peak for rung, peak in peaks.items()}
    figures |= {f"{rung}_of_full": peaks[rung] / peaks["full"] for rung in rungs[1:]}
    bars = {f"{below}_of_{above}": common.bar(peaks[below] / peaks[above], "< 1") for above, below in zip(rungs, rungs[1:])}
    return {"figures": figures, "bars": bars}


def build(folder: Path) -> Path:
    """`cpu.build`'s model with SD 1.5's VAE, in bf16."""
    cpu.build(folder)
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16)
    levels = 4
    vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
                        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512)
    pipe.register_modules(vae=vae.to(torch.bfloat16))
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def one(folder: str, rung: str) -> float:
    """The peak in MB while one picture is made on `rung`, loading included."""
    sys.path.insert(0, str(ROOT))
    import torch
    from blender_sd.engine import Engine

    engine = Engine(memory_use=rung, preview_px=0)
    ready = engine.warm()
    engine.generate("brick", seed=1, steps=1, size=(64, 64))  # the starter model: what libraries need at first is there
    engine._loader.library.clear()
    on_card = ready.device.startswith("cuda")
    before = 0 if on_card else _own_memory()
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], _own_memory())
            time.sleep(0.01)

    if on_card:
        torch.cuda.reset_peak_memory_stats()
    else:
        threading.Thread(target=watch, daemon=True).start()
    engine.generate("brick", seed=1, steps=1, guidance=5.0, size=(SIDE, SIDE), model=folder, sampler="ddim")
    done.set()
    return (torch.cuda.max_memory_allocated() if on_card else peak[0] - before) / 1e6


def _own_memory() -> int:
    """This process's anonymous memory in bytes: files that are mapped while they are read do not count."""
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))
    import psutil

    return psutil.Process().memory_info().rss


if __name__ == "__main__":
    print(one(*sys.argv[1:]))
