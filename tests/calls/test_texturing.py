"""Texturing whole objects through the public call: real engine, real scene."""
from __future__ import annotations

import json

import bpy
import numpy as np
import pytest

from blender_sd.core.errors import InvalidRequest, SDError, SourceUnusable, TargetUnusable
from blender_sd.scene import marks, materials
from tests.support.calls import PATIENCE

pytestmark = [pytest.mark.bpy, pytest.mark.slow]


@pytest.fixture
def quick(small):
    return {**small, "views": ["front", "back", "top"], "view_size": 64, "size": 64, "more_views": 0}


def shown(obj, slot=0):
    return materials.base_color_node(obj.material_slots[slot].material).image


def pixels(image):
    return np.rint(np.array(image.pixels[:]).reshape(image.size[1], image.size[0], 4) * 255).astype(int)


def values(image):
    return np.array(image.pixels[:]).reshape(image.size[1], image.size[0], 4)


def test_an_object_wears_its_texture_after_one_undo_step(sd, cube, quick):
    job = sd.texture_object(cube, "red brick wall", **quick)
    image, = job.result(PATIENCE)
    assert shown(cube) == image and tuple(image.size) == (64, 64) and pixels(image).std() > 1
    facts = marks.facts_of(image)
    assert marks.is_marked(image) and facts.request.task.name == "texture_object"
    assert facts.request.prompt == "red brick wall" and facts.request.seed == 7
    assert sorted(result.role for result in job.results) == ["base colour", "contact sheet"]


def test_an_object_wears_all_its_maps_after_one_undo_step(sd, cube, quick, monkeypatch):
    pushed = []
    monkeypatch.setattr("blender_sd.scene.baking.push_undo", pushed.append)
    job = sd.texture_object(cube, "rusty iron", maps=True, map_source="estimated", **quick)
    image, = job.result(PATIENCE)
    material = cube.active_material
    slots = {name: materials.image_in(material, name) for name in ("Base Color", "Normal", "Roughness", "Metallic")}
    assert slots["Base Color"] == image and len(pushed) == 1
    for name, other in slots.items():
        assert tuple(other.size) == (64, 64), name
        assert other.colorspace_settings.name == ("sRGB" if name == "Base Color" else "Non-Color"), name
        assert marks.facts_of(other).request.task.name == "texture_object", name
    assert (pixels(slots["Metallic"])[..., 0] == 0).all()  # of this estimate nothing is metallic
    normals = pixels(slots["Normal"])[..., :3] / 127.5 - 1
    assert np.abs(np.linalg.norm(normals, axis=-1) - 1).max() < 0.02 and normals[..., 2].min() > 0
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Normal"].links[0].from_node.type == "NORMAL_MAP"
    assert material.node_tree.nodes.active == materials.base_color_node(material)
    assert [result.role for result in job.results] == [
        "contact sheet", "base colour", "normal", "roughness", "metallic"]


def test_maps_follow_the_mapping_of_the_base_colour(sd, cube, quick):
    before = bpy.data.images.new("before", 64, 64)
    before.pack()
    sd.apply(before, cube)
    tree = cube.active_material.node_tree
    coordinates, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (0.5, 0.5, 1.0)
    tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], materials.base_color_node(cube.active_material).inputs["Vector"])
    sd.texture_object(cube, "rusty iron", maps=True, map_source="estimated", **quick).result(PATIENCE)
    nodes = [node for node in tree.nodes if node.type == "TEX_IMAGE"]
    assert len(nodes) == 4
    assert all(node.inputs["Vector"].links[0].from_node == mapping for node in nodes)
    mapping.inputs["Scale"].default_value = (0.5, 0.0, 1.0)
    with pytest.raises(TargetUnusable, match="squashes"):
        sd.texture_object(cube, "rusty iron", maps=True, **quick)


