"""Stage "restore": make checkpoints from the model that the add-on ships, to train on when no others are left.

The optimisers start from scratch and the clock at zero, so ``--minutes`` says how long to train on.
"""

from __future__ import annotations

from pathlib import Path

from diffusers import StableDiffusionPipeline

from .common import log, save


def write(cache: Path, folder: Path) -> None:
    """Write the checkpoints "vae" and "unet" from the diffusers folder; those that exist are kept."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    vae, unet, encoder = (part.state_dict() for part in (pipe.vae, pipe.unet, pipe.text_encoder))
    start = {"step": 0, "spent": 0.0}
    states = {
        "vae": {"model": vae, "average": vae, **start},
        "unet": {
            "unet": unet,
            "unet_average": unet,
            "encoder": encoder,
            "encoder_average": encoder,
            "samples": 0,
            **start,
        },
    }
    for name, state in states.items():
        path = cache / f"{name}.pt"
        if path.exists():
            log(f"restore: {path} is kept")
        else:
            save(path, state)
