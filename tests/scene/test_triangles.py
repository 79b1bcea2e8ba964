"""Triangles for the engine: what is rendered, with its UVs, objects and textures; and cameras as numbers."""
from __future__ import annotations

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

from blender_sd.core.errors import SourceUnusable, TargetUnusable
from blender_sd.protocol.surfaces import OCCLUDER
from blender_sd.scene import compat, lenses, triangles, views
from blender_sd.scene.targets import lookup


def collected(*objects, shown=None):
    triangles.check_objects(objects)
    bpy.context.view_layer.update()
    return triangles.collect(objects, bpy.context.evaluated_depsgraph_get(), shown)


def outwards(found) -> np.ndarray:
    """Return for each triangle how much it faces away from the middle of all."""
    corners = found.triangles.vertices[found.triangles.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.einsum("ij,ij->i", normals, corners.mean(1) - corners.reshape(-1, 3).mean(0))


def with_image(obj, name: str = "painted", slot: int = 0):
    material = bpy.data.materials.new("M")
    obj.data.materials.append(material)
    node = compat.node_tree_of(material).nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.new(name, 8, 8)
    shader = material.node_tree.nodes["Principled BSDF"]
    material.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])
    return material, node


def test_a_cube(cube):
    found = collected(cube)
    assert found.triangles.vertices.shape == (8, 3) and found.triangles.triangles.shape == (12, 3)
    assert found.triangles.uv.shape == (12, 3, 2) and (found.triangles.textures == 0).all()
    assert (outwards(found) > 0).all()
    mesh = cube.data
    for number, triangle in enumerate(mesh.loop_triangles):
        for corner, loop in enumerate(triangle.loops):
            assert np.allclose(found.triangles.uv[number, corner], mesh.uv_layers.active.uv[loop].vector)
    texture, = found.textures
    assert texture.material is None and texture.image is None and lookup(texture.owners[0]) == cube


def test_modifiers_shape_keys_and_armatures_count(cube):
    cube.modifiers.new("s", "SUBSURF").levels = 2
    assert len(collected(cube).triangles.triangles) == 6 * 16 * 2
    cube.modifiers.clear()
    cube.shape_key_add(name="Basis")
    key = cube.shape_key_add(name="up")
    for point in key.data:
        point.co.z += 5
    key.value = 1
    assert np.isclose(collected(cube).triangles.vertices[:, 2].min(), 4)
    key.value = 0
    armature = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    bpy.context.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bone = armature.data.edit_bones.new("bone")
    bone.tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    cube.vertex_groups.new(name="bone").add(range(8), 1.0, "REPLACE")
    cube.modifiers.new("a", "ARMATURE").object = armature
    armature.pose.bones["bone"].location = (3, 0, 0)
    assert np.isclose(collected(cube).triangles.vertices[:, 0].max(), 4)


@pytest.mark.parametrize("scale", [(-1, 1, 1), (-2, -2, -2), (1, 3, 0.1)])
def test_mirrored_and_scaled_objects_still_face_outwards(cube, scale):
    cube.scale = scale
    cube.rotation_euler = (0.3, 0.7, 1.1)
    assert (outwards(collected(cube)) > 0).all()


def test_a_mirror_modifier_and_ngons(cube):
    bpy.ops.mesh.primitive_circle_add(vertices=7, fill_type="NGON", location=(3, 0, 0))
    ngon = bpy.context.object
    ngon.modifiers.new("m", "MIRROR")
    found = collected(ngon, shown={ngon})
    assert len(found.triangles.triangles) == 2 * 5


