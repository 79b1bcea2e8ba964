"""Live mode in windowless Blender: what it orders, shows and says, with a view and pictures that the test controls."""
from __future__ import annotations

import os
from dataclasses import replace
from contextlib import nullcontext
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

import blender_sd as sd
from blender_sd.calls.runtime import runtime
from blender_sd.addon import job_preview, live, tick
from blender_sd.core.declarations import used_by
from blender_sd.core.errors import EngineDied
from blender_sd.core.settings import LIVE
from blender_sd.scene import overlay, watching
from tests.support.addon import cube, drain, state
from tests.support.live import at_rest, shown, sight  # noqa: F401  (fixtures)


def test_newest_input_wins_and_nothing_builds_up(sight, pipeline):
    pipeline.hold()
    drain(lambda: pipeline.orders)
    for grey in range(2, 30):
        sight.show(grey)
    assert sight.looks == 1 and shown().state == "painting"
    pipeline.go()
    at_rest(2)
    assert [order.inputs["source"].pixels[0, 0, 0] for order in pipeline.orders] == [1, 29]
    assert [(order.request.width, order.request.height) for order in pipeline.orders] == [(64, 32)] * 2
    assert shown().state == "up_to_date" and "pictures/s" in shown().text
    looks = sight.looks
    for _ in range(20):
        tick.tick()
    assert sight.looks == looks, "nothing has changed"


def test_frames_are_no_jobs_and_are_written_nowhere(sight, pipeline):
    at_rest(1)
    assert sd.jobs() == [] and len(state().jobs) == 0 and not state().active
    assert not [name for _, _, names in os.walk(runtime.config.output) for name in names]
    assert overlay._over.space == 7 and overlay._over.share == pytest.approx(bpy.context.scene.sd_live.mix)


def test_every_frame_is_really_denoised_as_often_as_was_asked(sight, pipeline, addon):
    settings = bpy.context.scene.sd_live
    for strength, steps in ((0.5, 3), (0.05, 1), (1.0, 7), (0.3, 4)):
        frames = live._run.machine.frames
        settings.strength, settings.steps = strength, steps
        at_rest(frames + 1)
        request = pipeline.orders[-1].request
        assert int(request.steps * request.task.strength) >= steps > int((request.steps - 1) * request.task.strength)
        assert (request.task.name, request.seed, request.count) == ("image_to_image", 0, 1)


def test_an_order_comes_first_and_live_mode_goes_on_after_it(sight, pipeline, addon):
    pipeline.hold()
    drain(lambda: pipeline.orders)
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain(lambda: len(pipeline.orders) == 2)
    assert pipeline.orders[1].output and shown().text == "Paused: the queue comes first"
    pipeline.go()
    drain()
    at_rest(1)
    assert [bool(order.output) for order in pipeline.orders] == [False, True, False]


def test_keep_orders_the_same_picture_as_a_real_one(sight, pipeline, addon):
    addon.prompt = "mosaic"
    assert not bpy.ops.sd.keep_live.poll()
    at_rest(1)
    images = len(bpy.data.images)
    assert bpy.ops.sd.keep_live() == {"FINISHED"}
    drain()
    frame, kept = pipeline.orders[-2:]
    assert kept.output and kept.request == frame.request and kept.request.prompt == "mosaic"
    assert np.array_equal(kept.inputs["source"].pixels, frame.inputs["source"].pixels)
    assert len(bpy.data.images) == images + 1 and sd.recall(sd.jobs()[-1].outputs[0]) == frame.request
    at_rest(1)
    assert live._run.machine.frames == 1, "nothing has changed by it"


