"""Finding LoRAs, IP-Adapters and upscalers by their headers, and lists for wildcards."""
from __future__ import annotations

import json
import unicodedata

import pytest

from blender_sd.core import prompt_choices
from blender_sd.core.nets import EMBEDDING, IP_ADAPTER, LORA, STARTER, UPSCALER
from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable
from blender_sd.library import wildcards
from blender_sd.library.models import find_models, resolve_model
from blender_sd.library.adapters import NamedFile, built_in, find_files, resolve_file
from blender_sd.library.checkpoints import STARTER_UPSCALER_FILE
from blender_sd.library.licences import licence_of
from tests.support.model_files import KOHYA, safetensors


def test_found_by_their_tensors_however_deep(tmp_path):
    bricks = safetensors(tmp_path / "loras" / "walls" / "Old Bricks.safetensors", KOHYA)
    snow = safetensors(tmp_path / "snow.safetensors", "unet.a.lora_A.weight")
    safetensors(tmp_path / "loras" / "snow.safetensors", KOHYA)  # a name that is taken
    safetensors(tmp_path / "checkpoint.safetensors", "model.diffusion_model.input_blocks.0.0.weight")
    deep = safetensors(tmp_path / "a" / "b" / "c" / "deep [v2] (final)__x.safetensors", KOHYA)
    (tmp_path / "a" / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "short.safetensors").write_bytes(b"")
    (tmp_path / "pickle.pt").write_bytes(b"x")
    assert [(one.name, one.file) for one in find_files(LORA, [str(tmp_path), str(tmp_path / "none"), ""])] == [
        ("deep [v2] (final)__x", deep), ("Old Bricks", bricks), ("snow", snow)]


def test_named_by_file_or_by_name(tmp_path):
    file = safetensors(tmp_path / "Old_Bricks.safetensors", KOHYA)
    for name in (file, "old_bricks", "OLD_BRICKS.safetensors", f' "{file}" '):
        assert resolve_file(LORA, name, [str(tmp_path)]).file == file


def test_named_with_the_folder_that_it_lies_in(tmp_path):
    old, new = (safetensors(tmp_path / "loras" / folder / "ink.safetensors", KOHYA) for folder in ("a", "b"))
    assert resolve_file(LORA, "ink", [str(tmp_path)]).file == old
    for name, file in (("b/ink", new), ("loras\\b\\INK.safetensors", new), ("a/ink", old), ("elsewhere/ink", old)):
        assert resolve_file(LORA, name, [str(tmp_path)]).file == file
    with pytest.raises(ModelNotFound):
        resolve_file(LORA, "a/pen", [str(tmp_path)])


def test_named_as_its_trainer_called_it(tmp_path):
    file = safetensors(tmp_path / "civitai_12345.safetensors", KOHYA, ss_output_name="Ink_Look")
    safetensors(tmp_path / "other.safetensors", KOHYA)
    assert resolve_file(LORA, "ink_look", [str(tmp_path)]).file == file


def test_an_unknown_name_gets_suggestions(tmp_path):
    safetensors(tmp_path / "old_bricks.safetensors", KOHYA)
    safetensors(tmp_path / "snow.safetensors", KOHYA)
    with pytest.raises(ModelNotFound, match="'old_brick'") as caught:
        resolve_file(LORA, "old_brick", [str(tmp_path)])
    assert "old_bricks" in caught.value.hint and "snow" not in caught.value.hint
    with pytest.raises(ModelNotFound) as caught:
        resolve_file(LORA, "x", [])
    assert "model folders" in caught.value.hint


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(ModelUnreadable, match="no LoRA"):
        resolve_file(LORA, safetensors(tmp_path / "model.safetensors", "unet.weight"), [])


def test_ip_adapters_are_no_loras(tmp_path):
    file = safetensors(tmp_path / "ipadapter" / "ip-adapter_sd15.safetensors", "image_proj.proj.weight",
                       "ip_adapter.1.to_k_ip.weight")
    assert not find_files(LORA, [str(tmp_path)])
    assert [one.name for one in find_files(IP_ADAPTER, [str(tmp_path)])] == ["ip-adapter_sd15"]
    assert resolve_file(IP_ADAPTER, "ip-adapter_sd15", [str(tmp_path)]).file == file
    with pytest.raises(ModelNotFound, match="no IP-Adapter called 'plus'"):
        resolve_file(IP_ADAPTER, "plus", [str(tmp_path)])


