"""Readers of models, as targets of fuzzing: weights, configs, folders, cards, and pictures for the engine."""
from __future__ import annotations

import json
import os
import pathlib
import struct


from blender_sd.engine.models import inspection
from blender_sd.library import checkpoints, licences as model_licences
from blender_sd.core.errors import (
    ModelNotFound, ModelUnreadable, SourceUnusable,
)
from blender_sd.protocol.messages import (
    Source,
)
from blender_sd.library import (
    adapters, controlnets, model_folders, models,
)
from tests.support.png_bytes import picture

from tests.support.fuzzing import optional, place, put, refused, target

sources = optional("blender_sd.engine.conditioning.sources")


def tensors(header: object) -> bytes:
    """A safetensors file of this header and no weights."""
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw


def _entry(*shape: int) -> dict:
    return {"dtype": "F16", "shape": list(shape), "data_offsets": [0, 0]}


def looked_at(name: str, data: bytes) -> None:
    """A part's folder with the file `name`, and sound weights."""
    put(f"part/{name}", data)
    put("part/model.safetensors", tensors({"a.weight": _entry(64, 8)}))
    try:
        inspection.check(pathlib.Path(place(), "part"))
    except ModelUnreadable as error:
        refused(error)
    finally:
        os.remove(os.path.join(place(), "part", name))


@target("part config", b'{"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 64, "architectures": '
                       b'["CLIPTextModel"]}',
        b'{"pos_embed_max_size": 96, "patch_size": 2, "num_attention_heads": 2, "attention_head_dim": 8, "depths": [1, '
        b'2]}')
def read_part_config(data: bytes) -> None:
    looked_at("config.json", data)


@target("tokenizer", b'{"truncation": null, "padding": {"strategy": {"Fixed": 77}}, "model": {"type": "BPE", "vocab": '
                     b'{"a": 0}}}',
        b'{"model_max_length": 77, "fast_tokenizer_files": ["tokenizer.json"]}')
def read_tokenizer(data: bytes) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "scheduler_config.json", "preprocessor_config.json"):
        looked_at(name, data)


@target("net names", tensors({"unet.down.0.lora_A.weight": _entry(4, 4), "lora_te_layers_1.alpha": _entry()}),
        tensors({"model.1.sub.23.RDB1.conv1.0.weight": _entry(4, 4)}), tensors({"a": {"shape": 5}}), tensors({"a": {"shape": ["b"]}}))  # noqa: E501
def read_net_names(data: bytes) -> None:
    path = put("net.safetensors", data)
    try:
        header = checkpoints.read_header(path)
        inspection.check_names(header, True)
    except (OSError, ValueError):
        pass
    try:
        inspection.weights_of([pathlib.Path(path)])
    except (OSError, ValueError):
        pass


# ---- model folders ---------------------------------------------------------------------------------------------------


@target("safetensors", tensors({"emb_params": _entry(4, 768)}), tensors({"a.lora_down.weight": _entry(4, 4), "__metadata__": {  # noqa: E501
    "modelspec.title": "Hyper SD 8 steps", "modelspec.license": "mit"}}), tensors({
    "double_blocks.0": _entry(1), "img_in.weight": _entry(2, 64),
    "single_blocks.0.modulation.lin.a": _entry(1)}), tensors({
    "model.diffusion_model.input_blocks.0.0.weight": _entry(320, 4, 3, 3), "first_stage_model.a": _entry(1),
    "cond_stage_model.transformer.a": _entry(1)}))
def read_safetensors(data: bytes) -> None:
    read_weights(put("nets/one.safetensors", data))
    for kind in (checkpoints.LORA, checkpoints.UPSCALER):
        adapters.find_files(kind, [os.path.join(place(), "nets")])


def gguf(*names: str) -> bytes:
    def words(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(names), 2)
    head += words("general.architecture") + struct.pack("<I", 8) + words("flux")
    head += words("list") + struct.pack("<IIQ", 9, 4, 2) + struct.pack("<II", 1, 2)
    return head + b"".join(words(name) + struct.pack("<IQQIQ", 2, 64, 3072, 0, 0) for name in names)


@target("gguf", gguf("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "single_blocks.0.modulation.lin.weight"), gguf())  # noqa: E501
def read_gguf(data: bytes) -> None:
    read_weights(put("nets2/one.gguf", data))


def read_weights(path: str) -> None:
    """All that is asked of a file of weights."""
    kind = model_folders.kind_at(path)
    model_folders.few_steps_at(path)
    model_licences.licence_of(path)
    if kind is not None:
        assert isinstance(kind.name, str) and type(kind.channels) is int
        try:
            models.read_checkpoint(path)
        except (ModelUnreadable, ModelNotFound) as error:
            refused(error)


_INDEX = {
    "_class_name": "FluxPipeline", "transformer": ["diffusers",
                                                   "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
    "unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "EulerDiscreteScheduler"]}
_CONFIG = {
    "_class_name": "FluxControlNetModel", "in_channels": 64, "sample_size": 64, "block_out_channels": [4, 8],
    "patch_size": 2, "guidance_embeds": True, "cross_attention_dim": 768, "num_mode": 2, "timestep_spacing": "trailing",
    "shift": 3.0}
_OWN = {
    "name": "A model", "size": [512, 640], "steps": 8, "guidance": 2.0, "sampler": "euler", "text": "one line",
    "licence": "CC0-1.0"}


@target("folder", *(b"\0".join(json.dumps(one).encode() for one in (index, _CONFIG, _OWN)) for index in (
    _INDEX, {"_class_name": "StableDiffusionPipeline", "unet": ["a", "b"], "vae": ["a", "b"]},
    {"_class_name": "ZImagePipeline", "transformer": ["a", "b"]})))
def read_folder(data: bytes) -> None:
    """A model's three kinds of JSON, with zero bytes between them."""
    index, config, own = (*data.split(b"\0"), b"{}", b"{}")[:3]
    put("models/one/model_index.json", index)
    put("models/one/blender_sd.json", own)
    put("models/net/config.json", config)
    for part in ("unet", "transformer", "vae"):
        put(f"models/one/{part}/config.json", config)
    put("models/one/scheduler/scheduler_config.json", config)
    put("models/flux.safetensors", tensors({"double_blocks.0": _entry(1), "img_in.weight": _entry(2, 64),
                                            "single_blocks.0.modulation.lin.a": _entry(1)}))
    top = os.path.join(place(), "models")
    for model in models.find_models([top]):
        assert f"{model.name}{model.text}{model.family}" and 1 <= model.steps <= 500 and 16 <= model.default_width <= 8192  # noqa: E501
    controlnets.find_controlnets([top])
    model_licences.licence_of(os.path.join(top, "one"))


@target("card", b"---\nlicense: openrail\nlicense_link: https://a\n---\n# A "
                b"model\n", b'---\nlicense: other\nlicense_name: "x y"\n---\n')
def read_card(data: bytes) -> None:
    put("card/README.md", data)
    found = model_licences.licence_of(os.path.join(place(), "card"))
    assert len(found.name) <= 300 and len(found.link) <= 300 and isinstance(found.key, str)


@target("source", picture(width=16, height=16))
def read_source(data: bytes) -> None:
    if sources is not None:
        try:
            image, alpha = sources.open_source(Source(encoded=data))
            assert image.mode == "RGB" and (alpha is None or alpha.size == image.size)
        except SourceUnusable as error:
            refused(error)
        sources.file_kind(data)
