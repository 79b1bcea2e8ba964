"""Reading model folders: what a model wants, and the errors for folders without one."""
from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from blender_sd.core.errors import ModelNotFound, ModelUnreadable
from blender_sd.library import model_info, models
from blender_sd.library.models import find_models, read_model, resolve_model
from tests.support.model_files import UNET, VAE, make_model


@pytest.fixture(autouse=True)
def no_starter(tmp_path, monkeypatch):
    for module in (models, model_info):
        monkeypatch.setattr(module, "STARTER_FOLDER", str(tmp_path / "starter"))
    return tmp_path / "starter"


@pytest.mark.parametrize(("kind", "parts", "expected"), [
    ("StableDiffusionPipeline", {"unet": UNET, "vae": VAE}, ("SD 1.5", 8, 512)),
    ("StableDiffusionInpaintPipeline", {"unet": {**UNET, "cross_attention_dim": 1024, "sample_size": 96, "in_channels": 9}, "vae": VAE},  # noqa: E501
     ("SD 2 Inpaint", 8, 768)),
    ("StableDiffusionXLPipeline", {"unet": {"block_out_channels": [320, 640, 1280], "sample_size": 128}, "vae": VAE}, ("SDXL", 8, 1024)),  # noqa: E501
    ("StableDiffusion3Pipeline", {"transformer": {"patch_size": 2, "sample_size": 128}, "vae": VAE}, ("SD 3.5", 16, 1024)),  # noqa: E501
    ("FluxPipeline", {"transformer": {"patch_size": 1}, "vae": VAE}, ("Flux.1", 16, 1024)),
    ("Flux2KleinPipeline", {"transformer": {"patch_size": 1}, "vae": VAE}, ("Flux.2 Klein", 16, 1024)),
    ("ZImagePipeline", {"transformer": {"all_patch_size": [2]}, "vae": VAE}, ("Z-Image", 16, 1024)),
    ("QwenImageEditPipeline", {"transformer": {"patch_size": 2}, "vae": {"temperal_downsample": [False, True, True]}},
     ("Qwen-Image-Edit", 16, 1024)),
    ("SanaPipeline", {"transformer": {"patch_size": 1}, "vae": {"encoder_block_out_channels": [1] * 6}}, ("SANA", 32, 1024)),  # noqa: E501
    ("StableDiffusionPipeline", {"unet": {"block_out_channels": [32, 64], "sample_size": 32}, "vae": {"block_out_channels": [8, 8]}},  # noqa: E501
     ("SD 1.5", 8, 64)),
    ("SomethingNewPipeline", {"transformer": {"patch_size": 4}, "vae": VAE}, ("SomethingNewPipeline", 32, 1024)),
])
def test_families_and_sizes(kind, parts, expected, tmp_path):
    model = read_model(make_model(tmp_path / "model", kind, **parts))
    assert (model.family, model.multiple, model.default_width) == expected
    assert model.abilities.transformer == ("unet" not in parts)
    assert model.default_height % model.multiple == 0 and model.name == "model" and model.id == str(tmp_path / "model")


@pytest.mark.parametrize(("kind", "parts", "scheduler", "expected"), [
    ("FluxPipeline", {"transformer": {"guidance_embeds": False}}, {}, ("Flux.1 schnell", 4, 1.0, "euler")),
    ("FluxPipeline", {"transformer": {"guidance_embeds": True}}, {}, ("Flux.1", 28, 3.5, "euler")),
    ("Flux2KleinPipeline", {"transformer": {}, "is_distilled": True}, {}, ("Flux.2 Klein", 4, 1.0, "euler")),
    ("ZImagePipeline", {"transformer": {}}, {"shift": 3.0}, ("Z-Image Turbo", 9, 1.0, "euler")),
    ("ZImagePipeline", {"transformer": {}}, {"shift": 6.0}, ("Z-Image", 28, 4.0, "euler")),
    ("SanaSprintPipeline", {"transformer": {}}, {}, ("SANA-Sprint", 2, 4.5, "dpmpp_2m")),
    ("LatentConsistencyModelPipeline", {"unet": UNET}, {}, ("SD 1.5", 4, 8.0, "lcm")),
    ("StableDiffusionXLPipeline", {"unet": UNET}, {"_class_name": "LCMScheduler"}, ("SDXL", 4, 1.0, "lcm")),
    ("StableDiffusionXLPipeline", {"unet": UNET}, {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"},  # noqa: E501
     ("SDXL", 25, 6.0, "dpmpp_2m")),
])
def test_few_step_members_are_recognised_by_their_configs(tmp_path, kind, parts, scheduler, expected):
    distilled = parts.pop("is_distilled", None)
    folder = make_model(tmp_path / "model", kind, vae=VAE, **parts)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "is_distilled": distilled}))
    model = read_model(folder)
    assert (model.family, model.steps, model.guidance, model.sampler) == expected


