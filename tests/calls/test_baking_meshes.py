"""Every kind of mesh that Blender has, baked onto by the public call: real engine, real scene."""
from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from blender_sd.core.errors import OutOfMemory, SourceUnusable, TargetUnusable
from blender_sd.scene import compat, materials
from tests.support.baking import (
    BLUE, FRONT, GREEN, RED, RIGHT, UP, camera, colour_at, face_towards, flat, is_near, shown,
)
from tests.support.calls import PATIENCE

pytestmark = [pytest.mark.bpy, pytest.mark.slow]


def bake(sd, objects, scale: float = 1.0, **settings):
    """Bake red from above, blue from the front, green from the right. Return the job."""
    views = {"top": RED, "front": BLUE, "right": GREEN}
    job = sd.bake([flat(*colour) for colour in views.values()], [camera(name, scale) for name in views], objects,
                  **{"size": (128, 128), "harmonise": False, **settings})
    job.result(PATIENCE)
    return job


def check_faces(obj, image=None, uv_map: str = "", by: float = 1.0) -> None:
    for direction, colour in ((UP, RED), (FRONT, BLUE), (RIGHT, GREEN)):
        assert is_near(colour_at(obj, face_towards(obj, direction), image, uv_map), colour, by), direction


def made(name: str, build) -> bpy.types.Object:
    """Return a new object whose mesh `build` makes, which gets a BMesh."""
    import bmesh  # which there is once bpy was imported

    mesh = bpy.data.meshes.new(name)
    edit = bmesh.new()
    build(edit)
    edit.to_mesh(mesh)
    edit.free()
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.update()
    return obj


def without_uvs(obj) -> None:
    while obj.data.uv_layers:
        obj.data.uv_layers.remove(obj.data.uv_layers[0])
    obj.data.update()
    bpy.context.view_layer.update()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("turned", [1, -1])
def test_tiny_huge_and_negatively_scaled_objects(sd, cube, scale, turned):
    cube.scale = (turned * scale, scale, scale)
    bpy.context.view_layer.update()
    bake(sd, [cube], scale)
    for direction, colour in ((UP, RED), (FRONT, BLUE), ((turned, 0, 0), GREEN)):
        assert is_near(colour_at(cube, face_towards(cube, direction)), colour), direction


def test_the_uv_map_for_rendering_counts_and_the_node_s_before_it(sd, cube):
    other = cube.data.uv_layers.new(name="other")
    for point in other.uv:
        point.vector = point.vector * 0.5
    other.active_render, cube.data.uv_layers.active = True, cube.data.uv_layers[0]
    bpy.context.view_layer.update()
    bake(sd, [cube])
    check_faces(cube, uv_map="other")
    assert len(cube.data.uv_layers) == 2 and cube.data.uv_layers["other"].active_render
    node = materials.base_color_node(cube.active_material)
    tree = compat.node_tree_of(cube.active_material)
    named = tree.nodes.new("ShaderNodeUVMap")
    named.uv_map = cube.data.uv_layers[0].name
    tree.links.new(named.outputs[0], node.inputs[0])
    bpy.context.view_layer.update()
    bake(sd, [cube])
    check_faces(cube, uv_map=cube.data.uv_layers[0].name)


def test_overlapping_uvs_are_reported(sd, cube):
    loops = [cube.data.polygons[face_towards(cube, direction)].loop_indices for direction in (UP, FRONT)]
    for here, there in zip(*loops):
        cube.data.uv_layers[0].uv[there].vector = cube.data.uv_layers[0].uv[here].vector
    job = bake(sd, [cube])
    assert any("overlap on" in note for note in job.notes)


def test_n_gons_and_faces_that_share_an_edge(sd):
    import bmesh

    def build(edit):
        bmesh.ops.create_circle(edit, cap_ends=True, radius=1, segments=7)
        edit.faces.ensure_lookup_table()
        edit.normal_update()
        if edit.faces[0].normal.z < 0:
            bmesh.ops.reverse_faces(edit, faces=edit.faces[:])
        edge = next(iter(edit.edges))
        a, b = edge.verts
        for up in (0.6, -0.6):  # three faces at one edge
            top = [edit.verts.new((*vertex.co.xy, up)) for vertex in (b, a)]
            edit.faces.new([a, b, *top])
    obj = made("odd", build)
    layer = obj.data.uv_layers.new(name="UV")
    many = next(polygon.index for polygon in obj.data.polygons if len(polygon.vertices) == 7)
    for polygon in obj.data.polygons:
        for loop in polygon.loop_indices:
            point = obj.data.vertices[obj.data.loops[loop].vertex_index].co
            layer.uv[loop].vector = (point.x * 0.2 + 0.25, point.y * 0.2 + 0.25) if polygon.index == many else (
                0.6 + 0.2 * (loop % 2), 0.2 * polygon.index + 0.1 * point.z)
    bpy.context.view_layer.update()
    bake(sd, [obj])
    assert is_near(colour_at(obj, many), RED)


