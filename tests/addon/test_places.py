"""What menus, pie and Shader Editor call: the source that a button names, the active slot, and a node that is made for
the prompt."""
from __future__ import annotations

from types import SimpleNamespace

import bpy
import pytest

from blender_sd import scene
import blender_sd as sd
from blender_sd.core.errors import SourceUnusable
from tests.support.panels import within
from tests.support.addon import cube, drain


def _tree() -> bpy.types.NodeTree:
    return cube().active_material.node_tree


def test_a_button_names_its_source_and_the_panels_stays(addon, pipeline):
    addon.prompt, addon.render_source = "mosaic", "RENDER"
    render = bpy.context.scene.render
    render.engine, render.resolution_x, render.resolution_y, bpy.context.scene.cycles.samples = "CYCLES", 64, 64, 1
    assert bpy.ops.sd.restyle(source="CAMERA") == {"FINISHED"}
    drain()
    assert pipeline.orders[0].request.task.name == "image_to_image" and addon.render_source == "RENDER"


def test_generate_into_the_active_slot(addon, pipeline):
    node = _tree().nodes.new("ShaderNodeTexImage")
    addon.prompt = "brick"
    _tree().nodes.active = node
    assert bpy.ops.sd.generate_into_slot() == {"FINISHED"}
    drain()
    assert node.image == sd.jobs()[-1].outputs[0]
    _tree().nodes.remove(node)
    with pytest.raises(RuntimeError, match="no active image slot"):
        bpy.ops.sd.generate_into_slot()


def test_a_node_is_made_in_the_editors_tree(addon):
    with within("NODE_EDITOR") as context:
        space = context.space_data
        space.pin, space.node_tree = True, _tree()
        others = set(space.edit_tree.nodes)
        node = scene.add_image_node(space)
        assert node == space.edit_tree.nodes.active and [one for one in space.edit_tree.nodes if one.select] == [node]
        assert node not in others and node.image is None
    with pytest.raises(SourceUnusable, match="shows no material"):
        scene.add_image_node(SimpleNamespace(edit_tree=None))
