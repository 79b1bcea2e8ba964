"""Tiny safety filters with weights set by hand: red pictures are flagged and blue ones are not, by the same code as
real ones."""
from __future__ import annotations

from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import (
    CLIPConfig, CLIPImageProcessorPil, CLIPTextConfig, CLIPVisionConfig, ConvNextImageProcessorPil, ResNetConfig,
    ResNetForImageClassification,
)

RED, BLUE = (230, 20, 20), (20, 20, 230)


def picture(colour: tuple[int, int, int], side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def build_classifier(folder: Path, labels: tuple[str, ...] = ("normal", "nsfw"), level: float = 0.5,
                     multi: bool = False) -> Path:
    """A classifier whose certainty of the last label rises with a picture's redness, and is half where red is on
    average `level` (0 to 1) above blue."""
    config = ResNetConfig(num_channels=3, embedding_size=2, hidden_sizes=[2], depths=[1], layer_type="basic",
                          num_labels=len(labels), id2label=dict(enumerate(labels)),
                          label2id={label: number for number, label in enumerate(labels)})
    if multi:
        config.problem_type = "multi_label_classification"
    model = ResNetForImageClassification(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.fill_(1.0)
        first = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))
        # one channel sees red, one blue; the rest of the net adds nothing
        first.weight[0, 0, 3, 3] = first.weight[1, 2, 3, 3] = 1.0
        head = model.classifier[-1]
        head.weight[-1] = torch.tensor([20.0, -20.0])
        head.bias[-1] = -20.0 * level
    model.save_pretrained(folder, safe_serialization=True)
    ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=1.0, do_normalize=False).save_pretrained(folder)
    return folder


def build_checker(folder: Path) -> Path:
    """Stable Diffusion's safety checker; one of its concepts matches red pictures."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                              image_size=32, patch_size=8)
    config = CLIPConfig(vision_config=vision, text_config=CLIPTextConfig(), projection_dim=8)
    model = StableDiffusionSafetyChecker(config).eval()
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with torch.no_grad():
        red, blue = (model.visual_projection(
            model.vision_model(processor(images=picture(colour), return_tensors="pt")["pixel_values"])[1])
                     for colour in (RED, BLUE))
        likeness = torch.cosine_similarity(red, blue).item()
        model.concept_embeds[:] = red
        model.concept_embeds_weights.fill_(2.0)
        model.concept_embeds_weights[0] = (1 + likeness) / 2
        model.special_care_embeds_weights.fill_(2.0)
    model.save_pretrained(folder, safe_serialization=True)
    processor.save_pretrained(folder)
    return folder
