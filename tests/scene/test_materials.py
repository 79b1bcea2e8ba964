from __future__ import annotations

from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import TargetUnusable
from tests.support.pictures import colours, generated, raw_pixels


@pytest.fixture
def image() -> bpy.types.Image:
    return generated(colours(4, 4), "brick")


def shader_of(material: bpy.types.Material) -> bpy.types.ShaderNode:
    """What shades the active output."""
    output = next(node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL" and node.is_active_output)
    return output.inputs["Surface"].links[0].from_node


def feeding(socket: bpy.types.NodeSocket) -> bpy.types.ShaderNode:
    return socket.links[0].from_node


def state() -> dict[str, object]:
    """What a refused call must leave as it was."""
    return {
        "materials": sorted(bpy.data.materials.keys()), "groups": len(bpy.data.node_groups),
        "uv": {mesh.name: len(mesh.uv_layers) for mesh in bpy.data.meshes},
        "slots": {obj.name: len(obj.material_slots) for obj in bpy.data.objects}, "nodes": {
            material.name: len(material.node_tree.nodes) for material in bpy.data.materials if material.node_tree}}


def test_everything_missing_is_made(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    while cube.data.uv_layers:
        cube.data.uv_layers.remove(cube.data.uv_layers[0])
    material = scene.apply_image(image, cube)
    assert cube.active_material == material
    shader = shader_of(material)
    node = feeding(shader.inputs["Base Color"])
    assert shader.type == "BSDF_PRINCIPLED" and node.image == image and node.extension == "REPEAT"
    assert material.node_tree.nodes.active == node
    assert len(cube.data.uv_layers) == 1


def test_image_node_is_reused_and_the_former_image_kept(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    former = generated(colours(4, 4), "former")
    material = scene.apply_image(former, cube)
    count = len(material.node_tree.nodes)
    assert scene.apply_image(image, cube) == material
    assert len(material.node_tree.nodes) == count
    assert feeding(shader_of(material).inputs["Base Color"]).image == image
    assert former.use_fake_user


def test_the_shader_that_feeds_the_active_output_is_used(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    material = scene.apply_image(image, cube)
    tree = material.node_tree
    used = shader_of(material)
    stray = tree.nodes.new("ShaderNodeBsdfPrincipled")
    mix = tree.nodes.new("ShaderNodeMixShader")
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(used.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])
    scene.apply_image(image, cube, "Emission Color")
    assert feeding(used.inputs["Emission Color"]).image == image and not stray.inputs["Emission Color"].is_linked
    assert shader_of(material) == mix


def test_principled_is_made_where_another_shader_was(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    material = scene.apply_image(image, cube)
    tree = material.node_tree
    tree.nodes.clear()
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(emission.outputs[0], tree.nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    scene.apply_image(image, cube)
    assert feeding(shader_of(material).inputs["Base Color"]).image == image
    tree.nodes.clear()
    scene.apply_image(image, cube)
    assert feeding(shader_of(material).inputs["Base Color"]).image == image


def test_slot_is_found_in_any_case_and_data_is_no_colour(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    wanted = raw_pixels(image)
    material = scene.apply_image(image, cube, "roughness")
    node = feeding(shader_of(material).inputs["Roughness"])
    assert node.image.colorspace_settings.name == "Non-Color"
    assert np.array_equal(raw_pixels(node.image), wanted), "what was painted is still there"


def test_normal_goes_through_a_normal_map(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    material = scene.apply_image(image, cube, "NORMAL")
    between = feeding(shader_of(material).inputs["Normal"])
    assert between.type == "NORMAL_MAP" and feeding(between.inputs["Color"]).image == image
    count = len(material.node_tree.nodes)
    other = generated(colours(4, 4), "other")
    scene.apply_image(other, cube, "Normal")
    assert len(material.node_tree.nodes) == count and feeding(between.inputs["Color"]).image == other


def test_unknown_slot_lists_the_inputs_and_changes_nothing(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    before = state()
    with pytest.raises(TargetUnusable, match="Base Color, Metallic, Roughness") as caught:
        scene.apply_image(image, cube, "magic")
    assert "Weight," not in caught.value.hint.replace("Subsurface Weight,", "").replace("Transmission Weight,", "") \
        .replace("Coat Weight,", "").replace("Sheen Weight,", ""), "the hidden input is no slot"
    assert state() == before


def test_empty_slot_of_the_object_is_filled(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    bpy.ops.object.material_slot_add()
    bpy.ops.object.material_slot_add()
    cube.active_material_index = 1
    cube.material_slots[1].link = "OBJECT"
    material = scene.apply_image(image, cube)
    assert cube.material_slots[1].material == material and cube.material_slots[0].material is None


def test_objects_that_cannot_take_an_image(image: bpy.types.Image) -> None:
    bpy.ops.object.empty_add()
    empty = bpy.context.object
    faceless = bpy.data.objects.new("points", bpy.data.meshes.new("points"))
    before = state()
    for obj in (None, empty, faceless):
        with pytest.raises(TargetUnusable):
            scene.apply_image(image, obj)
    assert state() == before


def library(tmp_path: Path, with_material: bool) -> Path:
    """A .blend file with one cube."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.object
    cube.name = "shared"
    if with_material:
        cube.data.materials.append(bpy.data.materials.new("shared paint"))
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


@pytest.mark.parametrize("with_material", [True, False])
def test_linked_objects_are_refused_and_the_way_out_is_named(tmp_path: Path, with_material: bool) -> None:
    path = library(tmp_path, with_material)
    with bpy.data.libraries.load(str(path), link=True) as (_, into):
        into.objects = ["shared"]
    shared = bpy.data.objects["shared"]
    image = generated(colours(2, 2))
    before = state()
    with pytest.raises(TargetUnusable, match="linked.*[Mm]ake it local|linked(.|\n)*local"):
        scene.apply_image(image, shared)
    assert state() == before


def test_local_object_with_a_linked_material_is_refused(tmp_path: Path) -> None:
    path = library(tmp_path, True)
    with bpy.data.libraries.load(str(path), link=True) as (_, into):
        into.materials = ["shared paint"]
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.object.data.materials.append(bpy.data.materials["shared paint"])
    with pytest.raises(TargetUnusable, match="shared paint"):
        scene.apply_image(generated(colours(2, 2)), bpy.context.object)


def uv_of(mesh: bpy.types.Mesh) -> np.ndarray:
    values = np.empty(len(mesh.loops) * 2, np.float32)
    mesh.uv_layers.active.uv.foreach_get("vector", values)
    return values.reshape(-1, 2)


def face_areas(mesh: bpy.types.Mesh) -> tuple[list[float], list[float]]:
    """Signed area of each face in UV space, and its area in the world."""
    uv = uv_of(mesh)
    signed = []
    for face in mesh.polygons:
        x, y = uv[list(face.loop_indices)].T
        signed.append(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
    return signed, [face.area for face in mesh.polygons]


def without_uv(obj: bpy.types.Object) -> None:
    while obj.data.uv_layers:
        obj.data.uv_layers.remove(obj.data.uv_layers[0])


def test_made_uvs_keep_proportions_and_are_not_mirrored(image: bpy.types.Image) -> None:
    bpy.ops.mesh.primitive_cube_add(scale=(1, 2, 4))
    box = bpy.context.object
    without_uv(box)
    scene.apply_image(image, box)
    signed, _ = face_areas(box.data)
    world = [abs(area) for area in (2 * 4 * 4, 2 * 4 * 4, 2 * 8, 2 * 8)]
    assert all(area > 0 for area in signed), "seen from outside, no face is mirrored"
    assert sorted(np.round(np.array(signed) * 64, 3)) == [8, 8, 16, 16, 32, 32]  # one repeat spans the largest side, 8
    assert len(world) == 4


def test_uvs_are_made_in_edit_mode_and_mode_and_selection_stay(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    without_uv(cube)
    bpy.ops.object.mode_set(mode="EDIT")
    edit = bmesh.from_edit_mesh(cube.data)
    edit.faces.ensure_lookup_table()
    for face in edit.faces:
        face.select_set(False)
    edit.faces[2].select_set(True)
    bmesh.update_edit_mesh(cube.data)
    material = scene.apply_image(image, cube)
    assert cube.mode == "EDIT"
    assert [face.select for face in bmesh.from_edit_mesh(cube.data).faces] == [False, False, True, False, False, False]
    bpy.ops.object.mode_set(mode="OBJECT")
    signed, _ = face_areas(cube.data)
    assert len(signed) == 6 and np.allclose(signed, 1.0)
    assert feeding(shader_of(material).inputs["Base Color"]).image == image


def test_existing_uvs_are_left_alone(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    before = uv_of(cube.data)
    scene.apply_image(image, cube)
    assert len(cube.data.uv_layers) == 1 and np.array_equal(uv_of(cube.data), before)


def test_material_of_two_objects_changes_for_both(cube: bpy.types.Object, image: bpy.types.Image) -> None:
    material = scene.apply_image(generated(colours(2, 2)), cube)
    bpy.ops.mesh.primitive_plane_add()
    bpy.context.object.data.materials.append(material)
    assert scene.apply_image(image, bpy.context.object) == material
    assert feeding(shader_of(cube.active_material).inputs["Base Color"]).image == image
