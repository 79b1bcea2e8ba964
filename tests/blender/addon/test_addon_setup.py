"""The first five minutes: the panel Set Up, a real set-up by Blender's own Python from a small index, another Python instead."""
from __future__ import annotations

import os
import sys
from dataclasses import replace

import bpy
import pytest
from fake_index import FakeIndex, engine_wheels, into, lock_of

from blender_sd import api, config, setup
from blender_sd.addon import installing, panels, preferences, tick
from blender_sd.protocol.errors import InvalidRequest, OnlineAccessOff

TORCH = "torch-1.0-py3-none-any.whl"
SIZE = 3_000_000
PYTHON = os.environ.get("SD_ENGINE_PYTHON", "")


@pytest.fixture
def index(addon, monkeypatch, tmp_path):
    """No engine; Blender online; the locks name tiny wheels, which a small index has."""
    server = FakeIndex(engine_wheels(SIZE))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SD_ENGINE_PYTHON", raising=False)
    monkeypatch.setattr(config, "_has_torch", lambda: False)
    monkeypatch.setattr(config, "current", replace(config.current, engine_place=str(tmp_path / "engine")))
    monkeypatch.setattr(setup, "LOCKS", tmp_path)
    (tmp_path / "cpu.txt").write_text(lock_of(server.files))
    system = bpy.context.preferences.system
    before, system.use_online_access = system.use_online_access, True
    installing.refresh()
    yield server
    setup.shutdown()
    system.use_online_access = before
    server.close()


@pytest.fixture
def shown(index):
    shown = installing.state()
    shown.accelerator = "cpu"
    return shown


def finish() -> None:
    """Ticks until nothing is going on."""
    while not all(one.done for one in setup.installations()):
        setup._all.wait(10)
        tick.tick()
    tick.tick()


def visible() -> set[str]:
    """The labels of the tab's panels in the 3D View."""
    context = type("Context", (), {"space_data": type("Space", (), {"type": "VIEW_3D"}), "window_manager": bpy.context.window_manager,
                                   "scene": bpy.context.scene})
    placed = [cls for cls in panels.CLASSES if getattr(cls, "bl_space_type", "") == "VIEW_3D"]
    return {cls.bl_label for cls in placed if cls.poll(context)}


def test_without_an_engine_there_is_one_panel_and_it_says_what_to_do(shown, index):
    assert shown.missing and visible() == {"Set Up"} and shown.found and shown.place == config.current.engine_place
    bpy.context.preferences.system.use_online_access = False
    assert not bpy.ops.sd.set_up_engine.poll()
    with pytest.raises(OnlineAccessOff, match="Allow Online Access.*or install from a folder of wheels"):
        setup.install_engine("cpu")
    with pytest.raises(InvalidRequest, match="no engine for 'mps'"):
        setup.install_engine("mps")
    assert setup.installations() == [] and index.pages == []


def test_set_up_cancel_set_up_again_and_remove(shown, index, tmp_path, pipeline):
    index.hold(TORCH, 2_000_000)
    bpy.ops.sd.set_up_engine()
    assert shown.running and not bpy.ops.sd.set_up_engine.poll() and not bpy.ops.sd.remove_engine.poll()
    with pytest.raises(InvalidRequest, match="is going on"):
        setup.install_engine("cpu")
    one = setup.installations()[-1]
    while one.stage != "Downloading" or one.bytes_done < 1_000_000:
        assert setup._all.wait(120)
        tick.tick()
    assert 0.3 < shown.progress < 1 and "of 3 MB" in shown.text
    bpy.ops.sd.cancel_setup()
    finish()
    assert one.state == "cancelled" and shown.missing and "goes on from here" in shown.text and not shown.error
    kept = (tmp_path / "engine" / "wheels" / (TORCH + ".part")).stat().st_size
    index.held.clear()
    index.go.set()
    bpy.ops.sd.set_up_engine()
    finish()
    assert not shown.error, shown.error
    assert (TORCH, f"bytes={kept}-") in [(name, wanted) for _, name, wanted in index.seen]
    assert not shown.missing and "Stable Diffusion" in visible() and "Set Up" not in visible()
    assert shown.there == f"Processor Only, 3 MB, Python 3.{sys.version_info[1]}" and not shown.outdated
    assert config._interpreter(config.current, str(setup.engine_place())).startswith(str(tmp_path / "engine" / "env1"))
    assert api.engine_status()[0] in ("starting", "ready"), "the first picture need not wait"

    (tmp_path / "cpu.txt").write_text((tmp_path / "cpu.txt").read_text() + "# another\n")
    installing.refresh()
    assert shown.outdated
    bpy.ops.sd.remove_engine()
    finish()
    assert shown.missing and shown.there == "" and sorted(path.name for path in (tmp_path / "engine").iterdir()) == ["busy"]


def test_a_folder_of_wheels_and_no_network_at_all(shown, index, tmp_path):
    bpy.context.preferences.system.use_online_access = False
    shown.wheels = str(into(tmp_path / "given", index.files))
    assert bpy.ops.sd.set_up_engine.poll()
    bpy.ops.sd.set_up_engine()
    finish()
    assert not shown.missing and not shown.error and index.pages == []


def test_online_access_switched_off_ends_it(shown, index):
    index.hold(TORCH, 500_000)
    bpy.ops.sd.set_up_engine()
    assert index.reached.wait(120)
    bpy.context.preferences.system.use_online_access = False
    tick.tick()
    finish()
    assert setup.installations()[-1].state == "failed" and "Allow Online Access" in shown.hint and shown.missing


def test_the_engine_is_not_taken_away_while_it_paints(shown, addon, pipeline):
    addon.prompt = "brick"
    pipeline.hold()
    bpy.ops.sd.generate()
    with pytest.raises(InvalidRequest, match="painting"):
        setup.remove_engine()
    with pytest.raises(RuntimeError, match="painting"):
        bpy.ops.sd.repair_engine()


@pytest.mark.skipif(not PYTHON, reason="SD_ENGINE_PYTHON names no interpreter with torch")
def test_an_existing_python_is_looked_at_and_then_used(shown, tmp_path):
    entry = bpy.context.preferences.addons.new()
    entry.module = preferences.PACKAGE
    try:
        prefs = entry.preferences
        prefs.output, prefs.engine_place = str(tmp_path / "output"), str(tmp_path / "engine")
        bpy.ops.sd.use_python(filepath=str(tmp_path / "nowhere"))
        finish()
        assert "cannot be started" in shown.error and prefs.engine_python == "" and shown.missing
        bpy.ops.sd.use_python(filepath=PYTHON)
        finish()
        assert not shown.error and prefs.engine_python == PYTHON and config.current.engine_python == PYTHON and not shown.missing
    finally:
        bpy.context.preferences.addons.remove(entry)
        api.configure(engine_python="")
