"""Which files of a repository are downloaded; no network, no torch."""
from __future__ import annotations

import json

import pytest

from blender_sd.workers.hub_files import Choice, RemoteFile, check, choose
from blender_sd.core.errors import ModelNotFound, ModelUnreadable

INDEX = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
         "text_encoder": ["transformers", "CLIPTextModel"], "vae": ["diffusers", "AutoencoderKL"],
         "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "EulerDiscreteScheduler"],
         "image_encoder": [None, None], "force_zeros_for_empty_prompt": True}
SMALL = ["model_index.json", "unet/config.json", "text_encoder/config.json", "vae/config.json", "tokenizer/vocab.json",
         "tokenizer/merges.txt", "tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json"]
UNET, TEXT, VAE = "unet/diffusion_pytorch_model", "text_encoder/model", "vae/diffusion_pytorch_model"
PLAIN = [f"{stem}.safetensors" for stem in (UNET, TEXT, VAE)]
HALF = [f"{stem}.fp16.safetensors" for stem in (UNET, TEXT, VAE)]


def chosen(names, wanted="", read=None, repo="owner/model"):
    return choose(repo, [RemoteFile(name, 1) for name in names], wanted, lambda file: INDEX if read is None else read)


def kept(names, wanted="", **kwargs):
    return set(chosen(names, wanted, **kwargs).files)


def test_only_parts_of_the_index_and_no_pickles_pictures_or_single_files():
    rubbish = [
        "README.md", "sdxl.safetensors", "sdxl_fp16.ckpt", "image.png", "unet/model.onnx",
        "unet/diffusion_pytorch_model.bin", "vae_1_0/diffusion_pytorch_model.safetensors", "vae_1_0/config.json",
        "text_encoder/openvino/model.safetensors", "text_encoder/flax_model.msgpack",
        "unet/diffusion_pytorch_model.non_ema.safetensors", "setup.py", "unet/custom.py",
        "text_encoder/pytorch_model.bin.index.json", "image_encoder/model.safetensors"]
    choice = chosen([*SMALL, *PLAIN, "LICENSE.md", *rubbish])
    assert set(choice.files) == {*SMALL, *PLAIN, "LICENSE.md"
                                 } and (choice.key, choice.single) == ("model_index.json", False)
    assert choice.bytes == len(choice.files)


def test_half_precision_where_there_is_that():
    assert kept([*SMALL, *PLAIN, *HALF]) == {*SMALL, *HALF}


def test_parts_without_it_come_as_they_are():
    assert kept([*SMALL, *PLAIN, HALF[0]]) == {*SMALL, HALF[0], PLAIN[1], PLAIN[2]}


def test_one_variant_for_all_parts_the_one_that_most_have():
    """diffusers takes one name."""
    assert kept([*SMALL, *PLAIN, *HALF, f"{UNET}.bf16.safetensors"]) == {*SMALL, *HALF}
    bf16 = [name.replace("fp16", "bf16") for name in HALF]
    assert kept([*SMALL, *PLAIN, *HALF, *bf16]) == {*SMALL, *bf16}


def test_a_part_that_has_only_the_other_variant_still_comes():
    assert HALF[2] in kept([*SMALL, *PLAIN[:2], HALF[2], f"{UNET}.bf16.safetensors", f"{TEXT}.bf16.safetensors"])


def shards(stem, count, variant="", late=True):
    middle = f".{variant}" if variant else ""
    number = [f"-{one:05d}-of-{count:05d}" for one in range(1, count + 1)]
    index = f"{stem}.safetensors.index.{variant}.json" if variant else f"{stem}.safetensors.index.json"
    return [
        *(f"{stem}{middle}{one}.safetensors" if late else f"{stem}{one}{middle}.safetensors" for one in number), index]


@pytest.mark.parametrize("late", [True, False])
def test_shards_come_with_their_own_index(late):
    plain, half = shards(UNET, 3), shards(UNET, 2, "fp16", late)
    rest = [*SMALL, TEXT + ".safetensors", VAE + ".safetensors"]
    assert kept([*rest, *plain]) == {*rest, *plain}
    assert kept([*rest, *plain, *half]) == {*rest, *half}
    assert kept([*rest, *plain, UNET + ".fp16.safetensors"]) == {*rest, UNET + ".fp16.safetensors"}