def test_flux_ip_adapters_are_no_transformers(tmp_path):
    safetensors(tmp_path / "ip-adapter.safetensors", "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight",
                "double_blocks.0.processor.ip_adapter_double_stream_k_proj.bias", "ip_adapter_proj_model.proj.weight")
    safetensors(tmp_path / "transformer.safetensors", "double_blocks.0.img_attn.qkv.weight",
                "single_blocks.0.modulation.lin.weight")
    assert [one.name for one in find_files(IP_ADAPTER, [str(tmp_path)])] == ["ip-adapter"]


def test_textual_inversions_are_recognised_by_their_names_or_shape(tmp_path):
    safetensors(tmp_path / "a1111.safetensors", "emb_params")
    safetensors(tmp_path / "sdxl.safetensors", "clip_l", "clip_g")
    safetensors(tmp_path / "other.safetensors", "weight")
    header = json.dumps({"<cat>": {"dtype": "F32", "shape": [3, 768], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "diffusers.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert [one.name for one in find_files(EMBEDDING, [str(tmp_path)])] == ["a1111", "diffusers", "sdxl"]


def test_lists_lie_in_the_model_folders(tmp_path):
    folder = tmp_path / "wildcards" / "brick"
    folder.mkdir(parents=True)
    (folder / "Colours.txt").write_text("\ufeffred\n\n# not this\n  green \n{old|new} blue", encoding="utf-8")
    (tmp_path / "wildcards" / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    assert wildcards.read_list("brick/colours", [str(tmp_path)]) == ["red", "green", "{old|new} blue"]
    with pytest.raises(InvalidRequest, match="empty"):
        wildcards.read_list("empty", [str(tmp_path)])
    with pytest.raises(InvalidRequest, match="no list called 'colors'") as caught:
        wildcards.read_list("colors", [str(tmp_path)], ["colours in this file"])
    assert "brick/colours" in caught.value.hint
    with pytest.raises(InvalidRequest) as caught:
        wildcards.read_list("x", [])
    assert "text block" in caught.value.hint


@pytest.mark.parametrize(("data", "expected"), [
    (encoded, ["café", "naïve"]) for encoded in (
        "café\nnaïve\n".encode(), b"\xef\xbb\xbf" + "café\nnaïve".encode(), "café\r\nnaïve".encode("utf-16"),
        "café\nnaïve".encode("utf-16-le"), "café\nnaïve".encode("utf-16-be"), b"\xfe\xff" + "café\nnaïve".encode("utf-16-be"),  # noqa: E501
        "café\nnaïve".encode("utf-32"), "café\rnaïve".encode("latin-1"))] + [
    ("“old” – café".encode("cp1252"), ["“old” – café"]), (b"caf\xe9 \x81", ["café \x81"]), ("古い壁\n".encode("utf-16"), ["古い壁"])])  # noqa: E501
def test_lists_are_read_in_the_encodings_that_people_have(tmp_path, data, expected):
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / "x.txt").write_bytes(data)
    assert wildcards.read_list("x", [str(tmp_path)]) == expected


def test_a_list_of_any_size_is_read_to_its_end(tmp_path):
    (tmp_path / "wildcards").mkdir()
    lines = [f"line {number} of a long list" for number in range(300_000)]  # 8 MB
    (tmp_path / "wildcards" / "x.txt").write_text("\n".join(lines))
    assert wildcards.read_list("x", [str(tmp_path)]) == lines


def test_a_list_is_read_again_when_it_has_changed(tmp_path):
    (tmp_path / "wildcards").mkdir()
    for text in ("red", "green brick"):
        (tmp_path / "wildcards" / "x.txt").write_text(text)
        assert wildcards.read_list("x", [str(tmp_path)]) == [text]


@pytest.mark.parametrize(("pattern", "lines"), [
    ("walls/*", ["brick", "plaster"]), ("walls/**", ["brick", "flint", "plaster"]), ("**/*", ["brick", "flint", "oak", "plaster"]),  # noqa: E501
    ("w*", ["oak"]), ("walls/br?ck", ["brick"]), ("**/flint", ["flint"]), ("*", ["oak"]), ("WALLS/*", ["brick", "plaster"]),  # noqa: E501
])
def test_a_pattern_names_several_lists(tmp_path, pattern, lines):
    for name, line in (("walls/brick", "brick"), ("walls/old/flint", "flint"), ("walls/plaster", "plaster"), ("wood",
                                                                                                              "oak")):
        file = tmp_path / "wildcards" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(line)
    assert sorted(wildcards.read_lists(pattern, [str(tmp_path)])) == lines
    asked = []
    prompt_choices.with_lists(f"a __{pattern}__ b", lambda name: asked.append(name) or ["x"])
    assert asked == [pattern], "the prompt's own grammar knows the pattern"


def test_a_pattern_that_fits_nothing_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no list that fits the wildcard __x/\\*__"):
        wildcards.read_lists("x/*", [str(tmp_path)])


@pytest.mark.parametrize("names", [
    ("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"), ("conv_first.weight", "body.0.rdb1.conv1.weight"),
    ("params_ema.conv_first.weight", "params_ema.RRDB_trunk.0.RDB1.conv1.weight"),
    ("conv_first.weight", "layers.0.residual_group.blocks.0.norm1.weight"), ("body.0.weight", "body.1.weight"),
    ("before_RG.1.weight", "layers.0.blocks.0.attn.attns.0.rpe_biases"), ("conv_1.sk.weight", "block_1.c1_r.sk.weight"),
])
def test_upscalers_are_recognised_by_their_layers(tmp_path, names):
    file = safetensors(tmp_path / "upscale_models" / "4x-Sharp.safetensors", *names)
    assert [(one.name, one.file) for one in find_files(UPSCALER, [str(tmp_path)])] == [("4x-Sharp", file)]
    assert resolve_file(UPSCALER, "4x-sharp", [str(tmp_path)]).file == file and not find_files(LORA, [str(tmp_path)])


@pytest.mark.parametrize("name", ["starter", " Starter "])
def test_the_built_in_upscaler(tmp_path, name):
    assert resolve_file(UPSCALER, name, [str(tmp_path)]) == built_in(UPSCALER) == NamedFile("Starter", STARTER)
    assert built_in(LORA) is None and licence_of(STARTER_UPSCALER_FILE).name == "CC0-1.0"


def test_an_upscaler_of_an_unknown_kind_can_be_named_by_its_file(tmp_path):
    file = safetensors(tmp_path / "new.safetensors", "some.layer.weight")
    assert resolve_file(UPSCALER, file, []).file == file and not find_files(UPSCALER, [str(tmp_path)])
    with pytest.raises(ModelUnreadable, match="no upscaler"):
        resolve_file(UPSCALER, safetensors(tmp_path / "lora.safetensors", KOHYA), [])


@pytest.mark.parametrize("name", ["4x-UltraSharp", "4x-UltraSharp.pth", None])
def test_pickles_are_refused_with_the_reason_and_the_remedy(tmp_path, name):
    file = tmp_path / "ESRGAN" / "4x-UltraSharp.pth"
    file.parent.mkdir()
    file.write_bytes(b"x")
    with pytest.raises(ModelUnreadable, match="4x-UltraSharp.pth is a pickle") as caught:
        resolve_file(UPSCALER, name or str(file), [str(tmp_path)])
    assert "safetensors" in caught.value.hint


def test_stable_diffusions_upscalers_are_folders_and_no_models(tmp_path):
    for name, pipeline in (("x4", "StableDiffusionUpscalePipeline"), ("x2", "StableDiffusionLatentUpscalePipeline"),
                           ("sd", "Other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model_index.json").write_text(json.dumps({"_class_name": pipeline}), encoding="utf-8")
    assert [(one.name, one.file) for one in find_files(UPSCALER, [str(tmp_path)])] == [
        ("x2", str(tmp_path / "x2")), ("x4", str(tmp_path / "x4"))]
    for name in ("X4", str(tmp_path / "x4")):
        assert resolve_file(UPSCALER, name, [str(tmp_path)]).file == str(tmp_path / "x4")
    assert {"x4", "x2"}.isdisjoint(model.name for model in find_models([str(tmp_path)]))
    with pytest.raises(ModelNotFound, match="an upscaler"):
        resolve_model(str(tmp_path / "x4"), [])
    with pytest.raises(ModelNotFound, match="no upscaler called 'x8'"):
        resolve_file(UPSCALER, "x8", [str(tmp_path)])


def test_accents_may_be_written_in_either_form(tmp_path):
    """A keyboard writes é as one sign; macOS and programs on it write e and an accent into files' names."""
    apart, joined = (unicodedata.normalize(form, "Café Brûlé") for form in ("NFD", "NFC"))
    lora = safetensors(tmp_path / f"{apart}.safetensors", KOHYA)
    (tmp_path / "wildcards").mkdir()
    (tmp_path / "wildcards" / f"{apart}.txt").write_text("red\n", encoding="utf-8")
    for typed in (apart, joined, joined.upper()):
        assert resolve_file(LORA, typed, [str(tmp_path)]).file == lora
        assert wildcards.read_list(typed, [str(tmp_path)]) == ["red"]
        assert prompt_choices.with_lists(f"__{typed}__ wall",
                                         lambda name: wildcards.read_list(name, [str(tmp_path)])) == "{red} wall"
        assert prompt_choices.embeddings(f"embedding:{typed.split()[0]}, x")[0][1] == typed.split()[0]