def test_the_makers_recommendation(tmp_path):
    own = {
        "name": "My  model\n", "size": [500, 768], "steps": 8, "guidance": 2, "sampler": "euler", "text": "One\nline",
        "later": 1}
    model = read_model(make_model(tmp_path / "a", own=own))
    assert (model.name, model.text) == ("My model", "One line")
    assert (model.default_width, model.default_height) == (504, 768)  # rounded to what it can paint
    assert (model.steps, model.guidance, model.sampler) == (8, 2.0, "euler")
    assert read_model(make_model(tmp_path / "b", own={"size": 256})).default_height == 256


@pytest.mark.parametrize(("upscaler", "expected"), [("starter", "starter"), ("//share/net.safetensors", ""), (3, "")])
def test_a_recommended_scale_and_upscaler(upscaler, expected, tmp_path):
    """A maker may recommend the built-in upscaler, and no file, which could lie on another computer."""
    model = read_model(make_model(tmp_path / "model", own={"scale": 1.5, "upscaler": upscaler}))
    assert (model.scale, model.upscaler) == (1.5, expected)


@pytest.mark.parametrize("own", [
    {"size": "big"}, {"size": [1, 2, 3]}, {"size": 0}, {"steps": 0}, {"scale": -1}, {"scale": "1"}, {"sampler": "magic"}, {"name": 3}, {"name": " "}, [],  # noqa: E501
])
def test_a_broken_recommendation(own, tmp_path):
    with pytest.raises(ModelUnreadable, match="blender_sd.json is broken"):
        read_model(make_model(tmp_path / "model", own=own))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"_class_name": 3}', "\xff", "[" * 10_000, " " * (2 << 20)])
def test_a_broken_index(text, tmp_path):
    make_model(tmp_path / "model")
    (tmp_path / "model" / "model_index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelUnreadable, match="model_index.json is broken"):
        read_model(tmp_path / "model")
    assert find_models([str(tmp_path)]) == []


@pytest.mark.parametrize(("part", "config"), [
    ("unet", {"block_out_channels": "many"}), ("vae", {"block_out_channels": [1] * 50}), ("vae", {"block_out_channels": []}),  # noqa: E501
])
def test_a_broken_part(part, config, tmp_path):
    with pytest.raises(ModelUnreadable, match=f"{part}/config.json is broken"):
        read_model(make_model(tmp_path / "model", **{"unet": UNET, "vae": VAE, part: config}))


def test_a_part_that_is_named_but_missing(tmp_path):
    folder = make_model(tmp_path / "model")
    (folder / "unet" / "config.json").unlink()
    with pytest.raises(ModelUnreadable, match="unet/config.json cannot be opened"):
        read_model(folder)


def test_finding(tmp_path, no_starter):
    make_model(no_starter, own={"name": "Starter"})
    shelf = tmp_path / "shelf"
    make_model(shelf / "b")
    make_model(shelf / "group" / "a")
    make_model(shelf / "group" / "of" / "groups" / "deep")
    make_model(shelf / "models--owner--name" / "snapshots" / "0123abc")
    make_model(shelf / ".hidden")
    found = find_models([str(shelf), str(shelf / "b"), "", str(tmp_path / "nothing")])
    assert [model.name for model in found] == ["Starter", "a", "b", "deep", "owner/name"]
    assert found[0].id == "starter"


def test_resolving(tmp_path, no_starter):
    folder = make_model(tmp_path / "shelf" / "Brick Maker")
    shelf = [str(tmp_path / "shelf")]
    model = read_model(folder)
    for wanted in (str(folder), f' "{folder}" ', str(folder / "model_index.json"), "brick maker"):
        assert resolve_model(wanted, shelf) == model
    with pytest.raises(ModelNotFound, match="starter model is not installed"):
        resolve_model("starter", shelf)
    make_model(no_starter)
    assert resolve_model("Starter", []).id == "starter"
    with pytest.raises(ModelNotFound) as caught:
        resolve_model("stone", shelf)
    assert "Brick Maker" in caught.value.hint and "stone" in caught.value.message


def test_what_is_no_model_folder(tmp_path):
    single = tmp_path / "model.safetensors"
    single.write_bytes(b"")
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        resolve_model(str(single), [])
    with pytest.raises(ModelNotFound, match="holds no model"):
        resolve_model(str(tmp_path), [])
    for wanted in ("", "  ", "nul\0", "x" * 5000):
        with pytest.raises(ModelNotFound):
            resolve_model(wanted, [])


# ---- models in one file ----------------------------------------------------------------------------------------------


def checkpoint(file, *names, channels=4):
    file.parent.mkdir(parents=True, exist_ok=True)
    shapes = {"model.diffusion_model.input_blocks.0.0.weight": [320, channels, 3, 3]}
    entries = {name: {"dtype": "F16", "shape": shapes.get(name, [1]), "data_offsets": [0, 0]} for name in names}
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    return file


UNET_KEY, VAE_KEY = "model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"
SD15_KEY = "cond_stage_model.transformer.text_model.final_layer_norm.bias"
SDXL_KEYS = ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
             "conditioner.embedders.1.model.ln_final.bias")


