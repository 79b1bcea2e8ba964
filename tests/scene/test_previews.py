"""The preview while a job runs: in a real window by tests/window; here, that the file has no part in it."""
from __future__ import annotations

from pathlib import Path

import bpy

from blender_sd import scene
from tests.support.pictures import colours


def test_a_preview_leaves_the_file_as_clean_as_it_was(tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "f.blend"))
    before, dirty = [image.name for image in bpy.data.images], bpy.data.is_dirty
    scene.show_preview(colours(16, 24, 3), (48, 32), scene.new_image_target())
    assert [image.name for image in bpy.data.images] == before
    assert bpy.data.is_dirty == dirty and not any(image.is_dirty for image in bpy.data.images)
    scene.clear_preview()
    scene.clear_preview()


def test_a_preview_needs_no_target() -> None:
    scene.show_preview(colours(4, 4, 3), (4, 4))
    scene.clear_preview()
