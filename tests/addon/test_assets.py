"""Material assets: written into a library, found there as assets, and usable in another file; and lists of them."""
from __future__ import annotations

import os
from pathlib import Path

import bpy
import numpy as np
import pytest

import blender_sd as sd
from blender_sd.calls.runtime import runtime
from blender_sd.core.errors import AssetUnusable, InvalidRequest, OutOfMemory, SourceUnusable
from blender_sd.library.asset_library import CATALOGS, CATALOG_ID
from tests.support.addon import cube, drain, state
from tests.support.fake_pipeline import colour_of

MADE = "Stable Diffusion"


@pytest.fixture
def library(addon, tmp_path):
    """An asset library of the test's own, the only one that Blender knows."""
    folder = tmp_path / "library"
    folder.mkdir()
    libraries = bpy.context.preferences.filepaths.asset_libraries
    while len(libraries):
        libraries.remove(libraries[0])
    libraries.new(name="Test Library", directory=str(folder))
    yield folder
    libraries = bpy.context.preferences.filepaths.asset_libraries
    for one in [one for one in libraries if one.name == "Test Library"]:
        libraries.remove(one)
    runtime.newest_batch = None


def _image(seed: int = 11, prompt: str = "old red brick wall", **more) -> bpy.types.Image:
    return sd.generate(prompt, seed=seed, tiling="xy", **more).result()[0]


def _file_state() -> tuple:
    return tuple(
        sorted(block.name for block in getattr(bpy.data, kind))
        for kind in ("images", "materials", "objects", "node_groups"))


