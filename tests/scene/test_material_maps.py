"""Materials of maps: what is wired, relief without another run, undo, export with presets, glTF read back."""
from __future__ import annotations

import json
import struct
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import InvalidRequest, TargetUnusable
from blender_sd.core.map_presets import PRESETS, preset_named
from blender_sd.core.request import Request
from blender_sd.core.roles import BASE_COLOUR, HEIGHT, MAPS, METALLIC, NON_COLOR, NORMAL, OCCLUSION, ROUGHNESS, SRGB
from blender_sd.protocol import png_arrays
from blender_sd.protocol.messages import Result
from blender_sd.scene import map_export, material_maps

SIDE = 16
VALUES = {ROUGHNESS: 51, METALLIC: 204, OCCLUSION: 153}  # of 255


def pixels(role: str, alpha: bool = False) -> np.ndarray:
    if role == BASE_COLOUR:
        made = np.full((SIDE, SIDE, 4 if alpha else 3), 100, np.uint8)
        made[: SIDE // 2, :, 0] = 220
        return made
    if role == NORMAL:
        return np.full((SIDE, SIDE, 3), (32768, 45000, 60000), np.uint16)
    if role == HEIGHT:
        return np.repeat(np.linspace(0, 65535, SIDE).astype(np.uint16)[:, None], SIDE, 1)
    return np.full((SIDE, SIDE), VALUES[role], np.uint8)


@pytest.fixture
def results(tmp_path: Path) -> list[Result]:
    return made_results(tmp_path)


def made_results(folder: Path, alpha: bool = False) -> list[Result]:
    request = Request.of("pbr_maps", width=SIDE, height=SIDE, prompt="old bricks")
    made = []
    for role in MAPS:
        path = folder / f"{role.replace(' ', '_')}.png"
        with open(path, "wb") as file:
            png_arrays.write(pixels(role, alpha), file)
        space = SRGB if role == BASE_COLOUR else NON_COLOR
        made.append(Result(str(path), request, SIDE, SIDE, role=role, made_by="Built In", colour_space=space,
                           depth=0.02 if role == HEIGHT else 0.0))
    return made


def shader_of(material: bpy.types.Material) -> bpy.types.ShaderNode:
    output = next(node for node in material.node_tree.nodes if node.type == "OUTPUT_MATERIAL")
    return output.inputs["Surface"].links[0].from_node


def image_behind(socket: bpy.types.NodeSocket) -> bpy.types.Image:
    node = socket.links[0].from_node
    while node.type != "TEX_IMAGE":
        linked = node.inputs["Color"] if node.type == "NORMAL_MAP" else node.inputs["Height"]
        node = linked.links[0].from_node
    return node.image


def test_everything_is_wired(cube: bpy.types.Object, results: list[Result]) -> None:
    before = cube.active_material
    material = scene.place_material(scene.freeze_slot(cube), results, "old bricks")
    assert cube.active_material == material and material != before and len(cube.data.uv_layers) == 1
    shader = shader_of(material)
    assert shader.type == "BSDF_PRINCIPLED"
    wired = {role: image_behind(shader.inputs[name]) for role, name in (
        (BASE_COLOUR, "Base Color"), (NORMAL, "Normal"), (ROUGHNESS, "Roughness"), (METALLIC, "Metallic"))}
    found = map_export.maps_in(material)
    assert set(found) == set(MAPS)
    for role, image in wired.items():
        assert image == found[role]
    for role, image in found.items():
        assert image.colorspace_settings.name == (SRGB if role == BASE_COLOUR else NON_COLOR), role
        assert image.packed_file is not None
    assert found[NORMAL].is_float and found[HEIGHT].is_float
    mapping = next(node for node in material.node_tree.nodes if node.type == "MAPPING")
    textures = [node for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]
    assert len(textures) == 6 and all(node.inputs["Vector"].links[0].from_node == mapping for node in textures)
    scale, relief = scene.relief_controls(material)
    assert scale.default_value == relief.default_value == 1.0
    assert mapping.inputs["Scale"].links[0].from_socket == scale


@pytest.mark.parametrize("relief", material_maps.RELIEFS)
def test_relief_changes_without_another_run(results: list[Result], relief: str) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "old bricks")
    assert material.use_fake_user
    images = set(bpy.data.images)
    scene.set_relief(material, relief, 0.5)
    assert scene.relief_of(material) == relief and set(bpy.data.images) == images
    assert scene.relief_controls(material)[1].default_value == 0.5
    nodes = material.node_tree.nodes
    normal, moved = shader_of(material).inputs["Normal"], nodes["SD Output"].inputs["Displacement"]
    assert normal.is_linked == (relief != "displacement") and moved.is_linked == (relief == "displacement")
    if relief != "normal":  # in metres: depth × relief ÷ scale
        end = moved if relief == "displacement" else normal
        node = end.links[0].from_node
        socket = node.inputs["Scale" if relief == "displacement" else "Distance"]
        assert value_of(socket) == pytest.approx(0.02 * 0.5)
        scene.relief_controls(material)[0].default_value = 4.0
        assert value_of(socket) == pytest.approx(0.02 * 0.5 / 4)
    if relief == "displacement":
        assert material.displacement_method == "DISPLACEMENT"


