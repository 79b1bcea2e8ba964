"""Fixtures of the tests with torch: tiny models, built once per run, and an engine that keeps them loaded."""
from __future__ import annotations

from pathlib import Path

import pytest

from blender_sd.engine import Engine
from tests.support.requests import fitting
from blender_sd.protocol.messages import Generate
from blender_sd.core.request import Request
from tests.support import tiny_models, tiny_transformers


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def sd(families) -> str:
    return families("sd")


@pytest.fixture(scope="session")
def taesd(families) -> str:
    return families("taesd")


@pytest.fixture(scope="session")
def sdxl(families) -> str:
    return families("sdxl")


@pytest.fixture(scope="session")
def sd3(families) -> str:
    return families("sd3")


@pytest.fixture(scope="session")
def families(models: Path):
    """The folder of a tiny model of any family, by its name in `tiny_transformers.BUILDERS` or
    `tiny_models.BUILDERS`."""
    builders = {**tiny_models.BUILDERS, **tiny_transformers.BUILDERS}

    def folder(name: str) -> str:
        return str(models / name if (models / name).exists() else builders[name](models / name))

    return folder


@pytest.fixture(scope="session")
def engine():
    engine = Engine(device="cpu", precision="fp32", threads=1)
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def one_thread():
    """An engine that a test makes for itself sets torch's threads for all; their number shows in a picture's last
    bits."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def run(engine, tmp_path):
    """Runs one order to its end; returns all its events. `output` defaults to the test's own folder."""

    def run(request: Request, *, source=None, inputs=None, output=None, folder=None, cancelled=lambda: False,
            on_event=None, job="job", controls_only=False):
        events = []

        def emit(event):
            events.append(event)
            if on_event is not None:
                on_event(event)

        place = str(tmp_path) if output is None else str(output)
        pictures = {**(inputs or {}), **({} if source is None else {"source": source})}
        engine.run(Generate(job, request, folder or request.model, place, pictures, controls_only=controls_only), emit,
                   cancelled)
        return events

    return run


def small(model: str, **changes) -> Request:
    """A quick request: 64², 3 steps; settings that only other tasks than its own have are left out."""
    return fitting(
        **{"prompt": "red brick", "model": model, "width": 64, "height": 64, "steps": 3, "seed": 7, **changes})