def test_modifiers_shape_keys_and_armatures_count_as_rendered(sd, cube):
    cube.shape_key_add(name="Basis")
    key = cube.shape_key_add(name="moved")
    for point in key.data:
        point.co.z += 3
    key.value = 1
    bone_data = bpy.data.armatures.new("bones")
    bones = bpy.data.objects.new("bones", bone_data)
    bpy.context.collection.objects.link(bones)
    bpy.context.view_layer.objects.active = bones
    bpy.ops.object.mode_set(mode="EDIT")
    bone = bone_data.edit_bones.new("bone")
    bone.head, bone.tail = (0, 0, 0), (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    cube.vertex_groups.new(name="bone").add(range(8), 1.0, "REPLACE")
    cube.modifiers.new("armature", "ARMATURE").object = bones
    bones.pose.bones[0].matrix = Matrix.Translation((0, 0, -3)) @ bones.pose.bones[0].matrix
    bpy.context.view_layer.update()
    where = cube.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.vertices
    assert abs(np.mean([vertex.co.z for vertex in where])) < 1e-4  # the armature takes back what the key did
    bake(sd, [cube])
    check_faces(cube)


def test_mirrored_halves_share_their_texture(sd, cube):
    for vertex in cube.data.vertices:
        vertex.co.x = vertex.co.x * 0.5 + 0.5  # the half at the right
    cube.modifiers.new("mirror", "MIRROR")
    bpy.context.view_layer.update()
    job = bake(sd, [cube])
    assert is_near(colour_at(cube, face_towards(cube, RIGHT)), GREEN)
    assert any("overlap on" in note for note in job.notes)  # both halves lie on one place


def test_instances_take_colour_where_the_original_is_hidden(sd, cube):
    collection = bpy.data.collections.new("kept")
    bpy.context.collection.objects.unlink(cube)
    collection.objects.link(cube)
    holder = bpy.data.objects.new("instance", None)
    holder.instance_type, holder.instance_collection = "COLLECTION", collection
    bpy.context.collection.objects.link(holder)
    bpy.context.view_layer.update()
    bake(sd, [cube])
    check_faces(cube)


@pytest.mark.parametrize("modifier", ["", "SUBSURF", "ARRAY"])
def test_a_mesh_without_uvs_gets_a_map_that_its_modifiers_carry_on(sd, cube, monkeypatch, modifier):
    steps = []
    monkeypatch.setattr("blender_sd.scene.baking.push_undo", steps.append)
    without_uvs(cube)
    if modifier:
        made_one = cube.modifiers.new("m", modifier)
        if modifier == "SUBSURF":
            made_one.levels = made_one.render_levels = 2
        else:
            made_one.count, made_one.relative_offset_displace = 2, (0, 2, 0)
    bpy.context.view_layer.update()
    job = sd.bake([flat(*RED), flat(*BLUE), flat(*GREEN)], [camera(name) for name in ("top", "front", "right")], [cube],
                  size=(256, 256), harmonise=False)
    while not job.done:
        assert not cube.data.uv_layers  # until the result is there, the mesh stays as it was
        sd.wait(0.05)
        sd.pump()
    (image,) = job.result(PATIENCE)
    assert [layer.name for layer in cube.data.uv_layers] == ["UVMap"] and shown(cube) == image and len(steps) == 1
    check_faces(cube, by=10 if modifier == "SUBSURF" else 1)  # of a ball, all cameras see a little of each side
    uv = np.array([point.vector for point in cube.data.uv_layers[0].uv])
    assert uv.min() >= 0 and uv.max() <= 1


def test_meshes_without_uvs_are_projected_onto(sd, cube):
    without_uvs(cube)
    sd.project(camera("top"), flat(*RED), objects=[cube], texture_size=(128, 128)).result(PATIENCE)
    assert is_near(colour_at(cube, face_towards(cube, UP)), RED)
    assert np.abs(colour_at(cube, face_towards(cube, FRONT)) - 231).max() <= 1  # the base colour that it had


def test_a_cancelled_unwrapping_leaves_no_map(sd, cube):
    without_uvs(cube)
    job = sd.bake([flat(*RED)], [camera("top")], [cube], size=(64, 64))
    job.cancel()
    with pytest.raises(Exception, match="cancelled"):
        job.result(PATIENCE)
    assert not cube.data.uv_layers


def test_a_mesh_that_is_edited_before_its_map_is_made(sd, cube):
    import bmesh

    without_uvs(cube)
    job = sd.bake([flat(*RED)], [camera("top")], [cube], size=(64, 64))
    edit = bmesh.new()
    edit.from_mesh(cube.data)
    bmesh.ops.delete(edit, geom=edit.faces[:1], context="FACES")
    edit.to_mesh(cube.data)
    edit.free()
    with pytest.raises(TargetUnusable, match="was edited"):
        job.result(PATIENCE)
    assert not cube.data.uv_layers and not cube.material_slots


def test_single_user_on_request(sd, cube):
    cube.data.materials.append(bpy.data.materials.new("shared"))
    twin = bpy.data.objects.new("twin", cube.data)
    third = bpy.data.objects.new("third", cube.data)
    for obj in (twin, third):
        obj.location = (0, 0, -9)
        bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.update()
    job = bake(sd, [cube, twin], single_user=True)
    images = job.outputs
    assert len(images) == 2 and shown(cube) != shown(twin)
    assert len({cube.data, twin.data, third.data}) == 3
    assert third.material_slots[0].material.name == "shared" and materials.base_color_node(
        third.material_slots[0].material) is None
    check_faces(cube)


def test_debug_pictures_follow_in_the_outputs(sd, cube):
    job = bake(sd, [cube], debug=["coverage", "best view", "seams", "weights"])
    images = job.result(PATIENCE)
    assert len(images) == 5 and images[0] == shown(cube)
    assert [result.role for result in job.results] == ["base colour", "coverage", "best view", "seams", "weights"]
    assert all(image.use_fake_user for image in images[1:]) and "coverage" in images[1].name
    assert is_near(colour_at(cube, face_towards(cube, UP), images[1]), (0, 200, 0))
    assert is_near(colour_at(cube, face_towards(cube, (0, 1, 0)), images[1]), (220, 0, 0))
    with pytest.raises(Exception, match="no picture 'covrage'.*coverage"):
        sd.bake([flat(*RED)], [camera("top")], [cube], debug=["covrage"])


@pytest.mark.parametrize("mode", ["before", "meanwhile"])
def test_edit_mode(sd, cube, mode):
    bpy.context.view_layer.objects.active = cube
    if mode == "before":
        bpy.ops.object.mode_set(mode="EDIT")
    job = sd.bake([flat(*RED)], [camera("top")], [cube], size=(64, 64))
    if mode == "meanwhile":
        bpy.ops.object.mode_set(mode="EDIT")
    job.result(PATIENCE)
    bpy.ops.object.mode_set(mode="OBJECT")
    assert is_near(colour_at(cube, face_towards(cube, UP)), RED)


def test_an_object_inside_another_takes_nothing(sd, cube):
    shell = bpy.data.objects.new("shell", cube.data.copy())
    shell.scale = (2, 2, 2)
    bpy.context.collection.objects.link(shell)
    bpy.context.view_layer.update()
    with pytest.raises(SourceUnusable, match="No picture shows any of the objects.*hides"):
        bake(sd, [cube])
    assert not cube.material_slots


def test_meshes_without_faces_and_other_objects_are_refused(sd, cube):
    empty = made("empty", lambda edit: edit.verts.new((0, 0, 0)))
    with pytest.raises(TargetUnusable, match="no faces"):
        bake(sd, [empty])
    with pytest.raises(TargetUnusable, match="not a mesh"):
        bake(sd, [camera("top")])
    cube.hide_render = cube.hide_viewport = True
    bpy.context.view_layer.update()
    with pytest.raises(SourceUnusable, match="is rendered"):
        bake(sd, [cube])


def test_linked_and_overridden_objects(sd, cube, tmp_path):
    cube.data.materials.append(bpy.data.materials.new("theirs"))
    path = str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {cube})
    bpy.data.objects.remove(cube)
    with bpy.data.libraries.load(path, link=True) as (_, to):
        to.objects = ["Cube"]
    linked = to.objects[0]
    bpy.context.collection.objects.link(linked)
    bpy.context.view_layer.update()
    with pytest.raises(TargetUnusable, match="linked from another file"):
        bake(sd, [linked])
    override = linked.override_create(remap_local_usages=True)
    bpy.context.view_layer.update()
    with pytest.raises(TargetUnusable, match="linked from another file"):
        bake(sd, [override])  # the material is still the library's
    override.material_slots[0].link = "OBJECT"
    override.material_slots[0].material = bpy.data.materials.new("own")
    bpy.context.view_layer.update()
    bake(sd, [override])
    check_faces(override)


