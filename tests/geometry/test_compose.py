"""Laying a bake over an existing image: feathered, locked texels and everything unseen bit for bit; memory; packages.
"""
from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.support.meshes import camera, cube, mesh, picture, plane

from blender_sd.core.errors import GeometryMissing, OutOfMemory, SourceUnusable
from blender_sd.core.platforms import without_embree
from blender_sd.core.roles import BAKE_PICTURES
from blender_sd.geometry import colours, compose, debug, memory
from blender_sd.geometry.bake import Baker, Settings
from blender_sd.geometry.sheets import Sheet
from blender_sd.geometry.surface import Surface

RED = np.array([0.8, 0.05, 0.05])


@pytest.fixture(scope="module")
def red():
    """A cube, painted red from one side."""
    surface = Surface(mesh(cube()))
    view = camera((3, 2, 1.5))
    image = picture(surface, view, lambda points, _: np.repeat(RED[None], len(points), 0))
    baker = Baker(surface, [Sheet(0, 128, 128)], Settings(soft=1, fill=False))
    (result,), _ = baker.run([view], [image])
    return baker, result


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_what_is_not_seen_or_locked_stays_bit_for_bit(red, kind):
    _, baked = red
    noise = np.random.default_rng(0)
    existing = (noise.integers(0, 256, (128, 128, 4)) / (1 if kind is np.uint8 else 255)).astype(kind)
    before = existing.copy()
    locked = np.zeros((128, 128), bool)
    locked[:, ::3] = True
    share = compose.weights(baked, locked)
    result = compose.into(existing, baked, share)
    assert np.array_equal(existing, before) and result.dtype == kind
    assert np.array_equal(result[share == 0], before[share == 0])
    assert (share[locked] == 0).all() and (share[~baked.set] == 0).all()
    full = share == 1
    assert full.sum() > 500
    got = result[full, :3] / 255 if kind is np.uint8 else result[full, :3]
    wanted = colours.displayed(RED) / 255 if kind is np.uint8 else RED
    assert np.abs(got - wanted).max() < 2 / 255


def test_where_everything_is_locked_nothing_changes(red):
    _, baked = red
    existing = np.full((128, 128, 4), 77, np.uint8)
    share = compose.weights(baked, np.ones((128, 128), bool))
    assert np.array_equal(compose.into(existing, baked, share), existing)


def test_the_edge_of_what_is_seen_is_feathered(red):
    _, baked = red
    share = compose.weights(baked)
    assert ((share > 0.05) & (share < 0.95)).sum() > 20


def test_nothing_under_transparent_texels_shines_through(red):
    _, baked = red
    existing = np.zeros((128, 128, 4), np.float32)
    existing[..., 1] = 1  # green, but transparent
    share = compose.weights(baked)
    result = compose.into(existing, baked, share)
    changed = share > 1e-3
    assert np.abs(result[changed, :3] - RED).max() < 1e-2 and np.allclose(result[changed, 3], share[changed], atol=1e-5)


def test_every_byte_survives_the_way_to_linear_light_and_back():
    steps = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    assert np.array_equal(colours.displayed(colours.linear(steps)[..., :3]), steps)


@pytest.mark.parametrize("pixels", [np.zeros((0, 4, 3)), np.zeros((4, 4)), np.full((4, 4, 3), np.nan)])
def test_pictures_without_usable_pixels_are_refused(pixels):
    with pytest.raises(SourceUnusable):
        colours.linear(pixels)


def test_a_bake_that_does_not_fit_is_refused_with_a_size_that_does():
    with pytest.raises(OutOfMemory, match="8192 × 8192") as caught:
        memory.check([Sheet(0, 8192, 8192)], 8 << 20, 10_000, 4 << 30)
    assert "4096 × 4096 would fit" in caught.value.hint
    memory.check([Sheet(0, 4096, 4096)], 8 << 20, 10_000, 4 << 30)
    with pytest.raises(OutOfMemory) as caught:
        memory.check([Sheet(0, 8192, 8192)], 8 << 20, 10_000, 1 << 20)
    assert "Close other programs" in caught.value.hint


@pytest.mark.parametrize("kind", BAKE_PICTURES)
def test_debug_pictures_show_something(red, kind):
    baker, baked = red
    image = debug.picture(kind, baked, baker.layout, 0)
    assert image.shape == (128, 128, 4) and image.dtype == np.uint8
    assert len(np.unique(image[..., :3].reshape(-1, 3), axis=0)) > 1


def test_without_embree_one_sentence_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex", None)
    monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    with pytest.raises(GeometryMissing, match="embreex"):
        Baker(Surface(mesh(plane())), [Sheet(0, 32, 32)]).run([camera((0, 0.1, 3), size=16)],
                                                              [np.ones((16, 16, 4), np.float32)])


@pytest.mark.parametrize(("system", "machine", "name"), [
    ("linux", "aarch64", "Linux on ARM"), ("win32", "ARM64", "Windows on ARM"), ("darwin", "arm64", ""),
    ("linux", "x86_64", ""), ("win32", "AMD64", "")])
def test_platforms_without_embree_are_named(system, machine, name):
    assert without_embree(system, machine) == name
