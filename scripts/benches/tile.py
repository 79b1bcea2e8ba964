"""Seamless pictures: how the step across the wrapped border compares with any other, and whether the networks really wrap.

    seam_…      mean |step| across the border over the mean inside, averaged over the pictures; 1 is seamless. One picture's
                ratio scatters by about 0.4, according to whether a joint happens to lie on the border: hence so many, each
                of the same weight
    roll_…      largest difference between rolling what goes in and rolling what comes out, over the largest value
"""
from __future__ import annotations

import sys
from collections.abc import Callable

from . import common

DESCRIPTION = "seam ratios of tiling pictures, text- and image-to-image and upscale; roll-equivariance of UNet and VAE"
PROMPTS = ("red brick wall", "grey cobblestones", "green grass", "brown leather", "blue ceramic tiles", "beige gravel", "rusty metal",
           "white snow")
COUNT = 320
SIDE = 64


def run(log: Callable[[str], None]) -> dict:
    import numpy as np

    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine import Engine

    engine = Engine(precision="fp32")
    figures: dict[str, float] = {}
    settings = {"steps": 8, "guidance": 3.0, "size": (SIDE, SIDE), "tiling": "xy"}
    prompts = [PROMPTS[number % len(PROMPTS)] for number in range(COUNT)]
    painted = [engine.generate(prompt, seed=100 + number, **settings)[0] for number, prompt in enumerate(prompts)]
    log("text-to-image painted")
    again = [engine.restyle(picture, prompt, strength=0.6, seed=200 + number, **settings)[0]
             for number, (picture, prompt) in enumerate(zip(painted, prompts, strict=True))]
    log("image-to-image painted")
    larger = [engine.upscale(picture, prompt, scale=2.0, strength=0.4, seed=300 + number, tile=SIDE, steps=8, guidance=3.0, tiling="xy")
              for number, (picture, prompt) in enumerate(zip(painted[::2], prompts[::2], strict=True))]
    log("upscaled")
    for task, pictures in (("text_to_image", painted), ("image_to_image", again), ("upscale", larger)):
        stack = np.stack([np.asarray(picture, np.float64) for picture in pictures])
        for name, axis in (("x", 2), ("y", 1)):
            figures[f"seam_{task}_{name}"] = seam_ratio(stack, axis)
    plain = [engine.generate(prompt, seed=100 + number, **{**settings, "tiling": "none"})[0] for number, prompt in enumerate(PROMPTS)]
    figures["seam_untiled_x"] = seam_ratio(np.stack([np.asarray(picture, np.float64) for picture in plain]), 2)
    figures |= equivariance(engine)
    bars = {}
    for name, value in figures.items():
        if name.startswith("roll_"):
            bars[name] = common.bar(value, "<= 1e-5")
        elif not name.startswith("seam_untiled"):
            bars[f"{name} low"], bars[f"{name} high"] = common.bar(value, ">= 0.9"), common.bar(value, "<= 1.1")
    return {"figures": figures, "bars": bars}


def seam_ratio(pictures, axis: int) -> float:
    """`pictures` (N, H, W, 3); `axis` 2: across the left and right border, 1: across top and bottom."""
    import numpy as np

    inside = np.abs(np.diff(pictures, axis=axis)).mean((1, 2, 3))
    return float((np.abs(pictures.take(0, axis) - pictures.take(-1, axis)).mean((1, 2)) / inside).mean())


def equivariance(engine) -> dict[str, float]:
    """Largest relative difference between rolled in and rolled out, of the starter's networks and of an `AutoencoderKL`,
    whose encoder pads in a way of its own."""
    import torch
    from blender_sd.engine.tiling import circular
    from diffusers import AutoencoderKL

    model = engine._load("starter").base
    torch.manual_seed(0)
    big = AutoencoderKL(block_out_channels=(32, 64, 64, 64), down_block_types=("DownEncoderBlock2D",) * 4,
                        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=16).eval()
    words = torch.randn(1, 8, model.unet.config.cross_attention_dim)
    latents, pixels = torch.randn(1, 4, 16, 16), torch.randn(1, 3, 64, 64)
    factor = 2 ** (len(model.vae.config.encoder_block_out_channels) - 1)
    cases = {
        "unet": (lambda value: model.unet(value, 500, words).sample, latents, 4, 4),
        "decoder": (lambda value: model.vae.decode(value).sample, latents, 3, 3 * factor),
        "encoder": (lambda value: model.vae.encode(value).latents, pixels, 3 * factor, 3),
        "kl_decoder": (lambda value: big.decode(value).sample, latents, 3, 24),
        "kl_encoder": (lambda value: big.encode(value).latent_dist.mean, pixels, 24, 3),
    }
    found = {}
    with torch.no_grad(), circular((model.unet, model.vae, big), "xy"):
        for name, (function, value, shift_in, shift_out) in cases.items():
            straight, rolled = function(value), function(torch.roll(value, (shift_in, shift_in), (2, 3)))
            error = (torch.roll(straight, (shift_out, shift_out), (2, 3)) - rolled).abs().max() / straight.abs().max()
            found[f"roll_{name}"] = float(error)
    return found
