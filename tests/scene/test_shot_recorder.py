"""Shots: the frames of a scene with its surfaces, cameras, cuts and settings; nothing is made twice."""
from __future__ import annotations

import os

import bpy
import numpy as np
import pytest

from blender_sd.core.errors import JobCancelled, OutputUnwritable, SourceUnusable
from blender_sd.core.regions import Region
from blender_sd.library import files
from blender_sd.library.png import grey_png
from blender_sd.protocol.shots import FLOW, FRAMES, SURFACE, VECTOR, Shot
from blender_sd.scene import motion, renders, simulations
from blender_sd.scene.shot_recorder import Recording, fps_of, record


@pytest.fixture
def moving(camera_scene):
    """A cube that goes one unit to the right and half a unit up from frame to frame, seen by an orthographic camera: 8
    pixels are a unit."""
    scene = camera_scene(64)
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 8
    cube = bpy.context.object
    for axis, expression in ((0, "frame - 2"), (2, "(frame - 2) / 2")):
        cube.driver_add("location", axis).driver.expression = expression
    return scene


def recorded(scene, tmp_path, numbers=(1, 2, 3), **keywords) -> Shot:
    record(scene, Recording(folder=str(tmp_path / "shot"), frames=tuple(numbers), **keywords))
    return Shot(str(tmp_path / "shot"))


def test_a_shot_of_a_scene(moving, tmp_path):
    moving.render.fps, moving.render.fps_base = 30, 1.001
    shot = recorded(moving, tmp_path)
    assert shot.info.frames == (1, 2, 3) and (shot.info.width, shot.info.height) == (64, 64)
    assert shot.info.link == SURFACE and shot.info.objects == ("Cube",) and shot.info.fps == (30000, 1001)
    first, last = shot.surface(1), shot.surface(3)
    assert np.allclose(last.vertices - first.vertices, (2, 0, 1)) and last.topology.name == first.topology.name
    for number, posed in ((1, first), (3, last)):
        assert shot.picture(FRAMES, number).startswith(b"\x89PNG")
        image = bpy.data.images.load(shot.path(FRAMES, number))
        alpha = np.array(image.pixels[:]).reshape(64, 64, 4)[::-1, :, 3]
        columns = np.flatnonzero(alpha.any(0))
        x = posed.lens.centre_x + posed.lens.scale_x * (posed.vertices[:, 0] - posed.lens.origin[0])
        assert (columns[0], columns[-1] + 1) == pytest.approx((x.min(), x.max()), abs=1)


def test_vectors_point_to_the_frame_before_and_the_next(moving, tmp_path):
    shot = recorded(moving, tmp_path, link=VECTOR)
    vectors = shot.vectors(2)
    assert shot.info.link == VECTOR and shot.surface(2) is None
    assert vectors[32, 32] == pytest.approx((-8, 4, 8, -4), abs=1e-3)  # right and down
    assert (vectors[0, 0] == 0).all()
    pixel = np.array([32, 32]) + vectors[32, 32, :2]
    assert shot.vectors(1)[int(pixel[1]), int(pixel[0]), 2:] == pytest.approx(-vectors[32, 32, :2], abs=1e-3)


def test_vectors_of_every_second_frame_are_as_long_as_its_step(moving):
    moving.frame_set(2)
    assert motion.vectors_of_frame(moving, (64, 64), 2)[32, 32] == pytest.approx((-16, 8, 16, -8), abs=1e-2)
    assert moving.frame_current == 2 and moving.render.frame_map_old == 100


def test_finished_frames_are_never_made_again(moving, tmp_path, monkeypatch):
    made, render = [], renders.render_as_png
    monkeypatch.setattr(renders, "render_as_png", lambda scene, bits, view: (
        made.append(scene.frame_current), render(scene, bits, view))[1])
    stop = iter([False, False, True])
    what = Recording(folder=str(tmp_path / "shot"), frames=(1, 2, 3))
    with pytest.raises(JobCancelled):
        record(moving, what, cancelled=lambda: next(stop))
    assert made == [1, 2] and not os.path.exists(tmp_path / "shot" / "shot.json")
    heard = []
    record(moving, what, tell=lambda *progress: heard.append(progress))
    assert made == [1, 2, 3] and heard == [("Rendering", number, 3) for number in range(3)]
    shot = Shot(what.folder)
    assert np.allclose(shot.surface(3).vertices - shot.surface(1).vertices, (2, 0, 1))


