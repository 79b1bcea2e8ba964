"""Regular patterns that keep to the denoiser's grid: their sizes, where they lie, how often they are drawn."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from starter import anchors, data, evaluate, latents, materials, muon, regularity, scenes  # noqa: E402
from starter.workers import Team  # noqa: E402

_WORDS = ("small", "medium", "large")


def _spec(pattern, size):
    spec = materials.sample(np.random.default_rng(5), pattern)
    return anchors.settled(replace(spec, size=size, wear=0, contrast=1, colour="black", second="white"))


@pytest.mark.parametrize("pattern", regularity.PATTERNS)
def test_a_size_word_means_the_same_cells_in_pictures_of_any_size(pattern):
    """A picture of twice the size shows the same pattern twice on each axis."""
    sides = []
    for word in _WORDS:
        spec = _spec(pattern, word)
        assert anchors.fits(spec, 128) and anchors.fits(spec, 256)
        powers = []
        for size in (128, 256):
            picture = materials.render(spec, size)[0].mean(-1)
            power = np.abs(np.fft.fft2(picture - picture.mean())) ** 2
            powers.append(power / power.sum())
        assert powers[1][::2, ::2].sum() > 0.75, "it repeats after 128 pixels"
        strongest = np.unravel_index(np.argmax(powers[0]), powers[0].shape)
        assert powers[1][::2, ::2][strongest[0] % 128, strongest[1] % 128] > 0.25 * powers[0].max()
        sides.append(spec.pixels)
    assert sides == sorted(sides) and sides[0] < sides[1] < sides[2]


@pytest.mark.parametrize("pattern", [name for name in regularity.PATTERNS if name != "hexagons"])
def test_cells_are_as_large_as_fields_of_the_grid_or_a_few(pattern):
    for word, fields in zip(_WORDS, (1, 2, 4), strict=True):
        picture = materials.render(_spec(pattern, word), 128)[0].mean(-1)
        power = np.abs(np.fft.fft2(picture - picture.mean())) ** 2
        cells = 128 // (fields * anchors.GRID)
        # The waves of a pattern of so many cells, and those of two cells where they take turns.
        waves = np.add.outer(*[np.fft.fftfreq(128, 1 / 128).astype(int) % max(cells // 2, 1) for _ in range(2)]) == 0
        assert power[waves].sum() > 0.7 * power.sum()


def test_the_denoiser_sees_patterns_in_settled_sizes_and_judges_in_any():
    for index in range(2 * len(materials.FAMILIES)):
        for name in ("large", "small"):
            spec = data.spec_of(name, index)
            assert spec == anchors.settled(spec)
        for name, first in (("held", 0), ("small", data.SETTLED["small"])):
            spec = data.spec_of(name, first + index)
            assert (spec == anchors.settled(spec)) == (spec.family not in regularity.PATTERNS)
    assert latents.COUNTS["small"] <= data.SETTLED["small"] and data.SETTLED["large"] == data.SETS["large"][0]


def test_pictures_that_show_a_pattern_in_another_size_are_not_drawn():
    assert not anchors.fits(_spec("checker", "large"), 64), "two squares of 64 pixels do not fit"
    assert not anchors.fits(_spec("hexagons", "small"), 64)
    described = [_spec("checker", "large"), _spec("brick", "small"), replace(_spec("brick", "small"), family="sand"),
                 replace(_spec("brick", "small"), modifier="wet")]  # fmt: skip
    chances = latents._chances("small", described, 8)
    assert chances.sum() == pytest.approx(1) and chances[0] == chances[4] == 0
    assert chances[1] > chances[2] > 0 and chances[3] > chances[1]
    assert latents._chances("crop", described, 8)[0] > 0, "a crop need not hold whole cells"


def test_patterns_off_the_grid_are_marked():
    source = latents.Latents.__new__(latents.Latents)
    source.rng = np.random.default_rng(4)
    source.described = {kind: [_spec("brick", "medium"), replace(_spec("brick", "medium"), family="sand")]
                        for kind in ("small", "crop")}  # fmt: skip
    source.described["scene"] = [scenes.scene_of("scenes", index) for index in range(2)]
    source.sets = {"small": np.zeros((2, 4, 16, 16))}
    source.chances = {"small": np.array([0.5, 0.5])}
    _, moves = source.choose("small", 400)
    on = (moves % 4 == 0).all(1)
    assert 0.7 < on.mean() < 0.85 and set(moves[on].ravel()) == {0, 4, 8, 12} and set(moves.ravel()) == set(range(16))
    numbers = np.array([0, 0, 1, 1])
    loose = source._loose("small", numbers, np.array([[4, 8], [4, 9], [0, 0], [1, 2]]))
    assert list(loose) == [False, True, False, False]
    source.corners = {"crop": np.array([[16, 33], [3, 0]])}
    assert list(source._loose("crop", np.array([0, 1]), np.zeros((2, 2), int))) == [True, False]
    assert not source._loose("scene", np.array([0, 1]), np.zeros((2, 2), int)).any()


class _Half(Team):
    """One of two workers, whose updates the test adds up."""

    def add(self, parts):
        self.parts = [part.clone() for part in parts]


def test_pictures_that_were_rendered_again_are_encoded_again(tmp_path, monkeypatch):
    monkeypatch.setitem(latents.COUNTS, "small", 3)
    vae = SimpleNamespace(encoder=lambda pictures: pictures[:, :1, ::4, ::4].expand(-1, 4, -1, -1))
    pictures, path = tmp_path / "small.npy", tmp_path / "lat_small.npy"
    for shade, minute, shown in ((0, 0, 0), (255, 0, 0), (255, 2, 255)):
        pictures.touch()
        os.utime(pictures, (60 * minute, 60 * minute))
        taken = np.full((3, 64, 64, 3), shade, np.uint8)
        latents._encode(vae, tmp_path, "small", lambda start, stop, taken=taken: taken[start:stop])
        assert (np.load(path) == shown / 127.5 - 1).all()
        os.utime(path, (60, 60))


def test_seams_are_compared_with_edges_where_joints_lie_as_often():
    wall = materials.render(_spec("brick", "medium"), 128)[0]
    moved = np.stack([np.roll(wall, (step, step), (0, 1)) for step in range(0, 128, anchors.GRID)])
    assert evaluate.seam_ratio(moved) == pytest.approx((1, 1), abs=0.01)
    cut = moved[:, :112, :112] + np.linspace(0, 1, 112)[None, None, :, None]
    assert evaluate.seam_ratio(cut)[0] > 2


def test_two_workers_share_the_updates_of_muon():
    torch.manual_seed(3)
    shapes = [(8, 4, 3, 3)] * 3 + [(30, 2, 1, 1), (6, 6)]
    start, gradients = ([torch.randn(shape) for shape in shapes] for _ in range(2))

    def stepped(team):
        weights = [torch.nn.Parameter(value.clone()) for value in start]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        optimiser = muon.Muon(weights, lr=0.01, team=team)
        optimiser.step()
        return weights

    alone = _Half()
    stepped(alone)
    halves = [_Half(rank, 2) for rank in range(2)]
    for half in halves:
        stepped(half)
    for whole, first, second in zip(alone.parts, halves[0].parts, halves[1].parts, strict=True):
        assert torch.allclose(whole, first + second, atol=1e-5)
        assert all((a == 0).all() != (b == 0).all() for a, b in zip(first, second, strict=True)), "none is done twice"
