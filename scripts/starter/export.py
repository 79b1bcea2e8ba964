"""Stage "export": the trained parts as one ordinary diffusers folder, its contact sheet and its model card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from . import captions, control, evaluate, text, unet
from . import vae as vae_stage
from .common import load, write_json

# What the add-on's panel starts with when this model is chosen (blender_sd/library/models.py reads it).
ADVICE = {
    "name": "Starter",
    "licence": "CC0-1.0",
    "link": "https://creativecommons.org/publicdomain/zero/1.0/",
    "size": 256,
    "steps": 20,
    "guidance": 3.0,
    "sampler": "dpmpp_2m_sde",
    "scale": 1.0,
    "upscaler": "starter",
    "text": "The built-in texture model: small, offline, for walls, floors, fabrics and other materials",
}

LEARNT = ("mossy", "dusty", "snowy", "polished", "two tone")  # the modifiers that the exported model follows

SHEET = (
    "red brick wall", "grey stone wall", "cobblestone street", "beige gravel", "blue ceramic tiles",
    "teal and gold mosaic", "white hexagon tiles", "brown wooden planks", "oak wood grain", "chestnut parquet floor",
    "white marble", "pink and black terrazzo", "beige plaster wall", "grey concrete", "rusty blue metal",
    "brushed gold metal", "silver diamond plate", "brown leather", "green grass", "desert sand", "fresh snow",
    "blue water caustics", "orange lava", "purple woven fabric", "red knitted wool", "green and black tartan",
    "black and white checkerboard", "yellow and blue diagonal stripes", "white polka dots on red",
    "green camouflage", "emerald dragon scales", "large black slate stone blocks, worn",
    "mossy grey cobblestone", "wet red bricks", "dusty brown parquet floor", "snowy grey stone wall",
    "blue painted planks", "cracked beige concrete", "polished green marble", "blue and white tiles",
)  # fmt: skip


def assemble(cache: Path) -> StableDiffusionPipeline:
    """The pipeline made of the averaged weights in the checkpoints."""
    state = load(cache / "unet.pt")
    vae = vae_stage.build()
    vae.load_state_dict((load(cache / "decoder.pt") or load(cache / "vae.pt"))["average"])
    vae.register_to_config(scaling_factor=unet.latent_scale(cache / "data"))
    network = unet.build()
    network.load_state_dict(state["unet_average"])
    tokenizer = text.build_tokenizer()
    encoder = text.build_encoder(tokenizer)
    encoder.load_state_dict(state["encoder_average"])
    pipe = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=encoder.eval(),
        tokenizer=tokenizer,
        unet=network.eval(),
        scheduler=unet.sampler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def contact_sheet(pipe: StableDiffusionPipeline, path: Path, size: int = 128, columns: int = 8) -> None:
    """One seamless picture for each prompt of ``SHEET``, in rows; saved with 256 colours to stay small."""
    evaluate.tile(pipe, True)
    pictures = evaluate.generate(pipe, [f"{prompt}, seamless texture" for prompt in SHEET], size)
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    sheet = Image.fromarray(np.round(np.concatenate(rows, 0) * 255).astype(np.uint8))
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


def write(cache: Path, folder: Path) -> None:
    """Write the diffusers folder in float16, and the contact sheet beside it."""
    pipe = assemble(cache).to(dtype=torch.float16)
    pipe.save_pretrained(folder, safe_serialization=True)
    # transformers loads in the type named here, diffusers in float32: name the one that both agree on.
    config = folder / "text_encoder" / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"float16"', '"float32"'), encoding="utf-8")
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)
    write_json(folder / "blender_sd.json", ADVICE)
    write_vocabulary(folder)
    contact_sheet(evaluate.load_pipeline(folder), folder / "contact_sheet.png")


def write_vocabulary(folder: Path) -> None:
    """Write the words of the captions, which the add-on's panel offers and checks prompts against. Modifiers that show
    too seldom are not offered."""
    phrases = captions.phrases()
    phrases["condition"] = [words for words in phrases["condition"] if words[0] in LEARNT]
    write_json(folder / "vocabulary.json", {"words": captions.vocabulary(), "phrases": phrases})


def write_control(cache: Path, folder: Path) -> None:
    """Write the ControlNet, where it was trained, as a diffusers folder in float16."""
    state = load(cache / "control.pt")
    if state is None:
        return
    net = control.build()
    net.load_state_dict(state["average"])
    net.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)
