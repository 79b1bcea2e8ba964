"""The panel History on real results: thumbnails' page, use, recall, same seed, trash, budget, compare on a material; and scripts' calls."""
from __future__ import annotations

import builtins
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from addon_helpers import cube, drain, state
from fake_pipeline import write_png

import blender_sd as sd
from blender_sd import api, config, past, scene
from blender_sd.addon import file_manager, history, preferences, tick
from blender_sd.addon.panels import history as panels
from blender_sd.protocol.errors import InvalidRequest, SourceUnusable
from blender_sd.protocol.request import Request


@pytest.fixture
def folder(addon) -> Path:
    """The output folder, with the panel in view."""
    history.want()
    return Path(api.output_folder())


def put(folder: Path, name: str, at: float = 1000.0, **settings) -> str:
    path = str(folder / f"{name}.png")
    write_png(path, Request(**{"prompt": name, "width": 16, "height": 16, "steps": 4, **settings}))
    os.utime(path, (at, at))
    return path


def settle() -> history.Shown:
    """Ticks until the history has nothing more to do; what is shown then."""
    past.the_history().refresh().result(30)
    while history.busy():
        threading.Event().wait(0.005)
        tick.tick()
    tick.tick()
    return history.shown()


def prompts(shown) -> list[str]:
    return [one.prompt for one in shown.entries]


def test_nothing_is_looked_for_before_the_panel_is_seen(addon):
    tick.tick()
    assert past._history is None and history.shown() == history.Shown() and not history.busy()


def test_results_appear_by_themselves_and_outlive_the_file(folder, addon, pipeline):
    put(folder, "of another day", 1000)
    assert prompts(settle()) == ["of another day"]
    addon.prompt, addon.count = "brick", 2
    bpy.ops.sd.generate()
    drain()
    tick.tick()  # which hears of the finished job
    assert history.busy() or history.shown().count == 3
    shown = settle()
    assert prompts(shown) == ["brick", "brick", "of another day"] and len(shown.icons) == 3 and shown.ready
    bpy.ops.wm.read_factory_settings()
    assert prompts(settle()) == ["brick", "brick", "of another day"]


def test_pages_search_and_favourites(folder, addon):
    for number in range(30):
        put(folder, f"wall {number:02}", 1000 + number)
    shown, panel = settle(), history.state()
    assert (shown.found, shown.first, len(shown.entries), shown.entries[0].prompt) == (30, 0, history.PAGE, "wall 29")
    bpy.ops.sd.history_page(pages=2)
    bpy.ops.sd.history_page(pages=9)
    shown = history.shown()
    assert (shown.first, len(shown.entries), shown.entries[-1].prompt) == (24, 6, "wall 00")
    assert len(history._previews) == 6, "only the page's thumbnails are in memory"
    panel.search = "WALL 07"
    assert prompts(history.shown()) == ["wall 07"] and panel.page == 0
    name = history.shown().entries[0].name
    assert bpy.ops.sd.history_favourite(name=name) == {"FINISHED"}
    settle()
    panel.search, panel.show = "", "FAVOURITES"
    assert prompts(history.shown()) == ["wall 07"] and (folder / ".favourites" / name).exists()
    bpy.ops.sd.history_favourite(name=name)
    settle()
    assert not history.shown().entries
    panel.show = "ALL"


def test_recall_and_same_seed(folder, addon):
    put(folder, "moss", seed=41, steps=7, negative="rust")
    settle()
    assert not any("sd.blend" in path for path in os.listdir(folder))
    with pytest.raises(RuntimeError, match="No picture of the history is selected"):
        bpy.ops.sd.history_recall()
    bpy.ops.sd.history_select(name="moss.png")
    addon.prompt, addon.random_seed, addon.steps = "kept", True, 3
    bpy.ops.sd.history_recall(only_seed=True)
    assert (addon.seed, addon.random_seed, addon.prompt, addon.steps) == (41, False, "kept", 3)
    addon.random_seed = True
    bpy.ops.sd.history_recall()
    assert (addon.seed, addon.random_seed, addon.prompt, addon.steps, addon.negative) == (41, False, "moss", 7, "rust")


