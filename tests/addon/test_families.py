"""What the chosen model cannot do is refused in words before the click; ControlNets are listed for its family alone."""
from __future__ import annotations

import json

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import config, models as known_models
from blender_sd.calls.runtime import runtime
from blender_sd.addon.controls import _controlnet_names
from tests.support.model_files import make_model, safetensors
from tests.support.addon import drain


@pytest.fixture
def models(tmp_path, monkeypatch, addon):
    """Folders that hold models' configs alone; choosing one by the class of its pipeline."""
    monkeypatch.setattr(runtime, "config", config.replace(runtime.config, model_folders=(str(tmp_path),)))
    for cls in ("FluxKontextPipeline", "FluxFillPipeline", "SanaPipeline", "FluxPipeline"):
        make_model(tmp_path / cls, cls, transformer={"patch_size": 1})
    for name, cls in (("union", "FluxControlNetModel"), ("depth", "ControlNetModel")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"_class_name": cls}))
        safetensors(tmp_path / name / "diffusion_pytorch_model.safetensors", "x")
    known_models.refresh_models()

    def choose(cls):
        addon.model = str(tmp_path / cls)

    yield choose
    monkeypatch.undo()
    known_models.refresh_models()


@pytest.fixture
def image():
    """An image in the active slot."""
    image = bpy.data.images.new("slot", 64, 64)
    material = bpy.data.materials.new("wall")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.nodes.active = node
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.data.materials.append(material)
    return image


@pytest.mark.parametrize(("model", "operator", "words"), [
    ("FluxFillPipeline", "generate", "can only inpaint"), ("FluxFillPipeline", "restyle", "can only inpaint"),
    ("SanaPipeline", "retexture", "cannot work from an image"), ("SanaPipeline", "inpaint", "cannot inpaint"),
    ("SanaPipeline", "outpaint", "cannot paint on"), ("SanaPipeline", "make_seamless", "seamless"),
    ("FluxKontextPipeline", "upscale", "edit by instruction"),
])
def test_a_task_that_the_family_lacks(addon, models, image, model, operator, words):
    addon.prompt, addon.expand_left = "brick", 16
    models(model)
    with pytest.raises(RuntimeError, match=words):
        getattr(bpy.ops.sd, operator)()
    assert not sd.jobs()


def test_generate_with_a_second_pass_needs_a_model_that_refines(addon, models):
    addon.prompt = "brick"
    models("FluxKontextPipeline")
    assert bpy.ops.sd.generate.poll()
    addon.refine_scale = 2.0
    with pytest.raises(RuntimeError, match="cannot refine"):
        bpy.ops.sd.generate()
    models("FluxPipeline")
    assert bpy.ops.sd.generate.poll()


def test_controlnets_are_listed_for_the_models_family_alone(models, addon):
    models("FluxPipeline")
    assert _controlnet_names(addon.model) == ["union"]
    assert set(_controlnet_names("starter")) == {"starter", "depth"}
    assert {one.name: one.family for one in known_models.controlnets()
            if one.id != "starter"} == {"depth": "SD 1.5", "union": "Flux.1"}


def test_a_transformer_alone_is_ordered_with_the_folder_that_it_borrows_from(models, addon, pipeline, tmp_path):
    header = json.dumps({"single_blocks.0.modulation.lin.bias": {"dtype": "F16", "shape": [0],
                                                                 "data_offsets": [0, 0]}}).encode()
    file = tmp_path / "unet" / "alone.safetensors"
    file.parent.mkdir()
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "alone" in [model.name for model in known_models.refresh_models()]
    addon.prompt, addon.model = "brick", str(file)
    bpy.ops.sd.generate()
    drain()
    assert (pipeline.orders[0].folder, pipeline.orders[0].base_model) == (str(file), str(tmp_path / "FluxPipeline"))
