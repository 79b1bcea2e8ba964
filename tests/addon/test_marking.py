"""Marks of generated images: set where they are placed, made true when the file is saved, carried by copies, bakes,
files, libraries."""
from __future__ import annotations

from pathlib import Path

import bpy
import pytest

import blender_sd as sd
from blender_sd import scene
from blender_sd.calls import config
from blender_sd.calls.runtime import runtime
from blender_sd.addon import marking
from blender_sd.library.image_origin import SOURCES_KEY, from_json
from blender_sd.core.image_origin import COMPOSITE, GENERATED, ORIGIN_KEY, Origin, Part
from blender_sd.scene import marks
from tests.support.addon import cube

MARK = marks.MARK_PROPERTY
ORIGIN = Origin("blender_sd 1", "2026-11-24T16:10:55Z", "Brick XL", "SDXL", "mit", "https://x.org",
                parts=(Part("LoRA", "aged", "mit"),))


@pytest.fixture
def made(addon, pipeline):
    """Makes generated images, as jobs do; their files name their origin."""
    pipeline.origin = ORIGIN
    return lambda prompt="old brick", **more: sd.generate(prompt, seed=7, **more).result()[0]


def _tree(block):
    if block.node_tree is None:
        block.use_nodes = True
    return block.node_tree


def _with(block, image, kind="ShaderNodeTexImage"):
    """`block`, with a node that shows `image`."""
    _tree(block).nodes.new(kind).image = image
    return block


def _uses(*names: str) -> str:
    return marks.USES + ", ".join(names)


def _save(tmp_path: Path, name: str = "f.blend") -> str:
    path = str(tmp_path / name)
    assert bpy.ops.wm.save_as_mainfile(filepath=path) == {"FINISHED"}
    return path


def test_an_image_and_the_material_it_is_put_into(made, tmp_path):
    image = made()
    assert (image[MARK], Origin.from_json(image[ORIGIN_KEY]), sd.recall(image).seed) == (GENERATED, ORIGIN, 7)
    assert "digital source type" in image.id_properties_ui(MARK).as_dict()["description"]
    material = sd.apply(image, cube())
    assert material[MARK] == _uses("old brick") and "generative" in material.id_properties_ui(
        MARK).as_dict()["description"]
    other = sd.generate("moss", seed=8, target=_slot_target()).result()[0]
    # as its file says
    assert material[MARK] == _uses("moss") and sd.restyle(other, "ice").result()[0][MARK] == GENERATED
    assert not any(MARK in block for block in (*bpy.data.worlds, *bpy.data.lights))


def _slot_target():
    cube().active_material.node_tree.nodes.active = next(n for n in cube().active_material.node_tree.nodes
                                                         if n.type == "TEX_IMAGE")
    return scene.freeze_target(bpy.context, "slot")


def test_without_an_origin_the_task_says_the_kind(addon, pipeline):
    image = sd.generate("brick").result()[0]
    assert image[MARK] == GENERATED and ORIGIN_KEY not in image
    assert sd.restyle(image, "moss").result()[0][MARK] == COMPOSITE


def test_saving_makes_marks_true(made, tmp_path):
    """Links that the artist made by hand, through groups of groups, worlds and lights; gone again when the link is."""
    image, plain = made(), bpy.data.images.new("plain", 4, 4)
    inner, outer = (bpy.data.node_groups.new(name, "ShaderNodeTree") for name in ("inner", "outer"))
    inner.nodes.new("ShaderNodeTexImage").image = image
    outer.nodes.new("ShaderNodeGroup").node_tree = inner
    far, none, mine = (bpy.data.materials.new(name) for name in ("far", "none", "mine"))
    _tree(far).nodes.new("ShaderNodeGroup").node_tree = outer
    _with(none, plain)
    _with(mine, image)[MARK] = "I drew this over a photo"
    world = _with(bpy.context.scene.world, image, "ShaderNodeTexEnvironment")
    light = _with(bpy.data.lights.new("gobo", "SPOT"), image)
    geometry = bpy.data.node_groups.new("geometry", "GeometryNodeTree")
    geometry.nodes.new("GeometryNodeImageTexture").inputs["Image"].default_value = image
    for block in (far, none, mine, light, inner, outer, geometry):
        block.use_fake_user = True
    steps = bpy.context.window_manager.operators.keys()
    path = _save(tmp_path)
    assert bpy.context.window_manager.operators.keys() == steps
    assert [MARK in block for block in (far, world, light, inner, outer, geometry, none)] == [True] * 6 + [False]
    assert far[MARK] == _uses("old brick") and mine[MARK] == "I drew this over a photo"
    bpy.ops.wm.open_mainfile(filepath=path)
    far, image = bpy.data.materials["far"], bpy.data.images["old brick"]
    assert far[MARK] == _uses("old brick") and image[MARK] == GENERATED and image[ORIGIN_KEY]
    for node in bpy.data.node_groups["inner"].nodes:
        node.image = bpy.data.images["plain"]
    _save(tmp_path)
    assert not any(MARK in block for block in (far, bpy.data.node_groups["inner"], bpy.data.node_groups["outer"]))
    assert bpy.data.materials["mine"][MARK] == "I drew this over a photo"
    assert MARK in bpy.data.node_groups["geometry"] and MARK in bpy.context.scene.world


