"""Numbered files of frames: which sequence a folder holds, and what is missing of it."""
from __future__ import annotations

import pytest

from blender_sd.core.errors import SourceUnusable
from blender_sd.library.frame_files import gaps_in, is_movie, numbered_in, numbers_of, timing_of, with_frame


def filled(folder, *names: str):
    for name in names:
        (folder / name).write_bytes(b"")
    return str(folder)


def test_the_longest_sequence_counts(tmp_path):
    filled(tmp_path, *(f"shot_{number:04d}.png" for number in (5, 3, 4)), "still_0001.png", "notes1.txt", ".0009.png")
    pattern, numbers = numbered_in(str(tmp_path))
    assert pattern == str(tmp_path / "shot_####.png") and numbers == (3, 4, 5)
    assert with_frame(pattern, 4) == str(tmp_path / "shot_0004.png")


def test_numbers_without_zeros_are_one_sequence(tmp_path):
    filled(tmp_path, *(f"f{number}.jpg" for number in (8, 9, 10, 11, 100)))
    pattern, numbers = numbered_in(str(tmp_path))
    assert numbers == (8, 9, 10, 11, 100) and with_frame(pattern, 100).endswith("f100.jpg")


def test_a_folder_without_frames_is_refused(tmp_path):
    filled(tmp_path, "readme.txt", "picture.png")
    with pytest.raises(SourceUnusable, match="no numbered pictures"):
        numbered_in(str(tmp_path))
    with pytest.raises(SourceUnusable, match="cannot be read"):
        numbered_in(str(tmp_path / "gone"))


def test_gaps_are_named_shortly():
    assert gaps_in((1, 2, 4, 9), range(1, 10)) == "3, 5-8" and gaps_in((1, 2), (1, 2)) == ""
    assert gaps_in((), range(0, 100, 2)).endswith("8 and 45 more")


def test_ten_thousand_frames_are_read_at_once(tmp_path):
    filled(tmp_path, *(f"{number:05d}.png" for number in range(10_000)))
    _, numbers = numbered_in(str(tmp_path))
    assert len(numbers) == 10_000 and gaps_in(numbers, range(10_001)) == "10000"


def test_a_pattern_without_a_place_for_the_number_names_nothing(tmp_path):
    filled(tmp_path, "still.png", "a1.png", "a2.png")
    assert numbers_of(str(tmp_path / "still.png")) == () and numbers_of(str(tmp_path / "a#.png")) == (1, 2)


def test_movies_are_known_by_their_ending():
    assert is_movie("/a/b.MP4") and not is_movie("/a/b.png")


@pytest.mark.parametrize(("frames", "fps", "divide", "held", "rate"), [
    ((1, 2, 3), (24, 1), True, [1, 1, 1], (24, 1)), ((1, 3, 5), (24, 1), True, [1, 1, 1], (12, 1)),
    ((1, 3, 5), (24, 1), False, [2, 2, 2], (24, 1)), ((1, 3, 4), (24, 1), True, [2, 1, 1], (24, 1)),
    ((2, 8, 20), (24, 1), True, [1, 2, 1], (4, 1)), ((1, 4, 7), (30000, 1001), True, [1, 1, 1], (10000, 1001)),
    ((7,), (25, 1), True, [1], (25, 1)), ((1, 101, 201), (24, 1), True, [5, 5, 5], (6, 5))])
def test_a_movie_lasts_as_long_as_the_animation(frames, fps, divide, held, rate):
    assert timing_of(frames, fps, divide) == (held, rate)
    numerator, denominator = timing_of(frames, fps, divide)[1]
    assert sum(held[:-1]) * denominator / numerator == pytest.approx((frames[-1] - frames[0]) * fps[1] / fps[0])
