"""Sources that have more than one picture, renders inside handlers, threads, and paths as Blender writes them."""
from __future__ import annotations

import functools
import threading
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd.calls import arguments
from blender_sd import scene as room
from blender_sd.core.errors import InvalidRequest, SourceUnusable
from blender_sd.scene import handlers, images, stamps, targets
from tests.support.pictures import colours, decoded, difference, generated, pixels_of, raw_pixels, result, write_png


@pytest.fixture
def rendered(camera_scene) -> bpy.types.Scene:
    """A scene with a camera and a cube, 32 pixels wide."""
    return camera_scene(32)


# ---- one message for one cause ---------------------------------------------------------------------------------------


@pytest.fixture
def sequence(tmp_path: Path, cube) -> bpy.types.Image:
    """Three frames whose red is their number, in an image node of a cube."""
    for number in (1, 2, 3):
        write_png(tmp_path / f"s_{number:04d}.png", np.full((8, 8, 4), (number * 50, 0, 0, 255), np.uint8))
    image = bpy.data.images.load(str(tmp_path / "s_0001.png"))
    image.source = "SEQUENCE"
    material = bpy.data.materials.new("M")
    cube.data.materials.append(material)
    node = room.compat.node_tree_of(material).nodes.new("ShaderNodeTexImage")
    node.image, node.image_user.frame_duration = image, 3
    return image


@pytest.mark.parametrize(("settings", "red"), [({}, 100), ({"frame_start": 2}, 50), ({"frame_offset": 1}, 150),
                                               ({"frame_start": -2, "use_cyclic": True}, 100)])
def test_of_a_sequence_the_frame_that_is_shown(sequence, settings: dict, red: int) -> None:
    user = next(node for node in bpy.data.materials["M"].node_tree.nodes if node.type == "TEX_IMAGE").image_user
    for name, value in settings.items():
        setattr(user, name, value)
    bpy.context.scene.frame_set(2)
    source, size = room.open_source(sequence)
    assert size == (8, 8) and pixels_of(source)[0, 0, 0] == red


def test_a_sequence_that_lacks_the_frame(sequence, tmp_path: Path) -> None:
    (tmp_path / "s_0002.png").unlink()
    bpy.context.scene.frame_set(2)
    with pytest.raises(SourceUnusable, match="image sequence.*frame 2"):
        room.open_source(sequence)


def test_movies_and_multilayer_files_are_called_so(rendered, tmp_path: Path) -> None:
    movie = generated(colours(4, 4), "clip")
    movie.source = "MOVIE"
    with pytest.raises(SourceUnusable, match="is a movie"):
        room.open_source(movie)
    room.compat.multilayer_settings(rendered.render.image_settings)
    rendered.render.filepath = str(tmp_path / "passes.exr")
    bpy.ops.render.render(write_still=True)
    with pytest.raises(SourceUnusable, match="multilayer EXR"):
        room.open_source(bpy.data.images.load(rendered.render.filepath))
    with pytest.raises(SourceUnusable, match="multilayer EXR"):
        room.open_source(rendered.render.filepath)


def test_render_slots(rendered) -> None:
    bpy.ops.render.render()
    first = pixels_of(room.open_source("RENDER")[0])
    slots = bpy.data.images["Render Result"].render_slots
    slots.active_index = 3
    assert difference(pixels_of(room.open_source("RENDER")[0]), first) == 0, "the slot just rendered"
    bpy.data.objects["Cube"].location.x = 1
    second = pixels_of(room.open_source("CAMERA")[0])
    assert difference(second, first) > 50 and slots.active_index == 3
    room.open_control("depth", "CAMERA", (32, 32))
    assert difference(pixels_of(room.open_source("RENDER")[0]), second) == 0, "a control leaves it as it is"


def test_a_stereoscopic_render_gives_one_eye(rendered) -> None:
    rendered.render.use_multiview = True
    bpy.ops.render.render()
    assert pixels_of(room.open_source("RENDER")[0]).shape == (32, 32, 4)


# ---- handlers and threads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["control", "camera", "through a partial"])
def test_inside_a_render_handler_nothing_is_rendered_in_background_mode(rendered, ask: str) -> None:
    heard: list[str] = []

    def handler(*_):
        try:
            room.open_source("CAMERA") if ask == "camera" else room.open_control("depth", "CAMERA", (16, 16))
        except SourceUnusable as error:
            heard.append(str(error))

    called = functools.partial(handler) if ask == "through a partial" else handler
    for name in ("render_pre", "render_post", "render_complete"):
        getattr(bpy.app.handlers, name).append(called)
    bpy.ops.render.render()
    assert len(heard) == 3 and all("inside a render handler" in text for text in heard)
    for name in ("render_pre", "render_post", "render_complete"):
        getattr(bpy.app.handlers, name).remove(called)
    assert room.open_control("depth", "CAMERA", (16, 16))().pixels.any()


