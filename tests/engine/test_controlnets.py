"""ControlNets steer as strongly and as long as their settings say, and what does not fit is refused before
painting."""
from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine.conditioning.control_images import canny, prepared
from blender_sd.core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, SourceUnusable
from blender_sd.protocol.messages import Failed, Finished, Note, Source, Step
from blender_sd.core.parts import Control
from blender_sd.core.tasks import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, UPSCALE
from tests.support import tiny_controlnets
from tests.support.engine import small


@pytest.fixture(scope="module")
def nets(models, sd, taesd, sdxl):
    return {
        name: [
            str(tiny_controlnets.build("plain", folder, models / f"{name}-control{seed}", seed=seed))
            for seed in (0, 1)] for name, folder in (("sd", sd), ("taesd", taesd), ("sdxl", sdxl))}


def shape(width=64, height=64):
    y, x = np.mgrid[:height, :width]
    disc = np.where(np.hypot(y - height / 2, x - width / 2) < height / 3, 255, 0).astype(np.uint8)
    return Source(pixels=np.dstack([disc, disc, disc, np.full_like(disc, 255)]))


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path))


def noise(width=64, height=64):
    return Source(pixels=np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
                  | np.uint8([0, 0, 0, 255]))


@pytest.mark.parametrize("name", ["sd", "taesd", "sdxl"])
@pytest.mark.parametrize("task", ["text_to_image", IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS])
def test_a_control_changes_the_picture_and_weight_0_does_not(request, run, nets, name, task):
    model = request.getfixturevalue(name)
    inputs = {"control0": shape(), "source": noise(), "mask": shape()}
    changes = {"task": task, "strength": 1.0, "tiling": "xy", "full_res": True, "tile": 64}
    plain = made(run(small(model, **changes), inputs=inputs))
    steered = made(run(small(model, **changes, controls=(Control("depth", nets[name][0]),)), inputs=inputs))
    idle = made(run(small(model, **changes, controls=(Control("depth", nets[name][0], weight=0.0),)), inputs=inputs))
    assert np.array_equal(plain, idle) and not np.array_equal(plain, steered)
    assert np.array_equal(plain, made(run(small(model, **changes), inputs=inputs))), "the model is as it was"


def test_the_pictures_that_controlnets_read_come_back_without_a_model(run):
    """In the frame and size of the result, as the painting itself gets them."""
    wide = Source(pixels=np.tile(np.uint8([0, 0, 0, 255]), (64, 192, 1)))
    wide.pixels[:, 96:] = 255  # what is left of and right of the middle third is cut away
    order = small("/no/such/model", controls=(Control("image", "starter"), Control("canny", "starter")), width=32,
                  height=32)
    events = run(order, inputs={"control0": wide, "control1": wide}, folder="/no/such/model", controls_only=True)
    plain, edges = (result.pixels[..., :3] for result in events[-1].results)
    assert plain.shape == edges.shape == (32, 32, 3)
    assert (plain[:, :14] < 40).all() and (plain[:, 18:] > 215).all(), "its middle"
    assert np.array_equal(edges, np.asarray(prepared("canny",
                                                     Image.fromarray(plain)))) and 0 < (edges[..., 0] > 0).mean() < 0.1
    assert any("its middle is used" in event.text for event in events if isinstance(event, Note))


def test_weight_span_and_several_at_once(run, sd, nets):
    one, two = nets["sd"]
    inputs = {"control0": shape(), "control1": noise()}

    def with_(*controls):
        return made(run(small(sd, controls=controls, steps=4), inputs=inputs)).astype(int)

    both = with_(Control("depth", one), Control("normal", two))
    assert not np.array_equal(both, with_(Control("depth", one)))
    assert np.array_equal(with_(Control("depth", one), Control("normal", two, weight=0.0)), with_(Control("depth",
                                                                                                          one)))
    assert not np.array_equal(with_(Control("depth", one, end=0.5)), with_(Control("depth", one)))
    assert not np.array_equal(with_(Control("depth", one, start=0.5)), with_(Control("depth", one)))
    with pytest.raises(InvalidRequest, match="end after"):
        Control(start=0.5, end=0.5)


