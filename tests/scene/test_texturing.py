"""What painting whole objects asks of the scene: masks from faces, and the faces that a preview is drawn on."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import SourceUnusable, TargetUnusable
from blender_sd.core.regions import Region
from blender_sd.scene import compat, regions, texturing, uv

SIDE = 32


@pytest.fixture
def painted(cube: bpy.types.Object) -> bpy.types.Image:
    """The image that the cube's base colour shows."""
    image = bpy.data.images.new("painted", SIDE, SIDE)
    image.pack()
    scene.apply_image(image, cube)
    return image


def white(plan, mask) -> np.ndarray:
    """The first image's mask, H×W bool."""
    return scene.texture_masks(plan, mask)["mask0"]().pixels[..., 0] > 0


def select(obj: bpy.types.Object, number: int) -> None:
    for group in (obj.data.vertices, obj.data.edges, obj.data.polygons):
        group.foreach_set("select", np.zeros(len(group), bool))
    obj.data.polygons[number].select = True


def test_selected_faces_are_the_same_in_edit_mode(cube, painted):
    select(cube, 2)
    there = white(scene.prepare_bake([cube], (SIDE, SIDE)), "FACES")
    meshes = set(bpy.data.meshes)
    bpy.ops.object.mode_set(mode="EDIT")
    edited = white(scene.prepare_bake([cube], (SIDE, SIDE)), "FACES")
    assert 0.02 < there.mean() < 0.2 and np.array_equal(edited, there)
    bpy.ops.mesh.select_all(action="DESELECT")
    with pytest.raises(TargetUnusable, match="No face"):
        white(scene.prepare_bake([cube], (SIDE, SIDE)), "FACES")
    assert set(bpy.data.meshes) == meshes
    bpy.ops.object.mode_set(mode="OBJECT")


def test_masks_follow_the_mapping_of_the_image(cube, painted):
    tree = compat.node_tree_of(cube.active_material)
    node = next(node for node in tree.nodes if node.type == "TEX_IMAGE")
    coordinates, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (0.5, 0.5, 1.0)
    tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], node.inputs["Vector"])
    cube.data.polygons.foreach_set("select", np.ones(len(cube.data.polygons), bool))
    mask = white(scene.prepare_bake([cube], (SIDE, SIDE)), "FACES")
    low, left = SIDE // 2 - 1, SIDE // 2 + 1  # rows run from the top
    assert mask[low:, :left].any() and not mask[:low].any() and not mask[:, left:].any()


def test_faces_without_uvs_are_named_and_have_no_preview(cube):
    uv.remove_maps(cube.data)
    plan = scene.prepare_bake([cube], (SIDE, SIDE))
    with pytest.raises(SourceUnusable, match="no UV map"):
        white(plan, "FACES")
    assert scene.textured_faces(plan) == []


def test_a_preview_covers_the_faces_of_its_material_by_the_map_for_rendering(cube, painted):
    cube.data.materials.append(bpy.data.materials.new("other"))
    for polygon in cube.data.polygons[2:]:
        polygon.material_index = 1
    other = cube.data.uv_layers.new(name="other")
    for point in other.uv:
        point.vector *= 0.25
    other.active_render, cube.data.uv_layers.active = True, cube.data.uv_layers[0]
    bpy.context.view_layer.update()
    plan = scene.prepare_bake([cube], (SIDE, SIDE))
    surface, = texturing.textured_faces(plan)
    assert len(surface.corners) == 2 * 2 * 3 and surface.uvs.max() <= 0.25
    bpy.ops.object.mode_set(mode="EDIT")
    assert texturing.textured_faces(plan) == []
    bpy.ops.object.mode_set(mode="OBJECT")


def test_regions_of_a_texture_are_the_same_in_edit_mode(cube, painted):
    given = [(Region("material", cube.active_material.name), None)]

    def drawn() -> bytes:
        mask, = regions.open_regions(given, painted, (SIDE, SIDE))
        return mask().encoded

    there = drawn()
    bpy.ops.object.mode_set(mode="EDIT")
    edited = drawn()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert edited == there
