"""Upscalers: nets of several architectures and Stable Diffusion's own, in pieces, seamless, cancelled, alone and before
refining."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.engine.denoise import enlarging, upscalers
from blender_sd.engine.denoise.painting import Listener
from blender_sd.engine.denoise.upscalers import Net, Pieces
from blender_sd.core.nets import UPSCALER
from blender_sd.library.checkpoints import kind_of, read_header
from blender_sd.core.errors import InvalidRequest, JobCancelled, ModelNotFound, ModelUnreadable
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Note, Source, Step
from blender_sd.core.request import Request
from blender_sd.core.tasks import UPSCALE
from tests.support.upscaling import opaque, order, picture, pixels_of
from tests.support.requests import as_sent
from tests.support.engine import small
from tests.support.tiny_upscalers import build_latent, build_net, build_x4

pytestmark = pytest.mark.slow

KINDS = ("ESRGAN", "Compact", "SwinIR", "HAT", "DAT")


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upscalers")
    return {kind: build_net(kind, folder / f"4x-{kind}.safetensors") for kind in KINDS}


@pytest.fixture(scope="module")
def x4(tmp_path_factory):
    return build_x4(tmp_path_factory.mktemp("x4"))


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    return build_latent(tmp_path_factory.mktemp("latent"))


def steps_of(events):
    return [event for event in events if isinstance(event, Step) and event.step]


def loaded(engine, file):
    engine.warm()
    return engine._painter.upscalers.get(file, lambda text: None, lambda: False)


def rough(width, height):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def enlarged(upscaler, pixels, size, tiling="none", **pieces):
    """The pixels of `enlarge`, in pieces of another shape where one is given."""
    upscaler.pieces = replace(type(upscaler).pieces, **pieces)
    try:
        request = Request.of(UPSCALE, width=size[0], height=size[1], tiling=tiling)
        listener = Listener(lambda: None, lambda *_: None, lambda text: None, 0)
        return np.asarray(enlarging.enlarge(Image.fromarray(pixels), request, upscaler, listener,
                                            lambda *_: None)).astype(int)
    finally:
        del upscaler.pieces


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_enlarges_by_itself(run, engine, sd, nets, kind):
    assert kind_of(read_header(nets[kind])).name == UPSCALER
    events = run(order(sd, 160, 120, strength=0.0, upscaler=nets[kind]), source=Source(pixels=opaque(40, 30)))
    found = pixels_of(events[-1].results[0])
    assert found.shape == (120, 160, 3) and found.std() > 1
    net = loaded(engine, nets[kind])
    with torch.no_grad():
        whole = net._net(torch.from_numpy(opaque(40, 30)[..., :3].copy()).permute(2, 0, 1)[None] / 255)[0].permute(
            1, 2, 0).numpy() * 255
    inner = np.abs(found - whole)[32:-32, 32:-32]  # at the border it sees a mirror image where alone it sees zeros
    assert inner.max() < 0.51 if kind == "Compact" else inner.mean() < 0.15 * whole.std(), "the net's own picture"
    assert [event.step
            for event in steps_of(events)] == [1] and not [event for event in events if isinstance(event, Note)]


def test_alpha_is_kept_and_any_scale_is_reached(run, sd, nets):
    source = picture(40, 30)
    for size in ((80, 60), (160, 120), (100, 75), (240, 180), (40, 30)):
        result = pixels_of(
            run(order(sd, *size, strength=0.0, upscaler=nets["Compact"]), source=Source(pixels=source))[-1].results[0])
        assert result.shape == (*size[::-1], 4)
        expected = np.asarray(Image.fromarray(source[..., 3]).resize(size, Image.Resampling.LANCZOS))
        assert np.array_equal(result[..., 3], expected)


@pytest.mark.parametrize("size", [(320, 240), (160, 120), (251, 187)])
def test_pieces_give_what_the_whole_gives(engine, nets, size):
    """The margin covers what a pixel of this net depends on, so that pieces differ from the whole by rounding alone."""
    net, pixels = loaded(engine, nets["Compact"]), rough(80, 60)
    whole = enlarged(net, pixels, size)
    pieces = enlarged(net, pixels, size, side=48, margin=8, overlap=6)
    assert np.abs(whole - pieces).max() <= 1
    bare = np.abs(whole - enlarged(net, pixels, size, side=48, margin=0, overlap=1)).max()
    assert bare > 3, "without a margin it shows"


@pytest.mark.parametrize(("kind", "side"), [("Compact", 256), ("Compact", 72), ("ESRGAN", 256)])
@pytest.mark.parametrize("tiling", ["x", "xy"])
def test_a_seamless_texture_stays_seamless(engine, nets, kind, tiling, side):
    """Rolling the source rolls the result, whether one piece goes round the border by itself or several do."""
    net, pixels = loaded(engine, nets[kind]), rough(64, 64)
    shift = (20 if "y" in tiling else 0, 28)
    straight = enlarged(net, pixels, (256, 256), tiling, side=side)
    rolled = enlarged(net, np.roll(pixels, shift, (0, 1)), (256, 256), tiling, side=side)
    again = np.abs(np.roll(rolled, [-4 * one for one in shift], (0, 1)) - straight).max()
    assert again <= 1
    plain = enlarged(net, np.roll(pixels, shift, (0, 1)), (256, 256), side=side)
    difference = np.abs(np.roll(plain, [-4 * one for one in shift], (0, 1)) - straight).max()
    assert difference > 4, "without tiling it shows"


def test_a_seam_is_as_smooth_as_any_other_place(engine, nets):
    waves = 128 + 100 * np.sin(np.arange(64) * 2 * np.pi / 32)
    pixels = np.repeat((waves[None] + waves[:, None])[..., None] / 2, 3, 2).clip(0, 255).astype(np.uint8)
    large = enlarged(loaded(engine, nets["Compact"]), pixels, (256, 256), "xy", side=72)
    for axis in (0, 1):
        steps = np.abs(np.diff(large, axis=axis, append=large.take([0], axis))).mean(tuple({0, 1, 2} - {axis}))
        inside = steps[63:-1:64] if axis else steps[63:-1:64]
        assert steps[-1] <= 1.2 * inside.max() + 1e-9


def test_the_net_never_sees_more_than_a_piece(run, sd, nets, monkeypatch):
    seen = []
    monkeypatch.setattr(Net, "pieces", Pieces(64, 8, 8))
    real = Net._run
    monkeypatch.setattr(Net, "_run", lambda self, pixels: seen.append(tuple(pixels.shape[2:])) or real(self, pixels))
    events = run(order(sd, 600, 400, strength=0.0, upscaler=nets["Compact"]), source=Source(pixels=opaque(150, 100)))
    assert isinstance(events[-1], Finished) and set(seen) == {(64, 64)} and len(seen) == 12
    assert [(event.step, event.steps) for event in steps_of(events)] == [(number, 12) for number in range(1, 13)]


def test_cancelled_within_a_piece(run, engine, sd, nets, tmp_path):
    events, layers = [], []
    net = loaded(engine, nets["ESRGAN"])
    for layer in net._net.model.modules():
        layer.register_forward_hook(lambda *_: layers.append(1))
    ending = run(order(sd, 160, 120, strength=0.0, upscaler=nets["ESRGAN"]), source=Source(pixels=opaque(40, 30)),
                 output=tmp_path, on_event=events.append, cancelled=lambda: len(layers) > 2)[-1]
    assert isinstance(ending, Cancelled) and not list(tmp_path.glob("*.png")) and len(layers) < 8
    engine._painter.upscalers._net = None
    with pytest.raises(JobCancelled):
        loaded(engine, nets["ESRGAN"]).enlarged(Image.fromarray(opaque(40, 30)[..., :3]), 0, Request(), _cancel)


def _cancel():
    raise JobCancelled("The job was cancelled.")


def test_smaller_pieces_where_memory_runs_out(run, sd, nets, monkeypatch):
    real = Net._run

    def short(self, pixels):
        if max(pixels.shape) > 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, pixels)

    wanted = order(sd, 400, 400, strength=0.0, upscaler=nets["Compact"])
    plain = pixels_of(run(wanted, source=Source(pixels=opaque(100, 100)))[-1].results[0]).astype(int)
    monkeypatch.setattr(Net, "_run", short)
    assert np.abs(plain - pixels_of(run(wanted, source=Source(pixels=opaque(100, 100)))[-1].results[0])).max() <= 1


def test_half_precision_that_overflows_is_given_up(engine, nets):
    net = loaded(engine, nets["Compact"])
    piece = Image.fromarray(opaque(40, 30)[..., :3])
    sound = np.asarray(net.enlarged(piece, 0, Request(), lambda: None))
    net._net.to(torch.float16)
    with torch.no_grad():
        first = next(net._net.model.parameters())
        first[0, 0, 0, 0] = torch.inf
    with pytest.raises(ModelUnreadable, match="not numbers"):
        net.enlarged(piece, 0, Request(), lambda: None)
    assert net._net.dtype == torch.float32 and sound.std() > 1
    engine._painter.upscalers._net = None


def test_refined_after_the_upscaler(run, sd, nets):
    """What the model refines is the upscaler's picture: the same as refining that picture at its own size."""
    source, how = Source(pixels=opaque(40, 30)), {"upscaler": nets["ESRGAN"]}
    events = run(order(sd, 160, 120, **how), source=source)
    steps = steps_of(events)
    assert [event.step for event in steps] == list(range(1,
                                                         len(steps) + 1)) and {event.steps
                                                                               for event in steps} == {len(steps)}
    assert len(steps) == 1 + 3 * 3 * 2
    large = pixels_of(run(order(sd, 160, 120, strength=0.0, **how), source=source)[-1].results[0])
    expected = run(order(sd, 160, 120),
                   source=Source(pixels=np.dstack([large, np.full(large.shape[:2], 255, np.uint8)])))[-1].results[0]
    assert np.array_equal(pixels_of(events[-1].results[0]), pixels_of(expected))
    assert not np.array_equal(pixels_of(events[-1].results[0]),
                              pixels_of(run(order(sd, 160, 120), source=source)[-1].results[0]))


