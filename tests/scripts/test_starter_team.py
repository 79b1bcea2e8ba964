"""Workers that train the same weights: they average their gradients and stop together."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from starter import workers  # noqa: E402


def _work(team: workers.Team, folder: Path) -> None:
    weights = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 4, 1)]
    weights[0].grad = torch.full((3,), 1.0 + team.rank)
    weights[1].grad = torch.full((4,), 4.0 * team.rank)
    team.share(weights, 0.25 if team.leads else 0.9)
    left = [None if weight.grad is None else weight.grad.tolist() for weight in weights]
    (folder / str(team.rank)).write_text(json.dumps([team.progress, left]), encoding="utf-8")


@pytest.mark.slow
def test_two_workers_average_their_gradients(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    workers.run(_work, tmp_path, size=2)
    for rank in range(2):
        progress, gradients = json.loads((tmp_path / str(rank)).read_text(encoding="utf-8"))
        assert progress == 0.25 and gradients == [[1.5] * 3, [2.0] * 4, None]
