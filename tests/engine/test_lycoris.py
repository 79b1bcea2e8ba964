"""What LyCORIS and others write besides plain low-rank matrices: LoHa, LoKr, DoRA, cores of convolutions, whole
differences, norms and biases. The weights that a model paints with are those that explicit loops over rows and columns
give."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from blender_sd.engine.models import loras
from blender_sd.protocol.messages import Failed
from blender_sd.core.parts import Lora
from tests.support.lora_weights import agree, made, put_on  # noqa: F401  (a fixture)
from tests.support.engine import small
from tests.support.lora_writers import TRAINERS, denoiser, layers_of, low_rank, merged, write

pytestmark = pytest.mark.slow

RANK, ALPHA = 2, 3.0
GENERATOR = torch.Generator()
KINDS = ("loha", "lokr whole", "lokr half", "lokr both", "whole")


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR) * 0.2


def kronecker(one, two):
    """Entry by entry: torch.kron is what is tested."""
    made = torch.zeros(one.shape[0] * two.shape[0], one.shape[1] * two.shape[1], *two.shape[2:])
    for row, column in itertools.product(range(one.shape[0]), range(one.shape[1])):
        made[row * two.shape[0]:(row + 1) * two.shape[0],
             column * two.shape[1]:(column + 1) * two.shape[1]] = one[row, column] * two
    return made


def tucker(core, first, second):
    """out × in × kernel of a core between matrices rank × out and rank × in."""
    made = torch.zeros(first.shape[1], second.shape[1], *core.shape[2:])
    for i, j in itertools.product(range(core.shape[0]), range(core.shape[1])):
        made += first[i][:, None, None, None] * second[j][None, :, None, None] * core[i, j]
    return made


def parts_of(kind, shape):
    """The tensors of a layer of `shape`, and what they add to its weight."""
    out, wide, *kernel = shape
    size = int(np.prod(kernel)) if kernel else 1
    if kind == "loha":
        a, b, c, d = random(out, RANK), random(RANK, wide * size), random(out, RANK), random(RANK, wide * size)
        return {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d, "alpha": torch.tensor(ALPHA)}, (
            (a @ b) * (c @ d) * ALPHA / RANK).reshape(shape)
    if kind == "loha core":
        a, b, c, d = (random(RANK, side) for side in (out, wide, out, wide))
        one, two = (random(RANK, RANK, *kernel) for _ in range(2))
        return {"hada_t1": one, "hada_w1_a": a, "hada_w1_b": b, "hada_t2": two, "hada_w2_a": c, "hada_w2_b": d}, tucker(
            one, a, b) * tucker(two, c, d)
    if kind == "lokr whole":  # alpha counts for nothing where nothing has a rank
        one, two = random(4, 4), random(out // 4, wide // 4, *kernel)
        return {"lokr_w1": one, "lokr_w2": two, "alpha": torch.tensor(1e10)}, kronecker(one, two)
    if kind == "lokr half":
        one, a, b = random(2, 4), random(out // 2, RANK), random(RANK, wide // 4 * size)
        return {"lokr_w1": one, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(ALPHA)}, kronecker(
            one, (a @ b).reshape(out // 2, wide // 4, *kernel)) * ALPHA / RANK
    if kind == "lokr both":
        c, d, a, b = random(4, RANK), random(RANK, 2), random(out // 4, RANK), random(RANK, wide // 2 * size)
        return {"lokr_w1_a": c, "lokr_w1_b": d, "lokr_w2_a": a, "lokr_w2_b": b,
                "alpha": torch.tensor(ALPHA)}, kronecker(c @ d,
                                                         (a @ b).reshape(out // 4, wide // 2, *kernel)) * ALPHA / RANK
    if kind == "lokr core":
        one, core, a, b = random(4, 4), random(RANK, RANK, *kernel), random(RANK, out // 4), random(RANK, wide // 4)
        return {"lokr_w1": one, "lokr_t2": core, "lokr_w2_a": a, "lokr_w2_b": b}, kronecker(one, tucker(core, a, b))
    if kind == "core":
        down, core, up = random(RANK, wide, 1, 1), random(RANK, RANK, *kernel), random(out, RANK, 1, 1)
        return {"lora_down.weight": down, "lora_mid.weight": core, "lora_up.weight": up,
                "alpha": torch.tensor(ALPHA)}, tucker(core,
                                                      up.flatten(1).T, down.flatten(1)) * ALPHA / RANK
    if kind == "whole":
        return {"diff": (made := random(*shape))}, made
    down, up = random(RANK, wide, *kernel), random(out, RANK, *[1] * len(kernel))
    return {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(ALPHA)}, torch.einsum(
        "or,rx->ox", up.flatten(1), down.flatten(1)).reshape(shape) * ALPHA / RANK


def file_of(kind, net, original, start="lora_unet_"):
    """A file with a change of `kind` for the layers it can be made for, and what it adds."""
    GENERATOR.manual_seed(3)
    tensors, added = {}, {}
    for layer in layers_of(net, original)[:40]:
        shape = layer.weight.shape
        suits = ("core" in kind) == (len(shape) == 4 and shape[-1] > 1) or kind in KINDS
        if suits and all(side % 4 == 0 for side in shape[:2]):
            parts, delta = parts_of(kind, shape)
            name = start + layer.name.replace(".", "_")
            tensors |= {f"{name}.{role}": tensor for role, tensor in parts.items()}
            added |= layer.shared(delta)
    return tensors, added


CASES = [("sd", kind, False) for kind in (*KINDS, "loha core", "lokr core", "core")] + [
    (family, kind, family != "qwen_image") for family in ("flux", "flux2_klein", "sd3", "z_image", "sdxl", "qwen_image")
    for kind in KINDS]


@pytest.mark.parametrize(("family", "kind", "original"), CASES)
def test_every_kind_of_change(put_on, families, tmp_path, family, kind, original):  # noqa: F811
    tensors, added = file_of(kind, denoiser(families(family)), original)
    left_out, weights = put_on(families(family), Lora(write(tensors, tmp_path / "x.safetensors"), 0.5))
    assert not left_out and len(added) > 3
    agree(weights, families(family), {name: delta * 0.5 for name, delta in added.items()})


@pytest.mark.parametrize("axis", ["outputs", "inputs", "peft"])
@pytest.mark.parametrize(("family", "kind", "original"), [
    ("sd", "low rank", False), ("sd", "loha", False), ("flux", "low rank", True), ("z_image", "lokr whole", True),
    ("sdxl", "low rank", True),
    ("sd3", "low rank", True), ("qwen_image", "low rank", False)])
def test_magnitudes_of_dora(put_on, families, tmp_path, family, kind, original, axis):  # noqa: F811
    net = denoiser(families(family))
    tensors, added = file_of(kind, net, original)
    layers = {layer.name: layer for layer in layers_of(net, original)}
    total, names = {}, {"lora_unet_" + name.replace(".", "_"): name for name in layers}
    for stem in {name.partition(".")[0] for name in tensors}:
        layer = layers[names[stem]]
        delta = torch.cat([added[one].reshape(-1, *layer.weight.shape[1:]) for one in layer.ours])
        delta = torch.cat(delta.chunk(2)[::-1]) if layer.swapped else delta
        whole = layer.weight + delta
        sides = (whole.transpose(0, 1) if axis == "inputs" else whole).flatten(1)
        numbers = torch.rand(len(sides), generator=GENERATOR) + 0.5
        shape = [1, -1, *[1] * (whole.ndim - 2)] if axis == "inputs" else [-1, *[1] * (whole.ndim - 1)]
        ending = "lora_magnitude_vector" if axis == "peft" else "dora_scale"
        tensors[f"{stem}.{ending}"] = numbers if axis == "peft" else numbers.reshape(shape)
        rows = whole * (numbers / torch.stack([side.norm() for side in sides])).reshape(shape) - layer.weight
        total |= layer.shared(rows * 0.5)
    left_out, weights = put_on(families(family), Lora(write(tensors, tmp_path / "x.safetensors"), 0.5))
    assert not left_out
    agree(weights, families(family), total)


def test_norms_and_biases(engine, put_on, sd, tmp_path):  # noqa: F811
    GENERATOR.manual_seed(0)
    net = engine._load(sd).denoiser
    state = {name: value.clone() for name, value in net.state_dict().items()}
    stem, norm, layer = "lora_unet_mid_block_resnets_0_", "mid_block.resnets.0.norm1", "mid_block.resnets.0.conv1"
    tensors = {
        f"{stem}norm1.w_norm": random(64), f"{stem}norm1.b_norm": random(64), f"{stem}conv1.diff": random(64, 64, 3, 3),
        f"{stem}conv1.diff_b": random(64)}
    left_out, _ = put_on(sd, Lora(write(tensors, tmp_path / "x.safetensors"), 2.0))
    now = net.state_dict()
    assert not left_out
    for name, role in ((f"{norm}.weight", "norm1.w_norm"), (f"{norm}.bias", "norm1.b_norm"),
                       (f"{layer}.weight", "conv1.diff"), (f"{layer}.bias", "conv1.diff_b")):
        assert torch.allclose(now[name], state[name] + 2 * tensors[stem + role], atol=1e-5)
    put_on(sd)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_kinds_are_stacked_and_come_off(engine, run, put_on, sd, tmp_path):  # noqa: F811
    net, plain = denoiser(sd), made(run(small(sd)))
    before = [(name, id(layer), {key: id(value) for key, value in layer._parameters.items()})
              for name, layer in engine._load(sd).denoiser.named_modules()]
    files, total = [], {}
    for kind in ("low rank", "loha", "lokr half", "whole", "low rank"):
        tensors, added = file_of(kind, net, False)
        files.append(write(tensors, tmp_path / f"{kind} {len(files)}.safetensors"))
        total = {name: total.get(name, 0) + added.get(name, 0) for name in {*total, *added}}
    left_out, weights = put_on(sd, *files)
    assert not left_out
    agree(weights, sd, total, most=2e-3)
    changed = made(run(small(sd, loras=tuple(Lora(file) for file in files))))
    assert not np.array_equal(plain, changed) and np.array_equal(plain, made(run(small(sd))))
    assert before == [(name, id(layer), {key: id(value) for key, value in layer._parameters.items()})
                      for name, layer in engine._load(sd).denoiser.named_modules()], "the very layers and weights"


@pytest.mark.parametrize("kind", ["lokr half", "loha", "whole", "dora"])
def test_the_pictures_are_those_of_weights_merged_by_hand(run, families, tmp_path, kind):
    folder = families("z_image")
    if kind == "dora":
        tensors, added = low_rank(TRAINERS["kohya"], layers_of(denoiser(folder), False), size=1.0)
        layers = {layer.name: layer.weight for layer in layers_of(denoiser(folder), False)}
        for name, delta in added.items():
            whole = layers[name] + delta
            tensors[f"lora_unet_{name.replace('.', '_')}.dora_scale"] = 3 * torch.ones(len(whole), 1)
            added[name] = 3 * whole / whole.norm(dim=1, keepdim=True) - layers[name]
    else:
        tensors, added = file_of(kind, denoiser(folder), False)
    settings, weight = {"sampler": "euler", "steps": 2, "guidance": 1.0}, 4.0 if kind == "loha" else 1.0
    added = {name: weight * delta for name, delta in added.items()}
    lora = Lora(write(tensors, tmp_path / "x.safetensors"), weight)
    plain, with_it = (made(run(small(folder, loras=used, **settings))) for used in ((), (lora,)))
    assert np.abs(with_it - plain).max() >= 10
    assert np.abs(with_it - made(run(small(merged(folder, added, tmp_path / "merged"), **settings)))).max() <= 1


def test_a_core_and_loha_wrap_round_the_borders_of_seamless_pictures(run, sd, tmp_path):
    for kind in ("core", "loha", "lokr core"):
        tensors, added = file_of(kind, denoiser(sd), False)
        lora = Lora(write(tensors, tmp_path / f"{kind}.safetensors"))
        one, two = (made(run(small(folder, loras=used, tiling="xy"))) for folder, used in (
            (sd, (lora,)), (merged(sd, added, tmp_path / f"merged {kind}"), ())))
        assert np.abs(one - two).max() <= 1


@pytest.mark.parametrize("wrong", ["oft", "a control LoRA of Flux.1",
                                          "Stability's control LoRA", "an error while it is put on"])
def test_what_fails_leaves_the_model_exactly_as_it_was(engine, run, families, tmp_path, monkeypatch, wrong):
    folder = families("flux")
    settings = {"sampler": "euler", "steps": 1}
    good = Lora(
        write(low_rank(TRAINERS["ai-toolkit"], layers_of(denoiser(folder), False))[0], tmp_path / "good.safetensors"))
    plain, model = made(run(small(folder, **settings))), engine._load(folder)
    before = [(name, id(layer), dict(layer.__dict__), [id(value) for value in layer._parameters.values()])
              for part in model.modules() for name, layer in part.named_modules()]
    config = dict(model.denoiser.config)
    tensors = {"oft": {"transformer.x_embedder.oft_blocks": torch.zeros(2, 2)},
               "a control LoRA of Flux.1": {"transformer.x_embedder.lora_A.weight": torch.randn(4, 32),
                                            "transformer.x_embedder.lora_B.weight": torch.randn(32, 4)},
               "Stability's control LoRA": {"lora_controlnet": torch.zeros(1)}}.get(wrong)
    bad = Lora(
        write(tensors or low_rank(TRAINERS["ai-toolkit"], layers_of(denoiser(folder), False))[0],
              tmp_path / "bad.safetensors"))
    if tensors is None:
        real, calls = loras.lora_layers.apply, []

        def breaking(*args):
            calls.append(args)
            if len(calls) > 20:
                model.denoiser.register_to_config(in_channels=77)
                model.denoiser.extra = torch.nn.Linear(1, 1)
                raise RuntimeError("in the middle")
            real(*args)

        monkeypatch.setattr(loras.lora_layers, "apply", breaking)
    events = run(small(folder, loras=(good, bad), **settings))
    monkeypatch.undo()
    assert isinstance(events[-1], Failed) and events[-1].kind == "invalid_request", events[-1]
    after = [(name, id(layer), dict(layer.__dict__), [id(value) for value in layer._parameters.values()])
             for part in model.modules() for name, layer in part.named_modules()]
    assert [one[:2] + one[3:] for one in before] == [one[:2] + one[3:]
                                                     for one in after] and config == dict(model.denoiser.config)
    assert np.array_equal(plain, made(run(small(folder, **settings))))
