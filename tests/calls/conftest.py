"""The API against a real engine process, painting with a tiny random model."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.calls import build_tiny_models, engine_python


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_models(engine_python(), tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="package")
def warm_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """One engine process for all tests of this folder: it takes 6 s to start."""
    import blender_sd
    from blender_sd.calls import engine_control, job_queue
    from blender_sd.calls.runtime import runtime

    before = runtime.config
    engine_control.configure(engine_python=engine_python(), output=tmp_path_factory.mktemp("pictures"), in_thread=False,
                             device="cpu", threads=1)
    yield blender_sd
    job_queue.shutdown()
    runtime.config = before


@pytest.fixture
def sd(warm_api: ModuleType, tmp_path: Path) -> ModuleType:
    """The API on an output folder of the test's own."""
    from blender_sd.calls.runtime import runtime

    warm_api.cancel_all()
    folder = tmp_path / "pictures"
    folder.mkdir()
    runtime.config = runtime.config.changed(output=str(folder))  # not an engine setting: the process stays
    return warm_api


@pytest.fixture
def small(tiny_model: str) -> dict:
    """Settings of a job of a fraction of a second."""
    return {"model": tiny_model, "steps": 2, "seed": 7}


@pytest.fixture
def painting(tiny_model: str) -> dict:
    """Settings of a job that is still at work while a test does something to it."""
    return {"model": tiny_model, "steps": 500, "seed": 7, "size": (64, 64)}
