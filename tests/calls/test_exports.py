"""Exporters name textures after the prompts that made them, and find the tiles of UDIM images. Each export is a run of
its own."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.scene import compat
from tests.support.calls import PATIENCE

pytestmark = pytest.mark.bpy

_EXPORT = """
import sys, bpy
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
bpy.ops.export_scene.gltf(filepath=sys.argv[2] + "/a.gltf", export_format="GLTF_SEPARATE")
bpy.ops.export_scene.fbx(filepath=sys.argv[2] + "/a.fbx", path_mode="COPY")
"""


@pytest.fixture
def node(cube: bpy.types.Object) -> bpy.types.ShaderNodeTexImage:
    cube.data.materials.append(bpy.data.materials.new("M"))
    tree = compat.node_tree_of(cube.active_material)
    node = tree.nodes.new("ShaderNodeTexImage")
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])
    tree.nodes.active = node
    return node


def exported(folder: Path) -> tuple[list[str], set[str]]:
    """The names of the textures that glTF names, and of the files that it and FBX write for the open file, in
    `folder`."""
    folder.mkdir()
    path = folder.with_suffix(".blend")
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT, str(path), str(folder)], capture_output=True, text=True, timeout=PATIENCE)
    assert (folder / "a.fbx").is_file(), done.stdout + done.stderr
    uris = [image["uri"] for image in json.loads((folder / "a.gltf").read_text())["images"]]
    return uris, {file.name for file in folder.iterdir() if file.suffix == ".png"}


def test_textures_are_named_after_their_prompt(sd, small, node, tmp_path):
    node.image = bpy.data.images.new("old", 8, 8)
    target = scene.freeze_target(bpy.context, "slot")
    (image,) = sd.generate("rusty: iron/plate, (old:1.2)", size=(64, 64), target=target, **small).result(PATIENCE)
    assert node.image == image and Path(image.filepath_raw).is_file()
    uris, files = exported(tmp_path / "export")
    assert len(uris) == 1 and len(files) == 1 and files == {Path(image.filepath_raw).name}
    assert uris[0] in files and uris[0].startswith("rusty_iron_plate_old_1_2_7_")


@pytest.mark.parametrize("packed", [False, True])
def test_tiles_are_found_where_they_were_files(sd, small, cube, node, tmp_path, packed):
    textures = tmp_path / "textures"
    textures.mkdir()
    for number in (1001, 1002):
        still = bpy.data.images.new("still", 32, 32)
        still.filepath_raw, still.file_format = str(textures / f"body.{number}.png"), "PNG"
        still.save()
        bpy.data.images.remove(still)
    node.image = former = bpy.data.images.load(str(textures / "body.1001.png"))
    former.source = "TILED"
    if packed:
        former.pack()
    former.tiles.active_index = 1
    corners = cube.data.uv_layers[0].uv
    values = np.empty(len(corners) * 2, np.float32)
    corners.foreach_get("vector", values)
    corners.foreach_set("vector", values * 0.9 + np.tile(np.float32([1.05, 0.05]), len(corners)))
    job = sd.restyle(former, "moss", strength=1.0, target=scene.freeze_target(bpy.context, "slot"), **small)
    (image,) = job.result(PATIENCE)
    assert node.image == image and image.source == "TILED" and bool(image.packed_files) == packed
    assert [tuple(tile.size) for tile in image.tiles] == [(32, 32), (32, 32)] and sd.recall(image).prompt == "moss"
    if not packed:
        _, files = exported(tmp_path / "export")
        assert files and all(name.startswith("moss_7") for name in files)
