"""Tiny models with random weights, in diffusers format, for tests: they paint noise, but by the same code as real ones.

    python -m tests.support.tiny_models FOLDER          # builds FOLDER/sd and FOLDER/sdxl and says where

Seeded: the same versions of torch and diffusers give the same weights, and so the same pictures.
"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

_WIDTH, _WIDER = 32, 48  # of text features; of those of SDXL's second encoder
_TOKENS = 77
_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
_UNET = {
    "sample_size": 8, "layers_per_block": 1, "block_out_channels": (32, 64), "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}


BLOCKS = {  # of an autoencoder of scale 8
    "block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}


def build_tiny_sd(folder: str | Path, *, prediction_type: str = "epsilon", width: int = _WIDTH) -> Path:
    """A Stable Diffusion 1.x-like model (f=8 AutoencoderKL, UNet, CLIP) in `folder`, which is made and returned.
    Paints multiples of 8 pixels; about 1 MB. SD 2 differs by its text features, of a `width` of 1024."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**_UNET, attention_head_dim=8, cross_attention_dim=width)
    scheduler = PNDMScheduler(**_NOISE, skip_prk_steps=True, steps_offset=1, prediction_type=prediction_type)
    pipe = StableDiffusionPipeline(_vae(), clip(CLIPTextModel, width), tokenizer(), unet, scheduler, None, None,
                                   requires_safety_checker=False)
    return saved(pipe, folder)


def build_tiny_inpaint(folder: str | Path) -> Path:
    """An inpaint checkpoint: as `build_tiny_sd`, with a UNet of 9 input channels."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**_UNET, in_channels=9, attention_head_dim=8, cross_attention_dim=_WIDTH)
    scheduler = PNDMScheduler(**_NOISE, skip_prk_steps=True, steps_offset=1)
    pipe = StableDiffusionInpaintPipeline(_vae(), clip(CLIPTextModel), tokenizer(), unet, scheduler, None, None,
                                          requires_safety_checker=False)
    return saved(pipe, folder)


def build_tiny_taesd(folder: str | Path) -> Path:
    """The starter model's kind: a UNet over an AutoencoderTiny with f=4."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**_UNET, attention_head_dim=8, cross_attention_dim=_WIDTH)
    vae = AutoencoderTiny(encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8),
                          num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(1, 1, 1))
    with torch.no_grad():  # the decoder gives 0 to 1; random weights alone would paint black
        vae.decoder.layers[-1].weight.mul_(20)
        vae.decoder.layers[-1].bias.fill_(0.5)
    scheduler = DDIMScheduler(**_NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1,
                              prediction_type="v_prediction")
    pipe = StableDiffusionPipeline(vae, clip(CLIPTextModel), tokenizer(), unet, scheduler, None, None,
                                   requires_safety_checker=False)
    return saved(pipe, folder)


def build_tiny_sdxl(folder: str | Path) -> Path:
    """An SDXL-like model: two text encoders, size conditioning, a VAE that asks to be upcast."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**_UNET, attention_head_dim=(2, 4), use_linear_projection=True,
                                addition_embed_type="text_time", addition_time_embed_dim=8,
                                transformer_layers_per_block=(1, 1),
                                projection_class_embeddings_input_dim=6 * 8 + _WIDER,
                                cross_attention_dim=_WIDTH + _WIDER)
    pipe = StableDiffusionXLPipeline(_vae(force_upcast=True), clip(CLIPTextModel),
                                     clip(CLIPTextModelWithProjection, _WIDER), tokenizer(), tokenizer(), unet,
                                     EulerDiscreteScheduler(**_NOISE, steps_offset=1, timestep_spacing="leading"),
                                     add_watermarker=False)
    return saved(pipe, folder)


def build_tiny_sd3(folder: str | Path) -> Path:
    """An SD 3-like model: a diffusion transformer trained by flow matching; without its T5 encoder, as many run it."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(sample_size=8, patch_size=1, in_channels=16, num_layers=2, attention_head_dim=8,
                                        num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=64,
                                        pooled_projection_dim=2 * _WIDTH, out_channels=16)
    pipe = StableDiffusion3Pipeline(
        transformer, FlowMatchEulerDiscreteScheduler(),
        _vae(16, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        clip(CLIPTextModelWithProjection), tokenizer(), clip(CLIPTextModelWithProjection), tokenizer(), None, None)
    return saved(pipe, folder)


def tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with no merges: every character is one token, so a prompt's length is easy to predict."""
    import tempfile

    plain = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    signs = plain + [chr(256 + number) for number in range(256 - len(plain))]  # GPT-2's printable stand-ins for bytes
    words = [*signs, *(sign + "</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder, "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}),
                                              encoding="utf-8")
        Path(folder, "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=_TOKENS)


def _vae(latent_channels: int = 4, **changes: object) -> AutoencoderKL:
    return AutoencoderKL(**BLOCKS, latent_channels=latent_channels, sample_size=64, **changes)


def clip(cls: type, width: int = _WIDTH) -> torch.nn.Module:
    return cls(
        CLIPTextConfig(vocab_size=514, hidden_size=width, intermediate_size=37, num_hidden_layers=2,
                       num_attention_heads=4, projection_dim=width, max_position_embeddings=_TOKENS, bos_token_id=512,
                       eos_token_id=513, pad_token_id=513))


def saved(pipe: object, folder: str | Path) -> Path:
    pipe.save_pretrained(str(folder), safe_serialization=True)
    return Path(folder)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "sd": build_tiny_sd, "sd2": lambda folder: build_tiny_sd(folder, prediction_type="v_prediction", width=1024),
    "taesd": build_tiny_taesd, "inpaint": build_tiny_inpaint, "sdxl": build_tiny_sdxl, "sd3": build_tiny_sd3}


if __name__ == "__main__":
    root = Path(sys.argv[1])
    print(build_tiny_sd(root / "sd"))
    print(build_tiny_sdxl(root / "sdxl"))
