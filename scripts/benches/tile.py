"""Measure seamless pictures: the step across the wrapped border against other steps, and whether the networks really
wrap.

    seam_…      mean |step| across the border over the mean inside, of all pictures together; 1 is seamless. It matters
                much whether a joint happens to lie on the border: so pictures are made, of all tasks in turn, until the
                ratio of each is known to 0.025 (standard error) or the time is up
    error_…     the standard error that was reached
    roll_…      largest difference between rolling what goes in and rolling what comes out, over the largest value

The border is compared with the other edges of the fields that the starter's coarsest level sees: joints lie there more
often than elsewhere, and a network that wraps cannot tell the border from them.
`upscale` is resampled and refined by the starter model; `upscaler` is a net of the kind that spandrel reads, alone,
with random weights.
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
FIELD = 16  # pixels a side of what the starter's coarsest level sees as one
MOST, FEWEST = 320, 32  # pictures of each task
ENOUGH = 0.025
BUDGET = 420.0  # seconds for all pictures
Steps = tuple[float, float]  # across the border, and inside


def run(log: Callable[[str], None]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine import Engine

    engine = Engine(precision="fp32", threads=1)  # the pictures are too small for more to help
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as temporary:
        steps, plain = painted(engine, build_upscaler(Path(temporary) / "net.safetensors"), log)
    figures: dict[str, float] = {}
    for name, pairs in steps.items():
        figures[f"seam_{name}"], figures[f"error_{name}"] = ratio_and_error(pairs)
        figures[f"pictures_{name}"] = len(pairs)
    figures["seam_untiled_x"] = ratio_and_error(plain)[0]
    figures |= equivariance(engine)
    bars = {}
    for name, value in figures.items():
        if name.startswith("roll_"):
            bars[name] = common.bar(value, "<= 1e-5")
        elif name.startswith("seam_") and "untiled" not in name:
            bars[f"{name} low"], bars[f"{name} high"] = common.bar(value, ">= 0.9"), common.bar(value, "<= 1.1")
    return {"figures": figures, "bars": bars}


def painted(engine, net: str, log: Callable[[str], None]) -> tuple[dict[str, list[Steps]], list[Steps]]:
    """Return the steps of each task and axis ("upscale_x" …), and those of pictures that do not tile."""
    steps: dict[str, list[Steps]] = {f"{task}_{axis}": [] for task in TASKS for axis in "xy"}
    plain: list[Steps] = []
    started = time.monotonic()
    for number in range(MOST):
        prompt = PROMPTS[number % len(PROMPTS)]
        wanted = [task for task in TASKS if not known(steps, task)]
        if not wanted or number >= FEWEST and time.monotonic() - started > BUDGET:
            break
        tile = engine.generate(prompt, seed=100 + number, size=(SIDE, SIDE), tiling="xy", **SETTINGS)[0]
        for task in wanted:
            picture = made(engine, task, tile, prompt, number, net)
            for name, axis in (("x", 1), ("y", 0)):
                field = FIELD * ZOOM if task == "upscaler" else FIELD
                steps[f"{task}_{name}"].append(seam_steps(picture, axis, field))
        if number < 2 * len(PROMPTS):
            untiled = engine.generate(prompt, seed=100 + number, size=(SIDE, SIDE), **SETTINGS)[0]
            plain.append(seam_steps(untiled, 1, FIELD))
        if number % 16 == 15:
            figures = {name: ratio_and_error(pairs) for name, pairs in steps.items()}
            log(
                f"{number + 1} rounds; "
                + ", ".join(f"{name} {ratio:.2f} ± {error:.2f}" for name, (ratio, error) in figures.items())
            )
    return steps, plain


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


def known(steps: dict[str, list[Steps]], task: str) -> bool:
    """Return whether enough pictures of `task` were made."""
    return all(
        len(steps[f"{task}_{axis}"]) >= FEWEST and ratio_and_error(steps[f"{task}_{axis}"])[1] <= ENOUGH
        for axis in "xy"
    )


def ratio_and_error(steps: list[Steps]) -> tuple[float, float]:
    """Return the steps across the border over those inside, of all pictures together, and the standard error."""
    import numpy as np

    border, inside = np.array(steps).T
    ratio = border.mean() / inside.mean()
    if len(steps) == 1:
        return float(ratio), float("inf")
    error = np.std(border - ratio * inside, ddof=1) / inside.mean() / len(steps) ** 0.5
    return float(ratio), float(error)


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


def seam_steps(picture, axis: int, field: int) -> Steps:
    """Return the mean step across the border of a PIL image, and that across the other edges of its fields, `field`
    pixels wide. `axis` 1: left and right border, 0: top and bottom.
    """
    import numpy as np

    pixels = np.asarray(picture, np.float64)
    inside = np.abs(np.diff(pixels, axis=axis)).take(range(field - 1, pixels.shape[axis] - 1, field), axis).mean()
    return float(np.abs(pixels.take(0, axis) - pixels.take(-1, axis)).mean()), float(inside)


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
