"""How the estimator of materials is trained: quick wrapping, restarts, and a summary that tells pictures apart."""
from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from starter import maps, physical  # noqa: E402

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


def test_every_part_of_the_net_learns():
    torch.manual_seed(2)
    student = maps.Student()
    torch.nn.init.normal_(student.net.steer.weight, std=0.01)
    flat = {"height": torch.randn(4, 1, 32, 32), "base": torch.rand(4, 3, 32, 32),
            "roughness": torch.rand(4, 1, 32, 32), "metallic": torch.ones(4, 1, 32, 32)}
    loss, parts = student.loss(torch.rand(4, 3, 32, 32), flat, torch.arange(4))
    loss.backward()
    assert 0 <= parts["named"] <= 1 and student.namer.out_features == len(physical.families(False))
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in student.parameters)


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
