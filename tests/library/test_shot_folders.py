"""The folder of a shot: ours to delete, and a saved copy that is trusted only as it was saved."""
from __future__ import annotations

import pytest

from blender_sd.core.errors import OutputUnwritable
from blender_sd.library import shot_folders


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


def test_a_copy_that_somebody_exchanged_is_not_trusted(tmp_path):
    shot_folders.new_shot(str(tmp_path))
    copy, state = tmp_path / ".shot" / "file" / "scene.blend", str(tmp_path / "own" / "copies.json")
    copy.write_bytes(b"BLENDER of mine")
    assert shot_folders.saved_copy(str(tmp_path)) == str(copy) and not shot_folders.is_trusted(state, str(copy))
    shot_folders.trust(state, str(copy))
    assert shot_folders.is_trusted(state, str(copy))
    copy.write_bytes(b"BLENDER of somebody")
    assert not shot_folders.is_trusted(state, str(copy))
    for nonsense in (b"no json", b"{}", b"[1]"):
        (tmp_path / "own" / "copies.json").write_bytes(nonsense)
        assert not shot_folders.is_trusted(state, str(copy))
    assert not shot_folders.is_trusted(state, str(tmp_path / "gone.blend"))


def test_what_a_shot_is_of_is_known_again(tmp_path):
    shot_folders.new_shot(str(tmp_path))
    assert not shot_folders.differs(str(tmp_path), {"frames": "SCENE"}), "nothing was written down"
    shot_folders.note_contents(str(tmp_path), {"frames": "SCENE"})
    assert not shot_folders.differs(str(tmp_path), {"frames": "SCENE", "controls": ""})
    assert shot_folders.differs(str(tmp_path), {"frames": "SCENE", "controls": "0=depth"}) == "controls"
    assert shot_folders.differs(str(tmp_path), {"frames": "plates/a.mp4"}) == "frames"
    (tmp_path / ".shot" / "contents.json").write_bytes(b"[1]")
    assert not shot_folders.differs(str(tmp_path), {"frames": "SCENE"})
