"""Frame ranges as Blender and farms write them."""
from __future__ import annotations

import pytest

from blender_sd.core.frame_ranges import frames_in, frames_of
from blender_sd.library.frame_files import with_frame
from blender_sd.core.errors import InvalidRequest


@pytest.mark.parametrize(("text", "frames"), [
    ("7", [7]), ("1-3", [1, 2, 3]), ("1..3", [1, 2, 3]), ("1-10x4", [1, 5, 9]), ("1-2,20-24x2", [1, 2, 20, 22, 24]),
    (" 1 - 2 , 5", [1, 2, 5]), ("-3--1", [-3, -2, -1]), ("1-3,2-4", [1, 2, 3, 4]), ("5,1", [5, 1])])
def test_ranges(text, frames):
    assert frames_in(text) == frames


@pytest.mark.parametrize(("text", "words"), [
    ("", "empty"), (" , ", "empty"), ("10-1", "runs backwards"), ("1-10x0", "step of 0"), ("a-b", "no frame range"),
    ("1-", "no frame range"), ("1-99999999", "too many frames"), ("1.5", "no frame range")])
def test_what_is_no_range(text, words):
    with pytest.raises(InvalidRequest, match=words):
        frames_in(text)


def test_ends_of_ranges_in_numbers():
    assert frames_of((1, 3)) == frames_of([1, 3, 1]) == frames_of("3,1-2") == (1, 2, 3)
    assert frames_of((-4, 4, 4)) == (-4, 0, 4)
    for given, words in (((3, 1), "runs backwards"), ((1, 3, 0), "step of 0"), ((1, 3, -1), "no frame range"),
                         ((1,), "whole numbers"), (("a", "b"), "whole numbers"), ((1.0, 2), "whole numbers"),
                         (7, "whole numbers"), ((1, 10**8), "too many")):
        with pytest.raises(InvalidRequest, match=words):
            frames_of(given)


def test_names_of_frames():
    assert with_frame("a_####.png", 7) == "a_0007.png" and with_frame("#", 12) == "12"
    assert with_frame("s##/f###", 3) == "s##/f003" and with_frame("a####", -5) == "a-0005"
    assert with_frame("plain", 1) == "plain"