def test_high_res_fix_with_an_upscaler(run, sd, nets):
    wanted = small(sd, refine_scale=2.0, refine_strength=0.5, tile=64, steps=4, upscaler=nets["ESRGAN"])
    events = run(wanted)
    result = events[-1].results[0]
    assert (result.width, result.height) == (128, 128) and as_sent(result.request) == wanted
    steps = steps_of(events)
    assert [event.step for event in steps] == list(range(1, 4 + 1 + 9 * 2 + 1)) and steps[-1].steps == 23
    unrefined = pixels_of(run(wanted.changed(refine_strength=0.0))[-1].results[0])
    first = pixels_of(run(small(sd, steps=4))[-1].results[0])
    source = Source(pixels=np.dstack([first, np.full((64, 64), 255, np.uint8)]))
    again = run(order(sd, 128, 128, strength=0.0, upscaler=nets["ESRGAN"]), source=source)
    assert np.array_equal(unrefined, pixels_of(again[-1].results[0]))


def test_previews_fill_in_piece_by_piece(run, sd, nets, monkeypatch):
    monkeypatch.setattr(Net, "pieces", Pieces(64, 8, 8))
    events = run(order(sd, 600, 400, strength=0.0, upscaler=nets["Compact"]), source=Source(pixels=opaque(150, 100)))
    shown = [event.preview for event in steps_of(events)]
    assert len(shown) == 12 and {preview.shape for preview in shown} == {(170, 256, 3)}
    small_source = np.asarray(Image.fromarray(opaque(150, 100)[..., :3]).resize((256, 170), Image.Resampling.BOX))
    assert np.array_equal(shown[0][90:, 130:],
                          small_source[90:, 130:]) and not np.array_equal(shown[0][:60, :60], small_source[:60, :60])
    final = Image.fromarray(pixels_of(events[-1].results[0]))
    coarse = [
        np.asarray(one.resize((8, 5), Image.Resampling.BOX)).astype(int) for one in (final, Image.fromarray(shown[-1]))]
    assert np.abs(coarse[0] - coarse[1]).max() < 8


