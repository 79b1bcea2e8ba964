"""Recall settings from a picture, and apply one."""
from __future__ import annotations

import dataclasses

import bpy
import pytest

import blender_sd as sd
from blender_sd.addon import declared as addon_declared
from blender_sd.calls import config, models
from blender_sd.calls.look_ups import LOOK_UPS
from blender_sd.calls.runtime import runtime
from blender_sd.core.common_settings import MAX_SEED
from blender_sd.core.declarations import SETTINGS
from blender_sd.core.request import Request
from blender_sd.core.request_builder import build
from blender_sd.core.settings import PANEL
from blender_sd.core.tasks import SIDES, TASKS, TEXTURE_OBJECT
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


def test_recall_of_a_whole_object_brings_back_its_sides(addon):
    addon.fill_from(Request.of(TEXTURE_OBJECT, sides="front,top"))
    assert [name for name, on in zip(SIDES, addon.texture_sides) if on] == ["front", "top"]
    addon.fill_from(Request.of(TEXTURE_OBJECT))
    assert all(addon.texture_sides)


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


def another(declared):
    """Return a value that differs from the setting's default; decimals with more digits than 32 bits hold."""
    rule = declared.setting
    if declared.kind == "bool":
        return not declared.default
    if rule.choices:
        return next(choice for choice in rule.choices if choice != declared.default)
    if declared.kind == "float":
        return next(value for value in (0.7, 0.3, 1.7) if rule.low <= value <= rule.high and value != declared.default)
    return int(min(rule.high, declared.default + 1))


@pytest.mark.parametrize("task", TASKS)
def test_recall_fills_in_all_that_the_panel_has(addon, task):
    """With all digits: at 10 steps, a strength of 0.7 is seven of them, and its 32-bit neighbour six."""
    changes = {declared.name: another(declared) for declared in SETTINGS
               if PANEL in declared.setting.uses and declared.task in ("", task) and declared.kind != "str"
               and declared.name not in ("width", "height")}
    changes["variation_seed"] = MAX_SEED  # another program's
    if "scale" in changes:
        changes["native"] = 64  # of the model
    wanted = Request.of(task, prompt="old stone", width=64, height=64, **changes)
    addon.fill_from(wanted)
    apart = {"strength": addon_declared.exact(addon, "slot_strength")} if task == "image_to_image" else {}
    made = build(task, addon.words(), {**addon.keywords(task), "seed": addon.chosen_seed(), **apart}, LOOK_UPS).request
    walking = dict.fromkeys(TASKS[task].sets, wanted.variation_strength)
    assert made.changed(model_name="", model_digest="", ip_adapter_weight=wanted.ip_adapter_weight, **walking) == wanted


def test_a_number_that_is_changed_after_recall_counts(addon):
    addon.fill_from(Request(guidance=7.3, variation_strength=0.7))
    addon.guidance, addon.steps = 7.5, 21
    keywords = addon.keywords("text_to_image")
    assert (keywords["guidance"], keywords["steps"], keywords["variation_strength"]) == (7.5, 21, 0.7)
    for broken in ("", "{", "[]", '{"guidance": "x"}', "[" * 9999):
        addon.exact = broken
        assert addon.keywords("text_to_image")["guidance"] == 7.5


def test_recall_chooses_the_mask_that_the_picture_had(addon):
    for source, kind, chosen in (("PAINTED", "alpha", "ALPHA"), ("ALPHA", "white", "PAINTED"),
                                 ("FACES", "white", "FACES")):
        addon.mask_source = source
        addon.fill_from(Request.of("inpaint", mask_kind=kind))
        assert addon.mask_source == chosen
