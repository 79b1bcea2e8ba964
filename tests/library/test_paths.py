"""Paths in files: judged as text before the disk is asked, opened only where a plain file is; programs by their whole
path."""
from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from blender_sd.library import paths, png
from blender_sd.core.errors import SourceUnusable
from blender_sd.library import lineage

PACKAGE = Path(paths.__file__).parents[1]


@pytest.mark.parametrize("path", [r"\\server\share\x.png", "//server/share/x.png", "file://server/x", "smb://server/x", "/net/server/x.png",  # noqa: E501
                                  r"\\?\UNC\server\x", "/misc/server/x", " //server/x", "'//server/x'", "/NET/server/x"])  # noqa: E501
def test_a_path_on_another_computer_is_known_by_its_text(path, monkeypatch):
    monkeypatch.setattr(os, "stat", lambda *_: pytest.fail("the disk was asked"))
    with pytest.raises(SourceUnusable):
        paths.check_file(path)


def test_paths_here_and_beside_the_file(tmp_path):
    for path in (str(tmp_path / "x.png"), "C:/x.png", r"C:\x", "textures/x.png", "/network/x"):
        assert not paths.is_elsewhere(path)
    assert not paths.is_elsewhere("//server/job/x.png", ["//server/job"]) and paths.is_elsewhere(
        "//server/job/../x.png", ["//server/job"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    for read in (png.read_text, png.read_head, png.has_credentials, lineage.look_into, lineage._sha256,
                 paths.open_plain):
        for path in (str(tmp_path / "x.png"), str(tmp_path)):
            with pytest.raises(OSError):
                read(path)


def test_a_program_is_never_one_of_the_current_folder(tmp_path, monkeypatch):
    there = tmp_path / "bin"
    for folder in (tmp_path, there):
        folder.mkdir(exist_ok=True)
        (folder / ("tool.exe" if os.name == "nt" else "tool")).write_bytes(b"")
        (folder / ("tool.exe" if os.name == "nt" else "tool")).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", str(there)]))
    assert os.path.dirname(paths.program("tool")) == str(there)
    assert paths.program("./tool") == paths.program("bin/tool") == paths.program("other") == "" and paths.program(
        sys.executable)


def test_who_opens_what_a_file_names_goes_through_the_guard():
    """`bpy.path.abspath` of a datablock's path stands in one place; pictures' bytes are opened by `open_plain`."""
    found = []
    for file in sorted((PACKAGE / "scene").glob("*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                found += [(file.name, function.name) for call in ast.walk(function)
                          if isinstance(call, ast.Call) and ast.unparse(call.func) == "path_of"]
    assert set(found) == {("image_paths.py", "guarded_path"), ("images.py", "picture_of"),
                          ("images.py", "_loaded_size")}, found
    for name in ("scene/images.py", "scene/sources.py", "scene/tiles.py", "library/png.py", "library/lineage.py",
                 "library/checkpoints.py"):
        source = (PACKAGE / name).read_text(encoding="utf-8")
        assert not [
            call for call in ast.walk(ast.parse(source))
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "open" and isinstance(call.args[0], ast.Name)
            and call.args[0].id in ("path", "file") and "rb" in ast.unparse(call)], name
