"""What the prompt may hold: text blocks, lists, LoRAs; and what joins it: variations, grids, a reference image."""
from __future__ import annotations

import json
from pathlib import Path

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import config, models
from blender_sd.calls.runtime import runtime
from blender_sd.core.errors import InvalidRequest
from tests.support.addon import drain, state
from tests.support.panels import shown, wide  # noqa: F401  (a fixture)


@pytest.fixture
def lora(tmp_path, monkeypatch) -> str:
    """A LoRA in a model folder; its file."""
    header = json.dumps({"unet.a.lora_A.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    file = tmp_path / "loras" / "old bricks.safetensors"
    file.parent.mkdir()
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    monkeypatch.setattr(runtime, "config", config.replace(runtime.config, model_folders=(str(tmp_path),)))
    return str(file)


def test_a_text_block_takes_the_prompts_place(addon, pipeline):
    text = bpy.data.texts.new("my prompt")
    text.write("old brick wall,\n\n  wet moss  \n")
    addon.prompt_text = text
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()
    assert pipeline.orders[0].request.prompt == "old brick wall, wet moss"
    text.clear()
    with pytest.raises(RuntimeError, match="Type a prompt"):
        bpy.ops.sd.generate()


def test_a_list_in_a_text_block_is_a_choice(addon, pipeline):
    bpy.data.texts.new("Colours.txt").write("red\n# not this\ngreen\n")
    addon.prompt, addon.negative = "__colours__ wall", "__colours__"
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[0].request.prompt == "{red|green} wall" and pipeline.orders[
        0].request.negative == "{red|green}"


def test_an_unknown_list_changes_nothing(addon, pipeline):
    addon.prompt, addon.random_seed, addon.seed = "__colors__ wall", False, 5
    bpy.data.texts.new("colours")
    with pytest.raises(RuntimeError, match="no list called 'colors'"):
        bpy.ops.sd.generate()
    assert not sd.jobs() and "colours" in state().hint


def test_a_tag_puts_a_lora_on_and_recall_brings_it_back(addon, pipeline, lora):
    addon.prompt = "wall"
    assert bpy.ops.sd.add_lora(lora="old bricks", weight=0.8) == {"FINISHED"}
    assert addon.prompt == "wall <lora:old bricks:0.8>"
    bpy.ops.sd.generate()
    drain()
    request = pipeline.orders[0].request
    assert request.prompt == "wall" and [(one.file, round(one.weight, 3)) for one in request.loras] == [(lora, 0.8)]
    addon.prompt = ""
    addon.fill_from(request)
    assert addon.prompt == "wall <lora:old bricks:0.8>"


def drawn(addon, name="SD_PT_view3d_main"):
    return shown(name).texts


def test_what_a_job_says_of_a_lora_stands_beside_it_and_not_below_the_button(addon, pipeline, lora):
    pipeline.note, pipeline.note_about = "Parts of the LoRA 'old bricks' did not fit.", "old bricks"
    addon.prompt = "wall <lora:old bricks:0.8>"
    bpy.ops.sd.generate()
    drain()
    texts = drawn(addon)
    assert texts.count(pipeline.note) == 1 and texts.index(pipeline.note) < texts.index("Generate")
    addon.prompt = "wall"
    assert drawn(addon).index(pipeline.note) > drawn(addon).index("Generate"), (
        "of a LoRA that the prompt no longer names"
    )
    addon.prompt, pipeline.note = "wall <lora:sub/Old Bricks:1>", ""
    assert "Parts of the LoRA 'old bricks' did not fit." in drawn(addon)
    addon.prompt = "wall <lora:old bricks:1>"
    bpy.ops.sd.generate()
    drain()
    assert "Parts of the LoRA 'old bricks' did not fit." not in drawn(addon), "it is on without a word now"


def test_a_lora_that_does_not_fit_is_named_beside_it(addon, pipeline, lora):
    error = InvalidRequest("The LoRA 'old bricks' does not fit the model 'x'.", "It was made for Flux.1 models.")
    error.about = "old bricks"
    pipeline.fail_with, addon.prompt = error, "wall <lora:old bricks:0.8>"
    bpy.ops.sd.generate()
    drain()
    texts = drawn(addon)
    assert texts.index(str(error)) < texts.index("Generate") and state().error == error.message
    addon.prompt = "wall"
    assert str(error) not in drawn(addon)


def test_scripts_name_loras_too(addon, pipeline, lora):
    sd.generate("wall", loras=[("old bricks", 0.5), (lora, -1.0)])
    drain()
    assert [one.weight for one in pipeline.orders[0].request.loras] == [0.5, -1.0]


@pytest.fixture
def quick(lora, tmp_path) -> str:
    """A few-step LoRA beside it, known by its name; that name."""
    (tmp_path / "loras" / "sdxl_lightning_8step_lora.safetensors").write_bytes(Path(lora).read_bytes())
    (tmp_path / "loras" / "Hyper-FLUX.1-dev-8steps-lora.safetensors").write_bytes(Path(lora).read_bytes())
    return "sdxl_lightning_8step_lora"


def test_a_few_step_lora_sets_steps_guidance_and_sampler(addon, quick):
    addon.prompt, addon.steps, addon.guidance, addon.sampler = "wall", 30, 7.0, "dpmpp_2m"
    bpy.ops.sd.refresh_models()
    bpy.ops.sd.add_lora(lora="old bricks")
    assert (addon.steps, addon.guidance, addon.sampler) == (30, 7.0, "dpmpp_2m")
    bpy.ops.sd.add_lora(lora=quick)
    assert addon.prompt == f"wall <lora:old bricks:1> <lora:{quick}:1>"
    assert (addon.steps, addon.guidance, addon.sampler) == (8, 1.0, "euler_trailing")
    bpy.ops.sd.add_lora(lora="Hyper-FLUX.1-dev-8steps-lora")
    assert addon.prompt.endswith("-lora:0.125>"), "its makers' weight, where none was chosen"


def test_what_a_script_leaves_open_suits_its_few_step_lora(addon, pipeline, quick):
    tag = f"wall <lora:{quick}:0.9>"
    for prompt, settings in ((tag, {}), (tag, {"steps": 20, "guidance": 3.0,
                                               "sampler": "ddim"}), ("wall", {"loras": [
                                                   (quick, 1.0)]}), (f"wall <lora:{quick}:0>", {}), ("wall", {})):
        sd.generate(prompt, **settings)
    drain()
    found = [(order.request.steps, order.request.guidance, order.request.sampler) for order in pipeline.orders]
    assert found[:3] == [(8, 1.0, "euler_trailing"), (20, 3.0, "ddim"), (8, 1.0, "euler_trailing")]
    assert found[3] == found[4] != found[0], "a LoRA of weight 0 is off"


def test_an_unknown_lora_is_refused_at_once(addon, lora):
    addon.prompt = "wall <lora:old brick>"
    with pytest.raises(RuntimeError, match="no LoRA called 'old brick'"):
        bpy.ops.sd.generate()
    assert not sd.jobs() and "old bricks" in state().hint


def test_variations_and_a_grid_from_the_panel(addon, pipeline):
    addon.prompt, addon.variation_strength, addon.variation_seed = "old brick wall", 0.25, 9
    addon.use_grid, addon.x_values, addon.y_setting, addon.y_values, addon.target = True, "4, 8", "prompt", "brick, stone", "MATERIAL"  # noqa: E501
    before = [slot.material for slot in bpy.context.object.material_slots]
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert [(axis.setting, axis.options) for axis in request.axes] == [("steps", ["4", "8"]),
                                                                       ("prompt", ["brick", "stone"])]
    assert (request.variation_strength, request.variation_seed) == (0.25, 9)
    assert [slot.material for slot in bpy.context.object.material_slots] == before, "a sheet belongs in no material"
    addon.use_grid, addon.y_setting, addon.variation_strength = False, "none", 0
    addon.fill_from(request)
    assert addon.use_grid and (addon.y_setting, addon.y_values, addon.variation_strength) == ("prompt", "brick, stone",
                                                                                              0.25)


def test_a_grid_value_that_cannot_be_is_refused_at_once(addon, pipeline):
    addon.prompt, addon.use_grid, addon.x_values = "wall", True, "8, many"
    with pytest.raises(RuntimeError, match="'many'"):
        bpy.ops.sd.generate()
    assert not sd.jobs()


def test_scripts_make_grids(addon, pipeline):
    sd.generate("a, b", axes=[("guidance", (1, 2.5)), ("prompt", ("a, b", "c, d"))])
    drain()
    assert [axis.options for axis in pipeline.orders[0].request.axes] == [["1", "2.5"], ["a, b", "c, d"]]


def test_an_axis_begins_with_values_that_suit_it(addon):
    assert addon.x_values == "8, 20, 40"
    addon.x_setting = "sampler"
    assert addon.x_values == "Euler, DPM++ 2M"
    addon.x_values, addon.x_setting = "1, 2", "guidance"
    assert addon.x_values == "1, 2", "what a person wrote stays"
    addon.x_values, addon.x_setting = "", "seed"
    assert addon.x_values == "1, 2, 3"
    addon.y_setting = "prompt"
    assert addon.y_values == ""


def test_a_reference_from_the_panel(addon, pipeline, lora, tmp_path):
    header = json.dumps({"ip_adapter.1.to_k_ip.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    file = tmp_path / "ip-adapter.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    addon.prompt, addon.use_reference = "wall", True
    with pytest.raises(RuntimeError, match="lacks its image"):
        bpy.ops.sd.generate()
    assert not sd.jobs()
    addon.reference_image, addon.ip_adapter, addon.ip_adapter_weight = bpy.data.images.new("look", 32,
                                                                                           32), "ip-adapter", 0.75
    bpy.ops.sd.generate()
    drain()
    order = pipeline.orders[0]
    assert (order.request.ip_adapter, order.request.ip_adapter_weight) == (str(file), 0.75)
    assert order.request.reference == order.inputs["reference"].digest()
    addon.use_reference = False
    addon.fill_from(order.request)
    assert addon.use_reference and addon.ip_adapter == str(file)


def test_a_reference_and_its_adapter_go_together(addon, pipeline):
    for settings in ({"reference": bpy.data.images.new("look", 32, 32)}, {"ip_adapter": "x"}):
        with pytest.raises(InvalidRequest, match="go together"):
            sd.generate("wall", **settings)
    assert not sd.jobs()


def test_a_textual_inversion_is_found_by_its_word(addon, pipeline, lora, tmp_path):
    header = json.dumps({"emb_params": {"dtype": "F32", "shape": [1, 768], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "old_look.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    addon.prompt, addon.negative = "wall", "(embedding:old_look:1.2)"
    bpy.ops.sd.generate()
    drain()
    assert [(one.word, one.file) for one in pipeline.orders[0].request.embeddings] == [
        ("embedding:old_look", str(tmp_path / "old_look.safetensors"))]
    addon.negative = "embedding:new_look"
    with pytest.raises(RuntimeError, match="no textual inversion called 'new_look'"):
        bpy.ops.sd.generate()


def test_an_upscaler_from_the_panel(addon, pipeline, lora, tmp_path):
    header = json.dumps({"model.1.sub.0.RDB1.conv1.0.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    file = tmp_path / "4x-Sharp.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    assert [one.name for one in models.upscalers()] == ["Starter", "4x-Sharp"]
    addon.prompt, addon.upscaler, addon.upscaler_noise = "wall", "4x-sharp", 40
    bpy.ops.sd.generate()
    addon.refine_scale = 2.0
    bpy.ops.sd.generate()
    drain()
    plain, larger = (order.request for order in pipeline.orders)
    assert plain.upscaler == "" and (larger.task.upscaler, larger.task.upscaler_noise) == (str(file), 40)
    addon.upscaler, addon.upscaler_noise = "", 0
    addon.fill_from(larger)
    assert (addon.upscaler, addon.upscaler_noise) == (str(file), 40)
    addon.upscaler = "4x-Blunt"
    with pytest.raises(RuntimeError, match="no upscaler called '4x-Blunt'"):
        bpy.ops.sd.generate()


def test_the_prompt_moves_to_a_text_block_and_back(addon, pipeline):
    addon.prompt = "old brick wall"
    assert bpy.ops.sd.edit_prompt() == {"FINISHED"}
    text = addon.prompt_text
    assert text.as_string().strip() == "old brick wall" and not addon.prompt_text.library
    text.write("\nwet moss")
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[0].request.prompt == "old brick wall wet moss"
    bpy.ops.sd.edit_prompt()  # while linked it only shows the block
    assert addon.prompt_text == text and len(bpy.data.texts) == 1
    assert bpy.ops.sd.prompt_to_field() == {"FINISHED"}
    assert addon.prompt_text is None and addon.prompt == "old brick wall wet moss" and text.name in bpy.data.texts
    assert not bpy.ops.sd.prompt_to_field.poll()
    bpy.ops.sd.edit_prompt()
    assert addon.prompt_text == text, "the same words use the same block again"


def test_a_lora_goes_into_the_text_block_that_counts(addon, lora):
    addon.prompt_text = text = bpy.data.texts.new("Prompt")
    text.write("wall")
    bpy.ops.sd.add_lora(lora="old bricks")
    assert text.as_string().strip() == "wall\n<lora:old bricks:1>" and not addon.prompt
