"""The history: pictures in a folder, found, searched, marked, thrown away and brought back. Real files, no Blender."""
from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

import pytest

from blender_sd.core.errors import OutputUnwritable
from blender_sd.library.png import REQUEST_KEY, ROLE_KEY, read_head
from blender_sd.core.request import Request
from blender_sd.core.tasks import TEXT_TO_IMAGE
from blender_sd.library import history as module
from blender_sd.library.history_entries import MAX_PROMPT, matching, over_budget
from blender_sd.library.history import FAVOURITES, History, TRASH
from tests.support.systems import link, pipe


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def paint(folder: Path, name: str, at: float = 1000.0, pixels: int = 0, text: bytes | None = None,
          role: str | None = None, **settings) -> Path:
    """A picture as the engine leaves it, written at the time `at`, with `pixels` bytes of them. `text` in place of its
    request; `role` where it is no picture."""
    request = Request.of(**{"task": TEXT_TO_IMAGE, "prompt": name, "width": 64, "height": 32, **settings})
    body = request.to_json().encode() if text is None else text
    path = folder / f"{name}.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 32, 8, 2, 0, 0, 0))
                     + chunk(b"tEXt", b"parameters\0" + f"{name}\nSteps: 4, Model: starter, Seed: 1".encode())
                     + (chunk(b"tEXt", f"{ROLE_KEY}\0{role}".encode()) if role else b"")
                     + chunk(b"iTXt",
                             REQUEST_KEY.encode() + b"\0\0\0\0\0" + body) + chunk(b"IDAT", bytes(pixels))
                     + chunk(b"IEND"))
    os.utime(path, (at, at))
    return path