@pytest.mark.parametrize("kind", ["x4", "latent"])
def test_stable_diffusions_own_upscalers(request, run, sd, kind):
    folder = request.getfixturevalue(kind)
    how = {"upscaler": folder, "strength": 0.0, "steps": 2}
    source = Source(pixels=picture(40, 30))
    events = run(order(sd, 160, 120, **how), source=source)
    plain = pixels_of(events[-1].results[0])
    assert plain.shape == (120, 160, 4) and [event.step for event in steps_of(events)] == [1]
    assert np.array_equal(plain, pixels_of(run(order(sd, 160, 120, **how), source=source)[-1].results[0]))

    def differs(**changes):
        return not np.array_equal(
            plain, pixels_of(run(order(sd, 160, 120, **{**how, **changes}), source=source)[-1].results[0]))

    assert differs(prompt="a (grey:1.4) stone") and differs(seed=8) and differs(steps=3)
    assert differs(upscaler_noise=200) == (kind == "x4")


def test_stable_diffusions_own_upscalers_in_pieces_and_refined(run, sd, x4, monkeypatch):
    monkeypatch.setattr(upscalers.Diffusion, "__init__", _smaller(upscalers.Diffusion.__init__))
    events = run(order(sd, 160, 160, upscaler=x4, steps=2, strength=0.5, tiling="xy"),
                 source=Source(pixels=opaque(40, 40)))
    assert isinstance(events[-1], Finished) and len(steps_of(events)) == 9 + 16


