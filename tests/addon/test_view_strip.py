"""The views in the panel Texture Object: which are chosen, and when their pictures are drawn."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd.addon import tick, view_strip
from blender_sd.addon.texture_choices import texture_views
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.tasks import SIDES
from blender_sd.scene.side_pictures import SIDE, Drawer
from tests.support.panels import shown, wide  # noqa: F401  (a fixture)

PANEL = "SD_PT_view3d_textureobject"


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The lenses of all pictures that are drawn, which are plain grey."""
    lenses: list = []

    def picture(self, lens) -> np.ndarray:
        lenses.append(lens)
        return np.full((SIDE, SIDE, 4), 0.5, np.float32)

    monkeypatch.setattr(Drawer, "picture", picture)
    return lenses


def cameras() -> list[bpy.types.Object]:
    """Return the scene's camera and a second one."""
    first = bpy.context.scene.camera
    second = first.copy()
    second.name = "Second"
    bpy.context.scene.collection.objects.link(second)
    return [first, second]


def finish() -> None:
    while view_strip.busy():
        view_strip.update()


def test_only_chosen_cameras_paint(addon):
    first, second = cameras()
    addon.texture_from = "CAMERAS"
    assert set(texture_views(bpy.context)) == {first, second}
    first.sd_view = False
    assert texture_views(bpy.context) == [second]
    assert {(owner, name) for owner, name in shown(PANEL).props if name == "sd_view"} == {
        (first, "sd_view"), (second, "sd_view")}
    second.sd_view = False
    with pytest.raises(InvalidRequest, match="No camera is chosen"):
        texture_views(bpy.context)
    addon.texture_from = "SIDES"
    assert texture_views(bpy.context) == list(SIDES)


def test_without_a_selection_there_is_nothing_to_show(addon):
    bpy.context.view_layer.objects.active.select_set(False)
    assert not bpy.ops.sd.show_views.poll()
    shown(PANEL)


def test_in_the_background_the_words_stay(addon):
    assert bpy.ops.sd.show_views() == {"CANCELLED"}
    paper = shown(PANEL)
    assert "Front Right" in paper.texts and not view_strip.has_pictures()
    assert "need a Blender with a window" in " ".join(paper.texts)


def test_the_sides_are_drawn_a_few_at_each_turn(addon, drawn, monkeypatch):
    monkeypatch.setattr(view_strip, "_BUDGET", 0.0)
    shown(PANEL)
    view_strip.update()
    assert not drawn, "only after a click"
    assert bpy.ops.sd.show_views() == {"FINISHED"}
    assert len(drawn) == 1 and tick.tick() == tick.BUSY and not view_strip.has_pictures()
    finish()
    assert len(drawn) == len(SIDES) == len({lens.axes for lens in drawn})
    assert set(view_strip._previews) == set(SIDES)  # icons have no numbers in the background
    shown(PANEL)
    view_strip.update()
    assert len(drawn) == len(SIDES), "nothing has changed"


def test_pictures_follow_the_selection_and_the_cameras(addon, drawn):
    assert bpy.ops.sd.show_views() == {"FINISHED"}
    finish()
    drawn.clear()
    bpy.ops.mesh.primitive_plane_add(location=(5, 0, 0))
    view_strip.update()
    assert not drawn, "while the panel is not drawn, nobody sees them"
    shown(PANEL)
    view_strip.update()
    finish()
    assert len(drawn) == len(SIDES)
    drawn.clear()
    cameras()[1].data = bpy.data.cameras.new("Panorama")
    bpy.data.cameras["Panorama"].type = "PANO"
    addon.texture_from = "CAMERAS"
    shown(PANEL)
    view_strip.update()
    finish()
    assert len(drawn) == 1 and set(view_strip._previews) == {"Camera"}
    for obj in bpy.context.selected_objects:
        obj.select_set(False)
    shown(PANEL)
    assert view_strip.update() and not view_strip.has_pictures()
    assert not view_strip.note, "the panel says already what to select"
    bpy.context.scene.objects["Cube"].select_set(True)
    shown(PANEL)
    view_strip.update()
    finish()
    assert view_strip.has_pictures()
    bpy.ops.wm.read_factory_settings(use_empty=False)
    assert not view_strip.has_pictures()


def test_a_driver_that_fails_leaves_the_words(addon, drawn, monkeypatch):
    assert bpy.ops.sd.show_views() == {"FINISHED"}
    finish()

    def fails(self, lens):
        raise SystemError("GPUOffScreen.new(...) failed")

    monkeypatch.setattr(Drawer, "picture", fails)
    assert bpy.ops.sd.show_views() == {"CANCELLED"}
    assert not view_strip.has_pictures() and not view_strip.busy()
    assert "choose them by their names" in " ".join(shown(PANEL).texts)
