"""The first five minutes: the panel Set Up, a real set-up by Blender's own Python from a small index, another Python
instead."""
from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import config, installation, interpreter
from blender_sd.calls.runtime import runtime
from blender_sd.addon import installation as installation_view, panels, preference_access, tick
from blender_sd.addon.operators import interpreters
from blender_sd.library import engine_environment
from blender_sd.core.errors import EngineMissing, InvalidRequest, OnlineAccessOff
from blender_sd.library import accelerators
from tests.support.panels import draw, wide  # noqa: F401  (a fixture)
from tests.support.fake_index import FakeIndex, engine_wheels, into, lock_of
from tests.support.paper import Paper

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
    monkeypatch.setattr(interpreter, "has_torch", lambda: False)
    monkeypatch.setattr(runtime, "config", replace(runtime.config, engine_place=str(tmp_path / "engine")))
    monkeypatch.setattr(installation, "LOCKS", tmp_path)
    (tmp_path / "pylock.cpu.toml").write_text(lock_of(server.files))
    system = bpy.context.preferences.system
    before, system.use_online_access = system.use_online_access, True
    installation_view.refresh()
    yield server
    runtime.shutdown()
    system.use_online_access = before
    server.close()


@pytest.fixture
def shown(index):
    shown = installation_view.state()
    shown.accelerator = "cpu"
    return shown


def finish() -> None:
    """Ticks until nothing is going on."""
    while not all(one.done for one in installation.installations()):
        runtime.installations.wait(10)
        tick.tick()
    tick.tick()


def visible() -> set[str]:
    """The labels of the tab's panels in the 3D View."""
    context = type(
        "Context", (), {
            "space_data": type("Space", (), {"type": "VIEW_3D"}), "window_manager": bpy.context.window_manager,
            "scene": bpy.context.scene})
    placed = [cls for cls in panels.CLASSES if getattr(cls, "bl_space_type", "") == "VIEW_3D"]
    return {cls.bl_label for cls in placed if cls.poll(context)}


def test_without_an_engine_there_is_one_panel_and_it_says_what_to_do(shown, index):
    assert shown.missing and visible() == {"Set Up"} and shown.reason and shown.place == runtime.config.engine_place
    bpy.context.preferences.system.use_online_access = False
    assert not bpy.ops.sd.set_up_engine.poll()
    with pytest.raises(OnlineAccessOff, match="Allow Online Access.*or install from a folder of wheels"):
        installation.install_engine("cpu")
    with pytest.raises(InvalidRequest, match="no engine for 'mps'"):
        installation.install_engine("mps")
    assert installation.installations() == [] and index.pages == []


def test_set_up_cancel_set_up_again_and_remove(shown, index, tmp_path, pipeline):
    index.hold(TORCH, 2_000_000)
    bpy.ops.sd.set_up_engine()
    assert shown.running and not bpy.ops.sd.set_up_engine.poll() and not bpy.ops.sd.remove_engine.poll()
    with pytest.raises(InvalidRequest, match="is going on"):
        installation.install_engine("cpu")
    one = installation.installations()[-1]
    while one.stage != "Downloading" or one.bytes_done < 1_000_000:
        assert runtime.installations.wait(120)
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
    assert interpreter.engine_python(runtime.config,
                                     str(installation.engine_place())).startswith(str(tmp_path / "engine" / "env1"))
    assert sd.engine_status()[0] in ("starting", "ready"), "the first picture need not wait"

    lock = tmp_path / "pylock.cpu.toml"
    lock.write_text(lock.read_text() + "# another\n")
    installation_view.refresh()
    assert shown.outdated
    bpy.ops.sd.remove_engine()
    finish()
    assert shown.missing and shown.there == "" and sorted(path.name
                                                          for path in (tmp_path / "engine").iterdir()) == ["busy"]


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
    assert installation.installations()[-1].state == "failed" and "Allow Online Access" in shown.hint and shown.missing


def test_the_engine_is_not_taken_away_while_it_paints(shown, addon, pipeline):
    addon.prompt = "brick"
    pipeline.hold()
    bpy.ops.sd.generate()
    with pytest.raises(InvalidRequest, match="painting"):
        installation.remove_engine()
    with pytest.raises(RuntimeError, match="painting"):
        bpy.ops.sd.repair_engine()


