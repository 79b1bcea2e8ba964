"""How the estimator of materials is trained: its data, quick wrapping, restarts, what a whole picture is taken for."""
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from starter import lighting, maps, maps_data, muon, physical, recogniser  # noqa: E402

from blender_sd.engine.maps.network import MapNet  # noqa: E402


@pytest.mark.parametrize("padding", [1, 2])
def test_quick_wrapping_is_circular_padding(padding):
    given = torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(2, 3, 8 + 2 * padding, 6 + 2 * padding)
    results = []
    for pad in (lambda x: maps._Wrapping.apply(x, padding),
                lambda x: torch.nn.functional.pad(x, (padding,) * 4, mode="circular")):
        x = given.clone().requires_grad_()
        out = pad(x)
        (out * weight).sum().backward()
        results.append((out.detach(), x.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)


def test_a_checkpoint_goes_on_where_it_stopped(tmp_path):
    maps.restore(tmp_path)
    state = torch.load(tmp_path / "maps.pt", weights_only=True)
    student = maps.Student()
    student.resume(state)
    picture = torch.rand(2, 3, 32, 32)
    shipped = MapNet()
    shipped.load_state_dict(state["average"])
    with torch.no_grad():
        made, expected = (net.eval()(picture) for net in (student.net, shipped.set_wrapping(True)))
    assert all(torch.allclose(made[name], expected[name], atol=1e-4) for name in expected)


def test_the_recogniser_is_taken_from_the_stage_before_until_this_one_has_begun(tmp_path):
    maps.restore(tmp_path)
    taught = torch.load(tmp_path / "recogniser.pt", weights_only=True)
    name = "recogniser.0.0.weight"
    taught["pupil"][name] += 1
    torch.save(taught, tmp_path / "recogniser.pt")
    student, clock = maps.begin(tmp_path, 1.0)
    assert clock.before == 0 and torch.equal(student.net.recogniser.state_dict()["0.0.weight"], taught["pupil"][name])
    begun = torch.load(tmp_path / "maps.pt", weights_only=True)
    torch.save({**begun, "spent": 6.0}, tmp_path / "maps.pt")
    student, clock = maps.begin(tmp_path, 1.0)
    assert clock.before == 6 and torch.equal(student.net.recogniser.state_dict()["0.0.weight"], begun["net"][name])


def _truth(number):
    return {"height": torch.randn(number, 1, 32, 32), "base": torch.rand(number, 3, 32, 32),
            "roughness": torch.rand(number, 1, 32, 32), "metallic": torch.ones(number, 1, 32, 32)}


def _at_work(net):
    """Let blocks that are identities at first do something."""
    for name, parameter in net.named_parameters():
        if name.endswith("second_norm.weight"):
            torch.nn.init.ones_(parameter)


def test_every_part_of_the_net_learns():
    torch.manual_seed(2)
    student = maps.Student()
    torch.nn.init.normal_(student.net.steer.weight, std=0.01)
    _at_work(student.net)
    loss, parts = student.loss(torch.rand(4, 3, 32, 32), _truth(4), torch.arange(4))
    loss.backward()
    assert 0 <= parts["named"] <= 1 and student.teller.families == len(physical.families(False))
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in student.parameters)
    own = {id(p) for p in student.parameters}
    assert own == {id(p) for part in (student.net, student.teller) for p in part.parameters()}


def test_the_net_starts_from_the_recogniser_that_was_taught_and_leaves_its_normalisation():
    torch.manual_seed(3)
    pupil, student = recogniser.Pupil(), maps.Student()
    _at_work(pupil)
    student.recognise({"pupil": pupil.state_dict()})
    taught = {name: value.clone() for name, value in pupil.recogniser.state_dict().items()}
    taken = student.net.recogniser.state_dict()
    assert all(torch.equal(taught[name], taken[name]) for name in taught)
    torch.nn.init.normal_(student.net.steer.weight, std=0.01)
    for _ in range(2):
        student.net.zero_grad()
        student.loss(torch.rand(2, 3, 32, 32), _truth(2), torch.arange(2))[0].backward()
        student.step(0.5)
    taken = student.net.recogniser.state_dict()
    moved = {name for name in taught if not torch.equal(taught[name], taken[name])}
    assert moved == {name for name, _ in student.net.recogniser.named_parameters()}


def test_muon_moves_weights_in_all_directions_alike():
    """However lopsided a gradient is, the update's singular values are alike; its steps are as large as Adam's."""
    torch.manual_seed(6)
    weights = [torch.nn.Parameter(torch.randn(8, 4, 3, 3)), torch.nn.Parameter(torch.randn(30, 2, 1, 1))]
    before = [weight.detach().clone() for weight in weights]
    optimiser = muon.Muon(weights, lr=0.01, weight_decay=0.0)
    for weight in weights:
        few = torch.randn(weight.shape[0], 1) @ torch.randn(1, weight[0].numel()) * 5
        weight.grad = (few + 0.1 * torch.randn_like(few)).view_as(weight)
    optimiser.step()
    for old, weight in zip(before, weights, strict=True):
        moved = (old - weight.detach()).flatten(1)
        sizes = torch.linalg.svdvals(moved)
        assert sizes.max() / sizes.min() < 2.5
        assert 0.001 < moved.square().mean().sqrt() < 0.003
        assert float((moved * weight.grad.flatten(1)).sum()) > 0, "downhill"
    again = muon.Muon([torch.nn.Parameter(value) for value in before], lr=0.01)
    again.load_state_dict(optimiser.state_dict())
    kept = [state["momentum"] for state in again.state.values()]
    assert all(torch.equal(a, optimiser.state[w]["momentum"]) for a, w in zip(kept, weights, strict=True))


