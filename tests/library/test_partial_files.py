"""Downloads that resume: after a break, in a later process, and after a file that arrived broken."""
from __future__ import annotations

import hashlib

import pytest

from blender_sd.library import partial_files
from blender_sd.library.partial_files import TRIES, Corrupt, Part, download, with_retries

DATA = bytes(range(256)) * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


class Broken(Exception):
    """The connection of these tests has broken."""


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(partial_files, "PAUSE", 0.0)


def fetch(tmp_path, receive, sha256=SHA256):
    changes: list[int] = []
    try:
        download(tmp_path / "parts" / "a", tmp_path / "files" / "a", receive, sha256=sha256, on_change=changes.append,
                 is_temporary=lambda error: isinstance(error, Broken))
    finally:
        left = (tmp_path / "parts" / "a").stat().st_size if (tmp_path / "parts" / "a").exists() else 0
        done = (tmp_path / "files" / "a").stat().st_size if (tmp_path / "files" / "a").exists() else 0
        assert sum(changes) == left + done
    return changes


@pytest.mark.parametrize("sha256", [SHA256, ""])
def test_it_resumes_after_each_break_that_brought_something(tmp_path, sha256):
    starts = []

    def receive(part: Part) -> None:
        starts.append(part.size)
        part.write(DATA[part.size:part.size + 1000])
        if part.size < len(DATA):
            raise Broken

    fetch(tmp_path, receive, sha256)
    assert (tmp_path / "files" / "a").read_bytes() == DATA and not (tmp_path / "parts" / "a").exists()
    assert starts == list(range(0, len(DATA), 1000))


def test_a_later_process_goes_on_where_one_stopped(tmp_path):
    def first(part: Part) -> None:
        if part.size == 0:
            part.write(DATA[:5000])
        raise Broken

    with pytest.raises(Broken):
        fetch(tmp_path, first)

    starts = []

    def second(part: Part) -> None:
        starts.append(part.size)
        part.write(DATA[part.size:])

    download(tmp_path / "parts" / "a", tmp_path / "files" / "a", second, sha256=SHA256, on_change=lambda change: None,
             is_temporary=lambda error: False)
    assert starts == [5000] and (tmp_path / "files" / "a").read_bytes() == DATA


def test_what_brings_nothing_ends(tmp_path):
    calls = []

    def receive(part: Part) -> None:
        calls.append(part.size)
        raise Broken

    with pytest.raises(Broken):
        fetch(tmp_path, receive)
    assert calls == [0] * TRIES


def test_other_errors_are_raised_at_once():
    calls = []

    def call() -> None:
        calls.append(1)
        raise ValueError

    with pytest.raises(ValueError):
        with_retries(call, lambda: 0, lambda error: isinstance(error, Broken))
    assert calls == [1]


def test_a_broken_file_is_downloaded_once_more(tmp_path):
    contents = [b"x" * 10, DATA]
    fetch(tmp_path, lambda part: part.write(contents.pop(0)))
    assert (tmp_path / "files" / "a").read_bytes() == DATA and contents == []


def test_a_file_that_is_broken_twice_is_deleted(tmp_path):
    with pytest.raises(Corrupt) as caught:
        fetch(tmp_path, lambda part: part.write(b"x" * 10))
    assert caught.value.sha256 == hashlib.sha256(b"x" * 10).hexdigest()
    assert not (tmp_path / "files" / "a").exists() and not (tmp_path / "parts" / "a").exists()


def test_both_kinds_of_downloads_use_it():
    """One mechanism: the workers have transports of their own, and no loop that retries."""
    from pathlib import Path

    workers = Path(partial_files.__file__).parents[1] / "workers"
    for name in ("downloads.py", "wheels.py"):
        source = (workers / name).read_text(encoding="utf-8")
        assert "download(" in source and "time.sleep" not in source and "Part(" not in source, name
