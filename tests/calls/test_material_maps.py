"""`material`, `pbr_maps` and lists of materials with maps, by the engine in its own process."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.calls import material_maps
from blender_sd.core.errors import InvalidRequest, ModelNotFound, PolicyForbids, SourceUnusable
from blender_sd.core.roles import BASE_COLOUR, MAPS, NORMAL
from blender_sd.library.marigold import INTRINSICS, Weights
from tests.support.calls import PATIENCE
from tests.support.pictures import colours, generated

pytestmark = pytest.mark.bpy


def textures(material: bpy.types.Material) -> dict[str, bpy.types.Image]:
    return {node.name: node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE"}


def test_a_prompt_becomes_a_material_in_one_undo_step(sd, small, cube):
    former = cube.active_material
    job = sd.material("mossy cobblestones", size=64, obj=cube, **small)
    (material,) = job.result(timeout=PATIENCE)
    assert cube.active_material == material and material != former
    assert len(textures(material)) == 6 and job.results[0].request.tiling == "xy"
    assert [result.role for result in job.results] == ["picture", *MAPS]
    assert sd.recall(textures(material)["SD Base Colour Map"]).prompt == "mossy cobblestones"


def test_a_picture_becomes_a_material(sd):
    image = generated(colours(32, 64), "bricks")
    job = sd.pbr_maps(image, map_source="estimated", relief="bump")
    (material,) = job.result(timeout=PATIENCE)
    assert material.use_fake_user and scene.relief_of(material) == "bump"
    assert {tuple(found.size) for found in textures(material).values()} == {(64, 32)}
    assert all(result.made_by == "Plain Estimate" for result in job.results)
    sd.set_relief(material, strength=2.0)
    assert scene.relief_controls(material)[1].default_value == 2.0


def test_a_photo_becomes_seamless_first_in_the_same_job(sd, small):
    image = generated(np.random.default_rng(1).random((64, 64, 4)).astype(np.float32), "photo")
    job = sd.pbr_maps(image, seamless=True, **small)
    (material,) = job.result(timeout=PATIENCE)
    assert material.name == job.label == "photo"  # not after the model
    assert [result.role for result in job.results] == ["picture", *MAPS]
    assert job.results[0].request.task.name == "make_seamless" and len(textures(material)) == 6


def test_the_maps_of_a_picture_can_be_made_again(sd):
    image = generated(colours(64, 64), "bricks")
    (first,) = sd.pbr_maps(image, map_source="estimated", metres=2.0).result(timeout=PATIENCE)
    request = sd.recall(textures(first)["SD Normal Map"])
    assert (request.task.name, request.task.metres) == ("pbr_maps", 2.0)
    (again,) = sd.run(request).result(timeout=PATIENCE)
    for name in ("SD Normal Map", "SD Roughness Map"):
        assert np.array_equal(np.array(textures(first)[name].pixels[:]), np.array(textures(again)[name].pixels[:]))


@pytest.mark.parametrize(("call", "keywords", "error"), [
    ("material", {"map_source": "magic"}, InvalidRequest),
    ("material", {"metres": 0.0}, InvalidRequest),
    ("material", {"map_bits": "12"}, InvalidRequest),
    ("material", {"relief": "deep"}, InvalidRequest),
    ("material", {"map_source": "marigold"}, ModelNotFound),
    ("material", {"count": 2}, InvalidRequest),
    ("material", {"size": 3.5}, InvalidRequest),
    ("pbr_maps", {"steps": 5}, InvalidRequest),
    ("pbr_maps", {"wraps": "z"}, InvalidRequest),
])
def test_bad_input_starts_nothing(sd, small, call, keywords, error):
    image = generated(colours(16, 16), "bricks")
    before = len(sd.jobs()), len(bpy.data.materials)
    with pytest.raises(error):
        if call == "material":
            sd.material("x", **{**small, **keywords})
        else:
            sd.pbr_maps(image, **keywords)
    assert (len(sd.jobs()), len(bpy.data.materials)) == before


def test_a_wrong_tiling_is_named_as_such(sd, small):
    with pytest.raises(InvalidRequest, match="tiling"):
        sd.material("moss", tiling="q", size=64, **small)


def test_weights_that_the_policy_forbids_are_passed_over(sd, monkeypatch):
    def forbid(place, kind):
        raise PolicyForbids(f"It forbids the {kind} in {place}.", "Choose another.")

    monkeypatch.setattr(material_maps.runtime.models, "marigold", lambda: (Weights("/marigold", INTRINSICS),))
    assert material_maps.map_task("auto", "16", 1.0, "xy").intrinsics == "/marigold"
    monkeypatch.setattr(material_maps, "policy", lambda: SimpleNamespace(check_model=forbid))
    assert material_maps.map_task("auto", "16", 1.0, "xy").intrinsics == ""
    with pytest.raises(PolicyForbids, match="Marigold"):
        material_maps.map_task("marigold", "16", 1.0, "xy")


def test_a_normal_map_changes_nothing(sd):
    image = generated(colours(64, 64), "bricks")
    (material,) = sd.pbr_maps(image, map_source="estimated", map_bits="8").result(timeout=PATIENCE)
    before = len(bpy.data.materials), len(bpy.data.images)
    with pytest.raises(SourceUnusable, match="normal map"):
        sd.pbr_maps(textures(material)["SD Normal Map"]).result(timeout=PATIENCE)
    assert (len(bpy.data.materials), len(bpy.data.images)) == before


def test_an_hdr_picture_is_clipped_and_reported(sd, small):
    image = bpy.data.images.new("hdr", 32, 32, float_buffer=True)
    image.pixels.foreach_set(np.linspace(0, 4, 32 * 32 * 4, dtype=np.float32))
    job = sd.pbr_maps(image, map_source="estimated")
    job.result(timeout=PATIENCE)
    assert any("HDR" in note for note in job.notes)
    job = sd.pbr_maps(image, "bricks", seamless=True, **small)
    job.cancel()
    assert any("HDR" in note for note in job.notes)


def test_a_list_becomes_assets_with_maps(sd, small, tmp_path: Path):
    batch = sd.batch_materials(["red brick", "grey stone"], library=str(tmp_path), maps=True, size=(64, 64),
                               map_source="estimated", **{**small, "seed": None})
    before = len(bpy.data.materials), len(bpy.data.images)
    files = batch.result(timeout=PATIENCE)
    assert len(files) == 2 and not batch.failed
    assert (len(bpy.data.materials), len(bpy.data.images)) == before
    with bpy.data.libraries.load(str(files[0])) as (source, found):
        found.materials = list(source.materials)
        found.images = list(source.images)
    assert len(found.images) == 6 and found.materials[0].asset_data is not None
    spaces = {image.name.split()[-1]: image.colorspace_settings.name for image in found.images}
    assert spaces["colour"] == "sRGB" and spaces["normal"] == "Non-Color"
    assert {BASE_COLOUR, NORMAL} <= set(MAPS)