def test_saving_never_fails_for_marks(made, tmp_path, monkeypatch):
    made()
    monkeypatch.setattr(marks, "refresh", lambda: 1 / 0)
    assert Path(_save(tmp_path)).exists()


def test_copies_painting_and_save_as_keep_the_mark(made, tmp_path):
    image = made()
    pixels = [0.25] * len(image.pixels)
    image.pixels.foreach_set(pixels)
    assert image.is_dirty and image[MARK] == GENERATED
    image.pack()
    copy = image.copy()
    assert (copy[MARK], copy[ORIGIN_KEY], sd.recall(copy)) == (image[MARK], image[ORIGIN_KEY], sd.recall(image))
    copy.filepath_raw, copy.file_format = str(tmp_path / "external.png"), "PNG"
    copy.save()  # what Image > Save As does with the datablock
    assert copy[MARK] == GENERATED and copy[ORIGIN_KEY] and (tmp_path / "external.png").exists()
    alone = bpy.data.images.load(str(tmp_path / "external.png"))
    assert MARK not in alone and "unknown" not in sd.report()  # Blender writes no chunks: the file itself says nothing


def test_appended_and_linked_marks_travel_and_are_left_alone(made, tmp_path):
    image = made()
    sd.apply(image, cube()).name = "Wall"
    bpy.data.materials["Wall"].use_fake_user = True
    library = _save(tmp_path, "library.blend")
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.materials = ["Wall"]
    linked = bpy.data.materials["Wall"]
    with bpy.data.libraries.load(library, link=False) as (_, wanted):
        wanted.materials = ["Wall"]
    appended = next(one for one in bpy.data.materials if one.library is None)
    for material in (linked, appended):
        texture = next(node for node in material.node_tree.nodes if node.type == "TEX_IMAGE").image
        assert material[MARK] == _uses("old brick") and (texture[MARK], texture.library) == (GENERATED,
                                                                                             material.library)
        assert Origin.from_json(texture[ORIGIN_KEY]) == ORIGIN
        material.use_fake_user = True
    theirs = _with(bpy.data.materials.new("mine"), linked.node_tree.nodes["Image Texture"].image)
    theirs.use_fake_user = True
    del linked[MARK]  # only in memory; saving must not write into what is another file's
    _save(tmp_path)
    assert MARK not in linked and theirs[MARK] == _uses("old brick") and appended[MARK]
    assert "library.blend" in sd.report() and sd.report().count("Model: Brick XL") == 2


def test_with_marking_off_nothing_new_is_marked(made, tmp_path, monkeypatch):
    before = made("before")
    wall = sd.apply(before, cube())
    monkeypatch.setattr(runtime, "config", config.replace(runtime.config, marking=False))
    image = made("after")
    assert sd.recall(image).prompt == "after" and MARK not in image and image[ORIGIN_KEY]
    other = _with(bpy.data.materials.new("other"), before)
    other.use_fake_user = True
    _save(tmp_path)
    assert before[MARK] == GENERATED and MARK not in other and wall[MARK] == _uses("before")


