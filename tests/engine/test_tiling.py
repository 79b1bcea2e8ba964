"""Seamlessness as an exact property: rolling what goes in rolls what comes out."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from blender_sd.engine.denoise.tiling import circular

AXES = {"x": (-1,), "y": (-2,), "xy": (-2, -1)}


@pytest.fixture(scope="module")
def parts(sd):
    from diffusers import AutoencoderKL, UNet2DConditionModel

    vae, unet = (cls.from_pretrained(sd, subfolder=name)
                 for cls, name in ((AutoencoderKL, "vae"), (UNet2DConditionModel, "unet")))
    return vae.eval(), unet.eval()


def nets(parts):
    """(function, input, input pixels to roll by, output pixels that makes)"""
    vae, unet = parts
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(1, 5, 32, generator=generator)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    return {
        "decoder": (lambda value: vae.decode(value).sample, latents, 1, 8),
        "encoder": (lambda value: vae.encode(value).latent_dist.mean, torch.randn(1, 3, 64, 64,
                                                                                  generator=generator), 8, 1),
        "unet": (lambda value: unet(value, 10, words).sample, latents, 2, 2),}


def roll_error(function, value, shift_in, shift_out, dims) -> float:
    with torch.no_grad():
        straight = function(value)
        rolled = function(torch.roll(value, [shift_in] * len(dims), dims))
    return float((torch.roll(straight, [shift_out] * len(dims), dims) - rolled).abs().max() / straight.abs().max())


@pytest.mark.parametrize("net", ["decoder", "encoder", "unet"])
@pytest.mark.parametrize("tiling", ["x", "y", "xy"])
def test_rolling_in_is_rolling_out_along_the_tiling_axes_only(parts, net, tiling):
    function, value, shift_in, shift_out = nets(parts)[net]
    with circular(parts, tiling):
        assert roll_error(function, value, shift_in, shift_out, AXES[tiling]) < 1e-4
        if tiling != "xy":
            across = AXES["y" if tiling == "x" else "x"]
            assert roll_error(function, value, shift_in, shift_out, across) > 1e-3


@pytest.mark.parametrize("family", ["qwen_image", "flux2_klein", "sana"])
def test_the_autoencoders_of_transformer_families_wrap_too(families, family):
    import diffusers

    cls = {"qwen_image": "AutoencoderKLQwenImage", "flux2_klein": "AutoencoderKLFlux2", "sana": "AutoencoderDC"}[family]
    vae = getattr(diffusers, cls).from_pretrained(families(family), subfolder="vae").eval()
    pixels = 32 if family == "sana" else 8  # of a latent
    generator = torch.Generator().manual_seed(0)
    latents, picture = torch.randn(1, 4, 4, 4, generator=generator), torch.randn(1, 3, 4 * pixels, 4 * pixels,
                                                                                 generator=generator)
    if family == "qwen_image":
        latents, picture = latents[:, :, None], picture[:, :, None]

    def encode(value):
        found = vae.encode(value)
        return found.latent if family == "sana" else found.latent_dist.mean

    nets = ((lambda value: vae.decode(value).sample, latents, 1, pixels), (encode, picture, pixels, 1))
    before = [roll_error(*net, AXES["xy"]) for net in nets]
    with circular((vae,), "xy"):
        assert max(roll_error(*net, AXES["xy"]) for net in nets) < 1e-4 < 1e-3 < min(before)
    assert [roll_error(*net, AXES["xy"]) for net in nets] == before


@pytest.mark.parametrize("leave", ["normally", "by an exception"])
def test_everything_is_restored(parts, leave):
    function, value, *_ = nets(parts)["encoder"]

    def look():
        return [(name, type(part), sorted(vars(part)), getattr(part, "padding", None),
                 getattr(part, "padding_mode", None), getattr(part, "_reversed_padding_repeated_twice", None))
                for whole in parts for name, part in whole.named_modules()]

    before = look()
    with torch.no_grad():
        expected = function(value)
    with circular(parts, "none"):
        assert look() == before
    try:
        with circular(parts, "xy"):
            assert look() != before
            with torch.no_grad():
                assert not torch.equal(function(value), expected)
            if leave == "by an exception":
                raise KeyError
    except KeyError:
        pass
    assert look() == before
    with torch.no_grad():
        assert torch.equal(function(value), expected)


def test_a_tiled_picture_has_no_seam(engine, sd):
    """The jump across the border is that of any two neighbours inside; untiled, the border is just a border."""
    painted = np.asarray(engine.generate("brick", seed=3, steps=3, size=(64, 64), model=sd, tiling="xy")[0], float)
    for axis in (0, 1):
        inside = np.abs(np.diff(painted, axis=axis)).mean()
        across = np.abs(np.take(painted, 0, axis) - np.take(painted, -1, axis)).mean()
        assert across < 1.6 * inside


def test_tiling_changes_the_picture_and_is_gone_afterwards(engine, sd):
    def painted(tiling):
        return engine.generate("brick", seed=3, steps=2, size=(32, 32), model=sd, tiling=tiling)[0].tobytes()

    plain = painted("none")
    assert len({plain, painted("x"), painted("y"), painted("xy")}) == 4
    assert painted("none") == plain
