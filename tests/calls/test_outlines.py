"""Outlines of regions that another Blender renders, while this one goes on."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd.calls import outlines
from blender_sd.core.errors import SourceUnusable
from blender_sd.protocol.messages import Outline
from blender_sd.scene import geometry, mattes, regions
from tests.support.calls import PATIENCE, pixels

pytestmark = [pytest.mark.bpy, pytest.mark.slow]


@pytest.fixture
def shop(camera_scene):
    """A cube called Bottle of the material Glass before a wall that is an instance, 64 pixels a side, rendered without
    Cryptomatte."""
    scene = camera_scene(64)
    scene.cycles.samples = 1
    bottle = bpy.context.object
    bottle.name = "Bottle"
    bottle.data.materials.append(bpy.data.materials.new("Glass"))
    group = bpy.data.collections.new("Walls")
    wall = bpy.data.objects.new("Wall", bottle.data)
    wall.scale = (9, 0.1, 1)
    group.objects.link(wall)
    stands = bpy.data.objects.new("Stands", None)
    stands.instance_type, stands.instance_collection, stands.location = "COLLECTION", group, (0, 3, 0)
    scene.collection.objects.link(stands)
    bpy.ops.render.render()
    return scene


def test_another_blender_draws_the_same_and_this_file_stays_as_it_was(sd, shop):
    bpy.context.view_layer.objects.active = bpy.data.objects["Bottle"]
    bpy.ops.object.mode_set(mode="EDIT")  # its mesh is read as it is now
    blocks = {name: len(getattr(bpy.data, name)) for name in ("scenes", "objects", "collections", "cameras", "meshes")}
    read = mattes.rendered_elsewhere(shop, (64, 64), None, outlines.render)
    assert blocks == {name: len(getattr(bpy.data, name)) for name in blocks}
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.data.objects["Bottle"].location.x = 100  # after the click: changes nothing
    layers = read()
    bpy.data.objects["Bottle"].location.x = 0
    here = mattes.rendered(shop, (64, 64))
    for kind, name in ((mattes.OBJECTS, "Bottle"), (mattes.OBJECTS, "Wall"), (mattes.MATERIALS, "Glass")):
        there = layers.coverage(kind, {name})
        assert there.max() == 1 and np.array_equal(there, here.coverage(kind, {name}))


def test_a_restyle_with_a_window_renders_no_outlines_here(sd, shop, small, monkeypatch):
    kept = sd.region("Bottle", keep=True)
    wanted = pixels(sd.restyle("RENDER", "red brick wall", regions=[kept], **small).result(PATIENCE)[0])
    monkeypatch.setattr(regions, "_is_watched", lambda: True)
    monkeypatch.setattr(geometry, "rendered", lambda scene: pytest.fail("it was rendered here"))
    made = pixels(sd.restyle("RENDER", "red brick wall", regions=[kept], **small).result(PATIENCE)[0])
    assert np.array_equal(made, wanted)


def test_a_file_that_is_gone_is_said(sd, tmp_path):
    with pytest.raises(SourceUnusable, match="cannot be opened"):
        outlines.render(Outline("", str(tmp_path / "none.blend"), "Scene", str(tmp_path / "made.exr")))
    assert not (tmp_path / "made.exr").exists()
