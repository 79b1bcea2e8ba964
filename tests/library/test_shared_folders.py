"""Folders that other people may write into: links, files and names that they put there lead nowhere and lose
nothing."""
from __future__ import annotations

import ast
import os
import stat
import time
from pathlib import Path

import pytest

from blender_sd.library import files
from blender_sd.core.errors import OutputUnwritable
from blender_sd.library import history as histories
from blender_sd.library import logs
from blender_sd.library.history import History
from tests.support.systems import link

PACKAGE = Path(files.__file__).parents[1]
POSIX = pytest.mark.skipif(os.name == "nt", reason="rights are POSIX's")
# Who makes, opens for writing or deletes something without `library.files`, and why that is sound.
ALONE = {
    "library/files.py": "the module itself",
    "library/engine_environment.py": "inside an environment that the set-up has made",
    "engine/models/single_file.py": "in a private folder with a random name",
    "workers/transport.py": "in a private folder with a random name",
    "library/shot_folders.py": "folders that it has claimed, which `rmtree` does not leave through a link",
    "protocol/boot.py": "the process's own pipes",
    "scene/images.py": "in a private folder with a random name",
    "workers/downloads.py": "what it has made itself, which `rmtree` does not leave through a link",
    "workers/installation.py": "folders that it has claimed, and copies into a folder of the person's choice",
    "workers/wheels.py": "a part that it has made",
    "session/downloads.py": "folders that downloads have made, which `rmtree` does not leave through a link",
    "library/logs.py": "logs by their names",
    "engine/output/pictures.py": "its own probe",
    "scene/tiles.py": "in a folder that it has just made",
    "scene/assets.py": "the temporary file that Blender has written under a random name",
}
CALLS = {
    "os.mkdir", "os.makedirs", "os.remove", "os.unlink", "os.replace", "os.rename", "os.symlink", "shutil.rmtree",
    "shutil.copyfile", "shutil.copy2", "shutil.copytree", "shutil.move", "tempfile.mktemp", "tempfile.mkstemp"}
METHODS = {"mkdir", "write_text", "write_bytes", "unlink", "rmdir", "touch", "symlink_to"}
# whose `unlink` and `write_text` are Blender's and our own
NOT_FILES = {"scene/geometry.py", "addon/operators/image_report.py"}


@pytest.fixture
def shared(tmp_path):
    """The output folder, a private one, and what a look at that one gives."""
    output, private = tmp_path / "output", tmp_path / "private"
    output.mkdir(), private.mkdir()
    for name in ("holiday.png", "wedding.png"):
        (private / name).write_bytes(b"nobody's business")

    def look() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in private.iterdir()}

    return output, private, look


def tried(call) -> None:
    try:
        call().result(20)
    except OutputUnwritable:
        pass


@pytest.mark.parametrize("name", [histories.TRASH, histories.FAVOURITES])
def test_links_in_place_of_our_folders_lead_nowhere(shared, name):
    output, private, look = shared
    before = look()
    if not link(output / name, private):
        pytest.skip("this system makes no links here")
    (output / "own.png").write_bytes(b"x")
    history = History(str(output))
    for call in (history.refresh, lambda: history.set_favourite(["new.png"], True),
                 lambda: history.set_favourite(["wedding.png"], False), lambda: history.to_trash(["own.png"]),
                 lambda: history.restore(["wedding.png"]), history.empty_trash):
        tried(call)
    history.close()
    assert look() == before and not history.view.trash


def test_a_trash_that_becomes_a_link_while_it_is_emptied(shared, monkeypatch):
    output, private, look = shared
    before = look()
    (output / histories.TRASH).mkdir()
    if not link(output / "probe", private) or os.name == "nt":
        pytest.skip("this system makes no links here")
    history, listed = History(str(output)), histories._Place.listed

    def exchanged(place):
        found = listed(place)
        if place.trashed:
            os.rename(place.folder, output / "aside")
            os.symlink(private, place.folder)
            return dict.fromkeys(before, (0, 1))
        return found

    monkeypatch.setattr(histories._Place, "listed", exchanged)
    tried(history.empty_trash)
    history.close()
    assert look() == before


def test_pictures_do_not_overwrite_each_other_in_the_trash(shared):
    output, _, _ = shared
    (output / histories.TRASH).mkdir()
    for folder, words in ((output, b"new"), (output / histories.TRASH, b"old")):
        (folder / "a.png").write_bytes(words)
    assert History(str(output)).to_trash(["a.png"]).result(20) == ["a-2.png"]
    assert {file.name: file.read_bytes()
            for file in (output / histories.TRASH).iterdir()} == {"a.png": b"old", "a-2.png": b"new"}


