"""Inpaint, Outpaint, Upscale and Make Seamless: each paints after its own prompt, else after the one that made the
image."""
from __future__ import annotations

import bpy
import pytest

import blender_sd as sd
from blender_sd.addon import layout, task_prompts
from blender_sd.protocol.messages import Source
from blender_sd.core import tasks as core_tasks
from blender_sd.core.request import Request
from blender_sd.core.tasks import INPAINT
from tests.support.panels import shown
from tests.support.addon import cube, drain
from tests.support.fake_pipeline import write_png

TASKS = {
    "inpaint": ("inpaint_prompt", "SD_PT_view3d_inpaint"), "outpaint": ("outpaint_prompt", "SD_PT_view3d_extend"),
    "upscale": ("upscale_prompt", "SD_PT_view3d_enlarge"), "make_seamless": ("seamless_prompt", "SD_PT_view3d_extend"),
    "seed_walk": ("seed_walk_prompt", "SD_PT_view3d_seedwalk")}


def test_every_task_with_a_prompt_of_its_own_is_tried_here_and_can_be_edited(addon):
    named = {name: task.own_prompt for name, task in core_tasks.TASKS.items() if task.own_prompt}
    assert {name: field for name, (field, _) in TASKS.items()} == named
    items = bpy.ops.sd.edit_own_prompt.get_rna_type().properties["task"].enum_items
    assert {item.identifier.lower() for item in items} == set(named)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Regions have a width only where there is a window."""
    monkeypatch.setattr(layout, "region_width", lambda _context: 2000.0)


@pytest.fixture
def slot(addon):
    """The cube's image node; the main prompt is about something else, and all four tasks may run."""
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.new("plain", 32, 32)
    cube().active_material.node_tree.nodes.active = node
    addon.prompt, addon.negative, addon.style = "a blue and gold frame", "main negative", "Clay"
    addon.mask_source, addon.expand_left = "ALPHA", 16
    return node


def _of_ours(node, tmp_path, **fields) -> bpy.types.Image:
    """An image that was opened from a PNG of ours, into the node."""
    write_png(str(tmp_path / "gravel.png"),
              Request(prompt="gravel", negative="moss", style="Wet", width=32, height=32, **fields))
    node.image = bpy.data.images.load(str(tmp_path / "gravel.png"))
    return node.image


def _run(task: str, pipeline, **given) -> Request:
    assert getattr(bpy.ops.sd, task)(**given) == {"FINISHED"}
    drain()
    assert pipeline.orders[-1].request.task.name == task, sd.jobs()[-1].error
    return pipeline.orders[-1].request


def _texts(task: str) -> list[str]:
    """What the task's panel says, once the timer has read what it asked for."""
    shown(TASKS[task][1])
    drain(until=lambda: not task_prompts.busy())
    return shown(TASKS[task][1]).texts


@pytest.mark.parametrize("task", TASKS)
def test_the_default_is_the_prompt_that_made_the_image(slot, addon, pipeline, tmp_path, task):
    _of_ours(slot, tmp_path)
    texts = _texts(task)
    assert "gravel" in texts and "The prompt that made this image" in " ".join(texts) and "Clay" not in texts
    request = _run(task, pipeline)
    assert (request.prompt, request.negative, request.style) == ("gravel", "moss", "")


@pytest.mark.parametrize("task", TASKS)
def test_of_a_plain_image_it_is_the_main_prompt_and_the_panel_says_so(slot, addon, pipeline, task):
    addon.style = ""
    texts = _texts(task)
    assert "a blue and gold frame" in texts and "The main prompt" in " ".join(texts)
    assert _run(task, pipeline).prompt == "a blue and gold frame"


@pytest.mark.parametrize("task", TASKS)
def test_what_is_typed_there_counts_and_what_an_operator_is_given_before_it(slot, addon, pipeline, tmp_path, task):
    made = _of_ours(slot, tmp_path)
    setattr(addon, TASKS[task][0], "grey sand")
    assert "Clay" in _texts(task), "the style goes round words of one's own"
    request = _run(task, pipeline)
    assert "grey sand" in request.prompt and (request.style, request.negative[:13]) == ("Clay", "main negative")
    slot.image = made
    assert "wet sand" in _run(task, pipeline, prompt="wet sand").prompt
    others = [field for field, _ in TASKS.values() if field != TASKS[task][0]]
    assert not any(getattr(addon, field) for field in others)


@pytest.mark.parametrize("task", TASKS)
def test_recall_fills_it_in(slot, addon, pipeline, tmp_path, task):
    _of_ours(slot, tmp_path)
    setattr(addon, TASKS[task][0], "grey sand")
    made = _run(task, pipeline)
    setattr(addon, TASKS[task][0], "")
    addon.prompt = addon.negative = ""
    assert bpy.ops.sd.recall(image=sd.jobs()[-1].outputs[0].name) == {"FINISHED"}
    assert getattr(addon, TASKS[task][0]) == made.prompt and addon.negative == made.negative


def test_the_default_can_be_edited_and_the_field_emptied(slot, addon, tmp_path):
    _of_ours(slot, tmp_path)
    assert bpy.ops.sd.edit_own_prompt(task="UPSCALE") == {"FINISHED"} and addon.upscale_prompt == "gravel"
    bpy.ops.sd.edit_own_prompt(task="UPSCALE")
    assert addon.upscale_prompt == ""


def test_a_part_that_was_painted_later_does_not_describe_the_whole(slot, addon, tmp_path):
    """Gravel, into which a golden frame was painted: what is made seamless is gravel."""
    write_png(str(tmp_path / "gravel.png"), Request(prompt="gravel", width=32, height=32))
    digest = Source(encoded=(tmp_path / "gravel.png").read_bytes()).digest()
    kept = sd.output_folder() / "sources" / f"{digest.removeprefix('sha256:')}.png"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes((tmp_path / "gravel.png").read_bytes())
    edited = bpy.data.images.new("edited", 32, 32)
    edited["blender_sd"] = Request.of(INPAINT, prompt="a golden frame", source=digest, mask="sha256:1").to_json()
    assert task_prompts.words_of(addon, "make_seamless", edited).prompt == "gravel"
    kept.unlink()
    assert task_prompts.words_of(addon, "make_seamless", edited).prompt == addon.prompt, "not known: the main prompt"


def test_calls_take_the_same_default(slot, addon, pipeline, tmp_path):
    image = _of_ours(slot, tmp_path)
    for call in (sd.upscale, sd.make_seamless, lambda source: sd.inpaint(source, "ALPHA"),
                 lambda source: sd.outpaint(source, left=8)):
        call(image).result()
        assert (pipeline.orders[-1].request.prompt, pipeline.orders[-1].request.negative) == ("gravel", "moss")
    sd.upscale(image, "").result()
    assert pipeline.orders[-1].request.prompt == ""
    sd.upscale(str(tmp_path / "gravel.png"), negative="mine").result()
    assert (pipeline.orders[-1].request.prompt, pipeline.orders[-1].request.negative) == ("gravel", "mine")
