"""Files and folders of models; only their headers and configs matter."""
from __future__ import annotations

import json


def safetensors(file, *names: str, **metadata: str):
    """A file with a header of these names, and `metadata`, but no numbers; its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}
    header = json.dumps({"__metadata__": {"format": "pt", **metadata}, **tensors})
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    return str(file)


KOHYA = "lora_unet_down_blocks_0.lora_down.weight"


UNET = {"block_out_channels": [320, 640, 1280, 1280], "sample_size": 64, "cross_attention_dim": 768}
VAE = {"block_out_channels": [128, 256, 512, 512]}


def make_model(folder, kind="StableDiffusionPipeline", own=None, **parts):
    parts = parts or {"unet": UNET, "vae": VAE}
    folder.mkdir(parents=True)
    parts = {"vae": VAE, "text_encoder": {}, **parts}
    index = {"_class_name": kind, "scheduler": ["diffusers", "X"], "tokenizer": ["transformers", "X"],
             **{part: ["diffusers", "X"] for part in parts}}
    (folder / "model_index.json").write_text(json.dumps(index))
    for part, file in (("scheduler", "scheduler_config.json"), ("tokenizer", "vocab.json")):
        (folder / part).mkdir()
        (folder / part / file).write_text("{}")
    for part, config in parts.items():
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(config))
        (folder / part / "diffusion_pytorch_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    if own is not None:
        (folder / "blender_sd.json").write_text(json.dumps(own))
    return folder