def test_the_usual_places_are_a_menu(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    python = Path(engine_environment.python_in(str(tmp_path / "home" / "art" / ".venv")))
    python.parent.mkdir(parents=True)
    python.write_text("never run", encoding="utf-8")
    python.chmod(0o755)
    for name in ("torch", "diffusers", "transformers"):
        (python.parent.parent / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    monkeypatch.setattr(interpreters, "_interpreters", [])  # the list outlives the add-on
    interpreters.look("").join()
    paper = draw(interpreters.SD_MT_pythons)
    offered = [values["filepath"] for name, values in paper.operators if name == "sd.use_python"]
    assert offered == [str(python), ""] and os.path.join("~", "art", ".venv") in paper.texts
    assert bpy.ops.sd.use_python.get_rna_type().name == "Use This Python", "the file browser's button"


def test_only_accelerators_of_this_machine_are_offered(shown, wide):  # noqa: F811
    offered = [item.identifier for item in shown.bl_rna.properties["accelerator"].enum_items]
    assert offered == [one.id for one in accelerators.present()
                       ] and shown.bl_rna.properties["accelerator"].default == offered[0]
    section = Paper()
    installation_view.draw_choice(section, bpy.context)  # what the preferences draw
    drawn = draw(panels.installation.CLASSES[0]).texts
    assert f"Found: {shown.reason}." in section.texts and set(section.texts) <= set(drawn)


@pytest.mark.skipif(not PYTHON, reason="SD_ENGINE_PYTHON names no interpreter with torch")
def test_an_existing_python_is_looked_at_and_then_used(shown, tmp_path):
    entry = bpy.context.preferences.addons.new()
    entry.module = preference_access.PACKAGE
    try:
        prefs = entry.preferences
        prefs.output, prefs.engine_place = str(tmp_path / "output"), str(tmp_path / "engine")
        bpy.ops.sd.use_python(filepath=str(tmp_path / "nowhere"))
        finish()
        assert "cannot be started" in shown.error and prefs.engine_python == "" and shown.missing
        with pytest.raises(RuntimeError, match="no Python in the folder"):
            bpy.ops.sd.use_python(filepath=str(tmp_path))
        assert "no Python in the folder" in shown.error and prefs.engine_python == ""
        folder = os.path.dirname(PYTHON)  # a folder as well as the interpreter in it
        bpy.ops.sd.use_python(filepath=folder)
        finish()
        assert not shown.error and os.path.dirname(prefs.engine_python) == folder, shown.error
        bpy.ops.sd.use_python(filepath=PYTHON)
        finish()
        assert not shown.error and prefs.engine_python == PYTHON and runtime.config.engine_python == PYTHON and not shown.missing  # noqa: E501
    finally:
        bpy.context.preferences.addons.remove(entry)
        sd.configure(engine_python="")


def test_the_button_confirms_the_folder_that_the_panel_shows(shown, index, tmp_path, monkeypatch):
    monkeypatch.setenv("SD_BASE", str(tmp_path / "offered"))
    monkeypatch.setattr(runtime, "config", config.Config())
    own = tmp_path / "own"  # the real one holds pictures of the tests before, and what lies somewhere stays there
    monkeypatch.setattr(runtime.folders, "own_folder", lambda name: own / name)
    installation_view.refresh()
    assert shown.base == str(tmp_path / "offered") and shown.place == str(tmp_path / "offered" / "engine")
    assert shown.deleted == "pictures, models, styles" and Path(
        shown.pictures).is_relative_to(own), "nobody has chosen anything yet"
    shown.base = str(tmp_path / "Malerei é")
    installation_view.refresh()
    assert shown.base == str(tmp_path / "Malerei é"), "what is being typed stays"
    entry = bpy.context.preferences.addons.new()
    entry.module = preference_access.PACKAGE
    try:
        index.status = 500
        bpy.ops.sd.set_up_engine()
        finish()
        assert "cannot be reached" in shown.error and entry.preferences.base == runtime.config.base == shown.base
        assert runtime.folders.output_path() == tmp_path / "Malerei é" / "pictures"
        assert shown.models == str(tmp_path / "Malerei é" / "models")
        assert shown.deleted == "" and not (tmp_path / "offered").exists()
        for base, why in (("", "no folder"), ("sd/here", "no whole path"), ("%NO_SUCH_VARIABLE%/sd", "no whole path")):
            shown.base = base
            with pytest.raises(RuntimeError, match=why):
                bpy.ops.sd.set_up_engine()
        assert entry.preferences.base == runtime.config.base == str(tmp_path / "Malerei é")
        monkeypatch.setenv("SD_TEST_PLACE", str(tmp_path))
        shown.base = os.path.join("$SD_TEST_PLACE", "by a variable")
        bpy.ops.sd.set_up_engine()
        finish()
        assert runtime.config.base == str(tmp_path / "by a variable")
    finally:
        bpy.context.preferences.addons.remove(entry)
        sd.configure(base="")


def test_a_machine_without_a_build_of_torch_shows_the_reason_before_a_click(shown, index, monkeypatch):
    monkeypatch.setattr(installation.accelerators, "obstacle",
                        lambda: EngineMissing("PyTorch has no build.", "Use an existing Python."))
    installation_view.refresh()
    assert shown.obstacle == "PyTorch has no build. Use an existing Python." and not bpy.ops.sd.set_up_engine.poll()
    assert bpy.ops.sd.use_python.poll()
