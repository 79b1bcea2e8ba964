from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from pictures import colours, raw_pixels

from blender_sd import scene


def test_one_image_takes_every_preview() -> None:
    first, second = colours(16, 24, 3), colours(8, 12, 3, seed=2)
    image = scene.show_preview(first)
    assert np.array_equal(raw_pixels(image)[..., :3], first) and tuple(image.size) == (24, 16)
    again = scene.show_preview(second)
    assert again == image and len([image for image in bpy.data.images if image.name.startswith("SD")]) == 1
    assert np.array_equal(raw_pixels(again)[..., :3], second) and (raw_pixels(again)[..., 3] == 255).all()


def test_clearing_leaves_nothing_and_may_be_repeated() -> None:
    before = len(bpy.data.images)
    scene.show_preview(colours(4, 4, 3))
    scene.clear_preview()
    scene.clear_preview()
    assert len(bpy.data.images) == before


def test_preview_is_not_saved_even_where_something_uses_it(tmp_path: Path) -> None:
    image = scene.show_preview(colours(4, 4, 3))
    image.use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "f.blend"))
    assert bpy.data.images.get("SD Preview") is not None
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "f.blend"))
    assert bpy.data.images.get("SD Preview") is None


def test_undo_does_not_bring_a_preview_back() -> None:
    scene.push_undo("before")
    scene.show_preview(colours(4, 4, 3))
    bpy.ops.mesh.primitive_cube_add()
    scene.push_undo("cube")
    scene.clear_preview()
    bpy.ops.mesh.primitive_cube_add()
    scene.push_undo("cube 2")
    bpy.ops.ed.undo()
    assert len(bpy.data.objects) == 1
    assert bpy.data.images.get("SD Preview") is None
    scene.release()
    assert not [handler for handler in bpy.app.handlers.undo_post if handler.__module__.endswith("previews")]


def test_an_image_of_the_artist_with_the_same_name_is_left_alone() -> None:
    own = bpy.data.images.new("SD Preview", 2, 2)
    image = scene.show_preview(colours(4, 4, 3))
    assert image != own and tuple(own.size) == (2, 2)
    scene.clear_preview()
    assert bpy.data.images.get("SD Preview") == own
