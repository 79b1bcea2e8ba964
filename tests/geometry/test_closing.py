"""Closing the steps where one view takes over from another: no step stays, no contrast is lost, far away all stays."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from blender_sd.core.errors import JobCancelled
from blender_sd.geometry import bake, closing
from blender_sd.geometry.sheets import Sheet
from blender_sd.geometry.surface import Surface
from tests.support import meshes

SIDE, REACH = 64, 6


@pytest.fixture
def cut():
    """Two pictures of smooth noise that have nothing in common but a step between them, and the pairs of a grid."""
    noise = np.random.default_rng(3).normal(size=(2, SIDE, SIDE))
    one, other = uniform_filter(noise[0], 3) * 9, uniform_filter(noise[1], 3) * 9 + 4
    at = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    pairs = np.concatenate([np.stack([at[:, :-1].ravel(), at[:, 1:].ravel()]),
                            np.stack([at[:-1].ravel(), at[1:].ravel()])], 1)
    view = (np.arange(SIDE * SIDE) % SIDE >= SIDE // 2).astype(int)
    return one.ravel(), other.ravel(), view, pairs


def closed(one, other, view, pairs):
    shown = np.stack([one, other])
    taken = np.where(view == 0, one, other)
    border = view[pairs[0]] != view[pairs[1]]
    (first, second), views = pairs[:, border], view[pairs[:, border]]
    change = closing.change_of((shown[views[1], first] - shown[views[0], first])[:, None],
                               (shown[views[1], second] - shown[views[0], second])[:, None], views)
    return taken, taken + closing.corrections(len(taken), pairs, np.flatnonzero(border), change, REACH)[:, 0], border


def test_the_step_goes_and_the_contrast_stays(cut):
    *_, pairs = cut
    before, after, border = closed(*cut)
    steps = [np.abs(values[pairs[0]] - values[pairs[1]]) for values in (before, after)]
    usual = steps[0][~border].mean()
    assert steps[0][border].mean() > 2 * usual and steps[1][border].mean() < 1.15 * usual
    column = pairs % SIDE
    beside = ~border & (np.abs(column - SIDE / 2).max(0) < 8)
    assert 0.9 < (steps[1][beside] ** 2).mean() / (steps[0][beside] ** 2).mean() < 1.25
    away = np.abs(np.arange(SIDE * SIDE) % SIDE - SIDE / 2) > 4 * REACH
    assert np.array_equal(before[away], after[away])


def test_views_that_agree_stay_as_they_are(cut):
    one, _, view, pairs = cut
    before, after, _ = closed(one, one, view, pairs)
    assert np.array_equal(before, after)


def test_where_one_view_does_not_see_a_place_the_other_tells_the_step():
    first, second = np.array([[np.nan], [2.0], [np.nan], [5.0]]), np.array([[1.0], [np.nan], [np.nan], [6.0]])
    change = closing.change_of(first, second, np.array([[0, 0, 0, 1], [1, 1, 1, 0]]))
    assert np.array_equal(change, [[1.0], [2.0], [np.nan], [5.0]], equal_nan=True)


def test_it_can_be_cancelled(cut):
    one, other, view, pairs = cut
    with pytest.raises(JobCancelled):
        closing.corrections(len(view), pairs, np.arange(9), np.ones((9, 1)), REACH, lambda: True)


def test_a_bake_of_views_of_different_colours_has_no_steps():
    """Each view shows the same fine pattern, but displaced and of its own brightness."""
    surface, sheet = Surface(meshes.mesh(meshes.sphere(32, 64))), Sheet(0, 512, 512)
    views = meshes.around(192)
    pictures = [meshes.picture(surface, view, lambda points, _: meshes.known_colour(points, 0.1), (0.3, 0.3), gain)
                for view, gain in zip(views, np.linspace(0.8, 1.2, len(views)))]
    steps = {}
    for agreed in (False, True):
        baker = bake.Baker(surface, [sheet], bake.Settings(soft=0, harmonise=False, agreed=agreed))
        if agreed:
            steps["hard"] = _step(_without_closing(baker, views, pictures), baker)
        result, = baker.run(views, pictures)[0]
        steps[agreed] = _step(result, baker)
    assert steps["hard"] > 1.5 and steps[True] < 1.15, steps


def _without_closing(baker, views, pictures):
    own, baker._close = baker._close, lambda *_: None
    try:
        return baker.run(views, pictures)[0][0]
    finally:
        baker._close = own


def _step(result, baker):
    """Return the mean step where the best view changes against that elsewhere."""
    pairs = closing.neighbours(baker.texels)
    texel = baker.texels.texel[pairs]
    colours, view = result.colours.reshape(-1, 3), result.view.ravel()
    step = np.linalg.norm(colours[texel[0]] - colours[texel[1]], axis=1)
    length = np.linalg.norm(baker.texels.points[pairs[0]] - baker.texels.points[pairs[1]], axis=1)
    seen = (view[texel] != bake.NO_VIEW).all(0) & baker.texels.inside[pairs].all(0)
    border = seen & (view[texel[0]] != view[texel[1]])
    slopes = [step[part].sum() / length[part].sum() for part in (border, seen & ~border)]
    return slopes[0] / slopes[1]
