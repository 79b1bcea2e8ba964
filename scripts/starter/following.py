"""How closely pictures keep to the ControlNet's control picture: do their edges lie where the real render's lie?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionPipeline
from PIL import Image
from scipy import ndimage

from . import captions, control, data, materials
from .common import autocast, set_circular

SIZE, STEPS, GUIDANCE = 128, 12, 3.0
OFFSET = 1500  # into the held-out specs, away from those of the other gates


def measure(pipe: StableDiffusionPipeline, folder: Path, log) -> dict[str, float]:
    """The mean correlation of edge maps, generated against real, over one held-out picture of each family: with the
    real one's height map as control, with lines drawn from it, and without control."""
    net = ControlNetModel.from_pretrained(folder)
    parts = {name: part for name, part in pipe.components.items() if name != "image_encoder"}
    steered = StableDiffusionControlNetPipeline(**parts, controlnet=net, requires_safety_checker=False)
    steered.set_progress_bar_config(disable=True)
    for network in (pipe.unet, pipe.vae, net):
        set_circular(network, True)
    specs = [data.spec_of("held", OFFSET + i, 0.0) for i in range(len(materials.FAMILIES))]
    real, heights = zip(*(materials.render(spec, SIZE) for spec in specs), strict=True)
    pictures = {
        "height": np.stack(heights),
        "lines": control.lines(np.stack(heights), 0.08),
        "without": np.zeros((len(specs), SIZE, SIZE)),
    }
    found = {}
    for kind, shown in pictures.items():
        edges = []
        for number, (spec, picture) in enumerate(zip(specs, shown, strict=True)):
            generator = torch.Generator().manual_seed(4000 + number)
            with autocast("cpu"):
                made = steered(
                    captions.canonical(spec),
                    image=Image.fromarray(np.round(picture * 255).astype(np.uint8)).convert("RGB"),
                    width=SIZE, height=SIZE, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generator,
                    output_type="np",
                    controlnet_conditioning_scale=0.0 if kind == "without" else 1.0,
                ).images[0]  # fmt: skip
            edges.append(float(np.corrcoef(_edges(made).ravel(), _edges(real[number]).ravel())[0, 1]))
        found[f"control_followed_{kind}"] = float(np.mean(edges))
        log(f"control, {kind}: {found[f'control_followed_{kind}']:.3f}")
    return found


def _edges(picture: np.ndarray) -> np.ndarray:
    """Softened strength of the brightness' change at every pixel."""
    grey = picture.mean(-1)
    return ndimage.gaussian_filter(
        np.hypot(ndimage.sobel(grey, 0, mode="wrap"), ndimage.sobel(grey, 1, mode="wrap")), 1.0, mode="wrap"
    )
