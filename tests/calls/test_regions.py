"""Regions by the calls, with a real engine: kept pixels of a render, the same settings once more, projecting."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd.core.errors import InvalidRequest
from tests.support.calls import PATIENCE, pixels

pytestmark = pytest.mark.bpy


def pixels_of(job):
    return pixels(job.result(PATIENCE)[0])


@pytest.fixture
def shop(camera_scene):
    """A cube called Bottle in front of nothing, 64 pixels a side."""
    scene = camera_scene(64)
    bpy.context.object.name = "Bottle"
    bpy.context.object.data.materials.append(bpy.data.materials.new("Glass"))
    scene.render.film_transparent, scene.cycles.samples = False, 8
    return scene


def test_the_product_stays_and_the_same_settings_give_the_same_picture(sd, shop, small):
    job = sd.restyle("CAMERA", "red brick wall", strength=0.9, regions=[sd.region("Bottle", keep=True)], **small)
    made = pixels_of(job)
    source = sd.restyle("RENDER", "x", strength=0.0, **small)
    shown = pixels_of(source)
    kept = (made == shown).all(-1)
    assert kept[28:36, 28:36].all() and kept.mean() < 0.7
    request = sd.recall(job.outputs[0])
    assert request.regions[0].name == "Bottle" and request.regions[0].mask.startswith("sha256:")
    bpy.data.objects["Bottle"].location.x = 100  # the settings hold the mask: no scene is needed
    assert np.array_equal(pixels_of(sd.run(request)), made)


def test_what_is_not_seen_is_said_and_the_job_continues(sd, shop, small):
    bpy.data.objects["Bottle"].location.x = 100
    job = sd.restyle("CAMERA", "red brick wall", strength=0.9, regions=[sd.region("Bottle", keep=True)], **small)
    pixels_of(job)
    assert any("Nothing of the object 'Bottle'" in note for note in job.notes)


def test_a_region_of_the_view_that_is_projected(sd, shop, small):
    bottle = bpy.data.objects["Bottle"]
    job = sd.project("CAMERA", "red brick wall", objects=[bottle], texture_size=(64, 64),
                     regions=[sd.region(material="Glass", prompt="green glass")], **small)
    assert job.result(PATIENCE) and job.request.regions[0].prompt == "green glass"
    with pytest.raises(InvalidRequest, match="no regions"):
        sd.project("CAMERA", "red brick wall", objects=[bottle], mask="OBJECTS",
                   regions=[sd.region("Bottle", keep=True)], **small)


def test_regions_of_a_projection_lie_where_its_own_camera_sees_them(sd, shop, small):
    """Where the render has no Cryptomatte, masks are rendered for themselves: by the same camera."""
    shop.render.engine, other = "BLENDER_WORKBENCH", shop.camera
    away = bpy.data.objects.new("away", bpy.data.cameras.new("away"))
    away.location = (100, 0, 0)
    shop.collection.objects.link(away)
    shop.camera = away
    bpy.context.view_layer.update()
    job = sd.project(other, "red brick wall", objects=[bpy.data.objects["Bottle"]], texture_size=(64, 64),
                     regions=[sd.region("Bottle", prompt="green glass")], **small)
    assert job.result(PATIENCE) and not any("Nothing of" in note for note in job.notes)
    assert shop.camera == away