def value_of(socket: bpy.types.NodeSocket) -> float:
    """What a chain of Value and Math nodes gives a socket."""
    if not socket.is_linked:
        return socket.default_value
    node = socket.links[0].from_node
    if node.type == "VALUE":
        return node.outputs[0].default_value
    first, second = value_of(node.inputs[0]), value_of(node.inputs[1])
    return first * second if node.operation == "MULTIPLY" else first / second


def test_alpha_is_wired_where_there_is_one(tmp_path: Path, results: list[Result]) -> None:
    opaque = scene.place_material(scene.freeze_slot(None), results, "a")
    assert not shader_of(opaque).inputs["Alpha"].is_linked
    (tmp_path / "b").mkdir()
    clear = scene.place_material(scene.freeze_slot(None), made_results(tmp_path / "b", alpha=True), "b")
    assert shader_of(clear).inputs["Alpha"].is_linked


def test_what_was_in_the_slot_stays_in_the_file(cube: bpy.types.Object, results: list[Result]) -> None:
    former = bpy.data.materials.new("former")
    cube.data.materials.clear()
    cube.data.materials.append(former)
    scene.place_material(scene.freeze_slot(cube), results, "new")
    assert former.use_fake_user and cube.material_slots[0].material != former


def test_a_node_group_without_free_inputs_is_no_obstacle(cube: bpy.types.Object, results: list[Result]) -> None:
    group = bpy.data.node_groups.new("closed", "ShaderNodeTree")
    group.interface.new_socket("BSDF", in_out="OUTPUT", socket_type="NodeSocketShader")
    inside = group.nodes.new("ShaderNodeBsdfPrincipled")
    group.links.new(inside.outputs[0], group.nodes.new("NodeGroupOutput").inputs[0])
    former = bpy.data.materials.new("grouped")
    former.use_nodes = True
    node = former.node_tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    output = next(node for node in former.node_tree.nodes if node.type == "OUTPUT_MATERIAL")
    former.node_tree.links.new(node.outputs[0], output.inputs["Surface"])
    cube.data.materials.clear()
    cube.data.materials.append(former)
    material = scene.place_material(scene.freeze_slot(cube), results, "new")
    assert cube.active_material == material and len(group.nodes) == 2
    assert output.inputs["Surface"].links[0].from_node == node


def test_refusals_change_nothing(cube: bpy.types.Object, results: list[Result]) -> None:
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    with pytest.raises(TargetUnusable):
        scene.freeze_slot(camera)
    plain = bpy.data.materials.new("plain")
    with pytest.raises(TargetUnusable, match="no material of maps"):
        scene.set_relief(plain, "bump")
    ours = material_maps.build({}, "ours", 0.1)
    with pytest.raises(InvalidRequest, match="no relief"):
        scene.set_relief(ours, "bumpy", 3.0)
    assert scene.relief_controls(ours)[1].default_value == 1.0
    worn = scene.freeze_slot(cube)
    bpy.data.objects.remove(cube)
    with pytest.raises(TargetUnusable, match="kept as"):
        scene.place_material(worn, results, "kept")
    assert bpy.data.materials["kept"].use_fake_user


