"""The maps of a material through the engine: roles, colour spaces, agreement, wrapping, tiles, sources, bad input."""
from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.core.errors import JobCancelled, ModelUnreadable, PolicyForbids, SourceUnusable
from blender_sd.core.image_origin import ORIGIN_KEY, Origin
from blender_sd.core.request import Request
from blender_sd.core.roles import BASE_COLOUR, HEIGHT, MAPS, METALLIC, NON_COLOR, NORMAL, OCCLUSION, ROUGHNESS, SRGB
from blender_sd.core.tasks import PbrMaps
from blender_sd.engine import Engine
from blender_sd.engine.maps import deterministic, estimator, height, judging, marigold, material
from blender_sd.engine.maps.network import MapNet
from blender_sd.library import marigold as weights
from blender_sd.protocol.messages import Finished, Generate, Note, Source


def waves(width: int, height_: int, seed: int = 1) -> np.ndarray:
    """A picture (H, W, 3) uint8 that repeats: a few sines of each direction."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height_, 0:width]
    level = sum(np.sin(2 * np.pi * (rng.integers(1, 6) * x / width + rng.integers(1, 6) * y / height_) + rng.random())
                for _ in range(6))
    picture = 120 + 18 * level[..., None] * np.array([1.0, 0.8, 0.6]) + rng.normal(0, 3, (height_, width, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def net() -> MapNet:
    """A net with random weights whose outputs are of a usual size."""
    torch.manual_seed(3)
    made = MapNet()
    torch.nn.init.normal_(made.out.weight, std=0.05)
    for name, parameter in made.named_parameters():
        if name.endswith("second_norm.weight"):
            torch.nn.init.ones_(parameter)
    return made.eval().requires_grad_(False)


def maps_of(picture, notes: list[str] | None = None, **settings) -> dict[str, material.Map]:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    found = material.maps_of(image.convert("RGB"), alpha, PbrMaps(**settings), lambda: None, lambda share: None,
                             (notes if notes is not None else []).append)
    return {item.role: item for item in found}


def run(engine, tmp_path: Path, source: Source, **settings):
    events = []
    request = Request.of("pbr_maps", width=64, height=64, **settings).with_inputs({"source": source.digest()})
    engine.run(Generate("job", request, "", str(tmp_path), {"source": source}), events.append, lambda: False)
    return events


@pytest.mark.parametrize("source", ["trained", "estimated"])
def test_results_have_their_roles_and_colour_spaces(engine, tmp_path, source):
    pixels = np.full((64, 96, 4), 255, np.uint8)
    pixels[..., :3] = waves(96, 64)
    ending = run(engine, tmp_path, Source(pixels=pixels), map_source=source)[-1]
    assert isinstance(ending, Finished), ending
    assert tuple(result.role for result in ending.results) == MAPS
    for result in ending.results:
        assert result.colour_space == (SRGB if result.role == BASE_COLOUR else NON_COLOR)
        assert result.made_by == {"trained": "Built In", "estimated": "Plain Estimate"}[source]
        with Image.open(result.path) as image:
            assert image.size == (96, 64)
    by_role = {result.role: result for result in ending.results}
    assert by_role[HEIGHT].depth > 0 and by_role[NORMAL].depth == 0


def test_bits(engine, tmp_path):
    source = Source(pixels=np.dstack([waves(64, 64), np.full((64, 64), 255, np.uint8)]))
    for bits, depth in (("16", 16), ("8", 8)):
        ending = run(engine, tmp_path, source, map_bits=bits, map_source="estimated")[-1]
        for result in ending.results:
            header = Path(result.path).read_bytes()[:33]
            assert header[24] == (depth if result.role in (NORMAL, HEIGHT) else 8), result.role


def test_sixteen_bits_are_read_back_exactly(engine, tmp_path):
    found = maps_of(waves(64, 48), map_source="estimated")
    ending = run(engine, tmp_path, Source(pixels=np.dstack([waves(64, 48), np.full((48, 64), 255, np.uint8)])),
                 map_source="estimated")[-1]
    path = next(result.path for result in ending.results if result.role == HEIGHT)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image).astype(np.uint16), found[HEIGHT].image)


@pytest.mark.parametrize("wraps", [(True, True), (True, False), (False, True), (False, False)])
def test_integration_gives_a_height_back(wraps):
    y, x = np.mgrid[0:96, 0:128].astype(np.float32)
    across = np.sin(2 * np.pi * 3 * x / 128) if wraps[0] else np.cos(np.pi * 3 * (x + 0.5) / 128)
    down = np.cos(2 * np.pi * 2 * y / 96) if wraps[1] else np.cos(np.pi * 3 * (y + 0.5) / 96)
    true = torch.from_numpy(4 * across + 3 * down + across * down)[None, None]
    true = true - true.mean()
    found = height.integrate(height.slopes(true, wraps), None, wraps)
    assert float((found - true).abs().max()) < (2e-3 if all(wraps) else 0.12)
    assert float((height.integrate(height.slopes(true, wraps), true, wraps) - true).abs().max()) < 0.12


def test_normals_agree_with_the_height():
    found = maps_of(waves(64, 64), map_source="trained", metres=2.0)
    depth_px = found[HEIGHT].depth * 64 / 2.0
    level = found[HEIGHT].image.astype(np.float64) / 65535 * depth_px
    across = (np.roll(level, -1, 1) - np.roll(level, 1, 1)) / 2
    down = (np.roll(level, -1, 0) - np.roll(level, 1, 0)) / 2
    normal = np.dstack([-across, down, np.ones_like(level)])  # OpenGL: green points up, rows run down
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    stored = found[NORMAL].image.astype(np.float64) / 65535 * 2 - 1
    assert np.abs(stored - normal).max() < 2e-3


def test_depth_follows_the_width_in_metres():
    one, two = (maps_of(waves(64, 64), map_source="estimated", metres=metres)[HEIGHT].depth for metres in (1.0, 2.0))
    assert two == pytest.approx(2 * one)


def test_rolling_the_picture_rolls_the_maps(net):
    picture = torch.rand(1, 3, 64, 96)
    straight = estimator.estimate(picture, (True, True), net=net)
    rolled = estimator.estimate(torch.roll(picture, (32, 48), (2, 3)), (True, True), net=net)
    for name in ("base", "slope", "coarse", "roughness", "metallic"):
        moved = torch.roll(getattr(straight, name), (32, 48), (2, 3))
        assert float((getattr(rolled, name) - moved).abs().max()) < 1e-4, name


@pytest.mark.slow
def test_tiles_give_what_one_piece_gives(net, monkeypatch):
    picture = torch.rand(1, 3, 480, 544)
    whole = estimator.estimate(picture, (True, True), net=net)
    monkeypatch.setattr(estimator, "_WHOLE", 0)
    monkeypatch.setattr(estimator, "TILE", 240)
    tiled = estimator.estimate(picture, (True, True), net=net)
    for name in ("base", "slope", "coarse", "roughness", "metallic"):
        assert float((getattr(tiled, name) - getattr(whole, name)).abs().max()) < 1e-3, name


@pytest.mark.parametrize("wraps", [(True, False), (True, True)])
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (16, 64), (32, 32), (17, 61), (100, 33)])
def test_any_size(net, size, wraps):
    found = estimator.estimate(torch.rand(1, 3, *size), wraps, net=net)
    assert found.base.shape == (1, 3, *size) and found.slope.shape == (1, 2, *size)
    assert all(torch.isfinite(value).all() for value in vars(found).values())


def test_alpha_is_kept_in_the_base_colour():
    alpha = np.zeros((32, 48), np.uint8)
    alpha[:, 10:30] = 200
    image = Image.fromarray(np.dstack([waves(48, 32), alpha]))
    found = maps_of(image, map_source="estimated")
    assert np.array_equal(np.asarray(found[BASE_COLOUR].image)[..., 3], alpha)
    assert found[ROUGHNESS].image.mode == "L"


@pytest.mark.parametrize("source", ["trained", "estimated"])
def test_the_mode_of_torch_ends_with_each_map(source):
    for _ in material.maps_of(Image.fromarray(waves(32, 32)), None, PbrMaps(map_source=source), lambda: None,
                              lambda share: None, lambda text: None):
        assert not torch.is_inference_mode_enabled()


def test_a_normal_map_is_refused():
    normal = maps_of(waves(64, 64), map_source="estimated", map_bits="8")[NORMAL].image
    with pytest.raises(SourceUnusable, match="normal map"):
        maps_of(normal, map_source="estimated")
    maps_of(waves(64, 64), map_source="estimated")  # what it was made of is none
    blue = np.full((32, 32, 3), (60, 90, 200), np.uint8)
    maps_of(blue, map_source="estimated")


def test_what_does_not_repeat_is_reported():
    y, x = np.mgrid[0:64, 0:64]
    ramp = np.clip(60 + 2 * x[..., None] + np.random.default_rng(1).normal(0, 2, (64, 64, 3)), 0, 255).astype(np.uint8)
    notes: list[str] = []
    maps_of(ramp, notes, map_source="estimated")
    assert any("from left to right" in note for note in notes)
    assert not any("seam" in note for note in _notes(waves(64, 64)))
    assert judging.wraps(waves(64, 64)) == (True, True)


def test_a_picture_that_is_no_material_is_reported():
    y, x = np.mgrid[0:128, 0:128]
    noise = np.random.default_rng(1).normal(0, 4, (128, 128, 3))
    sky = np.where(y[..., None] < 64, (110, 160, 230), (60, 90, 40)) + noise
    assert any("no material" in note for note in _notes(np.clip(sky, 0, 255).astype(np.uint8)))
    assert not any("no material" in note for note in _notes(waves(128, 128)))


def _notes(pixels: np.ndarray) -> list[str]:
    notes: list[str] = []
    maps_of(pixels, notes, map_source="estimated")
    return notes


def test_grey_and_flat_pictures(engine, tmp_path):
    grey = Image.fromarray(waves(64, 64)[..., 0])
    grey.save(tmp_path / "grey.png")
    ending = run(engine, tmp_path, Source(encoded=(tmp_path / "grey.png").read_bytes()))[-1]
    assert isinstance(ending, Finished)
    notes: list[str] = []
    flat = maps_of(np.full((64, 64, 3), (200, 128, 40), np.uint8), notes, map_source="estimated")
    assert flat[HEIGHT].depth == 0.0 and any("one colour" in note for note in notes)


def test_the_plain_estimate_says_nothing_of_metal():
    found = deterministic.estimate(torch.rand(1, 3, 32, 32))
    assert float(found.metallic.max()) == 0.0 and 0 <= float(found.roughness.min()) <= float(found.roughness.max()) <= 1


def test_the_shipped_estimator_is_small_and_loads():
    file = estimator.FOLDER / "model.safetensors"
    assert file.stat().st_size <= 8 << 20
    assert estimator.load().out.weight.dtype == torch.float32


def test_the_best_source_is_taken():
    assert material.source_of(PbrMaps()) == "trained"
    assert material.source_of(PbrMaps(intrinsics="/somewhere")) == "marigold"
    assert material.source_of(PbrMaps(map_source="estimated", intrinsics="/somewhere")) == "estimated"
    assert OCCLUSION in maps_of(waves(32, 32), map_source="estimated") and METALLIC in MAPS


@pytest.fixture(scope="module")
def tiny_marigold(tmp_path_factory, sd) -> tuple[str, str]:
    """Folders of Marigold's pipelines with tiny random weights."""
    from diffusers import DDIMScheduler, MarigoldIntrinsicsPipeline, MarigoldNormalsPipeline, StableDiffusionPipeline
    from diffusers import UNet2DConditionModel

    base = StableDiffusionPipeline.from_pretrained(sd)
    folder = tmp_path_factory.mktemp("marigold")
    targets = {"target_names": ["albedo", "material"], "albedo": {"prediction_space": "srgb"},
               "material": {"prediction_space": "stack", "sub_target_names": ["roughness", "metallicity", None]}}
    for name, cls, count, more in (("intrinsics", MarigoldIntrinsicsPipeline, 2, {"target_properties": targets,
                                                                                   "prediction_type": "intrinsics"}),
                                   ("normals", MarigoldNormalsPipeline, 1, {"prediction_type": "normals"})):
        torch.manual_seed(5)
        config = {**base.unet.config, "in_channels": 4 * (count + 1), "out_channels": 4 * count}
        pipe = cls(UNet2DConditionModel.from_config(config), base.vae, DDIMScheduler(), base.text_encoder,
                   base.tokenizer, default_denoising_steps=1, default_processing_resolution=64, **more)
        pipe.save_pretrained(folder / name)
    return str(folder / "intrinsics"), str(folder / "normals")


