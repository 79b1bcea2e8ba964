"""What cannot be painted is refused before anything expensive, and what may not be is asked once in Blender."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

import blender_sd as sd
from blender_sd import scene
from blender_sd.calls import policy
from blender_sd.core.errors import InvalidRequest, SDError
from blender_sd.library.policy import Policy
from tests.support.addon import drain

GREY = np.full((64, 64, 3), 128, np.uint8)


@pytest.fixture
def renders(monkeypatch):
    """Count the sources that are opened."""
    opened = []
    real = scene.open_source
    monkeypatch.setattr(scene, "open_source", lambda source: opened.append(source) or real(source))
    return opened


@pytest.mark.parametrize("wrong", [
    {"sampler": "magic"}, {"loras": [("no such LoRA", 1.0)]}, {"steps": 0}, {"model": "no such model"},
    {"style": "no such style"}, {"upscaler": "x"}, {"strenght": 0.5}, {"prompt": "__no such list__"},
    {"prompt": "<lora:none:1>"}, {"axes": [("steps", "0")]}, {"ip_adapter": "x"}])
def test_nothing_is_rendered_for_a_request_that_cannot_be(addon, renders, wrong):
    with pytest.raises(SDError):
        sd.restyle("CAMERA", **{"prompt": "x", **wrong})
    assert renders == [] and not sd.jobs()


def test_the_operator_refuses_before_it_renders(addon, monkeypatch, pipeline):
    started = []
    monkeypatch.setattr(scene, "start_camera_render", lambda *arguments, mattes: started.append(arguments))
    addon.prompt, addon.render_source = "x <lora:no such LoRA:1>", "CAMERA"
    with pytest.raises(RuntimeError, match="no such LoRA"):
        bpy.ops.sd.restyle()
    assert not started and not pipeline.orders


@pytest.mark.parametrize(("call", "keyword", "meant"), [
    ("inpaint", "mask_feather", "feather"), ("inpaint", "mask_grow", "grow"), ("outpaint", "expand_left", "left"),
    ("upscale", "upscaler_nose", "upscaler_noise"), ("generate", "clipskip", "clip_skip"),
    ("restyle", "strngth", "strength")])
def test_a_keyword_that_is_not_there_is_named_with_the_closest(addon, call, keyword, meant):
    arguments = {"inpaint": (GREY, GREY), "generate": ("x",), "restyle": (GREY, "x")}.get(call, (GREY,))
    with pytest.raises(InvalidRequest, match=f"no setting called '{keyword}'") as caught:
        getattr(sd, call)(*arguments, **{keyword: 1})
    assert f"'{meant}'" in caught.value.hint


@pytest.mark.parametrize("paint", [
    lambda: sd.generate("x"), lambda: sd.restyle(GREY, "x"), lambda: sd.inpaint(GREY, GREY, "x"),
    lambda: sd.run(sd.jobs()[0].request)])
def test_the_policy_is_asked_once_in_blender(addon, pipeline, monkeypatch, paint):
    sd.generate("before").result()
    asked = []
    monkeypatch.setattr(Policy, "check_request", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(policy, "policy", Policy)
    paint()
    drain()
    assert len(asked) == 1


def test_settings_take_keyframes_and_drivers(addon):
    addon.guidance = 2.0
    assert addon.id_data.keyframe_insert("sd.guidance", frame=1)
    addon.guidance = 9.0
    assert addon.id_data.keyframe_insert("sd.guidance", frame=11)
    assert addon.id_data.keyframe_insert("sd.inpaint_strength", frame=1)
    driver = addon.id_data.driver_add("sd.clip_skip").driver
    driver.expression = "1 + (frame > 5)"
    for frame, guidance, skip in ((1, 2.0, 1), (11, 9.0, 2)):
        addon.id_data.frame_set(frame)
        assert addon.guidance == pytest.approx(guidance) and addon.clip_skip == skip
    assert sd.jobs() == []


def test_a_render_in_a_window_is_not_started_for_it_either(addon, monkeypatch):
    """In a window the operator lets Blender render first, and submits the job when that has ended."""
    from blender_sd.addon.operators.restyle import SD_OT_restyle

    started = []
    monkeypatch.setattr(scene, "start_camera_render", lambda *arguments, mattes: started.append(arguments))
    keywords = {"prompt": "x", "sampler": "magic"}
    assert SD_OT_restyle._after_camera_render(None, bpy.context, keywords) == {"CANCELLED"} and not started
    assert "magic" in bpy.context.window_manager.sd.error
    assert SD_OT_restyle._after_camera_render(None, bpy.context, {"prompt": "x"}) == {"FINISHED"} and len(started) == 1
