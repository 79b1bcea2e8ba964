"""A cube with a texture in its active slot, and a render."""
from __future__ import annotations

import bpy

from tests.support.addon import cube
from tests.support.fake_pipeline import write_png


def textured_cube(size: int = 32) -> tuple[bpy.types.Node, bpy.types.Image]:
    """The cube with an image node that is active in its material."""
    image = bpy.data.images.new("old", size, size)
    material = cube().active_material
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.nodes.active = node
    return node, image


def rendered(size: int = 32) -> None:
    scene = bpy.context.scene
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    bpy.ops.render.render()


def saved_picture(folder, request) -> str:
    path = str(folder / "stranger.png")
    write_png(path, request)
    return path
