"""Maps are exported while work goes on: one image is read in a turn, and what fails is shown."""
from __future__ import annotations

import time

import bpy
import pytest

from blender_sd import scene
from blender_sd.addon import map_exporting
from blender_sd.calls import material_maps
from blender_sd.scene import map_export
from tests.scene.test_material_maps import made_results
from tests.support.addon import state

pytestmark = pytest.mark.bpy
PATIENCE = 60.0


@pytest.fixture
def material(addon, tmp_path):
    return scene.place_material(scene.freeze_slot(None), made_results(tmp_path), "old bricks")


def finish() -> None:
    until = time.monotonic() + PATIENCE
    while map_exporting.running():
        assert time.monotonic() < until
        map_exporting.turn()


def test_one_image_is_read_in_each_turn(material, tmp_path, monkeypatch):
    read, values = [], map_export._values
    monkeypatch.setattr(map_export, "_values", lambda image: read.append(image.name) or values(image))
    map_exporting.start(material_maps.begin_export(material, str(tmp_path / "out"), "unreal"))
    for number in range(1, 4):
        map_exporting.turn()
        assert len(read) == number and map_exporting.text() == "The maps are being written"
    assert not (tmp_path / "out").exists()
    finish()
    assert map_exporting.text() == "4 maps written"
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == [
        "T_old_bricks_BC", "T_old_bricks_H", "T_old_bricks_N", "T_old_bricks_ORM"]


def test_an_image_that_goes_meanwhile_is_reported(material, tmp_path):
    map_exporting.start(material_maps.begin_export(material, str(tmp_path / "out"), "blender"))
    map_exporting.turn()
    for image in list(bpy.data.images):
        bpy.data.images.remove(image)
    finish()
    assert state().error and not (tmp_path / "out").exists() and map_exporting.text() == ""


def test_a_folder_that_cannot_be_written_is_reported(material, tmp_path):
    (tmp_path / "out").write_text("a file in the folder's place")
    map_exporting.start(material_maps.begin_export(material, str(tmp_path / "out"), "blender"))
    finish()
    assert "cannot be written" in state().error


def test_another_file_ends_the_reading(material, tmp_path):
    map_exporting.start(material_maps.begin_export(material, str(tmp_path / "out"), "blender"))
    map_exporting.turn()
    map_exporting.forget()
    assert not map_exporting.running() and not (tmp_path / "out").exists()
