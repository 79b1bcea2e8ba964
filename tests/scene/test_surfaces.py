"""The faces that a texture lies on, as they are drawn."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.scene import compat, surfaces


@pytest.fixture
def textured(cube):
    """The cube with an image in its Base Color."""
    image = bpy.data.images.new("texture", 8, 8)
    scene.apply_image(image, cube)
    return cube


def of(kind: str = "material", **options):
    return surfaces.surfaces_of(scene.freeze_target(bpy.context, kind, **options), bpy.context)


def test_a_cube_as_its_uv_map_says(textured):
    surface, = of()
    assert surface.find() == textured
    assert surface.corners.shape == surface.normals.shape == (36, 3) and surface.uvs.shape == (36, 2)
    mesh = textured.data
    for number, triangle in enumerate(mesh.loop_triangles):
        for corner, loop in enumerate(triangle.loops):
            at = number * 3 + corner
            assert np.allclose(surface.corners[at], mesh.vertices[mesh.loops[loop].vertex_index].co)
            assert np.allclose(surface.uvs[at], mesh.uv_layers.active.uv[loop].vector)
            assert np.allclose(surface.normals[at], triangle.normal, atol=1e-5)


def test_modifiers_are_seen_and_only_the_materials_own_faces(textured):
    other = bpy.data.materials.new("other")
    textured.data.materials.append(other)
    textured.data.polygons[0].material_index = 1
    textured.modifiers.new("s", "SUBSURF").levels = 1
    surface, = of()
    assert len(surface.corners) == 5 * 4 * 2 * 3


def test_all_that_wear_the_material_are_covered_through_its_slot(textured):
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.data.materials.append(textured.active_material)
    found = of("slot")
    assert sorted(surface.owner.name for surface in found) == ["Cube", "Plane"]


def test_a_mesh_without_uv_map_as_the_one_it_will_get(cube):
    cube.data.uv_layers.remove(cube.data.uv_layers[0])
    cube.data.update()
    surface, = of()
    scene.apply_image(bpy.data.images.new("texture", 8, 8), cube)
    made, = of()
    assert np.allclose(surface.uvs, made.uvs, atol=1e-5)


def test_nothing_where_it_would_be_shown_wrongly(textured, monkeypatch):
    assert of(slot="Roughness") == []
    tree = compat.node_tree_of(textured.active_material)
    node = tree.nodes.active
    tree.links.new(tree.nodes.new("ShaderNodeMapping").outputs["Vector"], node.inputs["Vector"])
    assert of() == of("slot") == []
    tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["UV"], node.inputs["Vector"])
    assert len(of()) == 1
    bpy.ops.object.mode_set(mode="EDIT")
    assert of() == []
    bpy.ops.object.mode_set(mode="OBJECT")
    monkeypatch.setattr(surfaces, "_MOST_TRIANGLES", 11)
    assert of() == []
    assert of("new") == []


def test_a_job_about_an_editors_image_covers_all_that_wears_it(textured):
    """Such a job changes every material that uses the image; where it is no base color it is not seen as colour."""
    image = textured.active_material.node_tree.nodes.active.image
    bpy.ops.mesh.primitive_plane_add()
    scene.apply_image(image, bpy.context.object)
    bpy.ops.mesh.primitive_plane_add()
    scene.apply_image(image, bpy.context.object, "Roughness")
    target = scene.Target("editor", scene.new_image_target().scenes, image=scene.targets.identity(image))
    found = surfaces.surfaces_of(target, bpy.context)
    assert sorted(surface.owner.name for surface in found) == ["Cube", "Plane"]
