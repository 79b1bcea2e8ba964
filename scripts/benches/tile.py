"""Measure seamless pictures: the step across the wrapped border against other steps, and whether the networks really
wrap.

    seam_…      mean |step| across the border over the mean inside, averaged over the pictures; 1 is seamless. One
    picture's
                ratio scatters by about 0.4, according to whether a joint happens to lie on the border: so pictures are
                made, of all tasks in turn, until the average of each is known to 0.025 (standard error) or the time is
                up
    error_…     the standard error that was reached
    roll_…      largest difference between rolling what goes in and rolling what comes out, over the largest value

`upscale` is resampled and refined by the starter model; `upscaler` is a net of the kind that spandrel reads, alone,
with random weights: such a net repeats a pattern of its own at every pixel of the source, so that its steps are
compared with those at the same place of the pattern.
"""
from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "seam ratios of tiling pictures, text- and image-to-image and upscale; roll-equivariance of UNet and VAE"
PROMPTS = (
    "red brick wall",
    "grey cobblestones",
    "green grass",
    "brown leather",
    "blue ceramic tiles",
    "beige gravel",
    "rusty metal",
    "white snow",
)
SETTINGS = {"steps": 8, "guidance": 3.0}
TASKS = ("text_to_image", "image_to_image", "upscale", "upscaler")
SIDE, ZOOM = 64, 4
MOST, FEWEST = 320, 32  # pictures of each task
ENOUGH = 0.025
BUDGET = 420.0  # seconds for all pictures


def run(log: Callable[[str], None]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine import Engine

    engine = Engine(precision="fp32", threads=1)  # the pictures are too small for more to help
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as temporary:
        ratios, plain = painted(engine, build_upscaler(Path(temporary) / "net.safetensors"), log)
    figures: dict[str, float] = {}
    for name, found in ratios.items():
        figures[f"seam_{name}"], figures[f"error_{name}"] = mean_and_error(found)
        figures[f"pictures_{name}"] = len(found)
    figures["seam_untiled_x"] = mean_and_error(plain)[0]
    figures |= equivariance(engine)
    bars = {}
    for name, value in figures.items():
        if name.startswith("roll_"):
            bars[name] = common.bar(value, "<= 1e-5")
        elif name.startswith("seam_") and "untiled" not in name:
            bars[f"{name} low"], bars[f"{name} high"] = common.bar(value, ">= 0.9"), common.bar(value, "<= 1.1")
    return {"figures": figures, "bars": bars}


def painted(engine, net: str, log: Callable[[str], None]) -> tuple[dict[str, list[float]], list[float]]:
    """Return the seam ratios of each task and axis ("upscale_x" …), and those of pictures that do not tile."""
    ratios: dict[str, list[float]] = {f"{task}_{axis}": [] for task in TASKS for axis in "xy"}
    plain = []
    started = time.monotonic()
    for number in range(MOST):
        prompt = PROMPTS[number % len(PROMPTS)]
        wanted = [task for task in TASKS if not known(ratios, task)]
        if not wanted or number >= FEWEST and time.monotonic() - started > BUDGET:
            break
        tile = engine.generate(prompt, seed=100 + number, size=(SIDE, SIDE), tiling="xy", **SETTINGS)[0]
        for task in wanted:
            picture = made(engine, task, tile, prompt, number, net)
            for name, axis in (("x", 1), ("y", 0)):
                ratios[f"{task}_{name}"].append(seam_ratio(picture, axis, ZOOM if task == "upscaler" else 1))
        if number < 2 * len(PROMPTS):
            plain.append(seam_ratio(engine.generate(prompt, seed=100 + number, size=(SIDE, SIDE), **SETTINGS)[0], 1))
        if number % 16 == 15:
            figures = {name: mean_and_error(found) for name, found in ratios.items()}
            log(
                f"{number + 1} rounds; "
                + ", ".join(f"{name} {mean:.2f} ± {error:.2f}" for name, (mean, error) in figures.items())
            )
    return ratios, plain


def made(engine, task: str, tile, prompt: str, number: int, net: str):
    """Return a picture of `task` from the picture `tile`, which is text-to-image's."""
    if task == "image_to_image":
        return engine.restyle(tile, prompt, strength=0.6, seed=200 + number, tiling="xy", **SETTINGS)[0]
    if task == "upscale":
        return engine.upscale(
            tile, prompt, scale=2.0, strength=0.4, seed=300 + number, tile=SIDE, tiling="xy", **SETTINGS
        )
    if task == "upscaler":
        return engine.upscale(tile, prompt, scale=ZOOM, strength=0.0, seed=0, upscaler=net, tiling="xy")
    return tile


def known(ratios: dict[str, list[float]], task: str) -> bool:
    """Return whether enough pictures of `task` were made."""
    return all(
        len(ratios[f"{task}_{axis}"]) >= FEWEST and mean_and_error(ratios[f"{task}_{axis}"])[1] <= ENOUGH
        for axis in "xy"
    )


def mean_and_error(found: list[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    import numpy as np

    return float(np.mean(found)), float(np.std(found, ddof=1) / len(found) ** 0.5) if len(found) > 1 else float("inf")


def build_upscaler(file: Path) -> str:
    """Write a small ×4 net of the kind "Compact" with random weights in `file`, scaled so that it shows a pixel's
    surroundings.
    """
    import torch
    from blender_sd.engine.denoise.upscalers import _spandrel
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = _spandrel().architectures.Compact.Compact(num_feat=16, num_conv=4, upscale=ZOOM).eval()
    with torch.no_grad():
        noise = torch.rand(1, 3, 32, 32)
        last = [part for part in net.modules() if isinstance(part, torch.nn.Conv2d)][-1]
        last.weight.mul_(0.2 / (net(noise) - torch.nn.functional.interpolate(noise, scale_factor=ZOOM)).std())
    save_file({name: value.clone() for name, value in net.state_dict().items()}, file)
    return str(file)


def seam_ratio(picture, axis: int, period: int = 1) -> float:
    """`axis` 1: across the left and right border of the PIL image, 0: across top and bottom. Of a pattern that repeats
    every `period` pixels, steps at the same place are compared."""
    import numpy as np

    pixels = np.asarray(picture, np.float64)
    inside = np.abs(np.diff(pixels, axis=axis)).take(range(period - 1, pixels.shape[axis] - 1, period), axis).mean()
    return float(np.abs(pixels.take(0, axis) - pixels.take(-1, axis)).mean() / inside)


def equivariance(engine) -> dict[str, float]:
    """Largest relative difference between rolled in and rolled out, of the starter's networks and of an
    `AutoencoderKL`, whose encoder pads in a way of its own."""
    import torch
    from blender_sd.engine.denoise.tiling import circular
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