def test_single_files_are_found_and_want_what_their_family_wants(tmp_path):
    sd15 = checkpoint(tmp_path / "models" / "Stable-diffusion" / "bricks.safetensors", UNET_KEY, VAE_KEY, SD15_KEY)
    sdxl = checkpoint(tmp_path / "models" / "checkpoints" / "walls.safetensors", UNET_KEY, VAE_KEY, *SDXL_KEYS)
    checkpoint(tmp_path / "models" / "Lora" / "moss.safetensors", "lora_unet_x.lora_down.weight")
    checkpoint(tmp_path / "models" / "VAE" / "vae.safetensors", VAE_KEY)
    make_model(tmp_path / "models" / "folder")
    checkpoint(tmp_path / "models" / "folder" / "unet" / "model.safetensors", UNET_KEY, VAE_KEY, SD15_KEY)
    found = find_models([str(tmp_path)])
    assert [(one.name, one.id, one.family, one.multiple, one.default_width) for one in found] == [
        ("bricks", str(sd15), "SD 1.5", 8, 512), ("folder", str(tmp_path / "models" / "folder"), "SD 1.5", 8, 512),
        ("walls", str(sdxl), "SDXL", 8, 1024)]
    assert resolve_model("bricks", [str(tmp_path)]) == found[0] == resolve_model(str(sd15), [])


@pytest.mark.parametrize(("names", "words"), [
    ((UNET_KEY, VAE_KEY, "cond_stage_model.model.ln_final.bias", "model.diffusion_model.label_emb.0.0.weight"), "unCLIP"),  # noqa: E501
    (("double_blocks.0.x",), "Flux"),
    (("joint_blocks.9.x", "text_encoders.x"), "SD 3"),
    ((UNET_KEY, VAE_KEY, "conditioner.embedders.0.model.ln_final.bias"), "refiner"),
    (("lora_unet_x.lora_down.weight",), "lora"), (("weight",), "cannot be read"),
])
def test_other_files_are_named_for_what_they_are(tmp_path, names, words):
    file = checkpoint(tmp_path / "model.safetensors", *names)
    with pytest.raises(ModelUnreadable, match=words):
        resolve_model(str(file), [])
    assert not find_models([str(tmp_path)])


def test_a_pickle_is_refused_with_the_reason(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"x")
    with pytest.raises(ModelUnreadable, match="pickle"):
        resolve_model(str(tmp_path / "model.ckpt"), [])


# ---- transformers alone ----------------------------------------------------------------------------------------------

FLUX_KEYS = ("img_in.weight", "single_blocks.0.modulation.lin.weight", "double_blocks.0.x")


def transformer(file, *names, guided=True, channels=64):
    shapes = {"img_in.weight": [3072, channels]}
    names = (*names, *(("guidance_in.in_layer.weight",) if guided else ()))
    entries = {
        name: {
            "dtype": "F16", "shape": shapes.get(name.removeprefix("model.diffusion_model."), [1]),
            "data_offsets": [0, 0]} for name in names}
    file.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps(entries).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    return file


def gguf(file, *names, guided=True, channels=64):
    """The same as GGUF, with a text, a list and a number before its tensors."""
    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    names = (*names, *(("guidance_in.in_layer.weight",) if guided else ()))
    entries = (text("general.architecture") + struct.pack("<I", 8) + text("flux"),
               text("list") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
               text("number") + struct.pack("<II", 4, 7))
    tensors = [
        text(name) + (struct.pack("<IQQ", 2, channels, 3072) if name == "img_in.weight" else struct.pack("<IQ", 1, 1))
        + struct.pack("<IQ", 0, 0) for name in names]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join((*entries, *tensors)))
    return file


def flux(folder, kind="FluxPipeline", guided=True, channels=64):
    return make_model(folder, kind, transformer={"in_channels": channels, "guidance_embeds": guided}, vae=VAE)