def test_use_puts_it_where_it_is_wanted_and_loads_it_once(folder, addon):
    path = put(folder, "moss")
    settle()
    bpy.ops.sd.history_select(name="moss.png")
    assert bpy.ops.sd.history_use(into="MATERIAL") == {"FINISHED"}
    material = cube().active_material
    (node,) = [node for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]
    image = node.image
    assert image.packed_file and sd.recall(image).prompt == "moss" and bpy.path.abspath(image.filepath) == path
    bpy.ops.sd.history_use(into="EDITOR")
    other = bpy.data.images.new("other", 8, 8)
    node.image, material.node_tree.nodes.active = other, node
    bpy.ops.sd.history_use(into="SLOT")
    assert node.image == image and len([one for one in bpy.data.images if scene.images.REQUEST_PROPERTY in one]) == 1
    image.pixels[0] = 0.25
    image.update()
    assert image.is_dirty
    bpy.ops.sd.history_use(into="SLOT")
    assert node.image != image, "what was painted on is another picture"


def test_what_is_gone_is_said_and_changes_nothing(folder, addon):
    path = put(folder, "moss")
    settle()
    bpy.ops.sd.history_select(name="moss.png")
    os.rename(path, path + ".away")
    addon.prompt = "kept"
    for call in (lambda: bpy.ops.sd.history_use(into="MATERIAL"), lambda: bpy.ops.sd.history_recall()):
        with pytest.raises(RuntimeError):
            call()
    assert state().error and addon.prompt == "kept" and "moss" not in bpy.data.images
    assert settle().selected is None and not bpy.ops.sd.compare.poll()
    with pytest.raises(SourceUnusable, match="gone"):
        sd.open_picture(path)
    put(folder, "stranger")
    (folder / "stranger.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InvalidRequest):
        sd.open_picture(folder / "stranger.png")


def test_trash_undo_and_empty(folder, addon):
    for name, at in (("a", 1), ("b", 2)):
        put(folder, name, at)
    settle()
    bpy.ops.sd.history_select(name="a.png")
    assert not bpy.ops.sd.history_empty_trash.poll() and not bpy.ops.sd.history_restore.poll()
    bpy.ops.sd.history_trash()
    shown = settle()
    assert (prompts(shown), shown.trash_count, shown.undo, shown.selected) == (["b"], 1, ("a.png",), None)
    bpy.ops.sd.history_restore()
    shown = settle()
    assert prompts(shown) == ["b", "a"] and not shown.undo and (folder / "a.png").exists()
    bpy.ops.sd.history_trash(name="b.png")
    settle()
    history.state().show = "TRASH"
    assert prompts(history.shown()) == ["b"]
    bpy.ops.sd.history_select(name="b.png")
    with pytest.raises(RuntimeError, match="in the trash already"):
        bpy.ops.sd.history_trash()
    bpy.ops.sd.history_restore()
    settle()
    history.state().show = "ALL"
    bpy.ops.sd.history_trash(name="b.png")
    settle()
    bpy.ops.sd.history_empty_trash()
    shown = settle()
    assert prompts(shown) == ["a"] and not shown.trash_count and not shown.undo and not list((folder / ".trash").iterdir())


def test_an_error_of_the_disk_is_shown_in_the_panel(folder, addon):
    put(folder, "a")
    (folder / ".trash").write_text("in the way")
    settle()
    bpy.ops.sd.history_trash(name="a.png")
    assert prompts(settle()) == ["a"] and "cannot be changed" in state().error and state().hint


def test_the_budget_moves_only_what_the_person_lets_go(folder, addon):
    paths = [put(folder, f"p{number}", 1000 + number) for number in range(4)]
    size = os.path.getsize(paths[0])
    settle()
    bpy.ops.sd.history_favourite(name="p0.png")
    settle()
    assert not bpy.ops.sd.history_tidy.poll()
    api.configure(history_gb=2.5 * size / 1e9)
    shown = settle()
    assert shown.over == (2, 2 * size) and shown.count == 4, "nothing goes by itself"
    assert bpy.ops.sd.history_tidy() == {"FINISHED"}
    shown = settle()
    assert prompts(shown) == ["p3", "p0"] and shown.undo == ("p1.png", "p2.png") and shown.over == (0, 0)
    bpy.ops.sd.history_restore()
    assert settle().count == 4


def test_the_budget_is_a_preference(addon):
    entry = bpy.context.preferences.addons.new()
    entry.module = preferences.PACKAGE
    try:
        entry.preferences.history_gb = 2.5
        assert config.current.history_gb == 2.5
    finally:
        bpy.context.preferences.addons.remove(entry)


def test_compare_on_the_material(folder, addon):
    put(folder, "b")
    old = bpy.data.images.new("old", 16, 16)
    old.use_fake_user = True
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, cube().active_material.node_tree.nodes.active = old, node
    settle()
    bpy.ops.sd.history_select(name="b.png")
    assert bpy.ops.sd.compare() == {"FINISHED"}
    settle()
    assert sd.recall(node.image).prompt == "b" and not bpy.ops.sd.compare.poll()
    bpy.ops.sd.compare_toggle()
    settle()
    assert node.image == old
    assert not bpy.ops.sd.compare_wipe.poll()
    images = len(bpy.data.images) - 1
    bpy.ops.sd.compare_show(side="B")
    settle()
    bpy.ops.sd.compare_end()
    settle()
    assert node.image == old and old.use_fake_user and len(bpy.data.images) == images and not bpy.ops.sd.compare_end.poll()
    bpy.ops.sd.compare()
    settle()
    bpy.ops.sd.compare_toggle()
    settle()
    bpy.ops.sd.compare_end(keep=True)
    assert sd.recall(node.image).prompt == "b" and old.use_fake_user, "the former picture stays in the file"


def test_back_takes_out_what_was_loaded_for_it_alone(folder, addon):
    put(folder, "b")
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, cube().active_material.node_tree.nodes.active = bpy.data.images.new("old", 16, 16), node
    settle()
    bpy.ops.sd.history_select(name="b.png")
    bpy.ops.sd.compare()
    settle()
    bpy.ops.sd.compare_end()
    assert [image.name for image in bpy.data.images if image.type not in scene.images.RENDERED] == ["old"]


def test_a_comparison_whose_picture_is_gone_ends_in_words(folder, addon):
    put(folder, "b")
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, cube().active_material.node_tree.nodes.active = bpy.data.images.new("old", 16, 16), node
    settle()
    bpy.ops.sd.history_select(name="b.png")
    bpy.ops.sd.compare()
    settle()
    bpy.data.images.remove(node.image)
    with pytest.raises(RuntimeError, match="no longer in this file"):
        bpy.ops.sd.compare_toggle()
    settle()
    assert history.shown().comparison is None
    with pytest.raises(RuntimeError, match="slot is empty"):
        bpy.ops.sd.compare()
    assert "b" not in bpy.data.images, "nothing is loaded where there is nothing to compare with"


def test_scripts_find_mark_and_throw_away(folder, addon):
    for number in range(3):
        put(folder, f"wall {number}", 1000 + number, seed=number)
    assert [one.prompt for one in sd.history("wall", limit=2)] == ["wall 2", "wall 1"]
    (one,) = sd.history("seed:1")
    sd.favourite(one)
    assert [one.name for one in sd.history(favourites=True)] == ["wall 1.png"]
    sd.favourite(one, False)
    assert not sd.history(favourites=True)
    (binned,) = sd.trash(one)
    assert binned.trashed and [binned] == sd.history(trashed=True) and len(sd.history()) == 2
    assert sd.open_picture(binned.path).size[:] == (16, 16)
    (back,) = sd.restore(binned)
    assert back == one and sd.trash("no such.png") == []
    sd.trash(*sd.history())
    assert sd.empty_trash() > 0 and not sd.history() and not sd.history(trashed=True)
    api.configure(output=str(folder / "unplugged"))
    with pytest.raises(SourceUnusable, match="not there"):
        sd.history()


def test_another_folder_another_history(folder, addon, tmp_path):
    put(folder, "first")
    assert prompts(settle()) == ["first"]
    other = tmp_path / "other"
    other.mkdir()
    put(other, "second")
    thread = past._history._thread
    api.configure(output=str(other))
    assert prompts(settle()) == ["second"] and not thread.is_alive()
    other.rename(tmp_path / "unplugged")
    shown = settle()
    assert not shown.entries and str(other) in shown.problem
    (tmp_path / "unplugged").rename(other)
    assert prompts(settle()) == ["second"]


def test_prompts_of_the_history_are_not_saved_into_files(folder, addon, tmp_path):
    put(folder, "somebody elses secret")
    settle()
    bpy.ops.sd.history_select(name="somebody elses secret.png")
    assert settle().selected
    file = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file), compress=False)
    assert b"elses secret" not in file.read_bytes()


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_show_in_folder_passes_names_through_no_shell(platform, tmp_path):
    path = str(tmp_path / "a, b; $(touch x).png")
    commands = file_manager.commands(path, platform)
    assert all(isinstance(part, str) for command in commands for part in command)
    assert all("a, b" in command[-1] or "%2C" in command[-2] or command == ["xdg-open", str(tmp_path)] for command in commands)