def test_a_tiling_control_wraps(run, taesd, nets):
    """Rolling the control picture by half rolls what it does: its network wraps as the model does."""
    from blender_sd.engine.denoise.tiling import circular
    from diffusers import ControlNetModel
    import torch

    net = ControlNetModel.from_pretrained(nets["taesd"][0]).eval()
    torch.manual_seed(0)
    latents, picture = torch.randn(1, 4, 16, 16), torch.rand(1, 3, 64, 64)
    words = torch.randn(1, 8, net.config.cross_attention_dim)
    with torch.no_grad(), circular((net,), "xy"):
        straight = net(latents, 500, words, picture, return_dict=False)[0][0]
        rolled = net(latents.roll((2, 2), (2, 3)), 500, words, picture.roll((8, 8), (2, 3)), return_dict=False)[0][0]
    assert torch.allclose(straight.roll((2, 2), (2, 3)), rolled, atol=1e-5)


def test_controls_with_high_res_fix_steer_the_first_pass(run, sd, nets):
    request = small(sd, controls=(Control("depth", nets["sd"][0]),), refine_scale=2.0, refine_strength=0.5, tile=64,
                    steps=4)
    assert made(run(request, inputs={"control0": shape()})).shape == (128, 128, 3)


def test_a_picture_of_another_aspect_is_cropped_with_a_note(run, sd, nets):
    request = small(sd, controls=(Control("depth", nets["sd"][0]),))
    events = run(request, inputs={"control0": shape(128, 64)})
    assert "another aspect" in next(event.text for event in events if isinstance(event, Note))
    square = made(run(request, inputs={"control0": shape()}))
    assert np.array_equal(made(events), square), "the middle of the wide one is the same disc"


@pytest.mark.parametrize(("controls", "kind", "words"), [
    ("no picture", SourceUnusable, "no picture"), ("foreign", InvalidRequest, "does not fit"), ("missing", ModelNotFound, "no ControlNet"),  # noqa: E501
    ("no controlnet", ModelUnreadable, "no ControlNet"), ("broken", ModelUnreadable, "broken"), ("pickle", ModelUnreadable, "pickle"),  # noqa: E501
    ("upscale", InvalidRequest, "enlarging"), ("transformer", InvalidRequest, "does not fit"),
])
def test_what_does_not_fit_is_refused_before_painting(request, run, sd, nets, tmp_path, controls, kind, words):
    folder = tmp_path / "net"
    shutil.copytree(nets["sd"][0], folder)
    weights = next(folder.glob("*.safetensors"))
    model, changes = sd, {}
    inputs = {} if controls == "no picture" else {"control0": shape(), "source": noise()}
    if controls == "foreign":
        folder = nets["sdxl"][0]
    elif controls == "missing":
        folder = tmp_path / "nowhere"
    elif controls == "no controlnet":
        folder = f"{sd}/unet"
    elif controls == "broken":
        weights.write_bytes(weights.read_bytes()[:100])
    elif controls == "pickle":
        weights.rename(weights.with_suffix(".bin"))
    elif controls == "upscale":
        changes = {"task": UPSCALE, "tile": 64}
    elif controls == "transformer":
        model = request.getfixturevalue("sd3")
    events = run(small(model, controls=(Control("depth", str(folder)),), **changes), inputs=inputs)
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind and words in events[-1].message, events[-1]
    assert not [event for event in events if isinstance(event, Step)]
    assert isinstance(run(small(sd))[-1], Finished)


def test_edges_of_a_disc():
    y, x = np.mgrid[:96, :96]
    radius = np.hypot(y - 48, x - 48)
    edges = canny((radius < 30).astype(np.float32))
    assert abs(radius[edges] - 30).max() < 2 and edges.sum() == pytest.approx(2 * np.pi * 30, rel=0.25)
    assert not canny(np.full((32, 32), 0.5, np.float32)).any()
    assert not canny(np.random.default_rng(0).normal(0.5, 0.004, (64, 64)).astype(np.float32)).any(), "grain is no edge"


def test_prepared_pictures():
    picture = Image.fromarray(shape().pixels[..., :3])
    assert prepared("depth", picture) is picture
    edges, blurred = prepared("canny", picture), np.asarray(prepared("blur", picture))
    assert edges.mode == "RGB" and set(np.unique(np.asarray(edges))) == {0, 255}
    assert blurred.std() < np.asarray(picture).std() and blurred.mean() == pytest.approx(
        np.asarray(picture).mean(), rel=0.03)
