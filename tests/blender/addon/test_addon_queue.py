"""Several jobs: their states as shown, ending them, and what happens to the file meanwhile."""
from __future__ import annotations

import bpy
import pytest
from addon_helpers import cube, drain, state

from blender_sd import api
from blender_sd.addon import tick
from blender_sd.protocol.errors import EngineMissing


def _start(addon, prompt: str = "brick", **settings) -> object:
    addon.prompt = prompt
    for name, value in settings.items():
        setattr(addon, name, value)
    bpy.ops.sd.generate()
    return api.jobs()[-1]


def _until_running(job) -> None:
    drain(lambda: job.state == "running")


def test_progress_is_mirrored(addon, pipeline):
    pipeline.hold()
    job = _start(addon)
    assert state().active and tick.tick() == tick.BUSY
    _until_running(job)
    assert state().progress_text.startswith("1/4") and state().progress == pytest.approx(0.25)
    assert state().engine == "ready" and "cpu" in state().engine_text
    assert [(row.name, row.state, row.job_id) for row in state().jobs] == [("brick", "running", job.id)]
    pipeline.go()
    drain()
    assert not state().active and state().jobs[0].state == "finished"
    assert tick.tick() == tick.IDLE


def test_cancel_ends_the_current_job_only(addon, pipeline):
    images = len(bpy.data.images)
    pipeline.hold()
    first, second = _start(addon, "one"), _start(addon, "two")
    _until_running(first)
    assert [row.state for row in state().jobs] == ["running", "queued"]
    assert bpy.ops.sd.cancel() == {"FINISHED"}
    assert state().progress_text == "Cancelling…"
    drain(lambda: first.done)
    pipeline.go()
    drain()
    assert (first.state, second.state) == ("cancelled", "finished")
    assert len(bpy.data.images) == images + 1


def test_cancel_one_of_the_queue(addon, pipeline):
    pipeline.hold()
    first, second = _start(addon, "one"), _start(addon, "two")
    _until_running(first)
    bpy.ops.sd.cancel_job(job_id=second.id)
    drain(lambda: second.done)
    assert first.state == "running" and state().jobs[1].state == "cancelled"
    pipeline.go()
    drain()
    assert first.state == "finished"
    assert bpy.ops.sd.cancel_job(job_id=second.id) == {"CANCELLED"}


def test_cancel_lets_escape_through_when_idle(addon):
    assert not bpy.ops.sd.cancel.poll()
    with pytest.raises(RuntimeError, match="No job is running"):
        bpy.ops.sd.cancel()


def test_clear_jobs(addon, pipeline):
    _start(addon, "one")
    drain()
    pipeline.hold()
    second = _start(addon, "two")
    _until_running(second)
    bpy.ops.sd.clear_jobs()
    assert [row.name for row in state().jobs] == ["two"]
    bpy.ops.sd.cancel()
    drain()
    bpy.ops.sd.clear_jobs()
    assert len(state().jobs) == 0
    assert not bpy.ops.sd.clear_jobs.poll()


def test_saved_in_the_middle(addon, pipeline, tmp_path):
    pipeline.hold()
    job = _start(addon, target="MATERIAL")
    _until_running(job)
    assert bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "middle.blend")) == {"FINISHED"}
    pipeline.go()
    drain()
    assert job.state == "finished"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "middle.blend"))
    tick.tick()
    assert not state().active, "a saved file must not bring a dead job back"
    assert bpy.context.scene.sd.prompt == "brick"


def test_another_file_is_opened_meanwhile(addon, pipeline):
    pipeline.hold()
    job = _start(addon, target="MATERIAL")
    _until_running(job)
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert state().active and state().jobs[0].job_id == job.id  # the new file's window manager says the truth at once
    pipeline.go()
    drain()
    assert job.state == "failed" and state().error
    assert job.results, "the picture stays in the history"
    assert not [node for node in cube().active_material.node_tree.nodes if node.type == "TEX_IMAGE"]


def test_the_target_is_deleted_meanwhile(addon, pipeline):
    pipeline.hold()
    job = _start(addon, target="MATERIAL")
    _until_running(job)
    bpy.data.objects.remove(cube())
    pipeline.go()
    drain()
    assert job.state == "failed" and "Cube" in state().error and state().hint
    assert job.results


def test_the_tick_survives_an_error(addon, pipeline, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(api, "pump", lambda _budget: 1 / 0)
        assert tick.tick() > 0
    assert "ZeroDivisionError" in caplog.text


def test_the_preview_grows_and_goes(addon, pipeline):
    pipeline.hold()
    job = _start(addon)
    _until_running(job)
    previews = [image for image in bpy.data.images if image.is_runtime_data]
    assert [tuple(image.size) for image in previews] == [(8, 8)]
    assert round(previews[0].pixels[0] * 255) == 101  # what the pipeline paints after its first step
    pipeline.go()
    drain()
    assert not [image for image in bpy.data.images if image.is_runtime_data]


def test_a_failed_engine_is_tried_again(addon, pipeline, monkeypatch):
    def missing():
        raise EngineMissing("No Python with torch.", "Name one.")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "warm", missing)
        bpy.ops.sd.start_engine()
        drain(lambda: state().engine == "failed")
        assert "No Python with torch." in state().engine_text
    bpy.ops.sd.start_engine()
    drain(lambda: state().engine == "ready")
    assert not bpy.ops.sd.start_engine.poll()