def test_a_texture_is_shown_on_its_faces_and_follows_their_shape(sight, pipeline, addon, monkeypatch):
    at_rest(1)
    image = bpy.data.images.new("painted", 64, 128)
    sd.apply(image, cube())
    monkeypatch.setattr(live, "_in", lambda view: nullcontext())
    monkeypatch.setattr(watching, "texture_pixels", lambda given, size: np.full(
        (size[1], size[0], 4), given == image, np.uint8))
    addon.tiling, bpy.context.scene.sd_live.source = "xy", "TEXTURE"
    pipeline.hold()
    tick.tick()
    assert overlay._over is None, "the view's picture is gone at once"
    pipeline.go()
    at_rest(2)
    assert [len(surface.corners) for surface in overlay._on[overlay.LIVE].surfaces] == [36]
    request = pipeline.orders[-1].request
    assert (request.width, request.height,
            request.tiling) == (32, 64, "xy") and pipeline.orders[-1].inputs["source"].pixels[0, 0, 0] == 1
    cube().modifiers.new("s", "SUBSURF").levels = 1
    bpy.context.view_layer.update()
    drain(lambda: [len(surface.corners) for surface in overlay._on[overlay.LIVE].surfaces] == [144])
    assert live._run.machine.frames == 2, "the texture is as it was"
    cube().data.materials.clear()
    tick.tick()
    assert shown().state == "paused" and "no active image slot" in shown().text


def test_a_frame_that_ends_while_its_view_is_not_shown_is_painted_again(sight, pipeline):
    pipeline.hold()
    drain(lambda: pipeline.orders)
    sight.open = False
    pipeline.go()
    drain(lambda: live._run.job is None)
    assert overlay._over is None
    sight.open = True
    at_rest(1)
    assert overlay._over is not None and len(pipeline.orders) == 2


def test_settings_that_cannot_be_met_pause_it_and_a_broken_engine_stops_it(sight, pipeline, addon):
    at_rest(1)
    addon.prompt = "wall <lora:nowhere:1>"
    tick.tick()
    assert shown().state == "paused" and "nowhere" in shown().text and live.running()
    addon.prompt = "wall"
    at_rest(2)
    pipeline.fail_with = EngineDied("The engine stopped.", "Try again.")
    sight.show(99)
    drain(lambda: not live.running())
    assert state().error == "The engine stopped." and overlay._over is None and not shown().running


def test_other_choices_for_the_model_paint_another_frame(sight, pipeline, monkeypatch):
    at_rest(1)
    info = runtime.models.find("starter")
    other = replace(info, choices=replace(info.choices, prediction="v_prediction"))
    monkeypatch.setattr(runtime.models, "known", lambda: (other,))
    monkeypatch.setattr(runtime.models, "find", lambda name: other)
    at_rest(2)
    assert pipeline.orders[-1].request.prediction == "v_prediction"


def test_every_setting_of_live_mode_paints_another_frame(sight, pipeline, addon):
    frames = 1
    at_rest(frames)
    for declared in used_by(LIVE):
        if declared.name in ("model", "sampler"):
            continue
        setattr(addon, declared.prop, "dust" if declared.kind == "str" else declared.default + 1)
        frames += 1
        at_rest(frames)
        assert declared.of(pipeline.orders[-1].request) == getattr(addon, declared.prop), declared.name


def test_a_view_that_is_not_shown_pauses_it(sight):
    at_rest(1)
    sight.open = False
    tick.tick()
    assert shown().state == "paused" and tick.tick() == pytest.approx(0.5, abs=0.1)
    sight.open = True
    sight.show(5)
    at_rest(2)
    assert shown().state == "up_to_date"


def test_drawing_that_takes_too_long_is_given_up_until_the_shading_changes(sight, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock.now)
    real = watching.view_pixels

    def slow(view, size):
        clock.now += 3.0
        return real(view, size)

    monkeypatch.setattr(watching, "view_pixels", slow)
    monkeypatch.setattr("blender_sd.session.live.SHARE", 1.0)
    for grey in range(4):
        at_rest(grey + 1)
        sight.show(50 + grey)
    drain(lambda: shown().state == "paused")
    assert "too long" in shown().text and sight.looks == 4
    sight.view.space.shading.type = "WIREFRAME"
    drain(lambda: sight.looks == 5)


def test_a_shading_that_blender_gets_ready_bit_by_bit_is_looked_at_once_more(sight, pipeline, monkeypatch):
    at_rest(1)
    monkeypatch.setattr(watching, "ripens", lambda view: True)
    monkeypatch.setattr(live, "RIPE", 0.0)
    sight.show(30)
    sight.grey, sign = 31, (30,)  # the materials come, and Blender says nothing of it
    monkeypatch.setattr(watching, "view_sign", lambda view: sign)
    at_rest(3)
    drain(lambda: live._run._again_at is None and not live._run.machine.behind)
    assert [order.inputs["source"].pixels[0, 0, 0] for order in pipeline.orders] == [1, 30, 31]
    looks = sight.looks
    for _ in range(10):
        tick.tick()
    assert sight.looks == looks and live._run.machine.frames == 3


