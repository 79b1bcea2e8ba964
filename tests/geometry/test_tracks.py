"""Points that are tracked along vectors and optical flow: where they are, and that what is hidden is lost."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from blender_sd.geometry.tracks import Tracked, Tracks, optical_flow

HEIGHT, WIDTH, SHIFT = 96, 128, 3.5


def pictures(count: int = 4) -> list[np.ndarray]:
    """Return pictures of a pattern that moves to the right and a little down."""
    noise = np.random.default_rng(0).normal(size=(HEIGHT * 2, WIDTH * 2, 3))
    pattern = gaussian_filter(noise, (2, 2, 0))
    pattern = 128 + 60 * pattern / pattern.std()
    row, column = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")

    def shown(frame: int) -> np.ndarray:
        from scipy.ndimage import map_coordinates

        where = [row + 40 - 0.5 * frame, column + 40 - SHIFT * frame]
        return np.stack([map_coordinates(pattern[..., k], where, order=3) for k in range(3)], -1)

    return [np.clip(shown(frame), 0, 255).astype(np.float32) for frame in range(count)]


def vectors_of(_frame: int) -> np.ndarray:
    """Return the vectors of that motion; a square in the middle stands still and hides what passes behind it."""
    result = np.tile(np.array([-SHIFT, -0.5, SHIFT, 0.5], np.float32), (HEIGHT, WIDTH, 1))
    result[30:60, 50:80] = 0
    return result


def tracks(vectors=None):
    shown = pictures()
    return Tracks([3, 4, 5, 6], (WIDTH, HEIGHT), lambda frame: shown[frame - 3], vectors)


def test_vectors_lead_to_the_same_points():
    ways = tracks(vectors_of)
    found = Tracked(ways, 6).find(Tracked(ways, 3).points)
    seen = (found.quality > 0).reshape(HEIGHT, WIDTH)
    row, column = np.divmod(np.arange(HEIGHT * WIDTH), WIDTH)
    still = np.zeros((HEIGHT, WIDTH), bool)
    still[32:58, 52:78] = True
    still = still.ravel()
    free = seen.ravel() & ~still & ((column < 30) | (column > 85))
    assert np.allclose(found.x[free] - column[free] - 0.5, 3 * SHIFT, atol=1e-3)
    assert np.allclose((found.y - row - 0.5)[free], 1.5, atol=1e-3)
    assert np.allclose((found.x - column - 0.5)[still & seen.ravel()], 0) and seen.ravel()[still].mean() > 0.9
    assert not seen[35:55, 42:48].any()  # it passes behind the square
    assert not seen[:, -10:].any()  # it leaves the picture


def test_optical_flow_sees_the_motion():
    pytest.importorskip("cv2")
    shown = pictures(2)
    flow = optical_flow(shown[0], shown[1])
    inner = flow[12:-12, 12:-12]
    assert np.abs(inner - [SHIFT, 0.5]).mean() < 0.2
    ways = tracks()
    found = Tracked(ways, 5).find(Tracked(ways, 4).points)
    assert (found.quality > 0).mean() > 0.8


def test_the_frames_of_a_stretch_share_what_is_read():
    read = []

    def vectors(frame):
        read.append(frame)
        return vectors_of(frame)

    ways = tracks(vectors)
    for _ in range(2):
        for start in (3, 4, 5):
            Tracked(ways, 6).find(Tracked(ways, start).points)
    assert len(read) == 6  # three steps, each there and back


def test_a_very_wide_frame_stays_one_when_it_is_made_smaller():
    known = Tracks([1], (640, 4), lambda frame: np.zeros((4, 640, 3), np.float32), None)
    thin = Tracked(known, 1).smaller(10)
    assert (thin.view.width, thin.view.height) == (64, 1) and len(thin.points.label) == 64
