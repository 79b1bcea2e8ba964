"""Settings of pictures of other programs, from files and image datablocks, in the panel and in Python."""
from __future__ import annotations

import json

import bpy
import numpy as np
import pytest

import blender_sd
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.request import Request
from tests.library.test_foreign_settings import GRAPH, INVOKE, WEBUI, hidden

pytestmark = pytest.mark.bpy
Image = pytest.importorskip("PIL.Image")


def save(path, **texts):
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    Image.new("RGB", (64, 64)).save(path, pnginfo=info)
    return path


def test_a_picture_of_a1111_fills_in_what_has_a_counterpart(tmp_path):
    file = save(tmp_path / "a.png", parameters=WEBUI)
    image = bpy.data.images.load(str(file))
    for place in (file, str(file), image):
        found = blender_sd.read_settings(place)
        request = found.request
        assert (found.program, request.prompt,
                request.negative) == ("A1111", "a castle, (old:1.2) on a hill <lora:x:0.8>", "ugly, blurry")
        assert (request.steps, request.sampler, request.guidance, request.seed) == (28, "dpmpp_2m_karras", 7.0,
                                                                                    2**32 + 1)
        assert (request.width, request.height, request.model, request.task.strength) == (512, 768, "starter", 0.4)
        assert found.unused["Model"] == "dream shaper" and found.unused["Clip skip"] == "2"
        assert blender_sd.recall(place) == request
    image.pack()
    file.unlink()
    assert blender_sd.recall(image).seed == 2**32 + 1
    bpy.data.images.remove(image)


@pytest.mark.parametrize(("key", "text"), [("prompt", json.dumps(GRAPH)), ("invokeai_metadata", json.dumps(INVOKE))])
def test_pictures_of_others(tmp_path, key, text):
    request = blender_sd.recall(save(tmp_path / "x.png", **{key: text}))
    assert request.prompt.startswith("a castle <lora:") and (request.seed, request.steps, request.width) == (41, 28,
                                                                                                             512)
    assert request.sampler.startswith("euler_a")


@pytest.mark.parametrize("as_datablock", [False, True])
def test_settings_hidden_in_the_alpha_channel(tmp_path, as_datablock):
    alpha = np.frombuffer(hidden(WEBUI, True, 256 * 256), np.uint8).reshape(256, 256).T
    pixels = np.dstack([np.full((256, 256, 3), 90, np.uint8), alpha])
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "h.png")
    place = bpy.data.images.load(str(tmp_path / "h.png")) if as_datablock else str(tmp_path / "h.png")
    before = len(bpy.data.images)
    found = blender_sd.read_settings(place)
    assert found.program == "A1111" and found.request.steps == 28 and len(bpy.data.images) == before


def test_what_cannot_be_a_setting_here_is_listed(tmp_path):
    text = "a\nSteps: 9000, Sampler: Restart, Schedule type: Beta, CFG scale: 7, Seed: -5, Size: 99999x768"
    found = blender_sd.read_settings(save(tmp_path / "a.png", parameters=text))
    assert found.request.steps == Request().steps and found.request.height == 768
    assert {"steps", "seed", "width", "Sampler"} <= set(found.unused)


def test_a_picture_without_settings_says_so(tmp_path):
    for file in (save(tmp_path / "a.png"), save(tmp_path / "b.png", parameters="words")):
        with pytest.raises(InvalidRequest, match="carries no settings"):
            blender_sd.read_settings(file)
    with pytest.raises(InvalidRequest):
        blender_sd.read_settings(save(tmp_path / "c.png", blender_sd="{", parameters=WEBUI))


@pytest.mark.parametrize("seed", [-1, np.int64(7), np.uint64(2**64 - 1), 2**40])
def test_calls_take_seeds_as_people_have_them(seed):
    from blender_sd.calls.arguments import checked_value
    from blender_sd.calls.look_ups import LOOK_UPS
    from blender_sd.core.request_builder import build

    value = checked_value("seed", int | None, seed)
    request = build("text_to_image", "x", {"seed": value}, LOOK_UPS).request
    assert request.seed == int(seed) if seed >= 0 else request.seed >= 0