def test_a_whole_file_beside_shards_is_taken_once():
    rest = [*SMALL, *PLAIN]
    assert kept([*rest, *shards(UNET, 2)]) == set(rest)


def test_pickles_alone_and_missing_parts_are_refused_by_name():
    with pytest.raises(ModelUnreadable, match="'vae' has only pickle files"):
        chosen([*SMALL, *PLAIN[:2], VAE + ".bin"])
    with pytest.raises(ModelUnreadable, match="lacks the model's part 'scheduler'"):
        chosen([*SMALL[:-1], *PLAIN])
    with pytest.raises(ModelUnreadable, match="'vae' comes in no precision"):
        chosen([*SMALL, *PLAIN[:2], VAE + ".int8.safetensors"])


def test_a_controlnet_is_a_folder_of_its_own():
    there = ["config.json", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors",
             "diffusion_pytorch_model.bin", "images/out.png", "README.md", "control.py"]
    choice = chosen(there, read={"_class_name": "ControlNetModel"})
    assert set(choice.files) == {"config.json", "diffusion_pytorch_model.fp16.safetensors"
                                 } and choice.key == "config.json"
    with pytest.raises(ModelUnreadable, match="only pickle"):
        chosen(["config.json", "diffusion_pytorch_model.bin"], read={"_class_name": "ControlNetModel"})
    with pytest.raises(ModelNotFound):  # such as a language model
        chosen(["config.json"], read={"model_type": "llama"})


def test_the_only_single_file_is_meant():
    choice = chosen(["README.md", "old_bricks.safetensors", "sample.png"])
    assert (set(choice.files), choice.key, choice.single) == ({"old_bricks.safetensors"}, "old_bricks.safetensors",
                                                              True)


def test_a_lora_without_a_name_gets_its_repositorys():
    choice = chosen(["pytorch_lora_weights.safetensors"], repo="owner/old-bricks")
    assert choice.key == "old-bricks.safetensors" and choice.files[
        choice.key].path == "pytorch_lora_weights.safetensors"


def test_one_of_several_must_be_named():
    with pytest.raises(ModelNotFound, match="owner/model/a.safetensors") as caught:
        chosen(["b.safetensors", "a.safetensors"])
    assert "a.safetensors, b.safetensors" in caught.value.hint
    with pytest.raises(ModelNotFound, match="no safetensors file c.safetensors"):
        chosen(["b.safetensors"], "c.safetensors")
    with pytest.raises(ModelUnreadable, match="pickle"):
        chosen(["b.ckpt"], "b.ckpt")
    with pytest.raises(ModelUnreadable, match="pickle"):
        chosen(["b.ckpt"])
    with pytest.raises(ModelNotFound, match="no model that diffusers can read"):
        chosen(["README.md"])


def test_an_ip_adapter_brings_its_image_encoder():
    encoder = ["models/image_encoder/config.json", "models/image_encoder/model.safetensors"]
    larger = [name.replace("models/", "sdxl_models/") for name in encoder]
    there = [
        *encoder, *larger, "models/image_encoder/pytorch_model.bin", "models/a_sd15.safetensors",
        "models/b_sd15.safetensors", "sdxl_models/a_sdxl.safetensors"]
    assert kept(there, "models/a_sd15.safetensors") == {*encoder, "models/a_sd15.safetensors"}
    assert kept(there, "sdxl_models/a_sdxl.safetensors") == {*larger, "sdxl_models/a_sdxl.safetensors"}
    alone = [*encoder, "sdxl_models/a_sdxl.safetensors"]
    assert kept(alone, "sdxl_models/a_sdxl.safetensors") == set(alone)


@pytest.mark.parametrize("name", ["../evil.safetensors", "/evil.safetensors", "C:/evil.safetensors", "a\\..\\evil.safetensors",  # noqa: E501
                                  "a//b.safetensors", "./a.safetensors"])
def test_names_that_would_leave_the_folder_are_not_there(name):
    with pytest.raises(ModelNotFound):
        chosen([name])
    with pytest.raises(ModelNotFound):
        chosen([name], name)


