"""A result on a model that the 3D View's shading hides: the message, the offer, and what happens by itself."""
from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import bpy
import pytest

import blender_sd as sd
from blender_sd.addon import tick, visible
from blender_sd.core.roles import SHEET
from blender_sd.scene import visibility
from tests.support.addon import cube, drain, state


@pytest.fixture
def space(monkeypatch) -> bpy.types.SpaceView3D:
    """The 3D View of the start-up file's Layout, as if it were open in a window."""
    area = next(area for area in bpy.data.screens["Layout"].areas if area.type == "VIEW_3D")
    window = SimpleNamespace(scene=bpy.context.scene, view_layer=bpy.context.view_layer)
    monkeypatch.setattr(visibility, "_views", lambda: iter([(window, area)]))
    return area.spaces.active


def _paint(addon, target: str = "MATERIAL") -> None:
    addon.prompt, addon.target = "brick", target
    bpy.ops.sd.generate()
    drain()


def test_what_hides_a_result(addon, space):
    _paint(addon)
    shading, scene = space.shading, bpy.context.scene
    for kind, colour, engine, expected in (("SOLID", "MATERIAL", "CYCLES", "SOLID"), ("SOLID", "TEXTURE", "CYCLES", ""),
                                           ("WIREFRAME", "TEXTURE", "CYCLES", "WIREFRAME"), ("MATERIAL", "MATERIAL",
                                                                                             "CYCLES", ""),
                                           ("RENDERED", "MATERIAL", "CYCLES", ""), ("RENDERED", "MATERIAL",
                                                                                    "BLENDER_WORKBENCH", "RENDERED")):
        shading.type, scene.render.engine = "SOLID", engine
        shading.color_type = colour
        shading.type = kind
        tick.tick()
        assert state().hidden_by == expected, (kind, colour, engine)
        assert not expected or expected in visible._WORDS
    scene.display.shading.color_type = "TEXTURE"
    tick.tick()
    assert state().hidden_by == ""


def test_a_texture_counts_though_a_sheet_of_views_comes_first(addon, space, monkeypatch):
    _paint(addon)
    result, = sd.jobs()[-1].results
    sheet = replace(result, role=SHEET, path=f"{result.path}.sheet.png")
    whole = SimpleNamespace(id="of a whole object", state="finished", results=(sheet, result), frames=0)
    monkeypatch.setattr(visible.job_queue, "jobs", lambda: [whole])
    space.shading.type, space.shading.color_type = "SOLID", "MATERIAL"
    visible.update()
    assert state().hidden_by == "SOLID"


def test_texture_paint_shows_the_object_that_is_painted_on(addon, space):
    _paint(addon)
    space.shading.type = "SOLID"
    tick.tick()
    assert state().hidden_by == "SOLID"
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    tick.tick()
    assert state().hidden_by == ""
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.data.materials.append(bpy.data.materials.new("other"))
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    tick.tick()
    assert state().hidden_by == "SOLID", "it is on the other object"


def test_one_button_shows_it(addon, space):
    _paint(addon)
    space.shading.type = "WIREFRAME"
    for shading, expected in (("MATERIAL", ("MATERIAL",)), ("TEXTURE", ("SOLID", "TEXTURE"))):
        assert bpy.ops.sd.show_result(shading=shading) == {"FINISHED"}
        assert (space.shading.type, space.shading.color_type)[:len(expected)] == expected
        assert state().hidden_by == ""


def test_no_message_for_what_is_on_no_model_or_gone(addon, space):
    space.shading.type = "SOLID"
    _paint(addon, "NEW")
    assert state().hidden_by == ""
    _paint(addon)
    assert state().hidden_by == "SOLID"
    cube().data.materials.clear()
    for material in list(bpy.data.materials):
        bpy.data.materials.remove(material)
    tick.tick()
    assert state().hidden_by == ""
    cube().hide_set(True)
    sd.generate("moss", size=(32, 32), target=tick.scene.target_of_object(cube()))
    drain()
    assert state().hidden_by == "", "the object is hidden, so no shading would show it"


def test_the_preference_does_it_by_itself_once_for_each_result(addon, space, monkeypatch):
    prefs = SimpleNamespace(result_shading="MATERIAL", mesh_preview=False)
    monkeypatch.setattr(visible.preference_access, "get", lambda: prefs)
    prefs.result_shading = "ASK"
    _paint(addon)
    assert bpy.ops.sd.show_result(shading="MATERIAL", always=True) == {"FINISHED"}
    assert prefs.result_shading == "MATERIAL" and bpy.context.preferences.is_dirty
    space.shading.type = "SOLID"
    _paint(addon)
    assert space.shading.type == "MATERIAL" and state().hidden_by == ""
    space.shading.type = "SOLID"
    tick.tick()
    assert space.shading.type == "SOLID" and state().hidden_by == "SOLID", "who goes back to Solid may stay there"


def test_a_result_whose_image_is_gone_by_now_is_looked_for_and_not_touched(addon, space):
    addon.prompt, addon.target = "brick", "MATERIAL"
    bpy.ops.sd.generate()
    sd.jobs()[-1].result()  # a script waits, and opens another file before the timer comes
    bpy.ops.wm.read_factory_settings(use_empty=False)
    tick.tick()
    assert state().hidden_by == "" and visible._materials == []
