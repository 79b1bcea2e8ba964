"""Declare the settings that all tasks share. Those of one task alone are in `core.tasks`."""
from __future__ import annotations

from dataclasses import dataclass

from .choices import AUTO, PREDICTION_CHOICES, ZERO_SNR_CHOICES
from .samplers import DEFAULT_SAMPLER, SAMPLERS
from .settings import LIST, LIVE, PANEL, PIXELS, PRESET, SHARE, STYLE, setting_field

TILING = {
    "none": ("Off", "The picture does not repeat"), "x": ("X", "Repeats without a seam from left to right"),
    "y": ("Y", "Repeats without a seam from bottom to top"),
    "xy": ("Both", "Repeats without a seam in both directions")}
MAX_SEED = 2**64 - 1  # what torch takes, and other programs write
MIN_SIDE, MAX_SIDE = 16, 8192  # pixels


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What every request has. Each field's `Setting` gives its meaning, unit, range and who uses it.

    Attributes:
        model: "starter", or the path of a model folder or file.
    """

    prompt: str = setting_field(
        "", "Prompt",
        "What the picture should show. (word:1.3) weighs a word, {a|b} chooses one by the seed, __name__ one line of a "
        "list, <lora:name:0.8> puts a LoRA on", (PANEL, LIST), axis=7)
    negative: str = setting_field("", "Negative Prompt", "What the picture should not show", (PANEL, LIST, LIVE),
                                  needs="negative")
    model: str = setting_field(
        "starter", "Model",
        "The Stable Diffusion model that paints: the built-in starter model or a folder in diffusers format",
        (PANEL, PRESET, STYLE, LIST, LIVE), a1111="Model")
    width: int = setting_field(
        512, "Width", "Width of the picture in pixels; rounded to what the model can paint",
        (PANEL, PRESET, STYLE, LIST), low=MIN_SIDE, high=MAX_SIDE, soft_high=2048, unit=PIXELS, step=64, group="size")
    height: int = setting_field(
        512, "Height", "Height of the picture in pixels; rounded to what the model can paint",
        (PANEL, PRESET, STYLE, LIST), low=MIN_SIDE, high=MAX_SIDE, soft_high=2048, unit=PIXELS, step=64, group="size")
    sampler: str = setting_field(
        DEFAULT_SAMPLER, "Sampler", "The method that walks from noise to picture", (PANEL, PRESET, STYLE, LIST, LIVE),
        choices=tuple(SAMPLERS), words={sampler.id: (sampler.label, sampler.tip) for sampler in SAMPLERS.values()},
        group="sampling", needs="takes_samplers", axis=2, example="Euler, DPM++ 2M", a1111="Sampler")
    steps: int = setting_field(
        20, "Steps", "How many times the picture is denoised; more is slower and finer", (PANEL, PRESET, STYLE, LIST),
        low=1, high=500, soft_high=60, group="sampling", axis=0, example="8, 20, 40", a1111="Steps")
    guidance: float = setting_field(
        5.0, "Guidance", "How closely the picture follows the prompt (CFG scale); 1 turns guidance off",
        (PANEL, PRESET, STYLE, LIST, LIVE), low=0.0, high=100.0, soft_high=15.0, step=50, digits=1, group="sampling",
        needs="guides", axis=1, example="3, 5, 8", a1111="CFG scale")
    clip_skip: int = setting_field(
        1, "Clip Skip",
        "From which layer, counted from the end of what a model reads of its text encoder, the prompt is taken: 1 is "
        "the model's own way, 2 is what many anime models of SD 1.5 were trained with",
        (PANEL, PRESET, STYLE, LIST, LIVE), low=1, high=12, soft_high=4, group="sampling", needs="clip_skip", axis=9,
        example="1, 2, 3", a1111="Clip skip", neutral=True)
    seed: int = setting_field(
        0, "Seed", "Where the noise starts; the same seed and settings give the same picture", (PANEL, LIST), low=0,
        high=MAX_SEED, axis=4, example="1, 2, 3", a1111="Seed")
    variation_strength: float = setting_field(
        0.0, "Variation",
        "How far the noise leans towards the variation seed's: small values vary the picture a little", (PANEL,),
        low=0.0, high=1.0, unit=SHARE, group="variation", axis=5, example="0.1, 0.2, 0.3",
        a1111="Variation seed strength", neutral=True)
    variation_seed: int = setting_field(
        0, "Variation Seed", "The seed that the picture leans towards; several images take the next ones", (PANEL,),
        low=0, high=MAX_SEED, group="variation", a1111="Variation seed", only_with="variation_strength")
    count: int = setting_field(1, "Images", "How many pictures to make, each with the next seed", (PANEL, PRESET),
                               low=1, high=64, soft_high=8)
    tiling: str = setting_field(
        "none", "Tiling", "Axes along which the picture repeats without a seam", (PANEL, PRESET, STYLE, LIST),
        choices=tuple(TILING), words=TILING, a1111="Tiling", neutral=True)
    style: str = setting_field(
        "", "Style", "The style whose words go round the prompts; a finished picture keeps only its name", (LIST,))
    ip_adapter: str = setting_field("", "IP-Adapter",
                                    "The file of the IP-Adapter that reads the reference image; empty for none")
    ip_adapter_weight: float = setting_field(0.6, "Weight", "How much the reference image counts beside the prompt",
                                             (PANEL,), low=0.0, high=2.0, soft_high=1.0, only_with="ip_adapter")
    vae: str = setting_field(
        "", "VAE",
        "The VAE that decodes the picture, where not the model's own: a file, or a folder in diffusers format")
    prediction: str = setting_field(
        AUTO, "Prediction", "What the model predicts, where its files do not say it right: a wrong one paints noise",
        choices=PREDICTION_CHOICES)
    zero_snr: str = setting_field(
        AUTO, "Zero SNR", "Whether the model was trained down to no signal at all, where its files do not say it right",
        choices=ZERO_SNR_CHOICES)