def test_a_picture_that_is_behind_fades_on_a_slow_machine(sight, pipeline):
    settings = bpy.context.scene.sd_live
    at_rest(1)
    pipeline.hold()
    sight.show(9)
    assert overlay._over.share == pytest.approx(settings.mix), "fast enough"
    live._run.machine._paces.append(10.0)
    sight.show(10)
    assert overlay._over.share == pytest.approx(settings.mix * live.FADED)
    settings.fade = False
    tick.tick()
    assert overlay._over.share == pytest.approx(settings.mix)


def test_it_ends_with_the_file_and_leaves_no_handler(sight, tmp_path):
    at_rest(1)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "live.blend"))
    assert live.running(), "saving does not end it"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "live.blend"), load_ui=True)
    assert not live.running() and not shown().running and shown().state == "off" and overlay._over is None
    assert not any(live._touched in getattr(bpy.app.handlers, name) for name in live._CHANGES)


def test_it_is_started_from_a_3d_view_alone(addon):
    with pytest.raises(RuntimeError, match="3D View"):
        bpy.ops.sd.live()


# ---- previews on the mesh ------------------------------------------------------------------------------------------


def _held(addon, pipeline):
    addon.prompt, addon.target = "brick", "MATERIAL"
    pipeline.hold()
    bpy.ops.sd.generate()
    job = sd.jobs()[-1]
    drain(lambda: overlay.JOB in overlay._on)
    return job


def test_a_preview_lies_on_the_mesh_and_the_material_is_not_touched(addon, pipeline, tmp_path):
    nodes = [node.name for node in cube().active_material.node_tree.nodes]
    job = _held(addon, pipeline)
    surface, = overlay._on[overlay.JOB].surfaces
    assert surface.find() == cube() and len(surface.corners) == 36
    assert [node.name for node in cube().active_material.node_tree.nodes] == nodes
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "during.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "during.blend")) as (inside, _):
        assert set(inside.images) <= {"Render Result", "Viewer Node"}
    bpy.ops.ed.undo_push(message="one")
    cube().name = "Renamed"
    bpy.ops.ed.undo_push(message="two")
    bpy.ops.ed.undo()
    assert surface.find() == cube(), "undo brings other pointers, and the same object"
    job.cancel()
    drain()
    assert overlay._on == {}
    bpy.data.objects.remove(cube())
    assert surface.find() is None


def test_previews_on_the_mesh_end_with_a_failure_and_can_be_switched_off(addon, pipeline, monkeypatch):
    job = _held(addon, pipeline)
    pipeline.fail_with = EngineDied("The engine stopped.", "Try again.")
    pipeline.go()
    drain()
    assert job.state == "failed" and overlay._on == {}
    pipeline.fail_with = None
    monkeypatch.setattr(job_preview.preference_access, "get", lambda: SimpleNamespace(mesh_preview=False))
    pipeline.hold()
    bpy.ops.sd.generate()
    drain(lambda: sd.jobs()[-1].preview is not None)
    assert overlay._on == {}, "the Image Editor's preview alone"


# ---- the queue's order ---------------------------------------------------------------------------------------------


def test_the_selected_job_is_moved_and_stays_selected(addon, pipeline):
    pipeline.hold()
    for prompt in ("running", "one", "two", "three"):
        addon.prompt = prompt
        bpy.ops.sd.generate()
    drain(lambda: sd.jobs()[0].state == "running")
    state().job_index = 3
    assert bpy.ops.sd.move_job(direction="UP") == {"FINISHED"}
    assert [row.name for row in state().jobs] == ["running", "one", "three", "two"] and state().job_index == 2
    bpy.ops.sd.move_job(direction="DOWN")
    assert [row.name for row in state().jobs] == ["running", "one", "two", "three"] and state().job_index == 3
    state().job_index = 0
    with pytest.raises(RuntimeError, match="waiting"):
        bpy.ops.sd.move_job(direction="DOWN")
    pipeline.go()
    drain()
    assert [order.request.prompt for order in pipeline.orders] == ["running", "one", "two", "three"]
