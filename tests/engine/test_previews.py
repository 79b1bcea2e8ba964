"""Previews: small, like the picture, rare, and without influence on it."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from blender_sd.engine import Engine
from blender_sd.engine.denoise import previews
from blender_sd.protocol.messages import Step
from tests.support.engine import small

pytestmark = pytest.mark.slow


def steps_of(engine, folder, **changes):
    from blender_sd.protocol.messages import Generate

    events = []
    engine.run(Generate("job", small(folder, **changes), folder, ""), events.append, lambda: False)
    return [event for event in events if isinstance(event, Step) and event.step > 0]


@pytest.fixture
def often(monkeypatch):
    """A preview at every step."""
    monkeypatch.setattr(previews.Preview, "due", lambda self: True)


@pytest.mark.parametrize("family", ["sd", "taesd", "sdxl", "sd3"])
@pytest.mark.parametrize("size", [(64, 32), (32, 64)])
def test_previews_are_small_pictures_of_the_right_shape(often, family, size, request):
    engine = Engine(device="cpu", threads=1, preview_px=40)
    steps = steps_of(engine, request.getfixturevalue(family), width=size[0], height=size[1])
    for step in steps:
        assert step.preview.dtype == np.uint8 and step.preview.shape[2] == 3
        height, width = step.preview.shape[:2]
        assert max(height, width) <= 40 and abs(width / height - size[0] / size[1]) < 0.1
    engine.close()


def test_previews_can_be_switched_off(often, taesd):
    engine = Engine(device="cpu", threads=1, preview_px=0)
    assert [step.preview for step in steps_of(engine, taesd)] == [None] * 3


def test_previews_do_not_change_the_picture(often, sd):
    with_previews = Engine(device="cpu", threads=1).generate("brick", seed=3, steps=4, model=sd, sampler="euler_a")[0]
    without = Engine(device="cpu", threads=1, preview_px=0).generate("brick", seed=3, steps=4, model=sd,
                                                                     sampler="euler_a")[0]
    assert with_previews.tobytes() == without.tobytes()


def test_previews_draw_on_no_generator(often, sd):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Engine(device="cpu", threads=1).generate("brick", seed=3, steps=2, model=sd, size=(32, 32))
    assert torch.equal(torch.rand(1), expected)


def test_a_tiny_autoencoders_last_preview_is_the_picture(often, taesd):
    engine, events = Engine(device="cpu", threads=1, preview_px=64), []
    picture = engine.generate("brick", seed=4, steps=2, size=(64, 64), model=taesd, on_event=events.append)[0]
    preview = [event.preview for event in events if isinstance(event, Step)][-1].astype(float)
    assert np.corrcoef(preview.ravel(), np.asarray(picture, float).ravel())[0, 1] > 0.9


class LinearVae:
    """A VAE whose colours really are a linear function of its latents, 8 pixels to a cell."""

    class config:
        scaling_factor = 0.5

    device, dtype = torch.device("cpu"), torch.float32
    colours = torch.tensor([[0.3, -0.2, 0.1], [0.1, 0.2, -0.3], [-0.2, 0.1, 0.2], [0.1, 0.1, 0.1]])
    decodes = 0

    def decode(self, latents, return_dict=True):
        type(self).decodes += 1
        planes = torch.einsum("bchw,ck->bkhw", latents, self.colours) + 0.1
        return (torch.nn.functional.interpolate(planes, scale_factor=8),)


class LinearPipe:
    vae = LinearVae()


@pytest.mark.parametrize("learned", [False, True])
def test_other_vaes_are_stood_in_for_by_a_fitted_linear_map(learned):
    preview, pipe = previews.Preview(LinearPipe()), LinearPipe()
    latents = torch.nn.functional.interpolate(torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1)),
                                              scale_factor=2)
    latents /= latents.std() * 1.01
    truth = pipe.vae.decode(latents / 0.5)[0]
    LinearVae.decodes = 0
    if learned:
        preview.learn(pipe, latents, truth, (64, 64))
    shown = preview.picture(pipe, latents, (64, 64), 64)
    assert LinearVae.decodes == (0 if learned else 1)
    expected = previews._bytes(torch.nn.functional.interpolate(truth[..., ::8, ::8], size=(64, 64), mode="bilinear"))
    assert np.abs(shown.astype(int) - expected).max() <= 2
    preview.picture(pipe, latents, (64, 64), 64)
    assert LinearVae.decodes == (0 if learned else 1)  # fitted once


def test_a_dear_preview_is_made_seldom(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(previews.time, "monotonic", lambda: clock[0])

    class Vae:
        config = None

    class Pipe:
        vae = Vae()

    preview = previews.Preview(Pipe())

    def dear(*arguments):
        clock[0] += 1.0

    monkeypatch.setattr(previews, "_planes", dear)
    assert preview.due()
    preview.picture(Pipe(), torch.zeros(1), (64, 64), 64)
    clock[0] += 0.9 / previews.SHARE
    assert not preview.due()
    clock[0] += 0.2 / previews.SHARE
    assert preview.due()


def test_latents_that_are_not_understood_give_no_preview():
    class Vae:
        class config:
            scaling_factor = 1.0

    class Pipe:
        vae = Vae()

    assert previews.Preview(Pipe()).picture(Pipe(), torch.zeros(1, 7, 3), (64, 64), 64) is None


def test_a_costly_preview_does_not_keep_the_next_picture_waiting(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(previews.time, "monotonic", lambda: now[0])
    preview = previews.Preview(None)
    preview._next = now[0] + 60  # the last preview was costly
    preview.begin()
    assert not preview.due()
    now[0] += previews.INTERVAL
    assert preview.due()
