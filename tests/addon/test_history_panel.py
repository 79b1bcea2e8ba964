"""What the panel History draws, and what its buttons do with the pictures that are shown."""
from __future__ import annotations

import builtins
import os
from types import SimpleNamespace

import bpy

from blender_sd.addon import history
from blender_sd.addon.panels import history as panels
import blender_sd as sd
from tests.support.addon import drain, state
from tests.support.history import folder, put, settle  # noqa: F401  (a fixture)


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
        self.words.append(
            f"[{text if text is not None else getattr(getattr(bpy.ops, room), call).get_rna_type().name}]")
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
    assert "[wall 13]" in drawn and "1–12 of 14" in drawn and "Pictures: 14" in drawn and "odd.png cannot be read" in drawn  # noqa: E501
    bpy.ops.sd.history_select(name="wall 13.png")
    assert all(f"[{words}]" in draw_panel(monkeypatch)
               for words in ("Show", "Slot", "Object", "Recall Settings", "Same Seed", "Compare"))
    sd.configure(history_gb=1e-6)
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


def test_the_latest_results_are_those_of_this_session(folder, addon):
    put(folder, "of another day", 1e12)  # the newest of all
    addon.prompt, addon.count = "brick", 6
    bpy.ops.sd.generate()
    drain()
    shown = settle()
    assert [one.prompt for one in shown.latest] == ["brick"] * history.LATEST and shown.chosen == shown.latest[0]
    history.state().search = "nothing like it"
    assert not history.shown().entries
    oldest = shown.latest[-1]
    bpy.ops.sd.history_select(name=oldest.name)
    assert history.shown().chosen == oldest
    addon.prompt = ""
    bpy.ops.sd.history_recall(name=oldest.name)
    assert (addon.prompt, addon.seed) == ("brick", oldest.seed)
    bpy.ops.sd.clear_jobs()
    assert settle().latest == shown.latest, "the queue is another matter"
    addon.count = 1
    bpy.ops.sd.generate()
    drain()
    assert settle().chosen == history.shown().latest[0] and history.shown().latest[1] == shown.latest[0]
    bpy.ops.sd.history_trash(name=history.shown().chosen.name)
    assert settle().latest == shown.latest


def test_vary_paints_the_same_with_other_noise(folder, addon, pipeline):
    put(folder, "moss", seed=5, guidance=2.5)
    settle()
    addon.prompt = "mine"
    bpy.ops.sd.history_vary(name="moss.png")
    drain()
    first, = pipeline.orders
    assert (first.request.prompt, first.request.seed, first.request.guidance) == ("moss", 5,
                                                                                  2.5) and addon.prompt == "mine"
    assert first.request.variation_strength > 0 and state().outcome == "Moss is the base color of Cube"
    addon.variation_strength = 0.5
    bpy.ops.sd.history_vary(name="moss.png")
    drain()
    second = pipeline.orders[-1].request
    assert second.variation_strength == 0.5 and second.variation_seed != first.request.variation_seed


def test_a_thumbnail_that_is_clicked_is_selected(folder, addon):
    for name, at in (("a", 1), ("b", 2)):
        put(folder, name, at)
    entry = settle().entries[1]
    handle = history.handle_of(entry)
    assert handle.bl_rna.properties["picture"].description and handle.picture == "a.png"
    handle.picture = "a.png"
    assert history.shown().selected == entry
    assert not [image for image in bpy.data.images if image.name.startswith("a")], "nobody looks at it without a window"
    assert [handle.name for handle in history.state().pictures if handle.picture == ""] == [
        *map(str, range(2, history.PAGE)), *(f"+{number}" for number in range(history.LATEST))]
