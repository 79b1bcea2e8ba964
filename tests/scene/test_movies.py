"""Movies and numbered files as the frames of a shot, and movies of finished frames."""
from __future__ import annotations

import math
import os
import struct
import wave

import bpy
import numpy as np
import pytest

from blender_sd.core.errors import JobCancelled, OutputUnwritable, SourceUnusable
from blender_sd.library import files
from blender_sd.protocol import exr_files
from blender_sd.protocol.shots import FLOW, FRAMES, Shot
from blender_sd.scene import compat, movies, render_output
from blender_sd.scene.linear_frames import write_linear
from blender_sd.scene.sequence_placing import in_compositor, in_sequencer
from blender_sd.scene.shot_pictures import opened_pictures
from blender_sd.scene.shot_recorder import Recording, record

WIDTH, HEIGHT = 64, 48


def picture(number: int, width: int = WIDTH) -> np.ndarray:
    """A bar that goes right with the frames, H×W×4, bottom row first."""
    pixels = np.zeros((HEIGHT, width, 4), np.float32)
    pixels[..., 3], pixels[:10, :, 1] = 1, 0.5
    pixels[:, number * 6:number * 6 + 6, 0] = 1
    return pixels


def save(path, pixels: np.ndarray, file_format: str = "PNG") -> str:
    image = bpy.data.images.new("frame", pixels.shape[1], pixels.shape[0], float_buffer=file_format == "OPEN_EXR")
    image.pixels.foreach_set(pixels.ravel())
    image.filepath_raw, image.file_format = str(path), file_format
    image.save()
    bpy.data.images.remove(image)
    return str(path)


def shown(png: bytes, tmp_path) -> np.ndarray:
    path = tmp_path / "shown.png"
    path.write_bytes(png)
    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        return np.array(image.pixels[:], np.float32).reshape(image.size[1], image.size[0], 4)
    finally:
        bpy.data.images.remove(image)


@pytest.fixture
def frames(tmp_path) -> list[str]:
    folder = tmp_path / "frames"
    folder.mkdir()
    return [save(folder / f"{number:04d}.png", picture(number)) for number in range(1, 9)]


def full(*_: object) -> None:
    raise OSError("No space left on device")


def test_a_movie_comes_back_as_it_was_written(frames, tmp_path, monkeypatch):
    movie = str(tmp_path / "a.mp4")
    assert not movies.encode(frames, movie, (30000, 1001))
    assert movies.facts_of(movie) == ((WIDTH, HEIGHT), 8, (30000, 1001)) and os.listdir(tmp_path) != []
    with opened_pictures(movie, False, print) as (read, fps):
        assert fps == (30000, 1001)
        for number in (1, 5, 8, 2):
            assert np.abs(shown(read(number), tmp_path) - picture(number)).mean() < 0.02
        with pytest.raises(SourceUnusable, match="8 frames, and no frame 9"):
            read(9)
    monkeypatch.setattr(files, "replace", full)
    with pytest.raises(OutputUnwritable, match="cannot be written"):
        movies.encode(frames, movie, (24, 1))
    assert not [scene for scene in bpy.data.scenes if "movie" in scene.name] and not bpy.data.movieclips
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


