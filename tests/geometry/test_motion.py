"""Points of moving surfaces, found again: judged by motion that is known in closed form, and by rays cast by brute
force."""
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from blender_sd.geometry.motion import BEYOND, Box, Moment, linked
from blender_sd.protocol.shots import Posed, topology_of
from tests.support import meshes

SIZE = 128


def turned(angle: float, axis: int = 2) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    result = np.eye(3)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    result[a, a], result[a, b], result[b, a], result[b, b] = cos, -sin, sin, cos
    return result


def moment(parts, view, moved, box=None):
    """Return a moment of parts whose points `moved(number, points)` moves, and the box."""
    joined = meshes.mesh(*parts)
    topology = topology_of(joined.triangles, joined.objects)
    points = [moved(number, part[0]) for number, part in enumerate(parts)]
    posed = Posed(np.concatenate(points).astype(np.float64), topology, None)
    box = box or Box.round(posed)
    return Moment(posed, view, box), box


def projected(view, points):
    """Return where a pinhole camera sees points of the world, by its definition."""
    local = (points - view.origin) @ np.asarray(view.axes).T
    return (view.centre[0] + view.scale[0] * local[:, 0] / local[:, 2],
            view.centre[1] - view.scale[1] * local[:, 1] / local[:, 2])


def hidden(corners, eye, points):
    """Return which segments from `points` to `eye` a triangle crosses (Möller and Trumbore), short of both ends."""
    result = np.zeros(len(points), bool)
    direction = eye - points
    for a, b, c in corners:
        one, other = b - a, c - a
        cross = np.cross(direction, other)
        det = cross @ one
        with np.errstate(divide="ignore", invalid="ignore"):
            to = points - a
            u = (to * cross).sum(1) / det
            turn = np.cross(to, one)
            v = (direction * turn).sum(1) / det
            t = turn @ other / det
        result |= (u > 0) & (v > 0) & (u + v < 1) & (t > 1e-4) & (t < 1)
    return result


ORBIT = [meshes.camera((4 * np.sin(a), -4 * np.cos(a), 1.2), size=SIZE, fov=0.8) for a in (0.0, 0.25)]
STILL = [ORBIT[0], ORBIT[0]]
MOTIONS = {
    "a camera that goes round": (ORBIT, lambda number, points: points),
    "translation": (STILL, lambda number, points: points + [0.21, 0.1, 0.13]),
    "rotation": (STILL, lambda number, points: points @ turned(0.4).T @ turned(0.2, 0).T),
    "deformation": (ORBIT, lambda number, points: points + 0.15 * np.sin(3 * points[:, [1, 2, 0]])),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_points_are_found_where_they_are(name):
    views, moved = MOTIONS[name]
    parts = [meshes.torus(96, 192)]
    before, box = moment(parts, views[0], lambda number, points: points)
    after, _ = moment(parts, views[1], moved, box)
    found = after.find(before.points)
    on = before.points.label != BEYOND
    start = before.place(before.points)[on] * box.scale + box.centre
    x, y = projected(views[1], moved(0, start))
    seen = found.quality[on] > 0
    error = np.hypot(found.x[on] - x, found.y[on] - y)[seen]
    assert seen.mean() > 0.4 and error.mean() < 0.1


def test_what_is_seen_and_what_is_hidden():
    parts = [meshes.cube((0, 0, 0), 0.5), meshes.plane(1.5, -0.5), meshes.cube((-0.9, -0.9, 0), 0.25)]

    def moved(number, points):
        return points + [1.1, 0, 0] if number == 2 else points

    views = [meshes.camera((4 * np.sin(a), -4 * np.cos(a), 2.0), size=SIZE, fov=0.8) for a in (0.0, 0.3)]
    before, box = moment(parts, views[0], lambda number, points: points)
    after, _ = moment(parts, views[1], moved, box)
    on = np.flatnonzero(before.points.label != BEYOND)
    points = before.points.part(on)
    place = after.place(points)
    corners = after.vertices[after.triangles]
    normal = np.cross(*(corners[:, k] - corners[:, 0] for k in (1, 2)))[points.triangle]
    to_eye = after.view.origin - place
    there = (normal * to_eye).sum(1) > 0  # all sides that are seen are the outer ones
    truth = there & ~hidden(corners, after.view.origin, place + to_eye * 1e-6)
    x, y = projected(views[1], place * box.scale + box.centre)
    truth &= (x > 0) & (y > 0) & (x < SIZE) & (y < SIZE)
    seen = after.find(points).quality > 0
    assert 0.5 < truth.mean() < 0.98
    assert (seen == truth).mean() >= 0.995


def test_the_background_is_found_by_its_direction():
    ahead = meshes.camera((0, -4, 0), size=SIZE)
    turn = turned(0.1)
    aside = meshes.View(ahead.origin, ahead.axes @ turn.T, ahead.scale, ahead.centre, SIZE, SIZE)
    parts = [meshes.sphere(8, 16, 0.2)]
    before, box = moment(parts, ahead, lambda number, points: points)
    after, _ = moment(parts, aside, lambda number, points: points, box)
    beyond = np.flatnonzero(before.points.label == BEYOND)
    found = after.find(before.points.part(beyond))
    row, column = np.divmod(beyond, SIZE)
    seen = found.quality > 0
    shift = (found.x - column - 0.5)[seen]
    middle = np.abs(column[seen] - SIZE / 2) < 4
    assert seen.mean() > 0.7 and np.abs(shift[middle] - ahead.scale[0] * np.tan(0.1)).max() < 1.5


def test_links_tie_the_same_points():
    parts = [meshes.cube((0, 0, 0), 0.6)]
    moments = []
    box = None
    for angle in (0.0, 0.2, 0.4):
        one, box = moment(parts, ORBIT[0], lambda number, points, angle=angle: points @ turned(angle).T, box)
        moments.append(one.smaller(4))
    links = linked(moments)
    size = moments[0].view.width * moments[0].view.height
    places = np.concatenate([each.points.weights for each in moments])
    triangles = np.concatenate([each.points.triangle for each in moments])
    tied = (links.quality[:, 1] > 0) & (triangles[links.pixel[:, 0]] >= 0)
    own, other = links.pixel[tied, 0], links.pixel[tied, 1]
    assert tied.mean() > 0.1 and (own // size != other // size).all()
    same = triangles[own] == triangles[other]
    assert same.mean() > 0.8 and np.abs(places[own] - places[other])[same].mean() < 0.05


def test_a_scene_without_surfaces_is_found_by_its_directions():
    view = meshes.camera((0, -4, 1), size=32)
    nothing = topology_of(np.zeros((0, 3)), np.zeros(0))
    posed = Posed(np.zeros((0, 3), np.float32), nothing, None)
    here, there = (Moment(posed, view, Box.round(posed)) for _ in range(2))
    found = there.find(here.points)
    assert (here.points.label == BEYOND).all() and (found.quality > 0).all()
    assert np.allclose(found.x, np.tile(np.arange(32) + 0.5, 32))
    assert np.isfinite(there.place(here.points)).all()


def test_a_very_wide_or_tall_frame_stays_one_when_it_is_made_smaller():
    for size in ((256, 2), (2, 256)):
        view = dataclasses.replace(ORBIT[0], width=size[0], height=size[1], centre=(size[0] / 2, size[1] / 2))
        whole, _ = moment([meshes.plane(2.0, 0.0)], view, lambda number, points: points)
        thin = whole.smaller(4)
        assert min(thin.view.width, thin.view.height) == 1 and len(thin.points.label) == 64
