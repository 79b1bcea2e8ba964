"""A Python without Blender, and the command line with a pipeline that needs no torch."""
from __future__ import annotations

import json
import sys

import pytest

from blender_sd.protocol.boot import NICENESS_VARIABLE
from tests.support.drawing_pipeline import DrawingPipeline


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Take back what a command sets in the environment of its process, which is the tests' here."""
    monkeypatch.setenv(NICENESS_VARIABLE, "0")


@pytest.fixture()
def no_blender(monkeypatch, tmp_path):
    """Make `import bpy` fail, as in an environment with torch alone."""
    from blender_sd.calls import arguments, scene_access
    from blender_sd.calls.runtime import runtime

    runtime.shutdown()
    monkeypatch.setitem(sys.modules, "bpy", None)
    monkeypatch.setenv("SD_BASE", str(tmp_path / "base"))
    caches = (scene_access.the_scene, arguments._names, arguments._hints)
    for cache in caches:
        cache.cache_clear()
    runtime.__dict__.pop("scene", None)
    runtime.folders.look_again()
    before = runtime.config
    yield
    runtime.shutdown()
    runtime.config = before
    runtime.engines, runtime.kept = 1, None
    runtime.__dict__.pop("scene", None)
    for cache in caches:
        cache.cache_clear()


@pytest.fixture()
def drawing(no_blender, monkeypatch):
    """The pipeline that every engine of the command line is; tests set what it does."""
    from blender_sd.calls.runtime import runtime

    pipeline = DrawingPipeline()
    monkeypatch.setattr(runtime, "pipeline_factory", lambda number=0: lambda: pipeline)
    return pipeline


@pytest.fixture()
def sd(drawing, tmp_path, capsys):
    """Run a command with `--json`, and return its exit code and what it printed. Pictures go to `tmp_path/out`."""
    from blender_sd.cli.main import main

    def call(*arguments: str, output: bool = True) -> tuple[int, list[dict]]:
        capsys.readouterr()
        extra = ["--output", str(tmp_path / "out")] if output else []
        status = main([*arguments, *extra, "--json"])
        call.err = capsys.readouterr()
        return status, [json.loads(line) for line in call.err.out.splitlines() if line.startswith("{")]

    return call