def test_sound_is_kept_where_blender_has_it(frames, tmp_path):
    with wave.open(str(tmp_path / "s.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(step / 10))) for step in range(44100)))
    plain, heard = str(tmp_path / "plain.mp4"), str(tmp_path / "heard.mkv")
    movies.encode(frames, plain, (24, 1))
    has_sound = movies.encode(frames, heard, (24, 1), sound=str(tmp_path / "s.wav"))
    assert has_sound == getattr(bpy.app.build_options, "audaspace", False)
    if has_sound:
        with open(heard, "rb") as file:
            assert b"A_AAC" in file.read()


def test_movies_that_are_none_are_refused(frames, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no movie at all")
    with pytest.raises(SourceUnusable, match="cannot be read"), opened_pictures(str(broken), False, print):
        pass
    with pytest.raises(OutputUnwritable, match="cannot be written as 'a.xyz'"):
        movies.encode(frames, str(tmp_path / "a.xyz"), (24, 1))


def test_a_shot_of_files(frames, tmp_path):
    pattern = os.path.join(tmp_path, "frames", "####.png")
    with opened_pictures(pattern, False, print) as (read, fps):
        info = record(bpy.context.scene, Recording(folder=str(tmp_path / "shot"), frames=(2, 3, 4), pictures=read,
                                                   of_scene=False, fps=fps))
    assert (info.link, info.frames, info.width, info.height) == (FLOW, (2, 3, 4), WIDTH, HEIGHT)
    with open(frames[1], "rb") as file:
        assert Shot(str(tmp_path / "shot")).picture(FRAMES, 2) == file.read()


def test_other_kinds_of_files_become_display_pixels(tmp_path):
    values = np.full((HEIGHT, WIDTH, 4), 0.5, np.float32)
    values[..., 3] = 1
    light = bpy.data.images.load(save(tmp_path / "0001.exr", values, "OPEN_EXR")).pixels[0]
    with opened_pictures(os.path.join(tmp_path, "####.exr"), False, print) as (read, _):
        png = read(1)
    (tmp_path / "0002.png").write_bytes(png)
    again = render_output.as_png(bpy.data.images.load(str(tmp_path / "0002.png")), bpy.context.scene, 8, standard=True)
    assert png[24] == 16
    assert shown(again, tmp_path)[0, 0, 0] == pytest.approx(1.055 * light ** (1 / 2.4) - 0.055, abs=0.005)  # sRGB


def test_broken_missing_and_larger_frames_are_named_or_left_out(frames, tmp_path):
    with open(frames[2], "r+b") as file:
        file.seek(60)
        file.write(b"????")
    os.remove(frames[4])
    save(frames[5], picture(6, 72))
    pattern, notes = os.path.join(tmp_path, "frames", "####.png"), []

    def recorded(skip: bool, numbers):
        with opened_pictures(pattern, skip, notes.append) as (read, _):
            return record(bpy.context.scene, Recording(folder=str(tmp_path / f"shot{skip}"), frames=numbers,
                                                       pictures=read, of_scene=False, skip_sizes=skip),
                          note=notes.append)

    for numbers, words in (((2, 3), "frame 3 cannot be read"), ((4, 5), "no file for frame 5"),
                           ((4, 6), "Frame 6 is 72")):
        with pytest.raises(SourceUnusable, match=words):
            recorded(False, numbers)
    assert recorded(True, tuple(range(1, 9))).frames == (1, 2, 4, 7, 8) and len(notes) == 3
    with pytest.raises(SourceUnusable, match="None of the frames"):
        recorded(True, (3, 5))


def test_frames_become_linear_light_once(frames, tmp_path):
    folder, heard = str(tmp_path / "exr"), []
    write_linear(frames[:2], folder, heard.append, lambda: False)
    light = exr_files.read_passes((tmp_path / "exr" / "0001.exr").read_bytes()).channels
    assert heard == [0, 1] and light["R"].dtype == np.float16
    assert light["G"][-1, 0] == pytest.approx(0.2140, abs=0.002) and light["R"][0, 8] == 1  # of 0.5 in sRGB, and of 1
    before = os.stat(tmp_path / "exr" / "0001.exr").st_mtime_ns
    write_linear(frames[:2], folder, heard.append, lambda: False)
    assert os.stat(tmp_path / "exr" / "0001.exr").st_mtime_ns == before
    with pytest.raises(JobCancelled):
        write_linear(frames, folder, heard.append, lambda: True)
    with pytest.raises(OutputUnwritable, match="OpenEXR files cannot be written"):
        write_linear(frames, str(tmp_path / "no" / "exr"), heard.append, lambda: False)
    assert not [scene for scene in bpy.data.scenes if "frames" in scene.name]


def test_a_long_animation_goes_into_the_sequencer_in_parts(frames, tmp_path):
    numbers = [*range(1, 2501), 2601]
    scene = bpy.context.scene
    names = in_sequencer(scene, [frames[0]] * len(numbers), numbers, "clay")
    strips = compat.strips_of(scene)
    assert [(strip.frame_final_start, len(strip.elements)) for strip in map(strips.get, names)] == [
        (1, 1000), (1001, 1000), (2001, 500), (2601, 1)]
    assert strips[names[2]].frame_final_end == 2601, "a picture stays until the next one"
    assert len({strip.channel for strip in strips}) == 1


def test_a_node_shows_each_frames_own_file(frames, tmp_path):
    scene = bpy.context.scene
    image = in_compositor(scene, frames[2:5], [3, 4, 5], "clay")
    node, = [node for node in compat.made_compositor_of(scene).nodes if node.type == "IMAGE"]
    assert node.image == image and image.source == "SEQUENCE" and image.filepath == frames[2]
    assert (node.frame_start, node.frame_duration, node.frame_offset) == (3, 3, 2)