def test_instances_are_there_and_share_the_texture(cube):
    group = bpy.data.collections.new("group")
    bpy.context.scene.collection.children.link(group)
    group.objects.link(cube)
    for owner in [one for one in cube.users_collection if one != group]:
        owner.objects.unlink(cube)
    empty = bpy.data.objects.new("empty", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", group
    empty.location = (5, 0, 0)
    bpy.context.scene.collection.objects.link(empty)
    found = collected(cube)
    assert len(found.triangles.triangles) == 24 and (found.triangles.textures == 0).all()
    assert len(set(found.triangles.objects.tolist())) == 2 and np.isclose(found.triangles.vertices[:, 0].max(), 6)


def test_linked_duplicates_share_a_texture_and_others_do_not(cube):
    twin = bpy.data.objects.new("twin", cube.data)
    other = bpy.data.objects.new("other", cube.data.copy())
    for number, obj in enumerate((twin, other)):
        obj.location.x = 4 * number + 4
        bpy.context.collection.objects.link(obj)
    found = collected(cube, twin, other)
    assert [len(texture.owners) for texture in found.textures] == [2, 1]
    assert np.bincount(found.triangles.textures).tolist() == [24, 12]


def test_each_slot_has_its_texture_and_the_rest_is_in_the_way(cube):
    first, node = with_image(cube)
    second, _ = with_image(cube, "second")
    cube.data.polygons[0].material_index = 1
    cube.data.polygons[1].material_index = 9  # Blender draws it with the last
    bpy.ops.mesh.primitive_ico_sphere_add(location=(3, 0, 0))
    bpy.ops.object.text_add(location=(0, 3, 0))
    found = collected(cube)
    assert [lookup(texture.material) for texture in found.textures] == [first, second]
    assert lookup(found.textures[0].image) == node.image
    assert np.count_nonzero(found.triangles.textures == 0) == 8
    assert np.count_nonzero(found.triangles.textures == 1) == 4
    assert np.count_nonzero(found.triangles.textures == OCCLUDER) > 80


def test_hidden_objects_are_not_in_the_way(cube):
    bpy.ops.mesh.primitive_ico_sphere_add(location=(3, 0, 0))
    ball = bpy.context.object
    found = collected(cube, shown={cube})
    assert (found.triangles.textures == 0).all()
    ball.hide_viewport = True
    assert (collected(cube).triangles.textures == 0).all()
    cube.hide_viewport = True
    with pytest.raises(SourceUnusable, match="Nothing of Cube"):
        collected(cube)


def test_the_uv_map_is_the_nodes_or_that_for_rendering(cube):
    second = cube.data.uv_layers.new(name="second")
    for point in second.uv:
        point.vector = (0.25, 0.75)
    assert collected(cube).textures[0].uv_map == cube.data.uv_layers[0].name
    second.active_render = True
    assert collected(cube).textures[0].uv_map == "second"
    cube.data.uv_layers[0].active_render = True
    material, node = with_image(cube)
    named = material.node_tree.nodes.new("ShaderNodeUVMap")
    named.uv_map = "second"
    material.node_tree.links.new(named.outputs[0], node.inputs["Vector"])
    found = collected(cube)
    assert found.textures[0].uv_map == "second" and np.allclose(found.triangles.uv, (0.25, 0.75))
    mapping = material.node_tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (2, 4, 1)
    material.node_tree.links.new(named.outputs[0], mapping.inputs["Vector"])
    material.node_tree.links.new(mapping.outputs[0], node.inputs["Vector"])
    assert np.allclose(collected(cube).triangles.uv, (0.5, 3.0))


def test_udim_tiles_that_are_used(cube):
    _, node = with_image(cube)
    image = bpy.data.images.new("tiled", 8, 8, tiled=True)
    for number in (1002, 1011):
        image.tiles.new(number)
    node.image = image
    for point in cube.data.uv_layers[0].uv:
        point.vector.x *= 2
    assert collected(cube).textures[0].udim == (1001, 1002)


def test_udim_tiles_of_other_slots_do_not_count(cube):
    _, node = with_image(cube)
    node.image = bpy.data.images.new("tiled", 8, 8, tiled=True)
    node.image.tiles.new(1002)
    cube.data.materials.append(bpy.data.materials.new("other"))
    for polygon in cube.data.polygons[3:]:
        polygon.material_index = 1
        for loop in polygon.loop_indices:
            cube.data.uv_layers[0].uv[loop].vector.x += 1
    assert [texture.udim for texture in collected(cube).textures] == [(1001,), ()]


def test_bad_objects_are_refused_in_words(cube):
    with pytest.raises(TargetUnusable, match="No object"):
        collected()
    bpy.ops.object.text_add()
    with pytest.raises(TargetUnusable, match="not a mesh"):
        collected(bpy.context.object)
    empty = bpy.data.objects.new("empty", bpy.data.meshes.new("empty"))
    bpy.context.collection.objects.link(empty)
    with pytest.raises(TargetUnusable, match="no faces"):
        collected(empty)
    material, node = with_image(cube)
    node.projection = "BOX"
    with pytest.raises(TargetUnusable, match="not mapped by a UV map"):
        collected(cube)


def test_linked_objects_are_refused(cube, tmp_path):
    material, _ = with_image(cube)
    bpy.data.libraries.write(str(tmp_path / "a.blend"), {cube})
    bpy.data.objects.remove(cube)
    with bpy.data.libraries.load(str(tmp_path / "a.blend"), link=True) as (there, here):
        here.objects = there.objects
    bpy.context.collection.objects.link(here.objects[0])
    with pytest.raises(TargetUnusable, match="linked from another file"):
        collected(here.objects[0])


POINTS = np.random.default_rng(0).uniform(-1, 1, (40, 3))


def pixels(lens) -> np.ndarray:
    axes = np.array(lens.axes).reshape(3, 3)
    local = (POINTS - lens.origin) @ axes.T
    depth = local[:, 2] if lens.perspective else 1
    return np.stack([local[:, 0] / depth * lens.scale_x + lens.centre_x,
                     lens.centre_y - local[:, 1] / depth * lens.scale_y], 1)


@pytest.mark.parametrize("kind", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("size", [(400, 200), (200, 400)])
def test_points_fall_where_the_camera_shows_them(kind, size):
    scene = bpy.context.scene
    data = bpy.data.cameras.new("c")
    camera = bpy.data.objects.new("c", data)
    scene.collection.objects.link(camera)
    data.type, data.shift_x, data.shift_y, data.lens, data.ortho_scale = kind, 0.2, -0.1, 40, 3
    data.clip_start, data.clip_end = 0.5, 90
    camera.location, camera.rotation_euler, camera.scale = (4, -5, 3), (1.1, 0.1, 0.6), (2, 2, 2)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = *size, 100
    scene.render.pixel_aspect_x = 1.5
    bpy.context.view_layer.update()
    lens = lenses.camera_lens(camera, scene, bpy.context.evaluated_depsgraph_get(), size)
    expected = [world_to_camera_view(scene, camera, Vector(point)) for point in POINTS]
    assert np.allclose(pixels(lens), [(point.x * size[0], (1 - point.y) * size[1]) for point in expected], atol=1e-2)
    assert np.isclose(lens.near, 0.5, rtol=1e-4) and np.isclose(lens.far, 90, rtol=1e-3)


def test_a_view_s_lens_is_its_camera_s():
    scene = bpy.context.scene
    optics = views.Optics(Matrix.Translation((1, 2, 6)), False, 0.8, (0.1, -0.2), 0.1, 100)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 300, 200, 100
    with views.as_camera(optics, scene) as camera:
        bpy.context.view_layer.update()
        graph = bpy.context.evaluated_depsgraph_get()
        assert np.allclose(pixels(lenses.view_lens(optics, (300, 200))),
                           pixels(lenses.camera_lens(camera, scene, graph, (300, 200))), atol=1e-2)


def test_panoramas_and_what_is_no_camera_are_refused(cube):
    scene, graph = bpy.context.scene, bpy.context.evaluated_depsgraph_get()
    with pytest.raises(SourceUnusable, match="not a camera"):
        lenses.camera_lens(cube, scene, graph, (8, 8))
    data = bpy.data.cameras.new("c")
    camera = bpy.data.objects.new("c", data)
    scene.collection.objects.link(camera)
    data.type = "PANO"
    bpy.context.view_layer.update()
    with pytest.raises(SourceUnusable, match="panoramic"):
        lenses.camera_lens(camera, scene, bpy.context.evaluated_depsgraph_get(), (8, 8))
