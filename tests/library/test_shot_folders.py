"""The folder of a shot: ours to delete, and a saved copy that is trusted only as it was saved."""
from __future__ import annotations

import os

import pytest

from blender_sd.core.errors import OutputUnwritable
from blender_sd.core.request import Request
from blender_sd.core.tasks import RESTYLE_SEQUENCE
from blender_sd.library import files, shot_folders


def test_a_new_shot_replaces_ours_and_nobody_elses(tmp_path):
    folder = shot_folders.new_shot(str(tmp_path))
    (tmp_path / ".shot" / "shot.json").write_bytes(b"{}")
    assert shot_folders.is_recorded(str(tmp_path))
    assert shot_folders.new_shot(str(tmp_path)) == folder and not shot_folders.is_recorded(str(tmp_path))
    assert shot_folders.forget_shot(str(tmp_path)) and not shot_folders.forget_shot(str(tmp_path))
    (tmp_path / ".shot").mkdir()
    (tmp_path / ".shot" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(OutputUnwritable, match="Something else"):
        shot_folders.new_shot(str(tmp_path))
    assert not shot_folders.forget_shot(str(tmp_path)) and (tmp_path / ".shot" / "holiday.jpg").exists()


def test_an_old_shot_is_put_aside_and_deleted_later(tmp_path):
    folder = shot_folders.new_shot(str(tmp_path))
    (tmp_path / ".shot" / "frames").mkdir()
    (tmp_path / ".shot" / "frames" / "000001.png").write_bytes(b"x")
    assert shot_folders.new_shot(str(tmp_path)) == folder and len(list(tmp_path.iterdir())) == 2
    theirs = tmp_path / ".shot-old-mine"
    theirs.mkdir()
    shot_folders.sweep(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".shot", ".shot-old-mine"], "only ours is deleted"


def test_a_recording_is_taken_over_by_another_folder(tmp_path, monkeypatch):
    one, other, third = (tmp_path / name for name in ("one", "other", "third"))
    for folder in (one, other, third):
        folder.mkdir()
        shot_folders.new_shot(str(folder))
    for name in ("shot.json", "layout.json"):
        (one / ".shot" / name).write_bytes(b"{}")
    (one / ".shot" / "frames").mkdir()
    (one / ".shot" / "frames" / "000001.png").write_bytes(b"one")
    (other / ".shot" / "layout.json").write_bytes(b"own")
    shot_folders.share(str(one), str(other))
    assert shot_folders.is_recorded(str(other)) and (other / ".shot" / "layout.json").read_bytes() == b"own"
    assert os.path.samefile(one / ".shot" / "frames" / "000001.png", other / ".shot" / "frames" / "000001.png")
    files.write_whole(str(other / ".shot" / "frames" / "000001.png"), b"two")
    assert (one / ".shot" / "frames" / "000001.png").read_bytes() == b"one"
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    shot_folders.share(str(one), str(third))
    assert (third / ".shot" / "frames" / "000001.png").read_bytes() == b"one"


def test_a_copy_that_somebody_exchanged_is_not_trusted(tmp_path):
    shot_folders.new_shot(str(tmp_path))
    copy, state = tmp_path / ".shot" / "file" / "scene.blend", str(tmp_path / "own" / "copies.json")

    def is_trusted() -> bool:
        return shot_folders.is_trusted(state, shot_folders.digest_of(str(copy)))

    copy.write_bytes(b"BLENDER of mine")
    assert shot_folders.saved_copy(str(tmp_path)) == str(copy) and not is_trusted()
    shot_folders.trust(state, shot_folders.digest_soon(str(copy)).result(5))
    assert is_trusted()
    copy.write_bytes(b"BLENDER of somebody")
    assert not is_trusted()
    for nonsense in (b"no json", b"{}", b"[1]"):
        (tmp_path / "own" / "copies.json").write_bytes(nonsense)
        assert not is_trusted()
    copy.unlink()
    shot_folders.trust(state, shot_folders.digest_of(str(copy)))
    assert not is_trusted(), "what cannot be read has no digest"


def test_what_a_shot_is_of_and_painted_with_is_known_again(tmp_path):
    output = str(tmp_path)
    shot_folders.new_shot(output)
    assert not shot_folders.contents_of(output) and shot_folders.request_of(output) is None
    shot_folders.note_contents(output, {"frames": "SCENE"})
    assert shot_folders.contents_of(output) == {"frames": "SCENE"}
    request = Request.of(RESTYLE_SEQUENCE, prompt="clay", seed=4)
    shot_folders.note_request(output, request)
    assert shot_folders.request_of(output) == request
    for nonsense in (b"[1]", b"{}", b"no json"):
        (tmp_path / ".shot" / "contents.json").write_bytes(nonsense)
        (tmp_path / ".shot" / "request.json").write_bytes(nonsense)
        assert not shot_folders.contents_of(output) and shot_folders.request_of(output) is None
