"""Text to picture.

    job = sd.generate("red brick wall", seed=7)
    image = job.result()[0]                                  # waits, and pumps meanwhile
    sd.apply(image, bpy.context.object)
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.request import TEXT_TO_IMAGE, default, round_size
from ..session.job import Job
from . import request_builder
from .arguments import scene_call
from .request_builder import Axes, ControlInput, Place
from .submission import resolve, submit_task


@scene_call
def generate(prompt: str, *, negative: str = "", seed: int | None = None, steps: int | None = None,
             guidance: float | None = None, size: tuple[int, int] | None = None, sampler: str | None = None,
             model: str | None = None, count: int = 1, tiling: str | None = None, style: str = "",
             loras: Iterable[tuple[str, float]] = (), controls: Iterable[ControlInput] = (),
             variation_strength: float = 0.0, variation_seed: int = 0, axes: Axes = (), reference: Any = None,
             ip_adapter: str = "", ip_adapter_weight: float = default("ip_adapter_weight"), refine_scale: float = 1.0,
             refine_strength: float = default("refine_strength"), upscaler: str = "",
             upscaler_noise: int = default("upscaler_noise"), vae: str | None = None, prediction: str | None = None,
             zero_snr: str | None = None, target: Place = None, label: str = "") -> Job:
    """Paint a picture from words. Return its job at once.

    None means: what the style sets, or else what suits the model; for `seed`, a random one. Prompts may hold weights
    (word:1.3), choices {a|b}, lists __name__, LoRA tags <lora:name:0.8> and more: see `core.prompt_syntax`.

    Args:
        prompt: What the picture should show.
        negative: What it should not show.
        seed: The number that its noise is made from.
        steps: How often it is denoised.
        guidance: How closely it follows the prompt (CFG scale).
        size: Width and height in pixels, rounded to what the model can paint; `Job.notes` says so.
        sampler: A name of `samplers`.
        model: A name, id or folder of `models`; the built-in one by default.
        count: How many pictures, each with the next seed.
        tiling: none, x, y or xy: the axes along which it repeats without a seam.
        style: The name of a style (`styles`), whose words go round the prompts and whose settings fill in what is
            left open.
        loras: More LoRAs, by name or file, with their weights.
        controls: What `control` returned; each guides the structure.
        variation_strength: How far, 0 to 1, the noise leans towards that of `variation_seed`; with `count`, towards
            the next ones.
        axes: One or two settings that change from picture to picture, such as [("steps", (8, 20)), ("prompt", ("brick",
            "stone"))]; see `core.parts.Axis`. The result is a labelled contact sheet, followed by the single pictures.
        reference: An image (as `source` of `restyle`) whose look is taken over, as much as `ip_adapter_weight` says,
            by the `ip_adapter` of that name or file.
        refine_scale: Above 1, the picture is painted at `size`, enlarged by this factor with `upscaler` as in
            `upscale`, and refined at `refine_strength` in tiles (high-res fix).
        vae: The name, file or folder of another VAE; "" for the model's own. None is what was chosen for the model
            (`choose`), or else its own; the same holds for the next two.
        prediction: epsilon, v_prediction, edm or edm_v_prediction: how the model was trained, if its files
            say it wrong.
        zero_snr: on or off, likewise.
        target: What `scene.freeze_target` returned; or a function that takes the finished job, on the main thread, and
            returns its `outputs`; None makes a new image datablock.
        label: What lists call the job.

    Raises:
        SDError: The settings cannot be met. Nothing was started.
    """
    info, prompt, settings, of_style = resolve(prompt, {
        "negative": negative, "seed": seed, "steps": steps, "guidance": guidance, "sampler": sampler, "model": model,
        "count": count, "tiling": tiling, "style": style, "loras": loras, "controls": controls,
        "variation_strength": variation_strength, "variation_seed": variation_seed, "axes": axes,
        "reference": reference, "ip_adapter": ip_adapter, "ip_adapter_weight": ip_adapter_weight, "vae": vae,
        "prediction": prediction, "zero_snr": zero_snr, "target": target, "label": label,
    })
    suited = of_style.get("width", info.default_width), of_style.get("height", info.default_height)
    width, height = request_builder.checked_size(size or suited)
    rounded = round_size(width, height, info.multiple)
    job = submit_task(TEXT_TO_IMAGE, info, prompt, rounded, {}, settings, refine_scale=refine_scale,
                      refine_strength=refine_strength, upscaler=upscaler if refine_scale > 1 else "",
                      upscaler_noise=upscaler_noise)
    if rounded != (width, height):
        job.notes.append(
            f"The size {width} × {height} was rounded to {rounded[0]} × {rounded[1]}, which this model can paint.")
    return job
