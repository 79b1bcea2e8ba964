"""The panel Animation: what it hands on, its strip of keyframes, pausing, and renders that are restyled."""
from __future__ import annotations

import time

import bpy
import pytest

from blender_sd.addon import animation, render_restyling, tick
from blender_sd.addon.mirror import current_job
from blender_sd.calls import job_queue, sequences
from blender_sd.core.request import Request
from blender_sd.library import png
from blender_sd.session.job import Job
from tests.support import recorded


@pytest.fixture
def asked(addon, camera_scene, monkeypatch):
    """What the panel asks of the call, which makes a job that never runs."""
    camera_scene(64)
    calls = []

    class Owner:
        def cancel(self, job):
            return True

    def call(*arguments, **keywords):
        job = Job("1", Request.of("restyle_sequence"), Owner(), "clay")
        job.folder = "/out/clay"
        calls.append((arguments, keywords, job))
        return job

    monkeypatch.setattr(sequences, "restyle_sequence", call)
    return calls


def test_a_click_hands_on_what_the_panel_says(asked):
    scene = bpy.context.scene
    settings = scene.sd
    settings.prompt, scene.frame_start, scene.frame_end = "clay", 3, 9
    settings.restyle_sequence_strength, settings.restyle_sequence_consistency = 0.25, 0.75
    settings.animation.place, settings.animation.movie, settings.animation.link = "SEQUENCER", True, "VECTOR"
    assert bpy.ops.sd.restyle_animation() == {"FINISHED"}
    arguments, keywords, _ = asked[-1]
    assert arguments == ("clay",)
    wanted = {"source": "SCENE", "link": "vector", "place": "sequencer", "movie": sequences.BESIDE, "output": None,
              "resume": False, "keyframes_only": False, "keyframes": {}, "varying": {}, "strength": 0.25,
              "consistency": 0.75, "of_scene": False, "exr": False}
    assert {name: keywords[name] for name in wanted} == wanted and "axes" not in keywords
    assert settings.animation.output == settings.animation.made == "/out/clay" and not keywords["spare"]
    assert bpy.ops.sd.restyle_animation() == {"FINISHED"} and asked[-1][1]["spare"], "finished frames stay"
    settings.animation.output = "/chosen"
    assert bpy.ops.sd.restyle_animation() == {"FINISHED"} and not asked[-1][1]["spare"]


def test_going_on_keeps_the_seed_that_was_drawn(asked, monkeypatch):
    settings = bpy.context.scene.sd
    settings.random_seed = True
    bpy.ops.sd.restyle_animation(keyframes_only=True)
    drawn = asked[-1][1]["seed"]
    assert drawn is not None
    monkeypatch.setattr(sequences, "frames_of", lambda output: tuple(range(1, 300)))
    there = []
    monkeypatch.setattr(sequences, "is_finished", lambda output: bool(there))
    bpy.ops.sd.restyle_animation()
    assert asked[-1][1]["resume"] and asked[-1][1]["seed"] is None, "the preview's"
    assert settings.seed == asked[-1][2].request.seed, "the panel shows the one that is used"
    bpy.ops.sd.restyle_animation(keyframes_only=True)
    assert asked[-1][1]["seed"] is not None, "another preview"
    there.append(True)
    bpy.ops.sd.restyle_animation()
    assert asked[-1][1]["seed"] is not None, "another take"


def test_keyframed_and_driven_settings_are_named(asked):
    scene = bpy.context.scene
    scene.sd.keyframe_insert("restyle_sequence_strength", frame=1)
    scene.sd.animation.keyframe_insert("blend", frame=1)
    scene.sd.driver_add("guidance").driver.expression = "frame"
    bpy.ops.sd.restyle_animation()
    assert asked[-1][1]["varying"] == {"strength": "sd.restyle_sequence_strength", "guidance": "sd.guidance",
                                       "blend": "sd.animation.blend"}


