"""Run by the bench `cpu` in OpenVINO's environment: python peer_openvino.py MODEL_FOLDER SIDE STEPS THREADS PRECISION.

The UNet in MODEL_FOLDER is converted by `openvino.convert_model` and called as a guided step calls it: a batch of two.
(optimum-intel, which wraps the same, does not install beside the versions of diffusers and transformers that the model
is read with.) A line of JSON with the seconds of each step ends the output.
"""
import json
import sys
import time

import numpy as np
import openvino
import torch
from diffusers import UNet2DConditionModel


class _Step(torch.nn.Module):
    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return self.unet(latents, timestep, words, return_dict=False)[0]


def main(folder: str, side: int, steps: int, threads: int, precision: str) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").eval()
    inputs = (
        torch.zeros(2, 4, side // 8, side // 8),
        torch.tensor(1.0),
        torch.zeros(2, 77, unet.config.cross_attention_dim),
    )
    with torch.no_grad():
        model = openvino.convert_model(_Step(unet), example_input=inputs)
    model.reshape({port: list(value.shape) for port, value in zip(model.inputs, inputs)})
    del unet
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    draw = np.random.default_rng(0)
    values = [draw.standard_normal(value.shape).astype(np.float32) for value in inputs]
    compiled(values)  # the first call also makes its kernels
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        compiled(values)
        times.append(time.perf_counter() - start)
    print(json.dumps({"seconds": times}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
