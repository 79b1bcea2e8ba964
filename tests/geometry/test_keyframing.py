"""Keyframes: where they lie, how they are grouped, and which earlier ones they follow."""
from __future__ import annotations

import numpy as np

from blender_sd.geometry import keyframing
from blender_sd.geometry.keyframing import Anchors, Group
from tests.geometry.test_motion import moment, turned
from tests.support import meshes

FRAMES = list(range(10, 35))


def test_they_are_spread_evenly_from_the_first_frame_to_the_last():
    assert keyframing.spread(FRAMES, 10, ()) == [10, 18, 26, 34]
    assert keyframing.spread(FRAMES, 24, ()) == [10, 34]
    assert keyframing.spread([7], 10, ()) == [7]
    assert keyframing.spread([7, 9], 10, ()) == [7, 9]


def test_a_person_s_keyframe_takes_the_place_of_one_beside_it():
    assert keyframing.spread(FRAMES, 10, (19, 99)) == [10, 19, 26, 34]
    assert keyframing.spread(FRAMES, 10, (14,)) == [10, 14, 18, 26, 34]


def test_there_are_more_where_much_comes_into_view():
    shown = []

    def fresh(frame, keys):
        shown.append((frame, keys))
        return 0.5 if keys[0] < 13 <= frame < keys[1] and frame == 13 else 0.001

    assert keyframing.densified(FRAMES, [10, 22, 34], fresh) == [10, 13, 22, 34]
    assert all(keys[0] < frame < keys[1] for frame, keys in shown)
    assert keyframing.densified(FRAMES, [10, 34], lambda frame, keys: 1.0) == FRAMES  # no end before every frame is one


def test_with_several_views_more_neighbours_count_and_the_last_frames_may_become_keyframes():
    shown = {}
    assert keyframing.densified(FRAMES, [10, 18, 26, 32], lambda frame, keys: shown.update({frame: keys}) or (
        0.5 if frame == 34 else 0.001), 2) == [10, 18, 26, 32, 34]
    assert shown[11] == (10, 18, 26) and shown[20] == (10, 18, 26, 32) and shown[30] == (18, 26, 32)
    assert shown[33] == (26, 32)


def test_groups_are_bounded_and_alike():
    keys = [1, 5, 9, 13, 17, 21]
    assert keyframing.grouped(keys, (), lambda key: 0, 4) == [Group((1, 5, 9, 13), 0), Group((17, 21), 1)]
    assert keyframing.grouped(keys, (9,), lambda key: key > 13, 4) == [
        Group((9,), -1), Group((1, 5, 13), 0), Group((17, 21), 1)]


def test_frames_take_their_pixels_from_keyframes_on_both_sides():
    keys = [1, 5, 9, 13, 17]
    assert keyframing.near(keys, 7) == [1, 5, 9, 13] and keyframing.near(keys, 9) == [9]
    assert keyframing.near(keys, 2) == [1, 5, 9] and keyframing.near(keys, 16) == [9, 13, 17]


def test_what_is_seen_again_is_known_again():
    parts, box = [meshes.cube((0, 0, 0), 0.6)], None
    seen = []
    for angle in (0.0, np.pi / 2, np.pi, 0.1):  # away from the first side, and back to it
        view = meshes.camera((4 * np.sin(angle), -4 * np.cos(angle), 0.5), size=64, fov=0.5)
        one, box = moment(parts, view, lambda number, points: points, box)
        seen.append(one)
    anchors = Anchors(seen[0].vertices, seen[0])
    for number, one in enumerate(seen):
        anchors.note(number, one)
    assert 0 in anchors.of(3, [0, 1, 2]) and 2 not in anchors.of(3, [0, 1, 2])
    assert anchors.of(3, []) == []
    assert keyframing.fresh(seen[3], [seen[0]]) + 0.3 < keyframing.fresh(seen[2], [seen[0]])


def test_cells_do_not_depend_on_how_points_have_moved():
    parts = [meshes.cube((0, 0, 0), 0.6)]
    view = meshes.camera((0, -4, 0.5), size=64, fov=0.5)
    rest, box = moment(parts, view, lambda number, points: points)
    shifted, _ = moment(parts, view, lambda number, points: points @ turned(0.05).T + [0.05, 0, 0.02], box)
    anchors = Anchors(rest.vertices, rest)
    one, other = anchors.cells(rest), anchors.cells(shifted)
    assert len(np.intersect1d(one, other)) > 0.7 * len(one)