@pytest.mark.parametrize(("write", "ending"), [(transformer, ".safetensors"), (gguf, ".gguf")])
def test_a_transformer_alone_takes_its_other_parts_from_a_folder_of_its_family(tmp_path, write, ending):
    dev, schnell = flux(tmp_path / "m" / "dev"), flux(tmp_path / "m" / "schnell", guided=False)
    fill = flux(tmp_path / "m" / "fill", "FluxFillPipeline", channels=384)
    flux(tmp_path / "m" / "an editor", "FluxKontextPipeline")
    make_model(tmp_path / "m" / "sd")
    files = {"guided": (write(tmp_path / "m" / "unet" / f"guided{ending}", *FLUX_KEYS), dev),
             "fast": (write(tmp_path / "m" / "unet" / f"fast{ending}", *FLUX_KEYS, guided=False), schnell),
             "inpaints": (write(tmp_path / "m" / "unet" / f"inpaints{ending}", *FLUX_KEYS, channels=384), fill)}
    found = {model.name: model for model in find_models([str(tmp_path / "m")])}
    for name, (file, owner) in files.items():
        own = read_model(owner)
        assert found[name] == resolve_model(str(file), [str(tmp_path / "m")])
        assert (found[name].id, found[name].base_model, found[name].abilities) == (str(file), str(owner), own.abilities)
        assert (found[name].steps, found[name].multiple) == (own.steps, own.multiple)


@pytest.mark.parametrize(("family", "start", "kind", "name"), [
    ("Flux.1", "double_blocks.", "FluxPipeline", "num_layers"), ("SD 3.5", "joint_blocks.", "StableDiffusion3Pipeline", "num_layers"),  # noqa: E501
    ("Z-Image", "layers.", "ZImagePipeline", "n_layers"), ("Qwen-Image", "transformer_blocks.", "QwenImagePipeline", "num_layers")])  # noqa: E501
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model.", "transformer.", "model.", "net."])
def test_of_several_members_of_a_family_the_one_with_as_many_blocks_lends(tmp_path, family, start, kind, name, prefix):
    marks = {"Flux.1": FLUX_KEYS[:2], "SD 3.5": (), "Z-Image": ("cap_pad_token",), "Qwen-Image": ()}[family]
    for depth in (2, 3):
        parts = {"transformer": {name: depth, "in_channels": 64, "guidance_embeds": False, "patch_size": 2}, "vae": VAE}
        make_model(tmp_path / "m" / f"of {depth}", kind, **parts)
    blocks = [f"{start}{number}.img_mod.1.weight" for number in range(3)]
    file = transformer(tmp_path / "m" / "alone.safetensors", *(prefix + each for each in (*marks, *blocks)), guided=False)  # noqa: E501
    assert Path(resolve_model(str(file), [str(tmp_path / "m")]).base_model).name == "of 3"


@pytest.mark.parametrize(("names", "family"), [
    (FLUX_KEYS, "Flux.1"), (("model.diffusion_model.single_blocks.0.modulation.lin.weight",), "Flux.1"),
    (("double_stream_modulation_img.lin.weight", "single_blocks.0.x"), "Flux.2"), (("joint_blocks.0.x",), "SD 3.5"),
    (("cap_pad_token", "layers.0.x"), "Z-Image"), (("transformer_blocks.0.img_mod.1.weight",), "Qwen-Image"),
    (("y_embedder.y_proj.fc1.weight",), "SANA"),
])
def test_without_such_a_folder_one_sentence_names_what_is_missing(tmp_path, names, family):
    file = transformer(tmp_path / "alone.safetensors", *names)
    with pytest.raises(ModelNotFound, match=f"{family}'s transformer alone") as caught:
        resolve_model(str(file), [str(tmp_path)])
    assert f"{family} in diffusers format" in caught.value.hint and find_models([str(tmp_path)]) == []


def test_what_looks_like_a_transformer_and_is_none_is_not_offered(tmp_path):
    flux(tmp_path / "dev")
    transformer(tmp_path / "control" / "net.safetensors", *FLUX_KEYS, "controlnet_blocks.0.weight")
    transformer(tmp_path / "part" / "diffusion_pytorch_model.safetensors", *FLUX_KEYS)
    (tmp_path / "part" / "config.json").write_text("{}")
    for name, data in (("short", b"GGUF\3\0\0\0"), ("none", b"x" * 100), ("huge", b"GGUF\3\0\0\0" + b"\xff" * 16)):
        (tmp_path / f"{name}.gguf").write_bytes(data)
        with pytest.raises(ModelUnreadable):
            resolve_model(str(tmp_path / f"{name}.gguf"), [])
    assert [model.name for model in find_models([str(tmp_path)])] == ["dev"]
