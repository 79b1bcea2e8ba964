"""Tiny upscalers with random weights, for tests: nets that spandrel reads, and Stable Diffusion's own in diffusers
format."""
from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, StableDiffusionLatentUpscalePipeline,
    StableDiffusionUpscalePipeline, UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from blender_sd.engine.denoise.upscalers import _spandrel
from tests.support.tiny_models import tokenizer


def build_net(kind: str, file: Path, *, scale: int = 4, seed: int = 0) -> str:
    """A net of `kind` (ESRGAN, Compact, SwinIR, HAT, DAT) in the safetensors file `file`."""
    torch.manual_seed(seed)
    architectures = _spandrel().architectures
    windows = {
        "embed_dim": 8, "num_heads": [2, 2], "window_size": 8, "mlp_ratio": 2.0, "upscale": scale,
        "upsampler": "pixelshuffle"}
    net = {
        "ESRGAN": lambda: architectures.ESRGAN.ESRGAN(num_filters=8, num_blocks=1, scale=scale),
        "Compact": lambda: architectures.Compact.Compact(num_feat=8, num_conv=2, upscale=scale),
        "SwinIR": lambda: architectures.SwinIR.SwinIR(depths=[2, 2], **windows),
        "HAT": lambda: architectures.HAT.HAT(depths=(2, 2), compress_ratio=2, squeeze_factor=4, **windows),
        "DAT": lambda: architectures.DAT.DAT(embed_dim=16, split_size=[8, 8], depth=[2], num_heads=[2], upscale=scale),
    }[kind]()
    net.eval()
    # a random net answers next to nothing: what depends on the neighbours is something to look at
    with torch.no_grad():
        last = [part for part in net.modules() if isinstance(part, torch.nn.Conv2d)][-1]
        noise = torch.rand(1, 3, 16, 16)
        base = torch.nn.functional.interpolate(noise, scale_factor=scale) if kind == "Compact" else 0
        last.weight.mul_(0.2 / (net(noise) - base).std())
        last.bias.fill_(0.0 if kind == "Compact" else 0.5)
    save_file({name: value.contiguous().clone() for name, value in net.state_dict().items()}, file)
    return str(file)


def build_x4(folder: Path) -> str:
    """Like stabilityai/stable-diffusion-x4-upscaler: a UNet that sees the noised picture and the noise's level."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(sample_size=16, in_channels=7, out_channels=4, layers_per_block=1,
                                block_out_channels=(32, 64), norm_num_groups=8,
                                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=8,
                                cross_attention_dim=32, only_cross_attention=(True, False), num_class_embeds=1000)
    vae = AutoencoderKL(block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4,
                        sample_size=64, down_block_types=("DownEncoderBlock2D",) * 3,
                        up_block_types=("UpDecoderBlock2D",) * 3)
    noise = {"beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
    pipe = StableDiffusionUpscalePipeline(
        vae, _text(), tokenizer(), unet, DDPMScheduler(**noise), DDIMScheduler(**noise, prediction_type="v_prediction"),
        max_noise_level=350)
    pipe.save_pretrained(folder, safe_serialization=True)
    return str(folder)


def build_latent(folder: Path) -> str:
    """Like stabilityai/sd-x2-latent-upscaler."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(sample_size=16, in_channels=8, out_channels=5, block_out_channels=(32, 32, 64, 64),
                                norm_num_groups=None, act_fn="gelu", attention_head_dim=8, cross_attention_dim=32,
                                time_cond_proj_dim=128 + 32, conv_in_kernel=1, conv_out_kernel=1,
                                down_block_types=("KDownBlock2D", *["KCrossAttnDownBlock2D"] * 3),
                                up_block_types=(*["KCrossAttnUpBlock2D"] * 3, "KUpBlock2D"), mid_block_type=None,
                                only_cross_attention=False, resnet_time_scale_shift="scale_shift",
                                time_embedding_type="fourier", timestep_post_act="gelu")
    vae = AutoencoderKL(block_out_channels=(8, 8, 8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4,
                        sample_size=64, down_block_types=("DownEncoderBlock2D",) * 4,
                        up_block_types=("UpDecoderBlock2D",) * 4)
    pipe = StableDiffusionLatentUpscalePipeline(vae, _text(), tokenizer(), unet,
                                                EulerDiscreteScheduler(prediction_type="sample"))
    pipe.save_pretrained(folder, safe_serialization=True)
    return str(folder)


def _text() -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(vocab_size=514, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
                       projection_dim=32, max_position_embeddings=77, bos_token_id=512, eos_token_id=513,
                       pad_token_id=513))
