"""The report for a bug: what it says, and what it never says."""
import bpy
import pytest

import blender_sd as sd
from blender_sd.core.errors import EngineDied
from blender_sd.core.version import generator
from blender_sd.library import logs

PROMPT = "purple zebra stripes, on a wall"


def test_the_report_names_versions_jobs_and_errors_but_no_prompt(addon, pipeline):
    bpy.context.scene.sd.prompt = "a secret orchard"
    pipeline.fail_with = EngineDied("The engine stopped.", "Again.", f"cut: {PROMPT.upper()}; in a secret orchard")
    with pytest.raises(EngineDied):
        sd.generate(PROMPT, seed=7).result(60)
    text = sd.problem_report()
    assert f"Add-on: {generator()}" in text
    assert bpy.app.version_string in text and "seed 7: failed (engine_died)" in text and "The engine stopped." in text
    assert not any(word in text.lower() for word in ("zebra", "wall", "orchard"))
    assert PROMPT in sd.problem_report(prompts=True)
    assert sd.log_file() == logs.path() and "EngineDied" not in text


def test_prompts_of_regions_and_parts_are_struck_out_too(addon, pipeline):
    bpy.context.scene.sd.regions.add().prompt = "silver harbour"
    pipeline.fail_with = EngineDied("The engine stopped.", "Again.", "cut: crimson door; Silver Harbour")
    job = sd.texture_object("Cube", PROMPT, prompts={"Cube": "crimson door"}, seed=7)
    with pytest.raises(EngineDied):
        job.result(60)
    text = sd.problem_report().lower()
    assert "engine stopped" in text and "crimson" not in text and "harbour" not in text
    bpy.context.scene.sd.regions.clear()


def test_the_buttons(addon, monkeypatch):
    assert bpy.ops.sd.copy_report() == {"FINISHED"}
    with pytest.raises(RuntimeError, match="There is no log yet"):
        monkeypatch.setattr(logs, "path", lambda: None)
        bpy.ops.sd.open_log()
