"""Compare on the material: pictures of the history take turns on the active object, and all is put back."""
from __future__ import annotations

import bpy
import pytest

import blender_sd as sd
from blender_sd import scene
from blender_sd.addon import history
from tests.support.addon import cube
from tests.support.history import folder, put, settle  # noqa: F401  (a fixture)


def test_compare_on_the_material(folder, addon):
    put(folder, "b")
    old = bpy.data.images.new("old", 16, 16)
    old.use_fake_user = True
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, cube().active_material.node_tree.nodes.active = old, node
    settle()
    bpy.ops.sd.history_select(name="b.png")
    assert bpy.ops.sd.compare() == {"FINISHED"}
    settle()
    assert sd.recall(node.image).prompt == "b" and not bpy.ops.sd.compare.poll()
    bpy.ops.sd.compare_toggle()
    settle()
    assert node.image == old
    assert not bpy.ops.sd.compare_wipe.poll()
    images = len(bpy.data.images) - 1
    bpy.ops.sd.compare_show(side="B")
    settle()
    bpy.ops.sd.compare_end()
    settle()
    assert node.image == old and old.use_fake_user and len(
        bpy.data.images) == images and not bpy.ops.sd.compare_end.poll()
    bpy.ops.sd.compare()
    settle()
    bpy.ops.sd.compare_toggle()
    settle()
    bpy.ops.sd.compare_end(keep=True)
    assert sd.recall(node.image).prompt == "b" and old.use_fake_user, "the former picture stays in the file"


def test_back_takes_out_what_was_loaded_for_it_alone(folder, addon):
    put(folder, "b")
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, cube().active_material.node_tree.nodes.active = bpy.data.images.new("old", 16, 16), node
    settle()
    bpy.ops.sd.history_select(name="b.png")
    bpy.ops.sd.compare()
    settle()
    bpy.ops.sd.compare_end()
    assert [image.name for image in bpy.data.images if image.type not in scene.images.RENDERED] == ["old"]


def test_a_comparison_whose_picture_is_gone_ends_in_words(folder, addon):
    put(folder, "b")
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, cube().active_material.node_tree.nodes.active = bpy.data.images.new("old", 16, 16), node
    settle()
    bpy.ops.sd.history_select(name="b.png")
    bpy.ops.sd.compare()
    settle()
    bpy.data.images.remove(node.image)
    with pytest.raises(RuntimeError, match="no longer in this file"):
        bpy.ops.sd.compare_toggle()
    settle()
    assert history.shown().comparison is None
    with pytest.raises(RuntimeError, match="slot is empty"):
        bpy.ops.sd.compare()
    assert "b" not in bpy.data.images, "nothing is loaded where there is nothing to compare with"
