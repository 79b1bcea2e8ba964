"""The add-on registered in windowless Blender, on a fresh file, with a pipeline that the test controls."""
from __future__ import annotations

import functools

import bpy
import pytest

import blender_sd
from blender_sd.addon import translations
from blender_sd.calls import config
from blender_sd.calls.runtime import runtime
from blender_sd.core.families import family_of
from blender_sd.library.models import ModelInfo
from tests.support.fake_pipeline import FakePipeline

MODEL = ModelInfo(id="starter", name="Starter", folder="starter", abilities=family_of("StableDiffusionPipeline"),
                  multiple=8, default_width=64, default_height=64, steps=4, guidance=3.0, sampler="ddim",
                  text="For tests")

_read_once = functools.cache(translations.read)


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline()


@pytest.fixture
def addon(monkeypatch, tmp_path, pipeline):
    """Blender with the add-on on, its factory scene (a cube is active), and pictures going to a folder of the
    test's."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    monkeypatch.setattr(runtime, "pipeline_factory", lambda: lambda: pipeline)
    monkeypatch.setattr(runtime, "config", config.Config(output=str(tmp_path / "output")))
    monkeypatch.setattr(runtime.models, "_models", [MODEL])
    monkeypatch.setattr(translations, "read", _read_once)  # the files of all languages: 0.1 s for each test otherwise
    blender_sd.register()
    bpy.context.scene.sd.suit_model()
    yield bpy.context.scene.sd
    pipeline.go()
    blender_sd.unregister()
