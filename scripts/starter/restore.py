"""Stage "restore": make checkpoints from the model that the add-on ships, to train on when no others are left.

The optimisers start from scratch and the clock at zero, so ``--minutes`` says how long to train on. Words that were
added to the captions since then are given a fresh embedding; all others keep theirs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import ControlNetModel, StableDiffusionPipeline

from . import text
from .common import log, save


def write(cache: Path, folder: Path, control_folder: Path) -> None:
    """Write the checkpoints "vae", "unet" and "control" from the diffusers folders; those that exist are kept."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    control = ControlNetModel.from_pretrained(control_folder).state_dict()
    vae, unet = (part.state_dict() for part in (pipe.vae, pipe.unet))
    encoder = _with_todays_words(pipe)
    start = {"step": 0, "spent": 0.0, "optimiser": []}
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
        "control": {"control": control, "average": control, **start},
    }
    for name, state in states.items():
        path = cache / f"{name}.pt"
        if path.exists():
            log(f"restore: {path} is kept")
        else:
            save(path, state)


def _with_todays_words(pipe: StableDiffusionPipeline) -> dict[str, torch.Tensor]:
    """Return the text encoder's weights with an embedding for each token of today's captions."""
    tokenizer = text.build_tokenizer()
    shipped, state = pipe.tokenizer.get_vocab(), pipe.text_encoder.state_dict()
    (name,) = (name for name in state if name.endswith("token_embedding.weight"))
    embeddings = text.build_encoder(tokenizer).state_dict()[name]
    for token, number in tokenizer.get_vocab().items():
        if token in shipped:
            embeddings[number] = state[name][shipped[token]]
    return state | {name: embeddings}
