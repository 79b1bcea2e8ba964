"""Scenes with several views: where each eye sees points, what it renders, and how its files end."""
from __future__ import annotations

import os
from itertools import product

import bpy
import numpy as np
import pytest

from blender_sd.core.errors import SourceUnusable
from blender_sd.core.regions import Region
from blender_sd.protocol.exr_files import read_passes
from blender_sd.protocol.shots import FLOW, FRAMES, SURFACE, Shot
from blender_sd.scene import sequence_placing, stereo
from blender_sd.scene.shot_recorder import Recording, record

SIZE = (96, 64)
MOVED = 4.0


@pytest.fixture
def eyes(camera_scene):
    """A cube that shows where its points are as colours, in front of a stereoscopic camera that is turned, shifted and
    animated."""
    scene = camera_scene(SIZE[0])
    scene.render.resolution_y, scene.render.use_multiview = SIZE[1], True
    scene.cycles.use_denoising, scene.cycles.pixel_filter_type, scene.cycles.filter_width = False, "BOX", 0.01
    camera = scene.camera
    camera.data.shift_x, camera.data.shift_y = 0.05, -0.02
    camera.driver_add("rotation_euler", 1).driver.expression = "frame / 20"
    camera.data.stereo.interocular_distance, camera.data.stereo.convergence_distance = 0.5, 4
    material = bpy.data.materials.new("places")
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    place, moved, light, shown = (tree.nodes.new(f"ShaderNode{kind}") for kind in (
        "NewGeometry", "VectorMath", "Emission", "OutputMaterial"))
    moved.inputs[1].default_value = (MOVED, MOVED, MOVED)  # no light is negative
    tree.links.new(place.outputs["Position"], moved.inputs[0])
    tree.links.new(moved.outputs[0], light.inputs["Color"])
    tree.links.new(light.outputs[0], shown.inputs[0])
    bpy.context.object.data.materials.append(material)
    return scene


def rendered(scene, folder, file_format: str) -> list[str]:
    """Render a frame as a person does, and return the files of the eyes."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_mode, settings.views_format = file_format, "RGBA", "INDIVIDUAL"
    settings.color_depth = "32" if file_format == "OPEN_EXR" else "8"
    scene.render.filepath = str(folder / "own")
    bpy.ops.render.render(write_still=True)
    return [str(folder / f"own{view.file_suffix}{scene.render.file_extension}") for view in scene.render.views
            if view.use]


def misses(path: str, lens) -> np.ndarray:
    """Return how many pixels from its own centre each pixel's point is seen by a lens."""
    with open(path, "rb") as file:
        channels = read_passes(file.read()).channels
    seen = channels["A"] > 0.5
    rows, columns = np.nonzero(seen)
    places = np.stack([channels[name][seen] for name in "RGB"], -1).astype(float) - MOVED
    right, up, depth = np.reshape(lens.axes, (3, 3)) @ (places - lens.origin).T
    depth = depth if lens.perspective else 1
    x, y = lens.centre_x + lens.scale_x * right / depth, lens.centre_y - lens.scale_y * up / depth
    return np.hypot(x - columns - 0.5, y - rows - 0.5)


def recorded(scene, tmp_path, numbers=(1, 2), **keywords) -> Shot:
    record(scene, Recording(folder=str(tmp_path / "shot"), frames=tuple(numbers), **keywords))
    return Shot(str(tmp_path / "shot"))


@pytest.mark.parametrize(("mode", "pivot"), list(product(
    ("OFFAXIS", "PARALLEL", "TOE"), ("LEFT", "CENTER", "RIGHT"))))
def test_each_eye_sees_points_where_blender_renders_them(eyes, tmp_path, mode, pivot):
    stereoscopy = eyes.camera.data.stereo
    stereoscopy.convergence_mode, stereoscopy.pivot = mode, pivot
    shot = recorded(eyes, tmp_path, (2,))
    assert shot.info.views == ("_L", "_R") and shot.info.frames == (2,) and shot.info.link == SURFACE
    eyes.frame_set(2)
    errors = [misses(path, shot.surface(number).lens) for path, number in
              zip(rendered(eyes, tmp_path, "OPEN_EXR"), (4, 5), strict=True)]
    assert all(len(error) > 500 and error.mean() < 0.05 for error in errors), [error.mean() for error in errors]
    assert np.array_equal(shot.surface(4).vertices, shot.surface(5).vertices)


def test_orthographic_eyes(eyes, tmp_path):
    eyes.camera.data.type, eyes.camera.data.ortho_scale = "ORTHO", 6
    shot = recorded(eyes, tmp_path, (2,))
    eyes.frame_set(2)
    for path, number in zip(rendered(eyes, tmp_path, "OPEN_EXR"), (4, 5), strict=True):
        assert misses(path, shot.surface(number).lens).mean() < 0.05