def test_keyframes_come_first_and_pictures_stand_for_them(asked, tmp_path):
    scene = bpy.context.scene
    assert bpy.ops.sd.restyle_animation(keyframes_only=True) == {"FINISHED"}
    job = asked[-1][2]
    paths = []
    for frame in (1, 11, 21):
        paths.append(tmp_path / f"{frame:06d}.png")
        paths[-1].write_bytes(png.grey_png(8, 8, bytes(64)))
    assert not animation.update()
    job.state, job._outputs = "finished", paths
    assert animation.update() and [frame for frame, _ in animation.strip] == [1, 11, 21]
    assert bpy.ops.sd.own_keyframe(frame=11) == {"FINISHED"}
    item = scene.sd.animation.own(11)
    assert tuple(item.image.size) == (8, 8) and item.image.packed_file is not None
    bpy.ops.sd.restyle_animation()
    assert asked[-1][1]["keyframes"] == {11: item.image}
    bpy.ops.sd.own_keyframe(frame=11)
    assert scene.sd.animation.own(11) is None
    animation.show([tmp_path / f"{frame:06d}.png" for frame in range(1000)])
    assert len(animation.strip) <= 24


def test_files_need_a_path_and_a_scene_needs_a_camera(asked):
    scene = bpy.context.scene
    scene.sd.animation.source = "FILES"
    with pytest.raises(RuntimeError, match="No folder and no movie"):
        bpy.ops.sd.restyle_animation()
    assert "No folder and no movie" in bpy.context.window_manager.sd.error
    scene.sd.animation.path = "/frames"
    assert bpy.ops.sd.restyle_animation() == {"FINISHED"} and asked[-1][1]["source"] == "/frames"
    scene.sd.animation.source, scene.camera = "SCENE", None
    assert not bpy.ops.sd.restyle_animation.poll()


def test_a_job_is_paused_and_resumed_by_one_button(addon, monkeypatch):
    done = []
    job = type("Paused", (), {"id": "7"})()
    monkeypatch.setattr(job_queue, "jobs", lambda: [job])
    monkeypatch.setattr(tick, "soon", lambda: None)
    monkeypatch.setattr(sequences, "resume_job", lambda job: done == ["pause"] and (done.append("resume") or True))
    monkeypatch.setattr(sequences, "pause_job", lambda job: not done and (done.append("pause") or True))
    assert bpy.ops.sd.pause_job(job_id="7") == {"FINISHED"} and bpy.ops.sd.pause_job(job_id="7") == {"FINISHED"}
    assert done == ["pause", "resume"] and bpy.ops.sd.pause_job(job_id="7") == {"CANCELLED"}


def test_a_paused_job_does_not_hide_the_one_that_runs():
    paused, waits, runs = (Job(name, Request.of("restyle_sequence"), None) for name in ("paused", "queued", "running"))
    for job in (paused, waits, runs):
        job.state = job.id
    assert current_job([paused, waits, runs]) is runs and current_job([paused, waits]) is waits
    assert current_job([paused]) is paused and current_job([]) is None


def test_every_still_is_restyled_once_it_has_ended(addon, camera_scene, monkeypatch):
    scene, restyled = camera_scene(64), []
    monkeypatch.setattr(render_restyling, "_restyle", lambda: restyled.append(True))

    def wanted(enabled: bool, **render) -> int:
        scene.sd.animation.every_render = enabled
        bpy.ops.render.render(**render)
        render_restyling.turn()
        render_restyling.turn()
        return len(restyled)

    assert wanted(False) == 0 and wanted(True) == 1 and wanted(True) == 2


def test_an_animation_that_is_rendered_is_left_alone(addon, camera_scene, monkeypatch, tmp_path):
    scene, restyled = camera_scene(64), []
    monkeypatch.setattr(render_restyling, "_restyle", lambda: restyled.append(True))
    scene.sd.animation.every_render = True
    scene.frame_start, scene.frame_end, scene.render.filepath = 1, 2, str(tmp_path / "####")
    bpy.ops.render.render(animation=True)
    render_restyling.turn()
    assert not restyled


def test_the_panel_looks_at_ten_thousand_frames_only_at_a_click(addon, camera_scene, tmp_path):
    scene = camera_scene(64)
    recorded.alike(str(tmp_path / "out"), 10_000, finished=True)
    scene.frame_end, scene.sd.animation.output = 10_000, str(tmp_path / "out")
    started = time.monotonic()
    assert scene.sd.animation.keywords()["resume"] and sequences.is_finished(str(tmp_path / "out"))
    assert time.monotonic() - started < 1
    started = time.monotonic()
    bpy.ops.sd.restyle_animation.poll()
    assert time.monotonic() - started < 0.05