def test_what_a_handler_asks_for_is_rendered_once_after_it(rendered, monkeypatch) -> None:
    """As with a window, where something comes after a render."""
    monkeypatch.setattr(handlers, "_has_after", lambda: True)
    wanted, heard = [], []

    def handler(*_):
        heard.append(rendered.frame_current)
        wanted.append(room.open_control("depth", "CAMERA", (16, 16)))
        wanted.append(room.open_source("CAMERA")[0])
        with pytest.raises(InvalidRequest, match="waited for inside a render handler"):
            handlers.check_turn(waiting=True)

    rendered.frame_set(5)
    bpy.app.handlers.render_post.append(handler)
    bpy.ops.render.render()
    rendered.frame_set(9)
    frames = []
    bpy.app.handlers.render_pre.append(lambda scene, *_: frames.append(scene.frame_current))
    handlers.check_turn(waiting=False)
    handlers.check_turn(waiting=False)
    bpy.app.handlers.render_pre.clear()
    assert bpy.app.handlers.render_post[:] == [handler]
    bpy.app.handlers.render_post.remove(handler)
    assert heard == [5] and frames == [
        5] and rendered.frame_current == 9, "the artist's handlers hear of the camera's render alone"
    depth, picture = (pixels_of(later) for later in wanted)
    assert depth.shape == (16, 16, 4) and depth[..., 0].any() and picture.shape == (32, 32, 4)


def test_a_handler_that_is_called_by_hand_elsewhere_goes_on_working(rendered) -> None:
    counted = []
    bpy.app.handlers.frame_change_post.append(lambda *_: counted.append(room.open_control("depth", "CAMERA", (8, 8))))
    rendered.frame_set(3)
    bpy.app.handlers.frame_change_post.clear()
    assert len(counted) == 1


def test_another_thread_is_refused() -> None:
    heard: list[object] = []

    @arguments.scene_call
    def call() -> int:
        return 1

    def work() -> None:
        try:
            heard.append(call())
        except InvalidRequest as error:
            heard.append(error.message)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert call() == 1 and "main thread only" in heard[0]


# ---- identity, and what is lost --------------------------------------------------------------------------------------


def test_paths_as_blender_writes_them(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable, match="never saved"):
        room.open_source("//tex.png")
    write_png(tmp_path / "tex.png", colours(8, 6))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    source, size = room.open_source("//tex.png")
    assert size == (6, 8) and np.array_equal(decoded(source().encoded), colours(8, 6))
    assert room.open_mask("//tex.png", (6, 8))().encoded
    with pytest.raises(SourceUnusable, match="no file"):
        room.open_source("//other.png")


def test_results_survive_undo_and_redo(cube, tmp_path: Path) -> None:
    bpy.ops.ed.undo_push(message="start")
    made = result(tmp_path / "a.png", colours(8, 8), prompt="brick")
    held = room.hold(room.commit(room.target_of_object(cube), [made], "brick"))
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    assert room.recall(held, [made]) == [bpy.data.images["brick"]]
    bpy.ops.ed.undo()
    again, = room.recall(held, [made])
    assert np.array_equal(raw_pixels(again), colours(8, 8)) and room.recall(held, [made]) == [again]
    assert room.recall(room.hold([3, "text"]), []) == [3, "text"]


def slot(cube, image: bpy.types.Image) -> targets.Target:
    room.apply_image(image, cube)
    return room.freeze_target(bpy.context, "slot")


def test_a_wider_range_and_a_changed_file_are_reported_before(cube, tmp_path: Path) -> None:
    target = slot(cube, generated(np.full((4, 4, 4), 3.0, np.float32), "sky", is_float=True))
    assert any("HDR" in note for note in room.remarks(target))
    path = write_png(tmp_path / "wall.png", colours(8, 8))
    image = bpy.data.images.load(str(path))
    assert len(image.pixels) and not room.remarks(slot(cube, image), image)
    write_png(path, colours(8, 8, seed=9))
    notes = room.remarks(slot(cube, image), image)
    assert len(notes) == 1 and "changed on disk" in notes[0]
    assert np.array_equal(pixels_of(room.open_source(image)[0])[..., 3], colours(8, 8)[..., 3]), "what is shown counts"