@pytest.fixture
def opened():
    """Makes histories; ends them all."""
    made = []

    def make(folder: Path, **settings) -> History:
        made.append(History(str(folder), **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert not one._thread or not one._thread.is_alive()


def names(entries) -> list[str]:
    return [Path(one.path).stem for one in entries]


def look(history: History):
    return history.refresh().result(30)


def test_newest_first_with_what_made_them(tmp_path, opened):
    paint(tmp_path, "old", 1000, prompt="Red Brick", seed=7, sampler="euler", task="inpaint")
    paint(tmp_path, "new", 2000)
    view = look(opened(tmp_path))
    assert names(view.entries) == ["new", "old"] and view.ready and not view.problem and not view.trash
    old = view.entries[1]
    assert (old.prompt, old.seed, old.task, old.model, old.width, old.height) == ("Red Brick", 7, "inpaint", "starter",
                                                                                  64, 32)
    assert old.time == 1000 and view.bytes == sum(file.stat().st_size for file in tmp_path.glob("*.png"))


def test_maps_of_a_material_are_told_from_its_picture(tmp_path, opened):
    for name, role in (("picture", None), ("rough", "roughness"), ("strange", "from a stranger")):
        paint(tmp_path, name, prompt="moss", role=role)
    view = look(opened(tmp_path))
    assert {Path(one.path).stem: one.role for one in view.entries} == {
        "picture": "picture", "rough": "roughness", "strange": "picture"}
    assert names(matching(view.entries, "moss roughness")) == ["rough"]


def test_search_wants_every_word_somewhere(tmp_path, opened):
    paint(tmp_path, "a", 1, prompt="Red Brick, old", seed=77, sampler="euler")
    paint(tmp_path, "b", 2, prompt="mossy brick", task="upscale")
    history = opened(tmp_path)
    history.set_favourite(["b.png"], True).result(30)
    entries = look(history).entries
    found = {search: "".join(names(matching(entries, search))) for search in
             ("", "BRICK", "old brick", "brick moss", "upscale", "seed:77", "euler", "64x32 red", "starter", "slate")}
    assert found == {
        "": "ba", "BRICK": "ba", "old brick": "a", "brick moss": "b", "upscale": "b", "seed:77": "a", "euler": "a",
        "64x32 red": "a", "starter": "ba", "slate": ""}
    assert names(matching(entries, "brick", favourites=True)) == ["b"]


def test_only_what_is_new_is_read(tmp_path, opened, monkeypatch):
    for number in range(20):
        paint(tmp_path, f"p{number:02}", 1000 + number)
    history, read = opened(tmp_path), []
    monkeypatch.setattr(module, "read_head", lambda path: read.append(Path(path).stem) or read_head(path))
    assert len(look(history).entries) == 20 == len(read) and read[0] == "p19", "the newest is read first"
    read.clear()
    paint(tmp_path, "p20", 3000)
    paint(tmp_path, "p03", 4000, prompt="painted again")
    assert names(look(history).entries)[:3] == ["p03", "p20", "p19"] and sorted(read) == ["p03", "p20"]
    serial = history.view.serial
    assert look(history).serial == serial, "nothing changed, nothing to draw"


def test_strange_files_are_passed_over(tmp_path, opened):
    paint(tmp_path, "good", prompt="good")
    strange = {
        "json": b"{", "list": b"[]", "empty": b"{}", "null": b"null", "seed": b'{"prompt": "x", "seed": "y"}',
        "deep": b"[" * 9999}
    for name, text in strange.items():
        paint(tmp_path, name, text=text)
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IEND"))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / ".half.png.1.part").write_bytes(b"x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    link(tmp_path / "nowhere.png", tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    pipe(tmp_path / "pipe.png")
    (tmp_path / "sources").mkdir()
    paint(tmp_path / "sources", "input")
    history = opened(tmp_path)
    view = look(history)
    assert names(view.entries) == ["good"] and view.note == "text.png cannot be read" and not view.problem
    (tmp_path / "more.png").write_bytes(b"")
    assert look(history).note == "2 files cannot be read"


def test_a_file_that_cannot_be_read_now_is_tried_again(tmp_path, opened, monkeypatch):
    paint(tmp_path, "a"), paint(tmp_path, "b")
    history, broken = opened(tmp_path), [True]

    def read(path):
        if broken and path.endswith("a.png"):
            raise OSError(5, "Input/output error", path)
        return read_head(path)

    monkeypatch.setattr(module, "read_head", read)
    view = look(history)
    assert names(view.entries) == ["b"] and view.note == "a.png cannot be read"
    broken.clear()
    view = look(history)
    assert names(view.entries) == ["b", "a"] and not view.note


def test_a_cut_short_picture_is_still_found(tmp_path, opened):
    path = paint(tmp_path, "cut", pixels=1000)
    path.write_bytes(path.read_bytes()[:-600])
    assert names(look(opened(tmp_path)).entries) == ["cut"]


def test_texts_of_absurd_length_cost_nothing(tmp_path, opened):
    paint(tmp_path, "long", prompt="word " * 10_000)
    path = paint(tmp_path, "claims")
    data = path.read_bytes()
    path.write_bytes(data[:33] + struct.pack(">I", 2**31 - 1) + b"iTXt" + data[33:])
    view = look(opened(tmp_path))
    assert names(view.entries) == ["long"] and len(view.entries[0].prompt) == MAX_PROMPT


def test_a_favourite_is_a_file_and_both_blenders_see_it(tmp_path, opened):
    paint(tmp_path, "a")
    one, other = opened(tmp_path), opened(tmp_path)
    look(one), look(other)
    one.set_favourite(["a.png"], True).result(30)
    assert (tmp_path / FAVOURITES / "a.png").read_bytes() == b"" and one.view.entries[0].favourite
    assert look(other).entries[0].favourite
    other.set_favourite(["a.png"], False).result(30)
    other.set_favourite(["a.png"], False).result(30)
    assert not look(one).entries[0].favourite and not os.listdir(tmp_path / FAVOURITES)


def test_trash_and_restore(tmp_path, opened):
    paint(tmp_path, "a", 1000), paint(tmp_path, "b", 2000)
    data = (tmp_path / "a.png").read_bytes()
    history = opened(tmp_path)
    look(history)
    history.set_favourite(["a.png"], True).result(30)
    assert history.to_trash(["a.png"]).result(30) == ["a.png"]
    view = history.view
    assert names(view.entries) == ["b"] and names(view.trash) == ["a"] and view.trash_bytes == len(data)
    (binned,) = view.trash
    assert binned.trashed and binned.path == str(tmp_path / TRASH / "a.png") and Path(binned.path).read_bytes() == data
    assert look(opened(tmp_path)).trash == view.trash, "the next Blender finds it too"
    assert history.restore(["a.png"]).result(30) == ["a.png"]
    assert names(history.view.entries) == ["b", "a"] and history.view.entries[1].favourite and not history.view.trash
    assert (tmp_path / "a.png").read_bytes() == data and look(history).entries == look(opened(tmp_path)).entries


def test_nothing_in_the_trash_is_replaced(tmp_path, opened):
    history = opened(tmp_path)
    for content in ("first", "second"):
        paint(tmp_path, "a", prompt=content)
        look(history)
        history.to_trash(["a.png"]).result(30)
    assert sorted(one.prompt for one in history.view.trash) == ["first", "second"]
    paint(tmp_path, "a", prompt="third")
    history.restore(["a.png", "a-2.png"]).result(30)
    assert sorted(one.prompt for one in look(history).entries) == ["first", "second", "third"]


def test_emptying_is_for_good_and_only_the_trash(tmp_path, opened):
    paint(tmp_path, "a"), paint(tmp_path, "b")
    history = opened(tmp_path)
    look(history)
    history.set_favourite(["a.png", "b.png"], True).result(30)
    history.to_trash(["a.png"]).result(30)
    size = history.view.trash_bytes
    assert history.empty_trash().result(30) == size > 0
    assert names(history.view.entries) == ["b"] and not history.view.trash and not os.listdir(tmp_path / TRASH)
    assert os.listdir(tmp_path / FAVOURITES) == ["b.png"]
    assert history.empty_trash().result(30) == 0


def test_two_blenders_throw_away_the_same_picture(tmp_path, opened):
    for number in range(30):
        paint(tmp_path, f"p{number}")
    one, other = opened(tmp_path), opened(tmp_path)
    look(one), look(other)
    all_names = [f"p{number}.png" for number in range(30)]
    both = [one.to_trash(all_names), other.to_trash(all_names[::-1])]
    # Where both try at once, the one that moves a picture may have found its name taken by the other.
    moved = [re.sub(r"-\d+\.", ".", name) for future in both for name in future.result(30)]
    assert set(moved) == set(all_names)
    # Windows renames an opened file, which is still the same one where the other has just renamed it.
    assert os.name == "nt" or len(moved) == len(all_names), "each was moved once, by one of them"
    assert len(look(one).trash) == len(look(other).trash) == 30 and not one.view.entries + other.view.entries


def test_no_name_leads_out_of_the_folder(tmp_path, opened):
    inside = tmp_path / "inside"
    inside.mkdir()
    outside = paint(tmp_path, "outside")
    history = opened(inside)
    assert history.to_trash([str(outside), "../outside.png"]).result(30) == []
    history.set_favourite(["../../outside.png"], True).result(30)
    assert outside.exists() and os.listdir(inside / FAVOURITES) == ["outside.png"]


def test_a_drive_that_goes_and_comes_back(tmp_path, opened):
    drive = tmp_path / "drive"
    drive.mkdir()
    paint(drive, "a")
    history = opened(drive)
    assert names(look(history).entries) == ["a"]
    drive.rename(tmp_path / "unplugged")
    view = look(history)
    assert not view.entries and view.problem == f"The output folder is not there: {drive}"
    assert look(history).serial == view.serial, "reported once"
    with pytest.raises(OutputUnwritable, match="not there"):
        history.set_favourite(["a.png"], True).result(30)
    assert history.to_trash(["a.png"
                             ]).exception(30) is not None and not drive.exists(), "nothing is made where the drive was"
    (tmp_path / "unplugged").rename(drive)
    view = look(history)
    assert names(view.entries) == ["a"] and not view.problem


def test_the_addons_own_folder_may_not_exist_yet(tmp_path, opened):
    view = look(opened(tmp_path / "later", optional=True))
    assert view.ready and not view.problem and not view.entries


def test_a_file_in_the_trashs_place_refuses_in_words(tmp_path, opened):
    paint(tmp_path, "a")
    (tmp_path / TRASH).write_text("mine")
    history = opened(tmp_path)
    assert history.to_trash(["a.png"]).exception(30).hint and (tmp_path / "a.png").exists()
    (tmp_path / FAVOURITES).write_text("mine")
    assert history.set_favourite(["a.png"], True).exception(30).hint
    assert (tmp_path / TRASH).read_text() == (tmp_path / FAVOURITES).read_text() == "mine"


def test_a_file_that_another_program_holds(tmp_path, opened, monkeypatch):
    """As Windows refuses it; what could be moved was moved, and all is where the view says."""
    for name in "abc":
        paint(tmp_path, name)
    history, rename = opened(tmp_path), module.files.move_new
    look(history)

    def held(start, end):
        if start.endswith("b.png"):
            raise PermissionError(13, "in use", start)
        rename(start, end)

    monkeypatch.setattr(module.files, "move_new", held)
    with pytest.raises(OutputUnwritable, match=r"b\.png"):
        history.to_trash(["a.png", "b.png", "c.png"]).result(30)
    assert sorted(names(history.view.entries)) == ["b", "c"] and names(history.view.trash) == ["a"]


def test_an_order_does_not_wait_for_a_long_first_look(tmp_path, opened, monkeypatch):
    for number in range(50):
        paint(tmp_path, f"p{number:02}", 1000 + number)
    history, orders = opened(tmp_path), []

    def slow(path):
        if len(orders) < 1 and path.endswith("p45.png"):
            orders.append(history.to_trash(["p49.png"]))
        return read_head(path)

    monkeypatch.setattr(module, "read_head", slow)
    first = history.refresh().result(30)
    assert not first.ready and len(first.entries) == 5
    assert orders[0].result(30) == ["p49.png"]
    view = look(history)
    assert view.ready and len(view.entries) == 49 and names(view.trash) == ["p49"]


def test_the_budget_takes_the_oldest_and_never_a_favourite(tmp_path, opened):
    for number in range(5):
        paint(tmp_path, f"p{number}", 1000 + number, pixels=1000)
    history = opened(tmp_path)
    size = look(history).entries[0].bytes
    history.set_favourite(["p0.png"], True).result(30)
    entries = history.view.entries
    assert names(over_budget(entries, 3 * size)) == ["p1", "p2"] and names(over_budget(entries, 3 * size - 1)) == [
        "p1", "p2", "p3"]
    assert over_budget(entries, 5 * size) == [] == over_budget(entries, 0)
    assert names(over_budget(entries, 1)) == ["p1", "p2", "p3", "p4"]
