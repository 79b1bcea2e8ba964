"""Recall settings from a picture, and apply one."""
from __future__ import annotations

import dataclasses

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import config, models
from blender_sd.calls.runtime import runtime
from blender_sd.core.request import Request
from tests.support import png_bytes
from tests.support.addon import cube, drain, state
from tests.support.model_files import make_model, safetensors
from tests.support.slots import saved_picture

WANTED = Request(prompt="old stone", negative="moss", width=40, height=24, steps=7, guidance=1.5, sampler="unipc",
                 seed=99, tiling="xy")


def test_recall_from_a_file(addon, tmp_path):
    assert bpy.ops.sd.recall(filepath=saved_picture(tmp_path, WANTED)) == {"FINISHED"}
    assert (addon.prompt, addon.negative, addon.width, addon.height, addon.steps) == ("old stone", "moss", 40, 24, 7)
    assert (addon.guidance, addon.sampler, addon.seed, addon.tiling, addon.random_seed) == (1.5, "unipc", 99, "xy",
                                                                                            False)


def test_recall_and_generate_make_the_same_picture(addon, pipeline):
    addon.prompt, addon.count = "brick", 2
    bpy.ops.sd.generate()
    drain()
    second = sd.jobs()[-1].outputs[1]
    pixels = second.pixels[:]
    addon.prompt, addon.steps, addon.count = "something else", 9, 1
    assert bpy.ops.sd.recall(image=second.name) == {"FINISHED"}
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[1].request == pipeline.orders[0].request.single(1)
    assert sd.jobs()[-1].outputs[0].pixels[:] == pixels


def test_recall_of_a_plain_image_changes_nothing(addon):
    bpy.data.images.new("plain", 8, 8)
    addon.prompt = "mine"
    with pytest.raises(RuntimeError, match="no settings"):
        bpy.ops.sd.recall(image="plain")
    assert addon.prompt == "mine" and state().error


def test_recall_of_an_unknown_name(addon):
    with pytest.raises(RuntimeError, match="no image called 'nothing'"):
        bpy.ops.sd.recall(image="nothing")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model in a model folder, with a VAE beside it; its folder."""
    folder = make_model(tmp_path / "models" / "mine")
    safetensors(tmp_path / "models" / "vae" / "bright.safetensors", "decoder.conv_in.weight", "encoder.conv_in.weight")
    monkeypatch.setattr(runtime, "config", config.replace(runtime.config, model_folders=(str(tmp_path / "models"),)))
    models.refresh_models()
    return str(folder)


def test_recall_brings_back_vae_prediction_and_zero_snr(addon, model, tmp_path):
    vae = str(tmp_path / "models" / "vae" / "bright.safetensors")
    made = dataclasses.replace(WANTED, model=model, vae=vae, prediction="v_prediction", zero_snr="on")
    bpy.ops.sd.recall(filepath=saved_picture(tmp_path, made))
    shown = bpy.context.window_manager.sd_model
    assert addon.model == model and (shown.vae, shown.prediction, shown.zero_snr) == ("bright", "v_prediction", "on")
    bpy.ops.sd.recall(filepath=saved_picture(tmp_path, dataclasses.replace(WANTED, model=model)))
    assert (shown.vae, shown.prediction, shown.zero_snr) == ("", "auto", "auto")


def test_recall_from_another_program_leaves_what_it_does_not_say(addon, model, tmp_path):
    sd.choose(model, prediction="v_prediction")
    texts = "a\nSteps: 9, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 64x64, Model: mine.safetensors, VAE: bright.pt"
    file = tmp_path / "other.png"
    file.write_bytes(png_bytes.picture(png_bytes.chunk(b"tEXt", b"parameters\0" + texts.encode()), width=64, height=64))
    bpy.ops.sd.recall(filepath=str(file))
    shown = bpy.context.window_manager.sd_model
    assert addon.model == model and (shown.vae, shown.prediction) == ("bright", "v_prediction")


def test_recall_of_a_vae_that_is_gone_says_so_and_recalls_the_rest(addon, model, tmp_path):
    made = dataclasses.replace(WANTED, model=model, vae=str(tmp_path / "gone.safetensors"), zero_snr="on")
    bpy.ops.sd.recall(filepath=saved_picture(tmp_path, made))
    assert "gone" in state().error and addon.seed == 99
    assert bpy.context.window_manager.sd_model.zero_snr == "on"


def test_recall_keeps_a_model_that_is_gone(addon, tmp_path):
    """The menu names it instead of silently choosing another; the click then says that it is not there."""
    bpy.ops.sd.recall(filepath=saved_picture(tmp_path, dataclasses.replace(WANTED, model="/models/gone")))
    assert addon.model == addon.model_choice == "/models/gone"


def test_apply(addon):
    image = bpy.data.images.new("mine", 8, 8)
    assert bpy.ops.sd.apply(image="mine") == {"FINISHED"}
    shader = next(node for node in cube().active_material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Base Color"].links[0].from_node.image == image


def test_apply_takes_the_last_picture(addon):
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain()
    cube().data.materials.clear()
    bpy.ops.sd.apply()
    shader = next(node for node in cube().active_material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Base Color"].links[0].from_node.image == sd.jobs()[-1].outputs[0]


def test_apply_to_an_unknown_slot_changes_nothing(addon):
    bpy.data.images.new("mine", 8, 8)
    nodes = len(cube().active_material.node_tree.nodes)
    with pytest.raises(RuntimeError, match="Colour of Magic"):
        bpy.ops.sd.apply(image="mine", slot="Colour of Magic")
    assert len(cube().active_material.node_tree.nodes) == nodes
