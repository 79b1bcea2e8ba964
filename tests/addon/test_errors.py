"""An error in the panel: its button, and that it goes when its cause is gone."""
from __future__ import annotations

import dataclasses

import bpy
import pytest

from blender_sd.library import policy_status
from blender_sd.calls import config, models
from blender_sd.calls.runtime import runtime
from blender_sd.addon import state as panel_state
from blender_sd.addon import tick
from blender_sd.addon.panels.parts import draw_messages
from blender_sd.core import errors
from tests.support.addon import cube, drain, state
from tests.support.paper import Paper


def _buttons() -> dict[str, dict]:
    """The operators that the messages offer, and what they set."""
    paper = Paper()
    draw_messages(paper, bpy.context)
    return dict(paper.operators)


@pytest.fixture
def no_render(addon):
    addon.task, addon.render_source, addon.prompt = "RENDER", "RENDER", "mosaic"
    with pytest.raises(RuntimeError, match="no Render Result"):
        bpy.ops.sd.restyle()
    tick.tick()
    assert "no Render Result" in state().error
    return addon


def test_a_missing_render_offers_the_camera(no_render):
    assert _buttons()["wm.context_set_enum"] == {"data_path": "scene.sd.render_source", "value": "CAMERA"}
    bpy.ops.wm.context_set_enum(data_path="scene.sd.render_source", value="CAMERA")
    tick.tick()
    assert not state().error and "wm.context_set_enum" not in _buttons()


def test_a_render_takes_the_error_away(no_render):
    render = bpy.context.scene.render
    render.engine, render.resolution_x, render.resolution_y = "CYCLES", 8, 8
    bpy.context.scene.cycles.samples = 1
    bpy.ops.render.render()
    tick.tick()
    assert not state().error


def test_another_task_takes_the_error_away(no_render):
    no_render.prompt = "another prompt"
    tick.tick()
    assert state().error, "it still has its cause"
    no_render.task = "TEXT"
    tick.tick()
    assert not state().error


def _turned(name, value):
    return lambda settings, _monkeypatch: setattr(settings, name, value)


def _configured(**changes):
    return lambda _settings, monkeypatch: monkeypatch.setattr(runtime, "config",
                                                              config.replace(runtime.config, **changes))


def _model_added(_settings, monkeypatch):
    info, = models.models()
    monkeypatch.setattr(runtime.models, "_models", [info, dataclasses.replace(info, id="/m/new", name="New")])


def _deselected(_settings, _monkeypatch):
    bpy.context.view_layer.objects.active = None


GONE = {
    errors.ModelNotFound: _model_added,
    errors.OutOfMemory: _turned("width", 128),
    errors.OutputUnwritable: _configured(output="/other"),
    errors.NeedsWindow: _turned("render_source", "CAMERA"),
    errors.TargetUnusable: _deselected,
    errors.StyleUnusable: _turned("style", ""),
    errors.PolicyForbids: lambda _settings, monkeypatch: monkeypatch.setattr(runtime.policy, "state",
                                                                             policy_status.State(contact="anna")),
    errors.InvalidRequest: _turned("steps", 7),
    errors.WordBlocked: _turned("prompt", "a kinder word"),}


@pytest.mark.parametrize("kind", GONE)
def test_what_changes_the_cause_takes_the_error_away(addon, kind, monkeypatch):
    addon.style = "Watercolour"
    assert cube().select_get()
    panel_state.show_error(kind("Something is wrong.", "Mend it."))
    tick.tick()
    assert state().error
    GONE[kind](addon, monkeypatch)
    tick.tick()
    assert not state().error


def test_an_engine_that_was_set_up_takes_its_error_away(addon, pipeline, monkeypatch):
    def missing():
        raise errors.EngineMissing("No Python with torch.", "Name one.")

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "warm", missing)
        addon.prompt = "brick"
        bpy.ops.sd.generate()
        drain()
        assert state().error == "No Python with torch."
    tick.tick()
    assert state().error, "it still has its cause"
    runtime.renew_engine()  # as after a set-up
    tick.tick()
    assert not state().error


def test_a_style_that_is_gone_can_be_taken_off(addon):
    addon.prompt, addon.style = "brick", "Watercolor"
    with pytest.raises(RuntimeError, match="Did you mean 'Watercolour'"):
        bpy.ops.sd.generate()
    bpy.ops.wm.context_set_string(**_buttons()["wm.context_set_string"])
    tick.tick()
    assert not addon.style and not state().error


def test_an_error_is_not_saved_with_the_file(addon, tmp_path):
    panel_state.show_error(errors.SDError("Something is wrong."))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert not state().error
