"""Where models are looked for."""
from __future__ import annotations

import pytest

from blender_sd.calls import config
from blender_sd.calls.runtime import runtime


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "config",
                        config.Config(downloads=str(tmp_path / "downloads"), model_folders=("/named",)))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path


def test_only_folders_that_exist_are_added_to_those_that_were_named(home):
    assert runtime.folders.model_folders() == ("/named",)
    (home / "downloads").mkdir()
    (home / "home" / "hub").mkdir(parents=True)
    assert runtime.folders.model_folders() == (str(home / "downloads"), "/named", str(home / "home" / "hub"))


def test_the_hubs_cache_can_lie_elsewhere(home, monkeypatch):
    (home / "cache").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "cache"))
    assert runtime.folders.model_folders() == ("/named", str(home / "cache"))