def test_a_picture_that_would_not_be_seen_is_announced(cube) -> None:
    target = slot(cube, generated(colours(4, 4)))
    cube.active_material.node_tree.nodes.active.mute = True
    assert ["muted" in note for note in room.remarks(target)] == [True]


# ---- housekeeping ----------------------------------------------------------------------------------------------------


def test_replaced_images_are_purged_and_no_others(cube, tmp_path: Path) -> None:
    room.apply_image(generated(colours(4, 4), "first"), cube)
    room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "a.png", colours(8, 8), prompt="second")])
    third = generated(colours(4, 4), "third")
    room.apply_image(third, cube)
    mine = generated(colours(4, 4), "mine")
    mine.use_fake_user = True
    other = bpy.data.materials.new("Other")
    room.compat.node_tree_of(other).nodes.new("ShaderNodeTexImage").image = bpy.data.images["second"]
    assert room.purge_replaced() == ["first"]
    assert {image.name for image in bpy.data.images} >= {"second", "third", "mine"}


def test_unpacked_pictures_are_named_after_their_prompt(tmp_path: Path) -> None:
    room.load_result(result(tmp_path / "20260101-000000-1.png", colours(8, 8), prompt="red brick wall",
                            seed=7)).use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.file.unpack_all(method="WRITE_LOCAL")
    assert [path.name for path in (tmp_path / "textures").iterdir()] == ["red_brick_wall_7.png"]
    image, = (image for image in bpy.data.images if image.name == "red brick wall")
    assert np.array_equal(raw_pixels(image), colours(8, 8)) and images.size_of(image) == (8, 8)


def test_a_stamp_is_no_part_of_a_source(rendered) -> None:
    current = bpy.context.scene
    current.render.resolution_x, current.render.resolution_y, current.render.resolution_percentage = 200, 100, 100
    current.render.use_stamp = False
    bpy.ops.render.render()
    plain = pixels_of(room.open_source("RENDER")[0])
    current.render.use_stamp, current.render.stamp_background = True, (1, 1, 0, 1)
    bpy.ops.render.render()
    result_image = next(image for image in bpy.data.images if image.type == "RENDER_RESULT")
    for source in ("RENDER", result_image):
        with pytest.raises(SourceUnusable, match="The stamp is burnt into the Render Result") as refused:
            room.open_source(source)
        assert "Camera" in refused.value.hint
    assert np.array_equal(pixels_of(room.open_source("CAMERA")[0]), plain) and current.render.use_stamp
    assert np.array_equal(pixels_of(room.open_source("RENDER")[0]), plain)  # what Camera has just rendered


def test_what_a_stamp_was_when_it_was_rendered_counts(rendered) -> None:
    current = bpy.context.scene
    bpy.app.handlers.render_complete.append(stamps.note)  # as the add-on does
    try:
        current.render.use_stamp = True
        bpy.ops.render.render()
        current.render.use_stamp = False
        with pytest.raises(SourceUnusable, match="stamp"):
            room.open_source("RENDER")
        bpy.ops.render.render()
        current.render.use_stamp = True
        assert room.open_source("RENDER")
        for name in dir(current.render):
            if name.startswith("use_stamp_"):
                setattr(current.render, name, False)
        bpy.ops.render.render()
        assert room.open_source("RENDER")  # a stamp without a line is none
    finally:
        bpy.app.handlers.render_complete.remove(stamps.note)


@pytest.mark.parametrize("kind", ["frame_change_pre", "frame_change_post"])
def test_a_frame_handler_inside_a_render_is_refused_and_outside_works(rendered, tmp_path: Path, kind: str) -> None:
    """Blender crashes where a render begins inside another."""
    room.check_thread()  # as every call does: renders are kept track of from here on
    heard, made = [], []

    def handler(*_):
        try:
            made.append(room.open_source("CAMERA")[0])
        except SourceUnusable as error:
            heard.append(str(error))

    rendered.frame_end, rendered.render.filepath = 2, str(tmp_path) + "/"
    handlers_of_it = getattr(bpy.app.handlers, kind)
    handlers_of_it.append(handler)
    try:
        bpy.ops.render.render(animation=True)
        before = len(made)  # Blender goes back to the first frame after the animation, when a render may begin again
        assert len(heard) == 2 and all("inside a render handler" in text for text in heard)
        rendered.frame_set(7)
        assert len(made) == before + 1
    finally:
        handlers_of_it.remove(handler)