def test_what_does_not_fit_into_memory_is_refused_with_a_size_that_would(sd, cube):
    for number in range(6):
        cube.data.materials.append(bpy.data.materials.new(str(number)))
        cube.data.polygons[number].material_index = number
    bpy.context.view_layer.update()
    with pytest.raises(OutOfMemory, match=r"8192 × 8192.*GB are free.*would fit"):
        bake(sd, [cube], size=(8192, 8192))
    assert all(materials.base_color_node(slot.material) is None for slot in cube.material_slots)


def test_broken_numbers_are_refused(sd, cube):
    cube.data.uv_layers[0].uv[0].vector.x = float("nan")
    with pytest.raises(SourceUnusable, match="not a finite number"):
        bake(sd, [cube])


def test_linked_duplicates_without_uvs_get_maps_of_their_own_on_request(sd, cube):
    without_uvs(cube)
    twin = bpy.data.objects.new("twin", cube.data)
    twin.location = (0, 0, -9)
    bpy.context.collection.objects.link(twin)
    bpy.context.view_layer.update()
    bake(sd, [cube, twin], single_user=True)
    first, second = (obj.data.uv_layers[0].uv for obj in (cube, twin))
    assert cube.data != twin.data and [point.vector[:] for point in first] == [point.vector[:] for point in second]
    check_faces(cube)
