"""Finding ControlNets by their config.json."""
from __future__ import annotations

import json

import pytest

from blender_sd.core.errors import ModelNotFound, ModelUnreadable
from blender_sd.library import controlnets
from tests.support.model_files import safetensors


def net(folder, **config):
    folder.mkdir(parents=True)
    text = json.dumps({"_class_name": "ControlNetModel", "cross_attention_dim": 768, **config})
    (folder / "config.json").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.fixture(autouse=True)
def no_starter(monkeypatch, tmp_path):
    monkeypatch.setattr(controlnets, "STARTER_CONTROL_FOLDER", str(tmp_path / "starter_control"))


def test_found_however_deep_and_in_the_hub_cache(tmp_path):
    net(tmp_path / "a" / "canny")
    net(tmp_path / "models--lllyasviel--depth" / "snapshots" / "abc", cross_attention_dim=2048)
    net(tmp_path / "a" / "b" / "c" / "deep")
    net(tmp_path / "unet", _class_name="UNet2DConditionModel")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{", encoding="utf-8")
    found = controlnets.find_controlnets([str(tmp_path)])
    assert [(one.name, one.family) for one in found] == [("canny", "SD 1.5"), ("deep", "SD 1.5"),
                                                         ("lllyasviel/depth", "SDXL")]


@pytest.mark.parametrize(("config", "family", "modes"), [
    ({"cross_attention_dim": 1024}, "SD 2", set()), ({"addition_embed_type": "text_time"}, "SDXL", set()),
    ({"_class_name": "ControlNetUnionModel", "num_control_type": 6}, "SDXL", {"depth", "lines", "canny", "normal", "segmentation"}),  # noqa: E501
    ({"_class_name": "ControlNetUnionModel", "num_control_type": 8}, "SDXL",
     {"depth", "lines", "canny", "normal", "segmentation", "blur", "image"}),
    ({"_class_name": "FluxControlNetModel"}, "Flux.1", set()),
    ({"_class_name": "FluxControlNetModel", "num_mode": 10}, "Flux.1", {"depth", "lines", "canny", "blur", "image"}),
    ({"_class_name": "SD3ControlNetModel", "extra_conditioning_channels": 0}, "SD 3.5", set()),
    ({"_class_name": "QwenImageControlNetModel"}, "Qwen-Image", set()), ({"_class_name": "ZImageControlNetModel"}, "Z-Image", set()),  # noqa: E501
    ({"_class_name": "SanaControlNetModel"}, "SANA", set()),
])
def test_the_family_is_read_from_the_config(tmp_path, config, family, modes):
    found = controlnets.read_controlnet(net(tmp_path / "flux depth for sdxl", **config))
    assert found.family == family and set(found.kind.modes) == modes


@pytest.mark.parametrize("config", [{"_class_name": "SD3ControlNetModel", "extra_conditioning_channels": 1},
                                    {"_class_name": "QwenImageControlNetModel", "extra_condition_channels": 4}])
def test_those_that_inpaint_by_themselves_are_not_offered(tmp_path, config):
    with pytest.raises(ModelNotFound, match="no ControlNet that can be used"):
        controlnets.read_controlnet(net(tmp_path / "inpainting", **config))


def test_the_starters_comes_first(tmp_path):
    net(tmp_path / "starter_control", cross_attention_dim=128)
    net(tmp_path / "models" / "a")
    first, second = controlnets.find_controlnets([str(tmp_path / "models")])
    assert (first.id, first.name) == ("starter", "Starter") and second.name == "a"
    assert controlnets.resolve_controlnet("starter", []).folder == str(tmp_path / "starter_control")


def test_meant_by_path_or_name(tmp_path):
    folder = net(tmp_path / "models" / "Depth")
    assert controlnets.resolve_controlnet(folder, []).id == folder
    assert controlnets.resolve_controlnet("depth", [str(tmp_path / "models")]).folder == folder


@pytest.mark.parametrize(("wanted", "kind", "words"), [
    ("nothing", ModelNotFound, "no ControlNet called 'nothing'"), ("", ModelNotFound, "no ControlNet"),
    ("file", ModelUnreadable, "no ControlNet that can be used"),
    ("other", ModelNotFound, "UNet2DConditionModel"), ("broken", ModelUnreadable, "broken"), ("starter", ModelNotFound, "no ControlNet"),  # noqa: E501
])
def test_what_is_not_one(tmp_path, wanted, kind, words):
    (tmp_path / "file").write_bytes(b"x")
    net(tmp_path / "other", _class_name="UNet2DConditionModel")
    net(tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("[", encoding="utf-8")
    path = str(tmp_path / wanted) if wanted in ("file", "other", "broken") else wanted
    with pytest.raises(kind, match=words):
        controlnets.resolve_controlnet(path, [])


def test_those_of_xlabs_are_no_controlnets_of_sd(tmp_path):
    file = safetensors(tmp_path / "xlabs.safetensors", "input_hint_block.0.weight", "controlnet_blocks.0.weight",
                       "double_blocks.0.img_attn.qkv.weight", "pos_embed_input.weight")
    assert not controlnets.find_controlnets([str(tmp_path)])
    with pytest.raises(ModelUnreadable, match="no ControlNet that can be used"):
        controlnets.resolve_controlnet(file, [str(tmp_path)])