def _append(path: Path) -> bpy.types.Material:
    """What another file gets from the asset; assets only, as the Asset Browser does."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(path), link=False, assets_only=True) as (there, wanted):
        assert len(there.materials) == 1 and not there.images and not there.objects
        wanted.materials = there.materials
    return bpy.data.materials[0]


def test_an_image_becomes_an_asset_that_another_file_can_use(addon, library):
    image = _image(style="Brick Wall")
    bpy.data.materials.new("Old Bricks")  # a name that is taken in this file is free in the library
    before = _file_state()
    path = sd.save_material(image, "Old Bricks")
    assert path == library / MADE / "Old Bricks.blend" and os.listdir(path.parent) == [path.name]
    assert _file_state() == before and not any(material.asset_data for material in bpy.data.materials)
    material = _append(path)
    about = material.asset_data
    assert material.name == "Old Bricks" and about.license == "CC0-1.0" and about.author == "" and about.catalog_id == CATALOG_ID  # noqa: E501
    assert {"old", "red", "brick", "wall"} <= {tag.name for tag in about.tags}
    assert all(word in about.description
               for word in ("old red brick wall", "starter", "seed 11", "style Brick Wall", "along xy"))
    assert CATALOG_ID in (library / CATALOGS).read_text(encoding="utf-8")
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    texture = shader.inputs["Base Color"].links[0].from_node
    mapping = texture.inputs["Vector"].links[0].from_node
    assert (texture.type, texture.extension, mapping.type) == ("TEX_IMAGE", "REPEAT", "MAPPING")
    assert mapping.inputs["Vector"].links[0].from_socket.name == "UV"
    assert texture.image.packed_file and [round(value * 255)
                                          for value in texture.image.pixels[:3]] == list(colour_of(11))
    assert sd.recall(texture.image).seed == 11 and material["ai_generated"]
    preview = np.empty(256 * 256 * 4, np.float32)
    material.preview.image_pixels_float.foreach_get(preview)
    assert [round(float(value) * 255) for value in preview[:4]] == [*colour_of(11), 255]


def test_the_asset_is_seen_in_a_render(addon, library):
    material = _append(sd.save_material(_image(11)))
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_plane_add(size=20)
    bpy.context.object.data.materials.append(material)
    bpy.ops.object.camera_add(location=(0, 0, 5))
    scene.camera = bpy.context.object
    bpy.ops.object.light_add(type="SUN", location=(0, 0, 5))
    scene.render.engine, scene.cycles.samples, scene.view_settings.view_transform = "CYCLES", 1, "Standard"
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.render.filepath = str(library / "seen.png")
    bpy.ops.render.render(write_still=True)
    seen = np.array(bpy.data.images.load(scene.render.filepath).pixels[:]).reshape(-1, 4)[:, :3].mean(axis=0)
    wanted = np.array(colour_of(11)) / 255
    assert seen.argsort().tolist() == wanted.argsort().tolist() and seen.max() > 0.1


def test_a_whole_material_with_its_own_nodes(addon, library):
    image = _image()
    material = sd.apply(image, cube())
    name = material.name
    material.node_tree.nodes.new("ShaderNodeRGB").name = "mine"
    before = _file_state()
    assert bpy.ops.sd.save_material(source="MATERIAL", name="Kept Nodes", library=str(library), tags="wall, wet stone",
                                    licence="Mine") == {"FINISHED"}
    assert _file_state() == before and material.name == name and not material.asset_data and material.users == 1
    saved = _append(library / MADE / "Kept Nodes.blend")
    assert "mine" in saved.node_tree.nodes and saved.asset_data.license == "Mine"
    assert [tag.name for tag in saved.asset_data.tags] == ["wall", "wet stone"]


def test_nothing_is_written_over_unless_asked(addon, library):
    image = _image(11)
    first = sd.save_material(image, "Moss")
    assert sd.save_material(image, "Moss").name == "Moss 2.blend"
    assert sd.save_material(_image(12), "Moss", replace=True) == first
    shader = next(node for node in _append(first).node_tree.nodes if node.type == "TEX_IMAGE")
    assert sd.recall(shader.image).seed == 12


def test_what_cannot_be_saved(addon, library):
    image = _image()
    lost = bpy.data.images.new("lost", 8, 8)
    lost.source, lost.filepath = "FILE", str(library / "gone.png")
    for what, where, error, words in ((image, "Nobody's", AssetUnusable, "Nobody's"), (image, library / "none",
                                                                                       AssetUnusable, "missing"),
                                      (cube(), "", SourceUnusable, "image or a material"), (lost, "", SourceUnusable,
                                                                                            "lost")):
        with pytest.raises(error, match=words):
            sd.save_material(what, library=where)
    assert not os.listdir(library)
    (library / MADE).write_text("a file where the folder should be", encoding="utf-8")
    before = _file_state()
    with pytest.raises(AssetUnusable, match="cannot be written"):
        sd.save_material(image)
    assert _file_state() == before
    bpy.context.preferences.filepaths.asset_libraries.remove(bpy.context.preferences.filepaths.asset_libraries[0])
    with pytest.raises(AssetUnusable, match="no asset library") as caught:
        sd.save_material(image)
    assert "File Paths" in caught.value.hint
    bpy.context.preferences.filepaths.asset_libraries.new(name="Test Library", directory=str(library))


LIST = "name,prompt,seed,style,size,tags\nMoss,green moss,3,,,wet\nBad,brick,many,,,\nCrash,crash here,5,,,\nWall,old,7,Brick Wall,32x16,\n"  # noqa: E501


def test_a_list_goes_on_past_what_fails_and_begins_where_it_ended(addon, library, pipeline):
    pipeline.fail_with, pipeline.fail_on = OutOfMemory("The picture does not fit.", "Choose a smaller size."), "crash"
    before = _file_state()
    made = sd.batch_materials(LIST, tags=["set one"], steps=2)
    paths = made.result(60)
    assert [path.stem for path in paths] == ["Moss", "Wall"] and _file_state() == before
    assert [(row.name, error.message) for row, error in made.failed] == [
        ("Bad", "'many' is no seed."), ("Crash", "The picture does not fit.")]
    assert made.summary() == "2 saved, 2 failed"
    moss, _, wall = (order.request for order in pipeline.orders)
    assert (moss.tiling, moss.steps, moss.seed) == ("xy", 2, 3)
    assert (wall.prompt, wall.style, wall.tiling) == ("old brick wall, seamless texture", "Brick Wall", "xy")
    assert (wall.width, wall.height) == (32, 16)
    pipeline.fail_with = None
    again = sd.batch_materials(LIST)
    assert [path.stem for path in again.result(60)] == ["Crash"] and again.skipped == ["Moss", "Wall"]
    assert len(sd.batch_materials(["Moss"], replace=True).result(60)) == 1
    assert {tag.name
            for tag in _append(library / MADE / "Wall.blend").asset_data.tags} == {"set one", "old", "brick", "wall"}


def test_cancel_stops_all_of_a_list(addon, library, pipeline):
    pipeline.hold()
    made = sd.batch_materials("one\ntwo\nthree\n")
    drain(lambda: any(job.state == "running" for _, job in made.jobs))
    assert bpy.ops.sd.cancel_batch() == {"FINISHED"}
    drain()
    assert made.done and made.summary() == "0 saved, 3 cancelled" and not (library / MADE).exists()
    pipeline.go()
    assert len(sd.batch_materials("one\ntwo\nthree\n").result(60)) == 3


def test_the_operators_list_from_a_text_block(addon, library, pipeline):
    text = bpy.data.texts.new("list.csv")
    text.write("prompt,style\nmoss,\nold,Brick Wall\n")
    addon.style, addon.steps, addon.width, addon.height = "", 3, 48, 32
    assert bpy.ops.sd.batch_materials(text="list.csv", library=str(library)) == {"FINISHED"}
    with pytest.raises(RuntimeError, match="list is being made"):
        bpy.ops.sd.batch_materials(text="list.csv", library=str(library))
    drain()
    assert sorted(os.listdir(library / MADE)) == ["moss.blend", "old.blend"]
    assert {(order.request.steps, order.request.width, order.request.tiling) for order in pipeline.orders} == {
        (3, 48, "xy")}
    assert bpy.ops.sd.dismiss_batch() == {"FINISHED"} and runtime.newest_batch is None
    text.clear()
    text.write("prompt,colour\nmoss,red\n")
    with pytest.raises(RuntimeError, match="'colour'"):
        bpy.ops.sd.batch_materials(text="list.csv", library=str(library))
    assert "colour" in state().error


def test_an_asset_from_the_prompt(addon, library, pipeline):
    addon.prompt, addon.random_seed, addon.seed = "green moss", False, 11
    bpy.ops.sd.save_material(source="PROMPT", name="Soft Moss", library=str(library), licence="")
    drain()
    saved = _append(library / MADE / "Soft Moss.blend")
    assert saved.asset_data.license == "" and "green moss" in saved.asset_data.description and pipeline.orders[
        -1].request.seed == 11


def test_a_list_that_another_file_outlives(addon, library, pipeline):
    """The assets do not belong to the open file: another one may be opened meanwhile."""
    pipeline.hold()
    made = sd.batch_materials("moss\n")
    drain(lambda: made.jobs[0][1].state == "running")
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    pipeline.go()
    assert [path.stem for path in made.result(60)] == ["moss"]


def test_lists_that_cannot_be_used(addon, library, tmp_path):
    with pytest.raises(InvalidRequest, match="'count'"):
        sd.batch_materials("moss\n", count=2)
    with pytest.raises(AssetUnusable, match="cannot be read"):
        sd.batch_materials(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("prompt\nM\xf6\n".encode("latin-1"))
    with pytest.raises(AssetUnusable, match="UTF-8"):
        sd.batch_materials(str(tmp_path / "latin.csv"))
    (tmp_path / "rows.txt").write_text("moss\n", encoding="utf-8")
    assert len(sd.batch_materials(str(tmp_path / "rows.txt")).result(60)) == 1
    assert not [job for job in sd.jobs() if job.state == "failed"]
