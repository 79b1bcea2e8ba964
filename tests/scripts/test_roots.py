"""scripts/roots.py: a root folder is made once, and what a machine lacks for one is named."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

import complete
import roots
import windows


@pytest.mark.parametrize("script", [complete, windows])
@pytest.mark.parametrize(("system", "root", "tools", "words"), [
    ("darwin", True, True, "Linux"), ("linux", False, True, "sudo"), ("linux", True, False, "apt-get install -y mmdebstrap"),  # noqa: E501
    ("linux", True, True, ""),
])
def test_what_is_missing_is_named_with_its_remedy(monkeypatch, script, system, root, tools, words):
    monkeypatch.setattr(roots.sys, "platform", system)
    monkeypatch.setattr(roots.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000, raising=False)
    monkeypatch.setattr(roots.shutil, "which", lambda tool: f"/usr/bin/{tool}" if tools else None)
    found = script.missing()
    assert words in found and bool(found) == bool(words)


def test_what_was_made_of_other_pins_is_made_again(tmp_path):
    made = []

    def make(folder: Path) -> None:
        made.append(folder.name)
        folder.mkdir(exist_ok=True)

    for state in (["a==1"], ["a==1"], ["a==2"]):
        roots.step(tmp_path, "python", state, make)
    assert made == ["python", "python"]

    def broken(folder: Path) -> None:
        raise OSError("no disk")

    with pytest.raises(OSError):
        roots.step(tmp_path, "python", ["a==3"], broken)
    roots.step(tmp_path, "python", ["a==2"], make)
    assert made == ["python"] * 3, "what was begun for other pins is not what it was"
