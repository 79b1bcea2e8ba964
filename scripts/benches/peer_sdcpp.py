"""Run by the bench `cpu` in stable-diffusion.cpp's environment: python peer_sdcpp.py CHECKPOINT SIDE STEPS THREADS
TYPE.

CHECKPOINT is one file with SD 1.5's own names; TYPE what its weights are kept as, such as f16 or q8_0. A line of JSON
with the seconds of each step ends the output, before the VAE would be asked.
"""
import json
import os
import sys
import time

from stable_diffusion_cpp import StableDiffusion


def main(checkpoint: str, side: int, steps: int, threads: int, kind: str) -> None:
    model = StableDiffusion(
        model_path=checkpoint, wtype=kind, n_threads=threads, diffusion_flash_attn=True, verbose=True
    )
    times = []

    def stepped(step: int, of: int, _seconds: float) -> None:
        if of != steps + 1 or step == 0:  # the same callback reports loading
            return
        times.append(time.perf_counter())
        if step == of:
            print(json.dumps({"seconds": [after - before for before, after in zip(times, times[1:])]}), flush=True)
            os._exit(0)

    model.generate_image("brick", negative_prompt=" ", width=side, height=side, cfg_scale=5.0, sample_method="euler",
                         sample_steps=steps + 1, seed=1, progress_callback=stepped)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