def test_cameras_of_named_views(eyes, tmp_path):
    eyes.render.views_format = "MULTIVIEW"
    other = eyes.camera.copy()
    eyes.camera.name, other.name, other.location.x = "Rig_L", "Rig_R", 0.7
    eyes.collection.objects.link(other)
    above = other.copy()
    above.name, above.location.z = "Rig_above", 0.5
    eyes.collection.objects.link(above)
    view = eyes.render.views.new("above")
    view.camera_suffix = view.file_suffix = "_above"
    shot = recorded(eyes, tmp_path, (1, 2))
    assert shot.info.views == ("_L", "_R", "_above")
    eyes.frame_set(2)
    for path, number in zip(rendered(eyes, tmp_path, "OPEN_EXR"), (6, 7, 8), strict=True):
        assert misses(path, shot.surface(number).lens).mean() < 0.05


def test_the_frames_are_those_that_blender_renders(eyes, tmp_path):
    shot = recorded(eyes, tmp_path, (2,))
    eyes.frame_set(2)
    pictures = []
    for own, number in zip(rendered(eyes, tmp_path, "PNG"), (4, 5), strict=True):
        pair = [np.array(bpy.data.images.load(path).pixels[:]) for path in (own, shot.path(FRAMES, number))]
        assert np.abs(pair[0] - pair[1]).max() < 0.02  # Blender dithers its own
        pictures.append(pair[1])
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.02


def test_everything_is_as_it_was_afterwards(eyes, tmp_path):
    marker = eyes.timeline_markers.new("cut", frame=1)
    marker.camera = camera = eyes.camera
    cameras = len(bpy.data.cameras), len(bpy.data.objects)
    recorded(eyes, tmp_path, (1, 2))
    assert eyes.camera == marker.camera == camera and eyes.render.use_multiview
    assert (len(bpy.data.cameras), len(bpy.data.objects)) == cameras
    assert [view.use for view in eyes.render.views] == [True, True] and camera.data.shift_x == pytest.approx(0.05)


def test_what_steers_a_frame_is_drawn_for_each_eye(eyes, tmp_path):
    shot = recorded(eyes, tmp_path, (1,), controls=((0, "depth"),), regions=((0, Region("object", "Cube")),))
    shown = {(kind, number): np.array(bpy.data.images.load(shot.path(kind, number)).pixels[:]).reshape(
        *SIZE[::-1], 4) for kind in (FRAMES, "controls/0", "regions/0") for number in (2, 3)}
    for kind in ("controls/0", "regions/0"):
        for number, other in ((2, 3), (3, 2)):
            own, crossed = (np.mean((shown[kind, number][..., 0] > 0.05) != (shown[FRAMES, eye][..., 3] > 0.5))
                            for eye in (number, other))
            assert own < 0.02 and crossed > 0.04


def test_one_eye_alone_is_a_plain_shot_seen_from_it(eyes, tmp_path):
    eyes.render.views["left"].use = False
    eyes.camera.data.stereo.pivot = "CENTER"
    shot = recorded(eyes, tmp_path, (2,))
    eyes.frame_set(2)
    assert os.listdir(os.path.join(shot.folder, FRAMES)) == ["000002.png"]
    bpy.context.scene.render.views["left"].use = True
    assert misses(rendered(eyes, tmp_path, "OPEN_EXR")[1], shot.surface(2).lens).mean() < 0.05


def test_where_no_surface_links_the_eyes_the_pictures_do(eyes, tmp_path):
    notes = []
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    what = Recording(folder=str(tmp_path / "shot"), frames=(1,))
    assert record(eyes, what, note=notes.append).link == FLOW and "camera itself" in notes[-1]


def test_spherical_stereo_leaves_it_to_the_pictures(eyes, tmp_path):
    eyes.camera.data.stereo.use_spherical_stereo = True
    assert recorded(eyes, tmp_path, (1,)).info.link == FLOW


def test_views_whose_files_would_be_the_same_are_refused(eyes, tmp_path):
    for ending in ("_L", "/R", "1"):
        eyes.render.views["right"].file_suffix = ending
        with pytest.raises(SourceUnusable, match="told apart"):
            recorded(eyes, tmp_path)
    assert not os.path.exists(tmp_path / "shot")
    eyes.render.use_multiview = False
    assert stereo.endings_of(eyes) == stereo.views_of(eyes) == ()


def test_the_sequencer_shows_each_eye_its_own_pictures(eyes, tmp_path):
    for name, colour in (("_L", (1, 0, 0, 1)), ("_R", (0, 0, 1, 1))):
        image = bpy.data.images.new(name, *SIZE)
        image.pixels = colour * (SIZE[0] * SIZE[1])
        image.filepath_raw, image.file_format = str(tmp_path / f"000001{name}.png"), "PNG"
        image.save()
    sequence_placing.in_sequencer(eyes, [str(tmp_path / "000001_L.png")], [1], "clay")
    eyes.frame_set(1)
    left, right = (np.array(bpy.data.images.load(path).pixels[:]).reshape(-1, 4).mean(0)
                   for path in rendered(eyes, tmp_path, "PNG"))
    assert left[0] > 2 * left[2] and right[2] > 2 * right[0]
