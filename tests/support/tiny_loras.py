"""LoRAs with an effect for the tiny models, in the two common kinds of names."""
from __future__ import annotations

import torch
from safetensors.torch import save_file

RANK = 4


def attention_layers(model: str) -> dict[str, tuple[int, int]]:
    """The UNet's query and key projections: their names, and how wide they come in and go out."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet")
    return {
        name: (part.in_features, part.out_features) for name, part in unet.named_modules()
        if name.endswith(("to_q", "to_k"))}


def write(model: str, file, names: str, seed: int = 0) -> str:
    """A LoRA with an effect for `model`, in "kohya" or "diffusers" names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, (wide, out) in attention_layers(model).items():
        down, up = torch.randn(RANK, wide, generator=generator), torch.randn(out, RANK, generator=generator)
        if names == "kohya":
            stem = "lora_unet_" + layer.replace(".", "_")
            tensors |= {
                f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up,
                f"{stem}.alpha": torch.tensor(float(RANK))}
        else:
            tensors |= {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
    save_file(tensors, file)
    return str(file)
