"""The add-on registered in windowless Blender, on a fresh file, with a pipeline that the test controls."""
from __future__ import annotations

import os
import sys

import bpy
import pytest
from fake_pipeline import FakePipeline

import blender_sd
from blender_sd import catalogue, config
from blender_sd.protocol.families import family_of
from blender_sd.session.library import ModelInfo

MODEL = ModelInfo(id="starter", name="Starter", folder="starter", abilities=family_of("StableDiffusionPipeline"), multiple=8,
                  default_width=64, default_height=64, steps=4, guidance=3.0, sampler="ddim", text="For tests")


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline()


@pytest.fixture
def addon(monkeypatch, tmp_path, pipeline):
    """Blender with the add-on on, its factory scene (a cube is active), and pictures going to a folder of the test's."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    monkeypatch.setattr(config, "pipeline_factory", lambda: lambda: pipeline)
    monkeypatch.setattr(config, "current", config.Config(output=str(tmp_path / "output")))
    monkeypatch.setattr(catalogue, "_models", [MODEL])
    blender_sd.register()
    bpy.context.scene.sd.suit_model()
    yield bpy.context.scene.sd
    pipeline.go()
    blender_sd.unregister()


_status = 0


def pytest_sessionfinish(exitstatus):
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    """Ends without Python's clean-up. The bpy module frees its editors when it is itself freed; where a test run still
    holds it then, 4.2 crashes and 4.5 hangs in their destructors, after all tests are done and reported."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status)