def _baking(image, name: str = "baked"):
    """A cube whose material shows `image` and is set up to be baked into a new image."""
    bpy.ops.mesh.primitive_cube_add()
    obj, material = bpy.context.object, bpy.data.materials.new(name)
    obj.data.materials.append(material)
    shader = next(node for node in _tree(material).nodes if node.type == "BSDF_PRINCIPLED")
    texture, into = (material.node_tree.nodes.new("ShaderNodeTexImage") for _ in range(2))
    texture.image, into.image = image, bpy.data.images.new(name, 8, 8)
    material.node_tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    material.node_tree.nodes.active = into
    return obj, into.image


@pytest.fixture
def cycles():
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    return scene


def test_a_bake_is_marked_with_its_sources(made, cycles, tmp_path):
    """`object_bake_complete`, which Blender calls for bakes that its button starts, is called by hand: without a window
    there are none."""
    image = made()
    obj, baked = _baking(image)
    plain = bpy.data.images.new("plain", 8, 8)
    other, untouched = _baking(plain, "untouched")
    for one in (obj, other):
        one.select_set(True)
    bpy.context.view_layer.objects.active = obj
    assert bpy.ops.object.bake(type="DIFFUSE", pass_filter={"COLOR"}, margin=0) == {"FINISHED"}
    marking._on_bake(obj)
    assert baked[MARK] == COMPOSITE and MARK not in untouched and MARK not in plain
    (source,) = from_json(baked[SOURCES_KEY])
    assert (source.name, source.model, source.licence, source.request.seed) == ("old brick", "Brick XL", "mit", 7)
    baked.pack()
    path = _save(tmp_path)
    bpy.ops.wm.open_mainfile(filepath=path)
    baked = bpy.data.images["baked"]
    assert baked[MARK] == COMPOSITE and "Baked from: old brick" in sd.report()
    again, second = _baking(baked, "second")  # a bake from a bake names the first sources
    assert bpy.ops.object.bake(type="EMIT", margin=0) == {"FINISHED"}
    assert sd.mark_baked(again) == [second] and [one.name for one in from_json(second[SOURCES_KEY])] == ["old brick"]


@pytest.mark.parametrize("where", ["scene", "operator"])
def test_a_bake_from_selected_to_active(made, cycles, where):
    source, ignored = _baking(made())
    target, baked = _baking(bpy.data.images.new("plain", 8, 8), "low")
    source.select_set(True)
    cycles.render.bake.use_selected_to_active = where == "scene"
    assert bpy.ops.object.bake(type="DIFFUSE", pass_filter={"COLOR"}, margin=0, use_selected_to_active=True,
                               cage_extrusion=0.1) == {"FINISHED"}
    marking._on_bake(target)
    assert baked[MARK] == COMPOSITE and [one.name for one in from_json(baked[SOURCES_KEY])] == ["old brick"]
    assert MARK not in ignored


def test_a_scripts_bake_is_found_when_the_file_is_saved(made, cycles, tmp_path):
    _, baked = _baking(made())
    _, innocent = _baking(bpy.data.images.new("plain", 8, 8), "innocent")
    bpy.ops.object.select_all(action="SELECT")
    for obj in list(bpy.context.selected_objects):
        if obj.name == "Cube" or obj.type != "MESH":
            obj.select_set(False)
    assert bpy.ops.object.bake(type="EMIT", margin=0) == {"FINISHED"}
    report = sd.report()  # before it is saved, and changing nothing
    assert "Baked from: old brick" in report and MARK not in baked
    _save(tmp_path)
    assert baked[MARK] == COMPOSITE and baked[SOURCES_KEY] and MARK not in innocent


def _opened_asset(path) -> bpy.types.Material:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(path), link=False) as (_, wanted):
        wanted.materials = ["Wall"]
    return bpy.data.materials["Wall"]


@pytest.mark.parametrize("what", ["image", "material"])
def test_material_assets_carry_marks_and_licence(made, tmp_path, what):
    image = made()
    block = image if what == "image" else _with(bpy.data.materials.new("Hand-made"), image)
    saved = _opened_asset(sd.save_material(block, "Wall", library=tmp_path))
    assert saved[MARK] == _uses("old brick") and saved.asset_data.license == "mit (the model's)"
    texture = bpy.data.images["old brick"]
    assert (texture[MARK], Origin.from_json(texture[ORIGIN_KEY]), sd.recall(texture).model) == (GENERATED, ORIGIN,
                                                                                                "starter")
