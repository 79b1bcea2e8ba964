"""Project onto Objects: what the panel is set to becomes the job, and platforms without embree are named."""
from __future__ import annotations

import bpy
import pytest

from blender_sd.addon import declared
from blender_sd.addon.operators import project
from blender_sd.core.errors import SDError
from blender_sd.core.roles import BAKE_PICTURES
from tests.support.addon import cube


@pytest.fixture
def calls(monkeypatch):
    """What the operator calls, instead of a bake."""
    made = []

    def called(view, words, **settings):
        made.append((view, words, settings))
        raise SDError("So far.", "")

    monkeypatch.setattr(project.baking, "project", called)
    return made


@pytest.mark.parametrize("on", [False, True])
def test_the_panel_s_options_reach_the_call(addon, calls, on):
    addon.prompt = "mossy stone"
    declared.fill(addon, "render_strength", 0.8)
    addon.project_objects = addon.project_single_user = addon.project_debug = on
    with pytest.raises(RuntimeError, match="So far"):
        bpy.ops.sd.project(view="CAMERA")
    ((view, words, settings),) = calls
    assert (view, words, settings["strength"]) == ("CAMERA", "mossy stone", 0.8)
    assert settings["mask"] == ("OBJECTS" if on else None) and settings["single_user"] == on
    assert settings["debug"] == (BAKE_PICTURES if on else ())


@pytest.mark.parametrize("name", ["Linux on ARM", "Windows on ARM"])
def test_platforms_without_embree_are_named(addon, calls, monkeypatch, name):
    assert bpy.ops.sd.project.poll()
    monkeypatch.setattr(project, "without_embree", lambda: name)
    assert not bpy.ops.sd.project.poll()
    with pytest.raises(RuntimeError, match=name):
        bpy.ops.sd.project(view="CAMERA")
    assert not calls and not cube().material_slots[0].material.node_tree.nodes.get("Image Texture")