def test_objects_that_appear_have_a_place_in_all_frames(moving, tmp_path):
    bpy.ops.mesh.primitive_ico_sphere_add(location=(-2, 0, -2))
    ball = bpy.context.object
    ball.hide_render = True
    ball.keyframe_insert("hide_render", frame=1)
    ball.hide_render = False
    ball.keyframe_insert("hide_render", frame=3)
    shot = recorded(moving, tmp_path)
    assert shot.info.objects == ("Cube", ball.name)
    assert len({shot.surface(number).topology.name for number in (1, 2, 3)}) == 1
    assert len(os.listdir(tmp_path / "shot" / "topology")) == 2


def test_a_mesh_that_changes_all_the_time_leaves_it_to_the_vector_pass(moving, tmp_path):
    array = bpy.data.objects["Cube"].modifiers.new("a", "ARRAY")
    array.driver_add("count").driver.expression = "frame"
    notes = []
    what = Recording(folder=str(tmp_path / "shot"), frames=tuple(range(1, 11)))
    assert record(moving, what, note=notes.append).link == VECTOR
    assert "'Cube' changes" in notes[0] and Shot(what.folder).vectors(10) is not None
    os.remove(os.path.join(what.folder, "shot.json"))
    assert record(moving, what).link == VECTOR, "it was stopped once all frames were rendered"


def test_nothing_with_a_surface_leaves_it_to_the_vector_pass(moving, tmp_path):
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    assert recorded(moving, tmp_path, (1, 2)).info.link == VECTOR


def test_a_panorama_leaves_it_to_the_pictures_unless_surfaces_are_wanted(moving, tmp_path):
    moving.camera.data.type = "PANO"
    assert recorded(moving, tmp_path, (1, 2)).info.link == FLOW
    with pytest.raises(SourceUnusable, match="panoramic"):
        recorded(moving, tmp_path / "..", (1, 2), link=SURFACE)


def test_markers_cut(moving, tmp_path):
    other = moving.camera.copy()
    moving.collection.objects.link(other)
    for frame, camera in ((1, moving.camera), (3, other), (4, other)):
        moving.timeline_markers.new(str(frame), frame=frame).camera = camera
    assert recorded(moving, tmp_path, (1, 2, 3, 4)).info.cuts == (3,)


def test_the_render_region_and_the_shape_of_pixels(moving, tmp_path):
    render = moving.render
    render.pixel_aspect_x = 2
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0, 0.5, 0.5, 1
    shot = recorded(moving, tmp_path, (1,))
    assert (shot.info.width, shot.info.height, shot.info.pixel_aspect) == (32, 32, 2)
    assert (shot.surface(1).lens.width, shot.surface(1).lens.height) == (32, 32)


def test_settings_follow_properties_of_the_scene(moving, tmp_path):
    moving["how strong"], moving["number"] = 0.0, 3
    moving.driver_add('["how strong"]').driver.expression = "frame / 10"
    shot = recorded(moving, tmp_path, varying=(("strength", '["how strong"]'), ("seed", '["number"]'),
                                               ("regions/1", '["how strong"]')), prompts=((1, "a"), (3, "b")))
    assert shot.course.strength == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3}) and shot.course.seed[2] == 3
    assert shot.course.regions[1][3] == pytest.approx(0.3) and shot.course.prompts == ((1, "a"), (3, "b"))
    again = recorded(moving, tmp_path, varying=(("strength", '["how strong"]'),))
    assert again.course.strength == shot.course.strength
    with pytest.raises(SourceUnusable, match="no property"):
        recorded(moving, tmp_path, varying=(("strength", '["gone"]'),))


