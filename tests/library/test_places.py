"""Where the add-on keeps things: the table of the guide, and folders of older versions, which stay."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from blender_sd.calls import config
from blender_sd.calls.runtime import runtime
from blender_sd.library import engine_environment
from blender_sd.library.engine_environment import Environment
from blender_sd.library import places

WINDOWS = r"C:\Program Files\Blender Foundation\Blender 5.2\5.2\python\bin\python.exe"
STORE = r"C:\Program Files\WindowsApps\BlenderFoundation.Blender_5.2.0.0_x64__ppwjx1n5r4v9t\Blender\5.2\python\bin\python.exe"  # noqa: E501


@pytest.mark.parametrize("system, variables, home, program, expected", [
    ("win32", {"LOCALAPPDATA": r"C:\Users\Jürgen\AppData\Local"}, "", WINDOWS, r"C:\Users\Jürgen\AppData\Local\blender_sd"),  # noqa: E501
    ("win32", {"LOCALAPPDATA": r"D:\Local", "OneDrive": r"C:\Users\x\OneDrive"}, r"C:\Users\x", WINDOWS, r"D:\Local\blender_sd"),  # noqa: E501
    ("win32", {}, r"C:\Users\x", WINDOWS, r"C:\Users\x\AppData\Local\blender_sd"),
    ("win32", {"LOCALAPPDATA": r"C:\Users\x\AppData\Local"}, r"C:\Users\x", STORE, r"C:\Users\x\blender_sd"),
    ("win32", {"SD_BASE": r"E:\sd"}, "", WINDOWS, r"E:\sd"),
    ("linux", {}, "/home/x", "/opt/python", "/home/x/.local/share/blender_sd"),
    ("linux", {"XDG_DATA_HOME": "/data"}, "/home/x", "/opt/python", "/data/blender_sd"),
    ("linux", {"XDG_DATA_HOME": "data", "SD_BASE": "here"}, "/home/x", "/opt/python", "/home/x/.local/share/blender_sd"),  # noqa: E501
    ("darwin", {}, "/Users/x", "/Applications/Blender.app/p", "/Users/x/Library/Application Support/blender_sd"),
])
def test_the_base_folder_of_each_system(system, variables, home, program, expected):
    assert places.base_folder(system, variables, home, program) == expected


def test_the_guide_has_the_table():
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "install.md").read_text(encoding="utf-8")
    row = re.search(r"^\| base \|(.+)\|$", guide, re.MULTILINE)[1]
    assert [part.strip(" `") for part in row.split("|")] == [
        r"%LOCALAPPDATA%\blender_sd", "$XDG_DATA_HOME/blender_sd", "~/Library/Application Support/blender_sd"]


def test_a_blender_that_was_not_moved_out_of_downloads():
    assert places.is_translocated(
        "/private/var/folders/ab/AppTranslocation/1-2/d/Blender.app/Contents/Resources/5.2/python/bin/python3.13")
    assert not places.is_translocated("/Applications/Blender.app/Contents/Resources/5.2/python/bin/python3.13")


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """(the default base, the extension's own folder); neither exists."""
    monkeypatch.setenv("SD_BASE", str(tmp_path / "base"))
    monkeypatch.setattr(runtime.folders, "own_folder", lambda name: tmp_path / "own" / name)
    monkeypatch.setattr(runtime, "config", config.Config())
    return tmp_path / "base", tmp_path / "own"


def kept() -> list[Path]:
    folders = runtime.folders
    return [folders.engine_place(), folders.download_folder(), folders.output_path(), folders.style_folder()]


def test_nothing_is_written_into_the_base_before_it_is_chosen(folders):
    base, own = folders
    assert kept() == [base / "engine", own / "models", own / "output", own / "styles"]
    runtime.configure(base=str(base))
    assert kept() == [base / "engine", base / "models", base / "pictures", base / "styles"]
    runtime.configure(base=str(base.parent / "other"), output=str(base / "renders"))
    other = base.parent / "other"
    assert kept() == [other / "engine", other / "models", base / "renders", other / "styles"]
    assert not base.exists() and not own.exists()


def test_what_lies_in_the_base_tells_that_it_was_chosen(folders):
    """Another Blender on this computer has set up an engine in it, or this one before its preferences were reset."""
    base, own = folders
    assert kept() == [base / "engine", own / "models", own / "output", own / "styles"]
    (base / "engine").mkdir(parents=True)
    runtime.folders.look_again()
    assert kept() == [base / "engine", base / "models", base / "pictures", base / "styles"]


def test_what_an_older_version_has_made_stays_where_it_is(folders):
    base, own = folders
    runtime.configure(base=str(base))
    for name in ("engine", "output", "models"):
        (own / name).mkdir(parents=True)
    engine_environment.write(str(own / "engine"), Environment("env1", "cpu", "d", "", "3.11", 5))
    (own / "output" / "a.png").write_text("")
    assert kept() == [own / "engine", base / "models", own / "output",
                      base / "styles"], "an empty folder holds nothing back"
    runtime.configure(engine_place=str(base / "e"))
    assert runtime.folders.engine_place() == base / "e"
