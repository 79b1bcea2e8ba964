"""The panel History on real results: thumbnails' page, use, recall, same seed, trash, budget, compare on a material;
and scripts' calls."""
from __future__ import annotations

import os
import sys

import bpy
import pytest

import blender_sd as sd
from blender_sd import scene
from blender_sd.calls.runtime import runtime
from blender_sd.addon import file_manager, history, preference_access, tick
from blender_sd.core.errors import InvalidRequest, SourceUnusable
from tests.support.addon import cube, drain, state
from tests.support.history import folder, prompts, put, settle  # noqa: F401  (a fixture)


def test_nothing_is_looked_for_before_the_panel_is_seen(addon):
    tick.tick()
    assert runtime.known_history is None and history.shown() == history.Shown() and not history.busy()


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
    assert (shown.total, shown.first, len(shown.entries), shown.entries[0].prompt) == (30, 0, history.PAGE, "wall 29")
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


def test_what_is_gone_is_named_and_changes_nothing(folder, addon):
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
    assert prompts(shown) == ["a"] and not shown.trash_count and not shown.undo and not list(
        (folder / ".trash").iterdir())


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
    sd.configure(history_gb=2.5 * size / 1e9)
    shown = settle()
    assert shown.over == (2, 2 * size) and shown.count == 4, "nothing goes by itself"
    assert bpy.ops.sd.history_tidy() == {"FINISHED"}
    shown = settle()
    assert prompts(shown) == ["p3", "p0"] and shown.undo == ("p1.png", "p2.png") and shown.over == (0, 0)
    bpy.ops.sd.history_restore()
    assert settle().count == 4


def test_the_budget_is_a_preference(addon):
    entry = bpy.context.preferences.addons.new()
    entry.module = preference_access.PACKAGE
    try:
        entry.preferences.history_gb = 2.5
        assert runtime.config.history_gb == 2.5
    finally:
        bpy.context.preferences.addons.remove(entry)


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
    sd.configure(output=str(folder / "unplugged"))
    with pytest.raises(SourceUnusable, match="not there"):
        sd.history()


def test_another_folder_another_history(folder, addon, tmp_path):
    put(folder, "first")
    assert prompts(settle()) == ["first"]
    other = tmp_path / "other"
    other.mkdir()
    put(other, "second")
    thread = runtime.known_history._thread
    sd.configure(output=str(other))
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


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_show_in_folder_passes_names_through_no_shell(platform, tmp_path):
    path = str(tmp_path / "a, b; $(touch x).png")
    commands = file_manager.commands(path, platform)
    assert all(isinstance(part, str) for command in commands for part in command)
    assert all("a, b" in command[-1] or "%2C" in command[-2] or command == ["xdg-open", str(tmp_path)]
               for command in commands)


def test_explorer_gets_quotes_around_the_path_alone(monkeypatch):
    monkeypatch.setenv("SYSTEMROOT", r"C:\Windows")
    for path in (r"C:\Users\Ana María\a, b & c.png", "C:/Users/Ana María/a, b & c.png"):
        assert file_manager.commands(path, "win32") == [
            r'"C:\Windows\explorer.exe" /select,"C:\Users\Ana María\a, b & c.png"']


def test_show_in_folder_runs_the_next_where_one_is_missing(folder, addon, monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    monkeypatch.setattr(
        file_manager, "commands", lambda path: [["no-such-program"], [sys.executable, "-c", "raise SystemExit(1)"],
                                                [sys.executable, "-c", f"open({str(seen)!r}, 'w').write({path!r})"]])
    path = put(folder, "moss")
    file_manager.show(path).join(60)
    assert seen.read_text() == path
    settle()
    assert bpy.ops.sd.history_show_file(name="moss.png") == {"FINISHED"}