def test_a_missing_camera_is_refused_before_anything_is_made(moving, tmp_path):
    moving.camera = None
    with pytest.raises(SourceUnusable, match="no camera"):
        recorded(moving, tmp_path)
    assert not os.path.exists(tmp_path / "shot")


def test_frames_that_change_their_size_are_named(moving, tmp_path):
    def picture(number: int) -> bytes:
        return grey_png(64 if number < 3 else 72, 64, bytes(72 * 64))

    with pytest.raises(SourceUnusable, match="Frame 3 is 72 × 64"):
        recorded(moving, tmp_path, pictures=picture)


def test_a_full_disk_stops_it_and_it_goes_on_later(moving, tmp_path, monkeypatch):
    whole, left = files.write_whole, [5]

    def write(path, data, private=False):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        whole(path, data, private)

    monkeypatch.setattr(files, "write_whole", write)
    with pytest.raises(OutputUnwritable, match="No space left"):
        recorded(moving, tmp_path)
    assert recorded(moving, tmp_path).info.frames == (1, 2, 3)


def test_sixteen_bits_and_settings_stay(moving, tmp_path):
    settings = moving.render.image_settings
    before = settings.file_format, settings.color_mode, settings.color_depth, moving.render.filepath
    shot = recorded(moving, tmp_path, (1,), bits=16)
    assert shot.picture(FRAMES, 1)[24] == 16
    assert (settings.file_format, settings.color_mode, settings.color_depth, moving.render.filepath) == before


def test_the_frame_rate_is_a_fraction(moving):
    for rate, base, wanted in ((24, 1, (24, 1)), (24, 1.001, (24000, 1001)), (25, 1, (25, 1)), (10, 4, (5, 2))):
        moving.render.fps, moving.render.fps_base = rate, base
        assert fps_of(moving) == wanted


def test_controls_and_regions_are_drawn_of_each_frame(moving, tmp_path):
    shot = recorded(moving, tmp_path, (1, 3), controls=((1, "depth"),), regions=((0, Region("object", "Cube")),))
    places = {}
    for number in (1, 3):
        for kind in ("controls/1", "regions/0"):
            image = bpy.data.images.load(shot.path(kind, number))
            places[kind, number] = np.flatnonzero(
                np.array(image.pixels[:]).reshape(64, 64, 4)[..., 0].max(0) > 0.5).mean()
    for kind in ("controls/1", "regions/0"):
        assert places[kind, 3] - places[kind, 1] == pytest.approx(16, abs=0.6)


def falling(camera_scene):
    """A cube that falls: a rigid body that nobody has baked."""
    scene = camera_scene(64)
    bpy.ops.rigidbody.object_add()
    return scene


def cloth(camera_scene):
    scene = camera_scene(64)
    bpy.context.object.modifiers.new("Cloth", "CLOTH")
    return scene


@pytest.mark.parametrize("made", [falling, cloth])
def test_a_simulation_that_is_not_baked_is_evaluated_from_its_start(camera_scene, tmp_path, made):
    for name in ("whole", "some"):
        (tmp_path / name).mkdir()
    whole = recorded(made(camera_scene), tmp_path / "whole", range(1, 9))
    fallen = whole.surface(8).vertices
    assert np.abs(fallen - whole.surface(1).vertices).max() > 0.05
    bpy.ops.wm.read_factory_settings(use_empty=True)
    some = recorded(made(camera_scene), tmp_path / "some", (4, 8))
    assert np.allclose(some.surface(8).vertices, fallen, atol=1e-5)
    assert np.allclose(some.surface(4).vertices, whole.surface(4).vertices, atol=1e-5)


def test_what_is_not_simulated_can_be_evaluated_in_any_order(moving, monkeypatch):
    assert simulations.start_of(moving) is None
    body = bpy.context.object.modifiers.new("Cloth", "CLOTH")
    body.point_cache.frame_start = 3
    assert simulations.start_of(moving) == 3
    body.show_render = False
    assert simulations.start_of(moving) is None
