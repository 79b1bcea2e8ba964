"""Pictures carried to other frames: the right colours at the right places, as sharp as they were, and none invented."""
from __future__ import annotations

import numpy as np
import pytest

from blender_sd.geometry import carrying
from blender_sd.geometry.carrying import Look, Picture, carry, owners
from blender_sd.geometry.motion import BEYOND
from blender_sd.geometry.resample import Layer, smoothed
from tests.geometry.test_motion import SIZE, moment, turned
from tests.support import meshes

PARTS = [meshes.cube((0, 0, 0.2), 0.5), meshes.plane(1.6, -0.35)]
VIEW = meshes.camera((0, -4, 1.6), size=SIZE, fov=0.7)


def frames(angles, wavelength, light=lambda angle: 1.0):
    """Return moments of a cube that turns over a floor, with what each shows of a texture that sticks to both, as
    samples of antialiased pixels, and the frame as it came in: grey, times the light."""
    box, result = None, []
    rest, _ = moment(PARTS, VIEW, lambda number, points: points)
    for angle in angles:
        turn = turned(angle)
        one, box = moment(PARTS, VIEW, lambda number, points, turn=turn: points @ turn.T if number == 0 else points,
                          box)
        row, column = np.divmod(np.arange(SIZE * SIZE * 16), SIZE * 4)
        fine = one.see((column + 0.5) / 4, (row + 0.5) / 4)
        colour = meshes.known_colour(rest.place(fine), wavelength) * 255 * light(angle)
        colour[fine.label == BEYOND] = 90
        shown = colour.reshape(SIZE, 4, SIZE, 4, 3).mean((1, 3)).astype(np.float32)
        came = np.where((one.points.label == BEYOND)[:, None], 90, 128 * light(angle)).reshape(SIZE, SIZE, 1)
        result.append((one, shown, np.repeat(came, 3, 2).astype(np.float32)))
    return result


def picture(frame, rank=0):
    one, shown, came = frame
    layer = Layer(np.concatenate([shown, came], 2), one.points.label.reshape(SIZE, SIZE), one.edges)
    return Picture(layer, one.find, rank)


def look(frame):
    one, _, came = frame
    pixel, points = one.antialiased()
    return Look((SIZE, SIZE), pixel, points, one.find(points).density, one.points.label.reshape(SIZE, SIZE), came)


def sharpness(values):
    return np.abs(np.diff(values.mean(2), axis=1)).mean()


def test_carried_pictures_are_right_and_as_sharp():
    first, middle, last = frames([0.0, 0.15, 0.3], 0.12)
    carried = carry(look(middle), [picture(first), picture(last, 1)], 1.0)
    known = carried.known > 0.99
    assert known.mean() > 0.97
    error = np.abs(carried.colours - middle[1]).mean(2)
    assert error[known].mean() < 4 and np.percentile(error[known], 99) < 45
    inside = known & (middle[0].edges > 3)
    assert sharpness(np.where(inside[..., None], carried.colours, 0)) > 0.95 * sharpness(
        np.where(inside[..., None], middle[1], 0))


def test_what_no_picture_shows_is_not_known():
    first, later = frames([0.0, 0.8], 0.3)
    carried = carry(look(later), [picture(first)], 1.0)
    fresh = first[0].find(later[0].points).quality == 0
    inside = later[0].edges > 1
    assert 0.02 < fresh.mean() < 0.4
    assert ((carried.known == 0) == fresh.reshape(SIZE, SIZE))[inside].mean() > 0.99


def test_light_follows_the_frames():
    first, later = frames([0.0, 0.2], 0.5, lambda angle: 1.0 if angle == 0 else 0.5)
    on = (later[0].points.label != BEYOND).reshape(SIZE, SIZE)
    results = [carry(look(later), [picture(first)], light) for light in (1.0, 0.0)]
    where = on & (results[0].known > 0.99) & (later[0].edges > 4)
    errors = [np.abs(result.colours - later[1])[where].mean() for result in results]
    assert errors[0] < 6 and errors[1] > 50


def test_points_keep_their_owner_whoever_looks():
    quality = np.array([[1.0, 0.5, 0.1, 0.0], [1.1, 0.9, 0.0, 0.0], [1.2, 0.2, 0.9, 0.0]], np.float32)
    assert owners(quality, [0, 1, 1]).tolist() == [0, 1, 2, carrying.NOBODY]
    assert owners(quality[:2], [0, 1]).tolist() == [0, 1, 0, carrying.NOBODY]


@pytest.mark.parametrize("levels", [1, 4])
def test_nothing_passes_between_surfaces(levels):
    labels = np.zeros((40, 40), np.int32)
    labels[:, 17:] = 1
    values = np.where(labels[..., None] == 1, 200.0, 10.0).astype(np.float32)
    even = smoothed(values, np.ones((40, 40), np.float32), labels, levels)
    assert np.allclose(even, values, rtol=1e-4)
    noise = np.random.default_rng(0).normal(size=(40, 40, 1)).astype(np.float32)
    assert smoothed(noise, np.ones((40, 40), np.float32), labels, levels).std() < 0.6**levels * noise.std()