@pytest.mark.parametrize("private", [False, True])
def test_no_name_can_be_foretold_and_no_link_is_followed(tmp_path, monkeypatch, private):
    """Even where somebody guesses the random name, the file there is not used."""
    target, precious = tmp_path / "style.toml", tmp_path / "precious"
    precious.write_bytes(b"precious")
    names = {files.temporary(str(target)) for _ in range(50)}
    assert len(names) == 50
    guessed = tmp_path / ".style.toml.0123456789abcdef.part"
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "0123456789abcdef")
    for make in (lambda: link(guessed, precious), lambda: guessed.write_bytes(b"")):
        if make() is False:
            continue
        with pytest.raises(OSError):
            files.write_whole(str(target), b"new", private=private)
        assert precious.read_bytes() == b"precious" and not target.exists()
        guessed.unlink(missing_ok=True)
    files.write_whole(str(target), b"new", private=private)
    assert target.read_bytes() == b"new" and sorted(os.listdir(tmp_path)) == ["precious", "style.toml"]


@POSIX
def test_private_files_and_folders_have_no_rights_from_before(tmp_path):
    file, folder = tmp_path / "key.pem", tmp_path / "keys"
    file.write_bytes(b"")
    file.chmod(0o666)
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with open(file, "rb") as theirs:
        files.write_whole(str(file), b"secret", private=True)
        assert theirs.read() == b""
    files.make_folder(str(folder), private=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_name_is_taken_once(tmp_path, monkeypatch):
    """Also on a file system without links, and by somebody who was faster in between."""
    names = [str(tmp_path / f"a{number}.png") for number in range(4)]
    (tmp_path / "a0.png").write_bytes(b"theirs")
    assert files.write_new(names, lambda file, _: file.write(b"first")) == names[1]
    if os.name != "nt":
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    assert files.write_new(names, lambda file, _: file.write(b"second")) == names[2]
    link(tmp_path / "a3.png", tmp_path / "nowhere")
    if os.path.lexists(tmp_path / "a3.png"):
        with pytest.raises(FileExistsError):
            files.write_new(names, lambda file, _: file.write(b"third"))
    assert (tmp_path / "a0.png").read_bytes() == b"theirs" and not (tmp_path / "nowhere").exists()
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_only_our_own_leftovers_are_cleared_away(tmp_path):
    ours, old = tmp_path / ".a.png.0123456789abcdef.part", time.time() - 10 * files.STALE
    others = [
        tmp_path / name for name in (".a.part", ".probe-1", "film.mkv.part", ".x.0123.part", "b.0123456789abcdef.part")]
    for file in (ours, *others):
        file.write_bytes(b"x")
        os.utime(file, (old, old))
    young = tmp_path / ".b.png.0123456789abcdef.part"
    young.write_bytes(b"x")
    files.sweep(str(tmp_path))
    assert not ours.exists() and young.exists() and all(file.exists() for file in others)


def test_logs_of_other_programs_stay(tmp_path):
    (tmp_path / "mine.log").write_text("x")
    for number in range(logs.KEPT + 3):
        (tmp_path / f"20250101-0000{number:02}-1.log").write_text("x")
    logs._sweep(tmp_path)
    assert (tmp_path / "mine.log").exists() and len(os.listdir(tmp_path)) == logs.KEPT + 1


def test_a_file_to_append_to_is_no_link_and_no_pipe(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    if link(tmp_path / "lock", tmp_path / "precious"):
        with pytest.raises(OSError):
            files.open_own(str(tmp_path / "lock"), "a+b")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    with files.open_own(str(tmp_path / "new"), "a+b") as file:
        file.write(b"x")


def made(source: str) -> list[str]:
    """What in `source` makes, writes or deletes files and folders by itself."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            name = ast.unparse(call.func)
            given = (*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode"))
            mode = next((one.value for one in given if isinstance(one, ast.Constant)), "r")
            writes = name == "open" and isinstance(mode, str) and bool(set(mode) & set("wax+"))
            if writes or name in CALLS or isinstance(call.func, ast.Attribute) and call.func.attr in METHODS:
                found.append(name)
    return found


def test_everything_else_is_made_by_one_module():
    """A new caller that goes round `library.files` stands here, with its reason, or fails."""
    found = {file.relative_to(PACKAGE).as_posix(): calls for file in sorted(PACKAGE.rglob("*.py"))
             if (calls := made(file.read_text(encoding="utf-8")))}
    assert {name: calls for name, calls in found.items() if name not in ALONE and name not in NOT_FILES} == {}
