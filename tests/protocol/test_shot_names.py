"""Numbers of a shot's pictures, and the names of the files that are made of them."""
from __future__ import annotations

import pytest

from blender_sd.protocol import shot_names

EYES = ("_L", "_R")


def test_both_eyes_of_a_frame_follow_each_other():
    assert shot_names.numbers_of((1, 3), EYES) == (2, 3, 6, 7)
    assert [shot_names.name_of(number, EYES) for number in (2, 3, 6, 7)] == [
        "000001_L", "000001_R", "000003_L", "000003_R"]


@pytest.mark.parametrize("views", [(), ("",)])
def test_a_plain_shot_has_the_numbers_of_the_scene(views):
    assert shot_names.numbers_of((-2, 0, 7), views) == (-2, 0, 7)
    assert shot_names.name_of(7, views) == "000007" and shot_names.place_of(7, views) == 0


@pytest.mark.parametrize("frame", [-3, -1, 0, 1, 1_048_574])
@pytest.mark.parametrize("views", [(), EYES, ("_L", "_R", "_above")])
def test_a_number_tells_frame_and_view(frame, views):
    for view in range(max(1, len(views))):
        number = shot_names.number_of(frame, views, view)
        assert (shot_names.frame_of(number, views), shot_names.place_of(number, views)) == (frame, view)
        assert shot_names.parts_of(shot_names.name_of(number, views)) == (frame, views[view] if views else "")


def test_files_by_view():
    paths = ["/a/000001_L.png", "/a/000001_R.png", "/a/000002_L.png", "/a/notes.txt"]
    assert shot_names.by_view(paths) == {"_L": {1: paths[0], 2: paths[2]}, "_R": {1: paths[1]}}
    assert shot_names.by_view(["000004.png"]) == {"": {4: "000004.png"}}