def _smaller(init):
    def changed(self, model):
        init(self, model)
        self.pieces = Pieces(32, 4, 4, 8)

    return changed


def test_cancelled_within_a_piece_of_stable_diffusions_own(run, sd, x4, tmp_path):
    calls = []
    ending = run(order(sd, 160, 120, upscaler=x4, strength=0.0, steps=50), source=Source(pixels=opaque(40, 30)),
                 output=tmp_path, cancelled=lambda: calls.append(1) or len(calls) > 12)[-1]
    assert isinstance(ending, Cancelled) and len(calls) < 30


@pytest.mark.parametrize(("name", "content", "error"), [
    ("gone.safetensors", None, ModelNotFound), ("x.pth", b"anything", ModelUnreadable),
    ("broken.safetensors", b"nonsense", ModelUnreadable), ("other.safetensors", {"words": torch.zeros(3, 3)}, ModelUnreadable),  # noqa: E501
    ("grey.safetensors", 1, ModelUnreadable),
])
def test_files_that_cannot_be_used(run, sd, tmp_path, name, content, error):
    from safetensors.torch import save_file

    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, dict):
        save_file(content, file)
    elif content:
        net = upscalers._spandrel().architectures.Compact.Compact(num_in_ch=1, num_out_ch=1, num_feat=4, num_conv=1,
                                                                  upscale=2)
        save_file(net.state_dict(), file)
    ending = run(order(sd, 160, 120, strength=0.0, upscaler=str(file)), source=Source(pixels=opaque(40, 30)))[-1]
    assert isinstance(ending, Failed) and ending.kind == error.kind and ending.hint


def test_a_model_that_is_no_upscaler(run, sd):
    ending = run(order(sd, 160, 120, upscaler=sd), source=Source(pixels=opaque(40, 30)))[-1]
    assert isinstance(ending, Failed) and ending.kind == InvalidRequest.kind and "no upscaler" in ending.message


def test_an_upscaler_that_is_not_used_is_not_read(run, sd):
    assert isinstance(run(small(sd, upscaler="/nowhere/at_all.safetensors"))[-1], Finished)


def test_without_spandrel_it_says_what_to_install(run, sd, nets, monkeypatch, engine):
    def missing(name):
        raise ImportError(name)

    engine.warm()
    engine._painter.upscalers._net = None
    monkeypatch.setattr(upscalers.importlib, "import_module", missing)
    ending = run(order(sd, 160, 120, strength=0.0, upscaler=nets["DAT"]), source=Source(pixels=opaque(40, 30)))[-1]
    assert isinstance(ending, Failed) and "pip install --no-deps spandrel einops" in ending.hint
