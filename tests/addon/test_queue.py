"""Several jobs: their states as shown, ending them, and what happens to the file meanwhile."""
from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest

from blender_sd import scene
import blender_sd as sd
from blender_sd.calls import job_queue
from blender_sd.addon import escape, tick
from blender_sd.addon.operators.cancel import SD_OT_cancel
from blender_sd.core.errors import EngineMissing
from tests.support.addon import cube, drain, state


def _start(addon, prompt: str = "brick", **settings) -> object:
    addon.prompt = prompt
    for name, value in settings.items():
        setattr(addon, name, value)
    bpy.ops.sd.generate()
    return sd.jobs()[-1]


def _until_running(job) -> None:
    drain(lambda: job.state == "running")


def test_progress_is_mirrored(addon, pipeline):
    pipeline.hold()
    job = _start(addon)
    assert state().active and tick.tick() == tick.BUSY
    _until_running(job)
    assert state().progress_text.startswith("1/4") and state().progress == pytest.approx(0.25)
    assert state().engine == "ready" and "processor" in state().engine_text
    assert [(row.name, row.state, row.job_id) for row in state().jobs] == [("brick", "running", job.id)]
    pipeline.go()
    drain()
    assert not state().active and state().jobs[0].state == "finished"
    drain(lambda: tick.tick() == tick.IDLE)  # the history has looked for the new picture


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


def test_the_list_is_in_the_order_of_turns(addon, pipeline):
    ended = [_start(addon, name) for name in ("first", "second")]
    drain()
    pipeline.hold()
    running = _start(addon, "running")
    for name in ("next", "last"):
        _start(addon, name)
    _until_running(running)
    assert [row.name for row in state().jobs] == ["running", "next", "last", "second", "first"] and state().waiting == 2
    state().job_index = 2
    _start(addon, "later")
    pipeline.go()
    drain(lambda: running.done)
    assert state().jobs[state().job_index].name == "last", "the selection stays with its job"
    drain()
    assert state().waiting == 0 and [job.state for job in ended] == ["finished"] * 2


def test_escape_that_stops_something_else_cancels_nothing(addon, pipeline, monkeypatch):
    running = {"tool", "screencast"}
    monkeypatch.setattr(escape, "_what_runs", lambda: frozenset(running))
    pipeline.hold()
    job = _start(addon)
    _until_running(job)
    press = SD_OT_cancel.invoke
    operator = SimpleNamespace(execute=lambda _context: job.cancel() and {"FINISHED"})
    running.remove("tool")  # the Esc that ended it is the one that comes now
    assert press(operator, bpy.context, SimpleNamespace(type="ESC")) == {"PASS_THROUGH"} and not job.cancelling
    tick.tick()
    assert press(operator, bpy.context, SimpleNamespace(type="ESC")) == {
        "FINISHED"} and job.cancelling, "another tool goes on running"
    pipeline.go()
    drain()


def test_the_button_cancels_whatever_runs(addon, pipeline, monkeypatch):
    monkeypatch.setattr(escape, "taken", lambda: True)
    pipeline.hold()
    job = _start(addon)
    _until_running(job)
    SD_OT_cancel.invoke(SimpleNamespace(execute=lambda _context: job.cancel()), bpy.context,
                        SimpleNamespace(type="LEFTMOUSE"))
    assert job.cancelling
    pipeline.go()
    drain()


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
        patch.setattr(job_queue, "pump", lambda _budget: 1 / 0)
        assert tick.tick() > 0
    assert "ZeroDivisionError" in caplog.text


def test_the_preview_grows_and_goes(addon, pipeline, monkeypatch):
    shown = []
    monkeypatch.setattr(scene, "show_preview", lambda *preview: shown.append(preview))
    monkeypatch.setattr(scene, "clear_preview", lambda: shown.append(None))
    pipeline.hold()
    job = _start(addon)
    _until_running(job)
    pixels, size, target = shown[0]
    assert pixels.shape == (8, 8, 3) and (pixels == 101).all(), "what the pipeline paints after its first step"
    assert size == job.request.final_size and target == job.target
    pipeline.go()
    drain()
    assert shown[-1] is None


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