def test_show_in_folder_runs_the_next_where_one_is_missing(folder, addon, monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    monkeypatch.setattr(file_manager, "commands", lambda path: [["no-such-program"], [sys.executable, "-c", "raise SystemExit(1)"], [
        sys.executable, "-c", f"open({str(seen)!r}, 'w').write({path!r})"]])
    path = put(folder, "moss")
    file_manager.show(path).join(60)
    assert seen.read_text() == path
    settle()
    assert bpy.ops.sd.history_show_file(name="moss.png") == {"FINISHED"}


class Layout:
    """Takes what a panel draws and keeps the words; operators' settings are set on their true properties."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def __getattr__(self, name):
        def draw(*_args, text=None, icon="NONE", **_settings):
            assert icon == "NONE" or icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
            self.words.append(text or "")
            return Layout(self.words)
        return draw

    def prop(self, data, name, **settings):
        assert name in data.bl_rna.properties and settings.get("icon", "NONE") != ""
        self.words.append(settings.get("text", name))

    def operator(self, name, text=None, **_settings):
        room, call = name.split(".")
        self.words.append(f"[{text if text is not None else getattr(getattr(bpy.ops, room), call).get_rna_type().name}]")
        return SimpleNamespace()


def draw_panel(monkeypatch) -> str:
    """What the panel draws, on one line; with a disk that nobody may touch."""
    def never(*_args, **_settings):
        raise AssertionError("the disk was touched while drawing")

    words: list[str] = []
    looks = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0))  # it is 0 without a window
    context = SimpleNamespace(region=SimpleNamespace(width=420), preferences=looks, scene=bpy.context.scene)
    with monkeypatch.context() as patch:
        for owner, name in ((builtins, "open"), (os, "stat"), (os, "scandir"), (os, "listdir"), (os.path, "exists")):
            patch.setattr(owner, name, never)
        panel = type("Drawn", (panels.History,), {"layout": Layout(words)})
        panel.draw(panel(), context)
    return " ".join(filter(None, words))


def test_every_state_is_drawn_from_memory(folder, addon, monkeypatch):
    assert "Looking for pictures" in draw_panel(monkeypatch)
    assert "No pictures yet" in (settle() and draw_panel(monkeypatch))
    for number in range(14):
        put(folder, f"wall {number}", 1000 + number)
    (folder / "odd.png").write_text("no picture")
    settle()
    drawn = draw_panel(monkeypatch)
    assert "[wall 13]" in drawn and "1–12 of 14" in drawn and "14 pictures" in drawn and "odd.png cannot be read" in drawn
    bpy.ops.sd.history_select(name="wall 13.png")
    assert all(f"[{words}]" in draw_panel(monkeypatch) for words in ("Show", "Slot", "Object", "Recall Settings", "Same Seed", "Compare"))
    api.configure(history_gb=1e-6)
    bpy.ops.sd.history_trash()
    settle()
    drawn = draw_panel(monkeypatch)
    assert "Moved to trash [Undo]" in drawn and "[Move Oldest to Trash]" in drawn and "of 1e-06 GB" in drawn
    history.state().show = "TRASH"
    bpy.ops.sd.history_select(name="wall 13.png")
    drawn = draw_panel(monkeypatch)
    assert "[Restore]" in drawn and "[Empty Trash (" in drawn and " kB)]" in drawn and "[Recall Settings]" not in drawn
    history.state().search = "slate"
    assert "No picture has these words" in draw_panel(monkeypatch)
    folder.rename(folder.with_name("unplugged"))
    settle()
    assert "not there" in draw_panel(monkeypatch)
