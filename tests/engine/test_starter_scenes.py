"""How the starter learns from scenes, and how restyled ones are measured."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from starter import common, control, data, latents, restyling, scenes, unet


def test_the_noise_of_a_restyle_leads_from_the_grey_render_to_the_scene(monkeypatch):
    alphas = unet.sampler().alphas_cumprod
    scene, twin = torch.full((64, 4, 8, 8), 2.0), torch.full((64, 4, 8, 8), -1.0)
    loose = torch.zeros(64, dtype=torch.bool)
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    times = torch.full((64,), unet.STARTS[1] - 1)
    noisy, velocity = unet.diffused(latents.Batch(scene, [], False, loose, twin), times, alphas)
    alpha, sigma = alphas[times[0]].sqrt(), (1 - alphas[times[0]]).sqrt()
    restyled = torch.isclose(noisy.mean((1, 2, 3)), alpha * twin.mean(), atol=0.02)
    assert 10 < int(restyled.sum()) < 54, "some start from the twin, the others from noise alone"
    assert torch.isclose(noisy[~restyled].mean(), alpha * scene.mean(), atol=1e-4)
    assert torch.allclose(alpha * noisy - sigma * velocity, scene, atol=1e-4), "all arrive at the scene"
    times = torch.full((64,), unet.STARTS[1])
    noisy, _ = unet.diffused(latents.Batch(scene, [], False, loose, twin), times, alphas)
    assert torch.allclose(noisy, alphas[times[0]].sqrt() * scene), "no restyle starts that early"


def test_edges_of_a_material_count_neither_way_and_those_elsewhere_do():
    lines = np.zeros((40, 40), bool)
    lines[10, 5:35] = True
    near, counted = np.roll(lines, 2, 0), np.ones((40, 40), bool)
    assert restyling.f_score(near, lines, counted) == 1.0
    assert restyling.f_score(np.roll(lines, 4, 0), lines, counted) == 0.0
    more = near.copy()
    more[25, 5:35] = True
    assert restyling.f_score(more, lines, counted) == pytest.approx(2 / 3, abs=0.01)
    counted[20:] = False
    assert restyling.f_score(more, lines, counted) == 1.0
    near[:, :20] = False
    assert restyling.f_score(near, lines, counted) < 0.75, "lines without an edge"


def test_the_judge_sees_the_surroundings_of_the_innermost_pixel():
    picture, part = np.zeros((192, 192, 3), np.float32), np.zeros((192, 192), bool)
    part[90:160, 100:150] = part[10:12] = True
    picture[90:160, 100:150] = 1.0
    seen, mask = restyling.window(picture, part)
    assert seen.shape == (64, 64, 3) and mask.shape == (64, 64) and mask[32, 32]
    assert np.array_equal(seen[..., 0] > 0, mask) and mask.mean() > 0.6
    part[:] = False
    part[:30, :40] = True
    assert restyling.window(picture, part)[1][:30, :40].all(), "at the border too"


def test_fine_detail_and_noise_are_measured_inside_the_parts():
    rng = np.random.default_rng(0)
    spec = scenes.scene_of("held_scenes", 0).spec or scenes.scene_of("held_scenes", 31).spec
    listed = [scenes.Scene(("box",), spec, "red", False, 1), scenes.Scene(("box",), None, "red", False, 2)]
    things = np.zeros((2, 64, 64), np.uint8)
    things[:, 10:50, 10:50] = 1
    render = rng.normal(0.5, 0.05, (2, 64, 64, 3)).astype(np.float32)
    layers = {"things": things, "lines": np.zeros_like(things), "picture": render, "twin": render}
    rougher = 0.5 + 2 * (render - 0.5)
    rougher[:, :8] = rng.normal(0.5, 0.4, rougher[:, :8].shape)
    layers["lines"][:, 30] = 255
    rougher[:, 30] += 0.5
    assert restyling.fine(listed, layers, rougher) == pytest.approx(4.0, rel=1e-3)
    assert restyling.noise(listed, layers, rougher) == pytest.approx(2.0, rel=1e-3)


class Reducing(torch.nn.Module):
    """An autoencoder whose latents are its pictures, a quarter as large."""

    def encoder(self, pictures):
        return torch.nn.functional.avg_pool2d(pictures, 4)[:, [0, 1, 2, 0]]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder with small sets whose pictures are grey, as bright as their control pictures."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    monkeypatch.setattr(latents, "COUNTS", dict.fromkeys(latents.COUNTS, 80))
    monkeypatch.setattr(latents, "build", Reducing)
    common.save(tmp_path / "vae.pt", {"average": {}})
    for name, side, count in (("small", 64, 80), ("large", 128, 9)):
        heights = rng.integers(0, 256, (count, side, side), np.uint8)
        np.save(folder / f"{name}_height.npy", heights)
        np.save(folder / f"{name}.npy", np.repeat(heights[..., None], 3, 3))
        specs = (json.dumps(asdict(data.spec_of(name, index))) for index in range(count))
        (folder / f"{name}.jsonl").write_text("\n".join(specs), encoding="utf-8")
    depth = rng.integers(0, 256, (9, scenes.SIZE, scenes.SIZE), np.uint8)
    three = np.repeat(depth[..., None], 3, 3)
    layers = {"picture": three, "twin": 255 - three, "depth": depth, "lines": depth, "ready": depth[:, 0, 0]}
    for layer, values in layers.items():
        np.save(folder / f"scenes_{layer}.npy", values)
    np.save(folder / "scenes_things.npy", depth)
    latents.prepare(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", control.MIX)
def test_latents_twins_and_control_pictures_show_the_same_place(cache, monkeypatch, kind):
    monkeypatch.setattr(control, "lines", lambda heights, threshold: heights)
    batch, pictures = control.Pairs(cache / "data", 3, 1.0).draw(kind, 8)
    assert len(batch.texts) == 8 and batch.circular == (kind in latents.PERIODIC) and len(set(batch.texts)) > 3
    side = latents.SIDES[kind]
    assert pictures.shape == (8, 3, side, side) and batch.latents.shape == (8, 4, side // 4, side // 4)
    expected = torch.nn.functional.avg_pool2d(pictures, 4)[:, :1] * 2 - 1
    assert torch.allclose(batch.latents[:, :1].cpu(), expected.cpu(), atol=0.01)
    if kind == "scene":
        assert torch.allclose(batch.twins, -batch.latents, atol=0.01)
    else:
        assert batch.twins is None