def test_marigold_by_tiles(tiny_marigold):
    intrinsics, normals = tiny_marigold
    assert weights.weights_at(intrinsics) == weights.Weights(intrinsics, weights.INTRINSICS)
    assert weights.weights_at(normals) == weights.Weights(normals, weights.NORMALS)
    notes: list[str] = []
    found = maps_of(waves(160, 96), notes, intrinsics=intrinsics, normals=normals)
    assert tuple(found) == MAPS and np.asarray(found[BASE_COLOUR].image).shape == (96, 160, 3)
    assert material.made_by(PbrMaps(intrinsics=intrinsics)) == "Marigold"
    without = maps_of(waves(64, 64), notes, intrinsics=intrinsics)
    assert tuple(without) == MAPS


def test_marigold_runs_where_the_engine_does_until_it_closes(tiny_marigold, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    marigold.release()
    one = Engine(device="cpu", threads=1)
    source = Source(pixels=np.dstack([waves(64, 64), np.full((64, 64), 255, np.uint8)]))
    ending = run(one, tmp_path, source, intrinsics=tiny_marigold[0])[-1]
    assert isinstance(ending, Finished), ending
    assert [key[0] for key in marigold._loaded] == ["intrinsics"]
    one.close()
    assert not marigold._loaded


def test_marigold_is_named_with_its_licence_where_it_came_from(tiny_marigold, engine, tmp_path):
    (Path(tiny_marigold[0]) / "README.md").write_text("---\nlicense: openrail++\n---\n")
    source = Source(pixels=np.dstack([waves(64, 64), np.full((64, 64), 255, np.uint8)]))
    ending = run(engine, tmp_path, source, intrinsics=tiny_marigold[0])[-1]
    with Image.open(ending.results[0].path) as image:
        parts = Origin.from_json(image.text[ORIGIN_KEY]).parts
    assert [(part.kind, part.licence) for part in parts] == [("map estimator", "openrail++")]


def test_a_policy_may_forbid_marigold(tiny_marigold, monkeypatch):
    def forbids(place, kind):
        raise PolicyForbids(f"It forbids the {kind}.", "Choose another.")

    monkeypatch.setattr(marigold.policy, "current", lambda: SimpleNamespace(check_model=forbids))
    with pytest.raises(PolicyForbids, match="Marigold"):
        maps_of(waves(64, 64), intrinsics=tiny_marigold[0])


def test_reading_marigold_can_be_cancelled(tiny_marigold, monkeypatch):
    marigold.release()
    begun, go, read = threading.Event(), threading.Event(), []

    def slow(cls, *_arguments, **_keywords):
        read.append(cls)
        begun.set()
        assert go.wait(30)

    def check():
        if begun.is_set():
            raise JobCancelled("Cancelled.")

    monkeypatch.setattr(marigold.nets, "read", slow)
    with pytest.raises(JobCancelled):
        material.estimated(torch.rand(1, 3, 64, 64), (True, True), PbrMaps(intrinsics=tiny_marigold[0]), check,
                           lambda share: None, torch.device("cpu"))
    go.set()
    marigold._reading.join(30)
    assert len(read) == 1 and not marigold._loaded, "the parts after the first are not read"


def test_marigold_weights_of_another_version(tiny_marigold, tmp_path):
    index = json.loads((Path(tiny_marigold[0]) / "model_index.json").read_text())
    index["target_properties"] = {"target_names": ["albedo", "shading", "residual"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert "another version" in weights.weights_at(str(tmp_path)).reason
    with pytest.raises(ModelUnreadable, match="roughness"):
        marigold._targets(index["target_properties"], str(tmp_path))
    with pytest.raises(ModelUnreadable, match="cannot be loaded"):
        maps_of(waves(64, 64), [], intrinsics=str(tmp_path))


def test_maps_are_made_of_what_is_painted(engine, sd, tmp_path):
    events = []
    request = Request.of("text_to_image", model=sd, prompt="brick", width=64, height=64, steps=1, tiling="xy", seed=1)
    engine.run(Generate("job", request, sd, str(tmp_path), maps=PbrMaps(wraps="xy")), events.append, lambda: False)
    ending = events[-1]
    assert isinstance(ending, Finished), ending
    assert [result.role for result in ending.results] == ["picture", *MAPS]
    assert all(result.request == ending.results[0].request for result in ending.results)
    assert not [event for event in events if isinstance(event, Note) and "repeat" in event.text]
