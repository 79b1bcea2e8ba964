"""The list of regions in the panel: what it gives to the calls, what it says of missing things, and Recall."""
from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

import blender_sd as sd
from blender_sd.addon.operators.regions import SD_OT_pick_region
from blender_sd.calls import models
from blender_sd.core.errors import SourceUnusable
from blender_sd.core.families import family_of
from blender_sd.core.regions import Region
from blender_sd.core.request import Request
from blender_sd.core.tasks import ImageToImage
from tests.addon.conftest import MODEL
from tests.support import panels
from tests.support.addon import cube
from tests.support.panels import wide  # noqa: F401  (a fixture)


def added(settings, kind="OBJECT", **values):
    region = settings.add_region()
    region.kind = kind
    for name, value in values.items():
        setattr(region, name, value)
    return region


def test_the_panels_regions_reach_the_request(addon):
    thing = cube()
    wood = bpy.data.materials.new("Wood")
    added(addon, thing=thing, feather=6)
    added(addon, "MATERIAL", material=wood, keep=False, prompt=" carved oak ", use_strength=True, strength=0.25)
    added(addon, "COLLECTION", collection=bpy.context.collection, enabled=False)
    assert [region for region, _ in addon.region_inputs()] == [
        Region("object", thing.name, keep=True, feather=6),
        Region("material", "Wood", prompt="carved oak", strength=0.25)]
    assert addon.region_inputs(painted=True) == []
    mask = bpy.data.images.new("Sky", 8, 8)
    added(addon, "MASK", mask=mask, keep=False, prompt="clouds")
    assert addon.region_inputs(painted=True) == [(Region("mask", prompt="clouds"), mask)]


def test_a_renamed_thing_is_still_meant_and_a_deleted_one_is_refused(addon):
    thing = cube()
    region = added(addon, thing=thing)
    thing.name = "Bottle"
    assert addon.region_inputs()[0][0].name == "Bottle"
    bpy.data.objects.remove(thing)
    assert not region.is_whole
    with pytest.raises(SourceUnusable, match="deleted"):
        addon.region_inputs()
    addon.task, addon.prompt = "RENDER", "x"
    with pytest.raises(RuntimeError, match="deleted"):
        bpy.ops.sd.restyle()
    assert not sd.jobs()


def test_buttons_add_the_active_object_and_remove(addon):
    thing = cube()
    assert bpy.ops.sd.add_region() == {"FINISHED"} and addon.active_region().thing == thing
    bpy.ops.sd.add_region()
    bpy.ops.sd.remove_region()
    assert len(addon.regions) == 1 and addon.region_index == 0
    bpy.ops.sd.remove_region()
    assert not bpy.ops.sd.remove_region.poll() and not bpy.ops.sd.preview_region.poll()


def test_a_model_that_only_inpaints_restyles_round_what_is_kept(addon, monkeypatch):
    inpainting = family_of("StableDiffusionInpaintPipeline", {"in_channels": 9})
    monkeypatch.setattr(models, "known_model", lambda name: replace(MODEL, abilities=inpainting))
    assert not bpy.ops.sd.restyle.poll()
    added(addon, thing=cube())
    assert bpy.ops.sd.restyle.poll()
    addon.regions[0].keep = False
    assert not bpy.ops.sd.restyle.poll()


def test_the_mask_is_previewed_as_an_image(addon):
    added(addon, thing=cube())
    bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 32
    addon.task, addon.render_source = "RENDER", "CAMERA"
    before = set(bpy.data.images)
    assert bpy.ops.sd.preview_region() == {"FINISHED"}
    (made,) = set(bpy.data.images) - before
    values = np.empty(len(made.pixels), np.float32)
    made.pixels.foreach_get(values)
    assert tuple(made.size) == (32, 32) and values.max() == 1


def test_recall_finds_things_by_name_and_marks_what_is_missing(addon):
    thing = cube()
    addon.fill_from(Request(task=ImageToImage(strength=0.3), regions=(
        Region("object", thing.name, keep=True, feather=3), Region("material", "Gone", prompt="x", strength=0.7))))
    here, gone = addon.regions
    assert here.thing == thing and here.keep and here.feather == 3
    assert gone.kind == "MASK" and not gone.is_whole and gone.prompt == "x" and gone.use_strength
    assert addon.region_index == 0


def test_a_style_takes_named_regions_and_gives_them_where_their_things_are(addon):
    made = '[{"object": "Cube", "keep": true}, {"material": "Gone", "prompt": "oak"}]'
    assert bpy.ops.sd.save_style(name="Shop", use_regions=True, regions=made) == {"FINISHED"}
    assert sd.find_style("Shop").regions == (
        Region("object", "Cube", keep=True), Region("material", "Gone", prompt="oak"))
    render = bpy.context.scene.render
    render.engine, render.resolution_x, render.resolution_y = "CYCLES", 32, 32
    bpy.context.scene.cycles.samples = 1
    job = sd.restyle("CAMERA", "x", style="Shop", regions=[sd.region(material="Material", prompt="{prompt}")])
    assert [(region.name, region.keep) for region in job.request.regions] == [("Material", False), ("Cube", True)]
    assert any("'Gone'" in note for note in job.notes)
    assert sd.generate("x", style="Shop").request.regions == ()
    sd.cancel_all()


@pytest.mark.parametrize(("kind", "value", "passes"), [
    ("WHEELUPMOUSE", "PRESS", True), ("MIDDLEMOUSE", "PRESS", True), ("NUMPAD_7", "PRESS", True),
    ("NDOF_MOTION", "NOTHING", True), ("X", "PRESS", False), ("LEFTMOUSE", "RELEASE", False)])
def test_the_view_can_be_turned_while_a_region_is_picked(addon, kind, value, passes):
    answer = SD_OT_pick_region.modal(None, bpy.context, SimpleNamespace(type=kind, value=value))
    assert answer == ({"PASS_THROUGH"} if passes else {"RUNNING_MODAL"})


def test_panels_say_where_regions_count_for_nothing(addon):
    words = ("Live mode heeds no regions.", "Projections heed no regions.")
    names = "SD_PT_view3d_live", "SD_PT_view3d_project"
    assert not any(text in panels.draw(panels.panel(name)).texts for text, name in zip(words, names))
    added(addon, thing=cube())
    assert all(text in panels.draw(panels.panel(name)).texts for text, name in zip(words, names))
