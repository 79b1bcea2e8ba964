"""Tiny models of the families that denoise with a transformer, with random weights, in diffusers format. Of the same
classes as the real ones, and so painted by the same code; each is below 2 MB. Both sides of a picture are multiples of
16 pixels, of SANA's 32."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import diffusers
from tests.support import tiny_words
import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderKLFlux2, AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler  # noqa: E501
from tests.support.tiny_models import BLOCKS, clip, saved, tokenizer
from transformers import (
    CLIPTextModel,
    Gemma2Config,
    Gemma2Model,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

_CLIP, _WORDS = 32, 16  # features of a text encoder


def flux(folder: str | Path, kind: str = "FluxPipeline", *, guided: bool = True, channels: int = 16) -> Path:
    """Flux.1: dev, schnell (not `guided`), Kontext or Fill (which sees the mask too) by the class of its pipeline."""
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(in_channels=channels, out_channels=16, num_layers=1,
                                                   num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
                                                   joint_attention_dim=_WORDS, pooled_projection_dim=_CLIP,
                                                   guidance_embeds=guided, axes_dims_rope=(4, 4, 8))
    pipe = getattr(diffusers,
                   kind)(scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=guided), vae=_kl(),
                         text_encoder=clip(CLIPTextModel), tokenizer=tokenizer(), text_encoder_2=T5EncoderModel(
                             T5Config(vocab_size=66, d_model=_WORDS, d_kv=8, d_ff=16, num_layers=1,
                                      num_heads=2)).eval(), tokenizer_2=tiny_words.t5(), transformer=transformer)
    return saved(pipe, folder)


def flux2_klein(folder: str | Path, *, distilled: bool = True) -> Path:
    """Flux.2 Klein; the base member is not `distilled`."""
    torch.manual_seed(0)
    transformer = diffusers.Flux2Transformer2DModel(in_channels=16, num_layers=1, num_single_layers=1,
                                                    attention_head_dim=16, num_attention_heads=2,
                                                    joint_attention_dim=3 * _WORDS, timestep_guidance_channels=16,
                                                    axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False)
    vae = AutoencoderKLFlux2(**BLOCKS, latent_channels=4, use_quant_conv=False, use_post_quant_conv=False)
    words = Qwen3ForCausalLM(_qwen3(layers=28))
    pipe = diffusers.Flux2KleinPipeline(scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=vae,
                                        text_encoder=words, tokenizer=tiny_words.qwen(), transformer=transformer,
                                        is_distilled=distilled)
    return saved(pipe, folder)


def z_image(folder: str | Path, *, shift: float = 6.0) -> Path:
    """Z-Image; Turbo is another training of the same."""
    torch.manual_seed(0)
    transformer = diffusers.ZImageTransformer2DModel(in_channels=4, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2,
                                                     n_kv_heads=2, cap_feat_dim=_WORDS, axes_dims=[8, 4, 4],
                                                     axes_lens=[1024, 64, 64])
    with torch.no_grad():  # diffusers leaves them as memory was
        transformer.x_pad_token.fill_(1.0)
        transformer.cap_pad_token.fill_(1.0)
    pipe = diffusers.ZImagePipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=shift), vae=_kl(),
                                    text_encoder=Qwen3Model(_qwen3(layers=2)), tokenizer=tiny_words.qwen(),
                                    transformer=transformer)
    return saved(pipe, folder)


def qwen_image(folder: str | Path, kind: str = "QwenImagePipeline") -> Path:
    """Qwen-Image, Edit or EditPlus by the class of its pipeline."""
    torch.manual_seed(0)
    transformer = diffusers.QwenImageTransformer2DModel(in_channels=16, out_channels=4, num_layers=1,
                                                        attention_head_dim=16, num_attention_heads=2,
                                                        joint_attention_dim=_WORDS, axes_dims_rope=(8, 4, 4))
    vae = AutoencoderKLQwenImage(base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 2], num_res_blocks=1,
                                 latents_mean=[0.1, -0.1, 0.0, 0.2], latents_std=[1.0, 1.1, 0.9, 1.0])
    marks = {
        name: tiny_words.qwen().convert_tokens_to_ids(sign)
        for name, sign in (("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>"),
                           ("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"))}
    reader = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": 263, "hidden_size": _WORDS, "intermediate_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "num_key_value_heads": 2,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}},
            vision_config={
                "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
                "out_hidden_size": _WORDS}, **marks))
    parts = {
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), "vae": vae, "text_encoder": reader,
        "tokenizer": tiny_words.qwen(), "transformer": transformer}
    made = saved(diffusers.QwenImagePipeline(**parts), folder)
    if kind != "QwenImagePipeline":  # its processor cannot be made without torchvision, but its files can
        Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=56 * 56).save_pretrained(made / "processor")
        tiny_words.qwen().save_pretrained(made / "processor")
        index = json.loads((made / "model_index.json").read_text(encoding="utf-8"))
        index |= {"_class_name": kind, "processor": ["transformers", "Qwen2VLProcessor"]}
        (made / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return made


def sana(folder: str | Path, kind: str = "SanaPipeline") -> Path:
    """SANA, or SANA-Sprint, whose denoiser gets the guidance and which needs two steps."""
    torch.manual_seed(0)
    sprint = "Sprint" in kind
    transformer = diffusers.SanaTransformer2DModel(in_channels=4, out_channels=4, num_layers=2, num_attention_heads=2,
                                                   attention_head_dim=8, num_cross_attention_heads=2,
                                                   cross_attention_head_dim=8, cross_attention_dim=16,
                                                   caption_channels=_WORDS, sample_size=8, guidance_embeds=sprint,
                                                   qk_norm="rms_norm_across_heads" if sprint else None)
    blocks = ("ResBlock",) * 5 + ("EfficientViTBlock",)
    sizes = {f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in (
        ("block_types", blocks), ("block_out_channels", (8,) * 6), ("layers_per_block", (1,) * 6),
        ("qkv_multiscales", ((),) * 5 + ((5,),)))}
    vae = AutoencoderDC(in_channels=3, latent_channels=4, attention_head_dim=4, downsample_block_type="Conv",
                        scaling_factor=0.41, upsample_block_type="interpolate", decoder_norm_types="rms_norm",
                        decoder_act_fns="silu", **sizes)
    words = Gemma2Model(
        Gemma2Config(vocab_size=262, hidden_size=_WORDS, intermediate_size=16, num_hidden_layers=1,
                     num_attention_heads=2, num_key_value_heads=2, head_dim=8))
    scheduler = diffusers.SCMScheduler(sigma_data=0.5) if sprint else diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = getattr(diffusers, kind)(tokenizer=tiny_words.gemma(), text_encoder=words, vae=vae, transformer=transformer,
                                    scheduler=scheduler)
    return saved(pipe, folder)


def _kl() -> AutoencoderKL:
    return AutoencoderKL(**BLOCKS, latent_channels=4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False,
                         use_post_quant_conv=False)


def _qwen3(layers: int) -> Qwen3Config:
    return Qwen3Config(vocab_size=263, hidden_size=_WORDS, intermediate_size=16, num_hidden_layers=layers,
                       num_attention_heads=2, num_key_value_heads=2, head_dim=8, max_position_embeddings=1024)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "flux": flux, "flux_schnell": lambda folder: flux(folder, guided=False),
    "flux_kontext": lambda folder: flux(folder, "FluxKontextPipeline"),
    "flux_fill": lambda folder: flux(folder, "FluxFillPipeline", channels=16 + 16 + 4 * 64), "flux2_klein": flux2_klein,
    "flux2_klein_base": lambda folder: flux2_klein(folder, distilled=False), "z_image": z_image,
    "qwen_image": qwen_image, "qwen_edit": lambda folder: qwen_image(folder, "QwenImageEditPipeline"),
    "qwen_edit_plus": lambda folder: qwen_image(folder, "QwenImageEditPlusPipeline"), "sana": sana,
    "sana_sprint": lambda folder: sana(folder, "SanaSprintPipeline")}