def test_tiles_get_maps_of_their_own(sd, cube, quick):
    before = bpy.data.images.new("before", 64, 64, tiled=True)
    before.tiles.new(1002)
    sd.apply(before, cube)
    layer = cube.data.uv_layers[0]
    for polygon in cube.data.polygons:
        for loop in polygon.loop_indices:
            layer.uv[loop].vector.x = layer.uv[loop].vector.x * 0.9 + 0.05 + polygon.index % 2
    job = sd.texture_object(cube, "rusty iron", maps=True, map_source="estimated", **quick)
    job.result(PATIENCE)
    assert [result.role for result in job.results].count("normal") == 2
    for name in ("Base Color", "Normal", "Roughness", "Metallic"):
        held = materials.image_in(cube.active_material, name)
        assert held.source == "TILED" and [tile.number for tile in held.tiles] == [1001, 1002], name


def test_several_objects_get_an_image_each_and_others_none(sd, cube, quick):
    other, bystander = cube.copy(), cube.copy()
    for number, obj in enumerate((other, bystander), 1):
        obj.data = cube.data.copy()
        obj.location.x = 3 * number
        bpy.context.collection.objects.link(obj)
    images = sd.texture_object([cube, other.name], "red brick wall", **quick).result(PATIENCE)
    assert len(images) == 2 and {shown(cube), shown(other)} == set(images)
    assert not bystander.material_slots


def test_a_quick_look_leaves_the_object_as_it_was(sd, cube, quick):
    before = [slot.material for slot in cube.material_slots]
    image, = sd.texture_object(cube, "red brick wall", look=True, **quick).result(PATIENCE)
    assert [slot.material for slot in cube.material_slots] == before
    assert tuple(image.size) == (64, 64)


def test_a_vertex_group_keeps_the_rest(sd, cube, quick):
    before = bpy.data.images.new("before", 64, 64)
    before.pixels = [0.2, 0.6, 0.4, 1.0] * (64 * 64)
    before.pack()
    sd.apply(before, cube)
    was = pixels(before)
    group = cube.vertex_groups.new(name="top")
    group.add([vertex.index for vertex in cube.data.vertices if vertex.co.z > 0], 1.0, "REPLACE")
    image, = sd.texture_object(cube, "red brick wall", mask="top", **quick).result(PATIENCE)
    same = (pixels(image) == was).all(-1)
    assert 0.5 < same.mean() < 0.97
    with pytest.raises(TargetUnusable, match="half of the weight"):
        cube.vertex_groups.new(name="none")
        sd.texture_object(cube, "red brick wall", mask="none", **quick)


def test_a_mask_keeps_every_map_elsewhere(sd, cube, quick):
    settings = {**quick, "maps": True, "map_source": "estimated"}
    sd.texture_object(cube, "rusty iron", **settings).result(PATIENCE)
    names = ("Base Color", "Normal", "Roughness", "Metallic")
    was = {name: materials.image_in(cube.active_material, name) for name in names}
    before = {name: values(image) for name, image in was.items()}
    assert was["Normal"].is_float, "16 bits"
    mask = np.zeros((64, 64), bool)
    mask[:, 32:] = True
    sd.texture_object(cube, "red brick wall", **{**settings, "mask": mask, "seed": 8}).result(PATIENCE)
    for name in names:
        image = materials.image_in(cube.active_material, name)
        same = (values(image) == before[name]).all(-1)
        assert image != was[name] and same[:, :30].all(), name
        assert name == "Metallic" or same[:, 34:].mean() < 0.9, name


def test_maps_that_cannot_be_kept_in_part_are_named(sd, cube, quick):
    before = bpy.data.images.new("before", 64, 64)
    before.pack()
    sd.apply(before, cube)
    tree = cube.active_material.node_tree
    noise = tree.nodes.new("ShaderNodeTexNoise")
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    tree.links.new(noise.outputs[0], shader.inputs["Roughness"])
    with pytest.raises(TargetUnusable, match="'Roughness'"):
        sd.texture_object(cube, "red brick wall", maps=True, fill=False, **quick)
    assert shown(cube) == before and shader.inputs["Roughness"].links[0].from_node == noise


