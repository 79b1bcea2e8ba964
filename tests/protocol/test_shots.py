"""A shot's folder: what is written is read again, frame by frame, and broken files are named."""
from __future__ import annotations

import io
import os

import numpy as np
import pytest

from blender_sd.core.errors import SourceUnusable
from blender_sd.library.shots import ShotWriter
from blender_sd.protocol import shots
from blender_sd.protocol.shots import Course, Shot, ShotInfo
from blender_sd.protocol.surfaces import Lens

LENS = Lens((0.0, -5.0, 0.5), (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0), 70.0, 71.0, 32.0, 24.5, 64, 48, True, 0.1,
            100.0)
TRIANGLES, OBJECTS = np.array([[0, 1, 2], [2, 1, 3]]), np.array([0, 1])
INFO = ShotInfo((-1, 1, 2, 4), 64, 48, 1.5, (30000, 1001), (2,), shots.SURFACE, ("Cube", "Würfel"))


@pytest.fixture
def folder(tmp_path):
    path = str(tmp_path / "shot")
    writer = ShotWriter(path)
    for frame in INFO.frames:
        writer.picture(shots.FRAMES, frame, b"picture %d" % frame)
        writer.surface(frame, np.full((4, 3), frame, np.float32), TRIANGLES, OBJECTS, LENS)
    writer.vectors(2, np.ones((48, 64, 4), np.float32))
    writer.picture("controls/0", 2, b"depth")
    writer.course(Course({1: 0.25, 4: 0.5}, seed={2: 7}, regions={1: {2: 0.5}}, prompts=((1, "day"), (4, "night")),
                         blend={1: 0.0, 2: 0.75}))
    writer.info(INFO)
    return path


def test_what_is_written_is_read(folder):
    shot = Shot(folder)
    assert shot.info == INFO
    assert shot.picture(shots.FRAMES, -1) == b"picture -1" and shot.picture(shots.KEYFRAMES, 1) is None
    posed = shot.surface(4)
    assert posed.lens == LENS and (posed.vertices == 4).all()
    assert posed.topology is shot.surface(-1).topology and (posed.topology.triangles == TRIANGLES).all()
    assert (shot.vectors(2) == 1).all() and shot.vectors(1) is None
    assert shot.files(2) == ["frames/000002.png", "surface/000002.npz", "vectors/000002.npz", "controls/0/000002.png"]


def test_values_hold_until_the_next(folder):
    course = Shot(folder).course
    assert [shots.value_at(course.strength, frame, 0.9) for frame in INFO.frames] == [0.9, 0.25, 0.25, 0.5]
    assert course.prompt(-1, "own") == ("own", "day", 0.0)
    assert course.prompt(2, "own") == ("day", "night", 0.75) and course.prompt(4, "own") == ("night", "night", 0.0)
    assert course.regions == {1: {2: 0.5}}


@pytest.mark.parametrize(("name", "data"), [
    ("shot.json", b"{}"),
    ("shot.json", b'{"format": 1, "frames": [2, 1], "width": 64, "height": 48}'),
    ("shot.json", b'{"format": 1, "frames": [1], "width": 9e9, "height": 48}'),
    ("shot.json", b'{"format": 1, "frames": [1], "width": 64, "height": 48, "link": "magic"}'),
    ("settings.json", b'{"format": 1, "strength": {"1": 2.0}}'),
    ("settings.json", b'{"format": 1, "prompts": [[1, 2]]}'),
    ("surface/000002.npz", b"PK"),
    ("surface/000002.npz", shots.surface_bytes(np.full((4, 3), np.nan), "ab", LENS)),
    ("surface/000002.npz", shots.surface_bytes(np.zeros((4, 3)), "missing", LENS)),
    ("surface/000002.npz", shots.surface_bytes(np.zeros((3, 3)), shots.topology_of(TRIANGLES, OBJECTS).name, LENS)),
    ("vectors/000002.npz", shots.vectors_bytes(np.zeros((4, 4, 4)))),
])  # fmt: skip
def test_a_broken_file_is_named(folder, name, data):
    with open(os.path.join(folder, *name.split("/")), "wb") as file:
        file.write(data)
    with pytest.raises(SourceUnusable) as refused:
        shot = Shot(folder)
        shot.surface(2)
        shot.vectors(2)
    assert os.path.basename(name) in str(refused.value) or "missing.npz" in str(refused.value)


def test_no_array_is_unpickled(folder):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (os.path.join(folder, "sprung"),)

    packed = io.BytesIO()
    np.savez(packed, vertices=np.array([Trap()], object), lens=np.zeros(21), topology=np.zeros(1, np.uint8))
    with pytest.raises(SourceUnusable):
        shots.read_surface(packed.getvalue(), "a.npz")
    assert not os.path.exists(os.path.join(folder, "sprung"))


def test_vectors_that_are_not_finite_are_refused(folder):
    vectors = np.ones((48, 64, 4), np.float32)
    vectors[3, 4, 0] = np.nan
    ShotWriter(folder).vectors(2, vectors)
    with pytest.raises(SourceUnusable):
        Shot(folder).vectors(2)


def test_a_name_of_a_topology_is_read_no_further_than_names_are_long(folder):
    path = os.path.join(folder, "surface", "000002.npz")
    np.savez_compressed(path, topology=np.full(1 << 20, 65, np.uint8))
    with pytest.raises(SourceUnusable):
        Shot(folder).topology(2)