def test_recogniser_learns_names_and_figures():
    torch.manual_seed(4)
    pupil, family = recogniser.Pupil(), torch.tensor([0, 1, 2, 3] * 2)
    picture = torch.rand(8, 3, 32, 32) * 0.3 + torch.eye(4)[family][:, :3, None, None] * 0.5
    truth = _truth(8)
    optimiser, losses = torch.optim.AdamW(pupil.parameters(), lr=3e-3), []
    for _ in range(25):
        loss, parts = pupil.loss(picture, truth, family)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert parts["named"] == 1 and losses[-1] < 0.6 * losses[0]


def test_figures_of_the_whole_are_those_of_the_maps():
    y = torch.arange(64.0)[:, None] * 2 * torch.pi / 64
    height = (torch.sin(3 * y) * 2).expand(64, 64)[None, None]
    truth = {"height": height, "base": torch.full((1, 3, 64, 64), 0.5),
             "roughness": torch.full((1, 1, 64, 64), 0.3), "metallic": torch.ones(1, 1, 64, 64)}
    picture = 0.4 + 0.2 * lighting.slopes(height)[:, 1:].expand(-1, 3, -1, -1)
    offset, rough, relief, across, down, metal = np.split(
        recogniser.whole_figures(picture, truth)[0].numpy(), (3, 4, 5, 6, 7))
    assert np.allclose(offset, 0.1, atol=1e-3) and np.allclose([rough[0], metal[0]], [0.3, 1.0], atol=1e-4)
    assert abs(across[0]) < 0.01 and 0.15 < down[0] < 0.2, "darker where the height falls downwards"
    assert relief[0] > recogniser.whole_figures(picture, {**truth, "height": height / 4})[0, 4]


def test_pictures_stay_with_their_maps(tmp_path):
    packed = maps_data.pack("train", 0, 2)
    items = maps_data.varied(packed, np.random.default_rng(1))
    assert len(items) == 2 * maps_data.LIGHTS and set(items["family"]) <= set(range(len(physical.families(False))))
    assert not np.array_equal(items["picture"][0], items["picture"][2]), "the same material, another light"
    np.save(tmp_path / "train_000.npy", items)
    source = maps_data.Batches(tmp_path, np.random.default_rng(2))
    assert source.look() == 1
    picture, maps_, family = source.take(6)
    for index in range(6):
        brightness = picture[index].mean(0).flatten(), maps_["base"][index].mean(0).flatten()
        assert float(torch.corrcoef(torch.stack(brightness))[0, 1]) > 0.3, "rolled alike"
    assert picture.shape == (6, 3, maps_data.SIZE, maps_data.SIZE) and family.dtype == torch.int64


def test_metals_come_in_other_shapes_and_some_reliefs_are_deeper(monkeypatch):
    side = maps_data.SIZE
    level = np.array([1.0, 2.0], np.float16)[:, None, None]
    packed = {"colours": np.full((2, 5, side, side), 128, np.uint8), "height": np.broadcast_to(level, (2, side, side)),
              "family": np.array(["brushed metal", "brick"])}
    monkeypatch.setattr(maps_data, "LIGHTS", 12)
    levels = {}
    for name, crossed, steep in (("as drawn", 0, 0), ("crossed", 1, 0), ("deeper", 0, 1)):
        monkeypatch.setattr(maps_data, "_CROSSED", crossed)
        monkeypatch.setattr(maps_data, "_STEEP", steep)
        levels[name] = maps_data.varied(packed, np.random.default_rng(3))["height"][:, 0, 0]
    assert set(levels["as drawn"][::2]) == {1} and set(levels["as drawn"][1::2]) == {2}
    assert set(levels["crossed"][::2]) == {1, 2} and set(levels["crossed"][1::2]) == {2}, "metals alone"
    assert (levels["deeper"][::2] >= 1.49).all() and levels["deeper"].max() <= 6.01 and len(set(levels["deeper"])) > 9


def test_shipped_summary_tells_pictures_apart():
    """Units that read the summary must not be dead: what they say differs between pictures."""
    from blender_sd.engine.maps import estimator

    net = estimator.load().set_wrapping(True)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    pictures = torch.stack([0.5 + 0.3 * torch.sin(x * k / 10) * torch.cos(y * k / 7) for k in (1, 3, 6, 9)])
    pictures = pictures[:, None] * torch.tensor([[1.0, 0.8, 0.6]])[..., None, None]
    with torch.no_grad():
        read = net.understand(net.summarise(net.encode(pictures)))
        maps_ = net.read(net.decode(net.encode(pictures), net.summarise(net.encode(pictures))), pictures)
        other = net.read(net.decode(net.encode(pictures), net.summarise(net.encode(pictures.flip(0)))), pictures)
    assert float((read.std(0) > 0.01).float().mean()) > 0.5
    assert float((maps_["roughness"] - other["roughness"]).abs().mean()) > 0.005