def test_an_empty_mask_changes_nothing(sd, cube, quick):
    job = sd.texture_object(cube, "red brick wall", mask=np.zeros((64, 64), bool), **quick)
    with pytest.raises(SourceUnusable, match="mask"):
        job.result(PATIENCE)
    assert not cube.material_slots


@pytest.mark.parametrize("stage", ["Waiting", "Looking at the objects", "Step ", "Baking"])
def test_a_job_that_is_cancelled_at_any_stage_changes_nothing(sd, cube, quick, stage):
    long = {"steps": 400 if stage == "Step " else 2, "size": 2048}  # steps, or a bake, that take a while
    job = sd.texture_object(cube, "red brick wall", **{**quick, **long})
    while not job.text.startswith(stage) and not job.done:
        sd.wait(0.005)
        sd.pump()
    assert not job.done, f"it went past '{stage}'"
    job.cancel()
    with pytest.raises(SDError):
        job.result(PATIENCE)
    assert job.state == "cancelled" and not cube.material_slots


def test_cameras_are_views_too(sd, cube, quick):
    data = bpy.data.cameras.new("side")
    camera = bpy.data.objects.new("side", data)
    camera.location, camera.rotation_euler = (6, 0, 0), (np.pi / 2, 0, np.pi / 2)
    bpy.context.collection.objects.link(camera)
    image, = sd.texture_object(cube, "red brick wall", **{**quick, "views": [camera]}).result(PATIENCE)
    assert pixels(image).std() > 1


def test_gltf_reads_the_texture_back(sd, cube, quick, tmp_path):
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    image, = sd.texture_object(cube, "red brick wall", **quick).result(PATIENCE)
    wanted = pixels(image)
    path = tmp_path / "cube.glb"
    bpy.ops.export_scene.gltf(filepath=str(path))
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    bpy.ops.import_scene.gltf(filepath=str(path))
    back = next(obj for obj in bpy.data.objects if obj.type == "MESH")
    node = next(node for node in back.material_slots[0].material.node_tree.nodes if node.type == "TEX_IMAGE")
    assert np.array_equal(pixels(node.image)[..., :3], wanted[..., :3])


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"views": []}, InvalidRequest, "0 views"),
    ({"views": ["front", "inside"]}, InvalidRequest, "no side called 'inside'"),
    ({"prompts": {"Gold": "gold"}}, TargetUnusable, "none of the objects or their materials"),
    ({"size": 0}, InvalidRequest, ""),
    ({"axes": [("steps", "2, 3")]}, InvalidRequest, "grids"),
    ({"strenght": 0.5}, InvalidRequest, "strength"),
    ({"maps": True, "map_source": "magic"}, InvalidRequest, "magic"),
])
def test_bad_input_changes_nothing(sd, cube, quick, changes, error, words):
    with pytest.raises(error) as refused:
        sd.texture_object(cube, "red brick wall", **{**quick, **changes})
    assert words in str(refused.value)
    assert not cube.material_slots and not [job for job in sd.jobs() if not job.done]


def test_a_name_that_no_object_has_is_refused(sd, quick):
    with pytest.raises(TargetUnusable, match="no object called 'Kube'"):
        sd.texture_object("Kube", "red brick wall", **quick)


def test_materials_can_have_prompts_of_their_own(sd, cube, quick):
    for name in ("Wood", "Gold"):
        cube.data.materials.append(bpy.data.materials.new(name))
    cube.data.polygons[0].material_index = 1
    job = sd.texture_object(cube, "brown wood", prompts={"Gold": "gold"}, **quick)
    assert json.loads(job.request.task.parts) == [["gold", [1]]]
    assert len(job.result(PATIENCE)) == 2