@pytest.mark.parametrize("kind", ["ViTForImageClassification", "StableDiffusionSafetyChecker"])
def test_a_safety_filter_comes_with_its_processor_and_without_pickles(kind):
    names = [
        "config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin", "optimizer.pt",
        "README.md", "LICENSE"]
    choice = chosen(names, read={"architectures": [kind]})
    assert set(choice.files) == {"config.json", "preprocessor_config.json", "model.safetensors", "LICENSE"
                                 } and choice.key == "config.json"
    with pytest.raises(ModelUnreadable, match="pickle"):
        chosen(["config.json", "pytorch_model.bin"], read={"architectures": [kind]})
    assert chosen(names,
                  read={"architectures": ["BertModel"]}).single, "a text model is none: its one file is taken as it is"


def checked(path, tensors, size=1 << 20, **metadata):
    """Return the answer about a single file with a header of these tensors."""
    entries = {name: {"dtype": "F16", "shape": list(shape), "data_offsets": [0, 0]} for name, shape in tensors.items()}
    header = json.dumps(entries | ({"__metadata__": metadata} if metadata else {})).encode()
    data = len(header).to_bytes(8, "little") + header
    file = RemoteFile(path, max(size, len(data)))
    try:
        check(Choice({path: file}, path, True), lambda file, count: data[:count], lambda file: {})
    except ModelUnreadable as error:
        return error.message
    return ""


UNET_FIRST = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(("tensors", "words"), [
    ({UNET_FIRST: (320, 4, 3, 3)}, ""), ({UNET_FIRST: (320, 9, 3, 3)}, ""), ({UNET_FIRST: (320, 8, 3, 3)}, "InstructPix2Pix"),  # noqa: E501
    ({"lora_unet_x.lora_down.weight": (4, 320)}, ""), ({"a.oft_blocks": (4,)}, "OFT"), ({"emb_params": (2, 768)}, ""),
    ({"decoder.conv_in.weight": (1,)}, ""), ({"single_blocks.0.modulation.lin.weight": (1,)}, ""),
    ({"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)}, ""), ({"encoder.block.0.layer.0.x": (1,)}, "a text encoder"),  # noqa: E501
    ({"anything": (1,)}, "")])
def test_a_single_file_is_known_by_its_header(tensors, words):
    assert words in checked("x.safetensors", tensors) and bool(words) == bool(checked("x.safetensors", tensors))


def test_a_large_file_of_an_unknown_kind_is_refused_and_a_long_header_is_read_whole():
    assert "no model of a kind that is known" in checked("x.safetensors", {"anything": (1,)}, 1 << 30)
    many = {f"layers.{number}.{'x' * 40}": (1,) for number in range(4000)}
    assert not checked("x.safetensors", {**many, UNET_FIRST: (320, 4, 3, 3)}, 1 << 32)


def test_the_image_encoder_of_an_adapter_is_looked_at_too():
    files = {"a/ip.safetensors": {"ip_adapter.1.to_k_ip.weight": (1, 1)}, "a/image_encoder/model.safetensors": {"x.qzeros": (1,)}}  # noqa: E501
    data = {}
    for path, tensors in files.items():
        header = json.dumps({name: {"dtype": "I32", "shape": list(shape), "data_offsets": [0, 0]}
                             for name, shape in tensors.items()}).encode()
        data[path] = len(header).to_bytes(8, "little") + header
    choice = Choice({path: RemoteFile(path, 1 << 20) for path in files}, "a/ip.safetensors", True)
    with pytest.raises(ModelUnreadable, match="'a/image_encoder' is packed as GPTQ"):
        check(choice, lambda file, count: data[file.path][:count], lambda file: {})


@pytest.mark.parametrize(("change", "words"), [
    ({"_class_name": "WanPipeline"}, "WanPipeline cannot be used"), ({"vae": [None, None]}, "names no part 'vae'"),
    ({"unet": ["my_code", "Net"]}, "asks for foreign code"), ({"unet": [None, None]}, "names no part 'unet'"),
    ({"_class_name": "StableDiffusionXLControlNetPipeline"}, "names no part 'controlnet'")])
def test_a_model_that_could_not_be_loaded_is_refused_by_its_index(change, words):
    with pytest.raises(ModelUnreadable, match=words):
        chosen([*SMALL, *PLAIN], read={**INDEX, **change})
