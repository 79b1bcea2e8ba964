"""Renaming and deleting files and folders that a virus scanner still holds, as on Windows; nothing waits where nobody
holds files."""
from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from blender_sd.library import files


@pytest.fixture
def held(monkeypatch):
    """Have the next `times` calls of `os.NAME` refused, as Windows does it, with every pause between tries cut to
    nothing."""
    def hold(name: str, times: int) -> list[str]:
        real, tries = getattr(os, name), []

        def refused(path, *more):
            tries.append(name)
            if len(tries) <= times:
                raise PermissionError(13,
                                      "The process cannot access the file because it is being used by another process",
                                      path)
            return real(path, *more)

        monkeypatch.setattr(files, "HELD", (0.0,) * 4)
        monkeypatch.setattr(os, name, refused)
        return tries

    return hold


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_rename_waits_until_a_file_or_folder_is_let_go(tmp_path, held, kind):
    source, target = tmp_path / "new", tmp_path / "name"
    if kind == "file":
        source.write_bytes(b"new")
        target.write_bytes(b"old")
    else:
        source.mkdir()
    tries = held("replace", 2)
    files.replace(source, target)
    assert len(tries) == 3 and not source.exists()
    assert target.read_bytes() == b"new" if kind == "file" else target.is_dir()


def test_a_file_is_written_whole_and_deleted_while_it_is_held_for_a_moment(tmp_path, held):
    target = tmp_path / "name"
    held("replace", 2)
    files.write_whole(str(target), b"all of it")
    assert target.read_bytes() == b"all of it" and os.listdir(tmp_path) == ["name"]
    tries = held("remove", 2)
    files.remove(target)
    assert len(tries) == 3 and not target.exists()


def test_a_file_that_is_never_let_go_is_an_error_that_leaves_the_old_file(tmp_path, held):
    target = tmp_path / "name"
    target.write_bytes(b"old")
    tries = held("replace", 99)
    with pytest.raises(PermissionError):
        files.write_whole(str(target), b"new")
    assert len(tries) == 5 and target.read_bytes() == b"old" and os.listdir(tmp_path) == ["name"]


@pytest.mark.parametrize(("tag", "leads"), [(0xA000000C, True), (0xA0000003, True), (0x9000001A, False), (0, False)])
def test_a_folder_in_onedrive_is_no_link(tmp_path, monkeypatch, tag, leads):
    """Windows' tags of a symbolic link, a junction, a folder that OneDrive keeps, and of none."""
    known = os.lstat(tmp_path)
    monkeypatch.setattr(os, "lstat", lambda path: SimpleNamespace(st_mode=known.st_mode, st_reparse_tag=tag))
    assert files.is_link(str(tmp_path)) is leads
    if not leads:
        files.check_folder(str(tmp_path))


def test_nothing_is_waited_for_where_a_refusal_is_final(tmp_path, monkeypatch):
    assert bool(files.HELD) == (os.name == "nt")
    monkeypatch.setattr(files, "HELD", ())
    tries = []
    monkeypatch.setattr(os, "replace",
                        lambda *paths: tries.append(paths) or (_ for _ in ()).throw(PermissionError(13, "no")))
    with pytest.raises(PermissionError):
        files.replace(tmp_path / "a", tmp_path / "b")
    assert len(tries) == 1