def read_png(path: Path) -> np.ndarray:
    """A file's values 0 to 1, row 0 on top, as they are."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = NON_COLOR
    values = np.empty(SIDE * SIDE * image.channels, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(SIDE, SIDE, image.channels)[::-1]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(tmp_path: Path, results: list[Result], preset: str) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "old bricks")
    files = {path.stem: path for path in scene.export_maps(material, str(tmp_path / "out"), preset_named(preset))}
    expected = {
        "blender": {"old_bricks_Base_Color", "old_bricks_Normal", "old_bricks_Height", "old_bricks_Roughness",
                    "old_bricks_Metallic", "old_bricks_AO"},
        "gltf": {"old_bricks_baseColor", "old_bricks_normal", "old_bricks_height",
                 "old_bricks_occlusionRoughnessMetallic"},
        "unreal": {"T_old_bricks_BC", "T_old_bricks_N", "T_old_bricks_H", "T_old_bricks_ORM"},
        "unity": {"old_bricks_BaseMap", "old_bricks_Normal", "old_bricks_Height", "old_bricks_MaskMap"}}[preset]
    assert set(files) == expected
    normal = next(path for name, path in files.items() if name.endswith(("ormal", "_N")))
    green = read_png(normal)[0, 0, 1]
    assert green == pytest.approx((1 - 45000 / 65535) if preset == "unreal" else 45000 / 65535, abs=1e-4)
    packed = {"gltf": (OCCLUSION, ROUGHNESS, METALLIC), "unreal": (OCCLUSION, ROUGHNESS, METALLIC)}
    if preset in packed:
        values = read_png(next(path for name, path in files.items() if name.endswith(("ORM", "Metallic"))))[0, 0]
        assert [round(float(value) * 255) for value in values[:3]] == [VALUES[role] for role in packed[preset]]
    if preset == "unity":
        values = read_png(next(path for name, path in files.items() if name.endswith("MaskMap")))[0, 0]
        assert [round(float(value) * 255) for value in values] == [204, 153, 255, 255 - 51]
    base = read_png(next(path for name, path in files.items() if "ase" in name or name.endswith("_BC")))
    assert round(float(base[0, 0, 0]) * 255) == 220 and round(float(base[-1, 0, 0]) * 255) == 100  # rows are not turned


def test_maps_of_different_sizes_are_exported_where_each_has_a_file(tmp_path: Path, results: list[Result]) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "bricks")
    node = material.node_tree.nodes[material_maps.picture_node(ROUGHNESS)]
    node.image = bpy.data.images.new("own", 2 * SIDE, SIDE)
    for preset in ("gltf", "unity"):
        with pytest.raises(TargetUnusable, match="different sizes"):
            scene.export_maps(material, str(tmp_path / preset), preset_named(preset))
        assert not (tmp_path / preset).exists()
    assert len(scene.export_maps(material, str(tmp_path / "out"), preset_named("blender"))) == 6


def test_unknown_preset() -> None:
    with pytest.raises(InvalidRequest, match="no preset"):
        preset_named("unrea1")


@pytest.mark.slow
def test_gltf_has_all_maps(tmp_path: Path, cube: bpy.types.Object, results: list[Result]) -> None:
    import addon_utils

    addon_utils.enable("io_scene_gltf2")
    scene.place_material(scene.freeze_slot(cube), results, "old bricks")
    path = tmp_path / "bricks.glb"
    bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLB")
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    read = json.loads(data[20:20 + length])
    material = next(item for item in read["materials"] if item["name"] == "old bricks")
    metal = material["pbrMetallicRoughness"]
    assert "baseColorTexture" in metal and "metallicRoughnessTexture" in metal
    assert "normalTexture" in material and "occlusionTexture" in material
    image = read["images"][read["textures"][metal["metallicRoughnessTexture"]["index"]]["source"]]
    view = read["bufferViews"][image["bufferView"]]
    start = 20 + length + 8 + view.get("byteOffset", 0)
    packed = tmp_path / "packed.png"
    packed.write_bytes(data[start:start + view["byteLength"]])
    values = read_png(packed)[0, 0]
    assert round(float(values[1]) * 255) == VALUES[ROUGHNESS] and round(float(values[2]) * 255) == VALUES[METALLIC]


def exported(cube: bpy.types.Object, path: Path) -> dict:
    """The material that Blender's glTF exporter writes of the cube's, with the add-on among the enabled ones."""
    import addon_utils

    addon_utils.enable("io_scene_gltf2")
    addons = bpy.context.preferences.addons
    enabled = addons.new()
    enabled.module = "blender_sd"
    try:
        bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLB")
    finally:
        addons.remove(addons["blender_sd"])
    data = path.read_bytes()
    read = json.loads(data[20:20 + struct.unpack_from("<I", data, 12)[0]])
    return next(item for item in read["materials"] if item["name"] == cube.active_material.name)


@pytest.mark.slow
@pytest.mark.parametrize("copied", [False, True])
def test_gltf_has_the_scale_and_the_relief(tmp_path: Path, cube: bpy.types.Object, results: list[Result],
                                           copied: bool) -> None:
    scene.place_material(scene.freeze_slot(cube), results, "old bricks")
    if copied:
        cube.active_material = cube.active_material.copy()
    scale, relief = scene.relief_controls(cube.active_material)
    scale.default_value, relief.default_value = 4.0, 0.5  # as the panel's fields do
    read = exported(cube, tmp_path / "bricks.glb")
    assert read["normalTexture"]["scale"] == pytest.approx(0.5)
    for texture in (read["normalTexture"], read["occlusionTexture"], read["pbrMetallicRoughness"]["baseColorTexture"],
                    read["pbrMetallicRoughness"]["metallicRoughnessTexture"]):
        assert texture["extensions"]["KHR_texture_transform"]["scale"] == pytest.approx([4.0, 4.0])


def test_exported_normals_have_the_relief(tmp_path: Path, results: list[Result]) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "bricks")
    steepness = []
    for strength in (1.0, 0.5, -0.5, 0.0):
        scene.set_relief(material, strength=strength)
        (normal,) = [path for path in scene.export_maps(material, str(tmp_path), preset_named("blender"))
                     if path.stem.endswith("Normal")]
        vector = read_png(normal)[0, 0, :3] * 2 - 1
        steepness.append(float(vector[1] / vector[2]))
        assert strength == 1 or np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    whole = 0.5 * (45000 / 32767.5 - 1) / (1 + 0.5 * (60000 / 32767.5 - 2))
    assert steepness[1] == pytest.approx(whole, abs=1e-3) and steepness[2] < 0 and abs(steepness[3]) < 1e-3


def test_deep_base_colours_are_exported_as_displayed(tmp_path: Path, results: list[Result]) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "bricks")
    path = tmp_path / "deep.png"
    with open(path, "wb") as file:
        png_arrays.write(np.full((SIDE, SIDE, 3), 100 * 257, np.uint16), file)
    material.node_tree.nodes[material_maps.picture_node(BASE_COLOUR)].image = bpy.data.images.load(str(path))
    base = scene.export_maps(material, str(tmp_path / "out"), preset_named("blender"))[0]
    assert round(float(read_png(base)[0, 0, 0]) * 255) == 100


def test_a_linked_material_gives_way(tmp_path: Path, cube: bpy.types.Object, results: list[Result]) -> None:
    bpy.ops.mesh.primitive_cube_add()
    other = bpy.context.object
    other.data.materials.append(bpy.data.materials.new("shelf"))
    bpy.data.libraries.write(str(tmp_path / "shelf.blend"), {other.data, other})
    mesh, name = other.data.name, other.name
    bpy.data.batch_remove([*bpy.data.materials, other.data, other])
    with bpy.data.libraries.load(str(tmp_path / "shelf.blend"), link=True) as (_, wanted):
        wanted.materials, wanted.meshes, wanted.objects = ["shelf"], [mesh], [name]
    shelf, mesh, other = wanted.materials[0], wanted.meshes[0], wanted.objects[0]
    cube.data.materials.append(shelf)
    assert scene.place_material(scene.freeze_slot(cube), results, "own") == cube.active_material
    placed = bpy.data.objects.new("placed", mesh)  # an object of this file with a mesh of another
    bpy.context.collection.objects.link(placed)
    material = scene.place_material(scene.freeze_slot(placed), results, "own too")
    assert placed.active_material == material and mesh.materials[0] == shelf
    with pytest.raises(TargetUnusable, match="linked from another file"):
        scene.freeze_slot(other)


def test_a_strength_that_is_no_number_changes_nothing(results: list[Result]) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "bricks")
    with pytest.raises(InvalidRequest, match="finite"):
        scene.set_relief(material, "bump", float("nan"))
    assert scene.relief_of(material) == "normal" and scene.relief_controls(material)[1].default_value == 1.0


def test_the_strength_stays_where_the_relief_is_shown_in_another_way(results: list[Result]) -> None:
    material = scene.place_material(scene.freeze_slot(None), results, "bricks")
    scene.relief_controls(material)[1].default_value = 0.25  # as the panel's field does
    scene.set_relief(material, "bump")
    assert scene.relief_controls(material)[1].default_value == 0.25
    scene.set_relief(material, strength=-2.0)
    scene.set_relief(material, "normal")
    assert scene.relief_controls(material)[1].default_value <= 0
    scene.set_relief(material, "displacement")
    assert scene.relief_controls(material)[1].default_value == -2.0


def test_only_what_can_be_brighter_than_white_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    with open(path, "wb") as file:
        png_arrays.write(np.full((SIDE, SIDE, 3), 30000, np.uint16), file)
    deep = bpy.data.images.load(str(path))
    assert deep.size[0] and deep.is_float and scene.clipped_light(deep) == ""
    light = bpy.data.images.new("light", SIDE, SIDE, float_buffer=True)
    light.filepath_raw, light.file_format = str(tmp_path / "light.exr"), "OPEN_EXR"
    light.save()
    for source in (light, light.filepath_raw, Path(light.filepath_raw)):
        assert "HDR" in scene.clipped_light(source)
    assert scene.clipped_light(str(path)) == ""
