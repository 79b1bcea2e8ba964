"""Where the add-on is found beside its tab: pie and popover by their keys, F3, the Properties tabs, the Shader Editor's
menus; and a prompt written in a text block."""
from __future__ import annotations

import sys

import pytest
from tests.support.window.harness import BlenderWindow
from tests.support.window.reading import find

ENGINE_START = 180  # seconds; torch on a busy machine
EDIT = 48  # pixels from the sidebar's right edge to the button beside the prompt


@pytest.fixture(scope="module")
def window(blender: BlenderWindow) -> BlenderWindow:
    """Blender as it starts, with an engine and a prompt."""
    blender.run_script(f"""
from bl_ext.user_default import blender_sd as sd
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.threads = {sys.executable!r}, 1
settings.width = settings.height = 64
settings.steps = 2
bpy.context.scene.render.engine = "BLENDER_WORKBENCH"
""")
    return blender


def _screen(window: BlenderWindow) -> tuple[int, int, int, int]:
    return 0, 0, window.screen.width, window.screen.height


def _view(window: BlenderWindow, kind: str = "VIEW_3D") -> tuple[int, int, int, int]:
    return tuple(window.area(kind)["regions"]["WINDOW"])


def _clean(window: BlenderWindow) -> None:
    assert "Traceback" not in window.log.read_text(encoding="utf-8", errors="replace")


def test_the_pie_opens_the_popover_and_a_prompt_is_painted(window):
    view = _view(window)
    window.key("ctrl+shift+i", over=view)
    window.find_text("Restyle View", within=view)
    window.screenshot("pie")
    window.click_text("Prompt", within=view)
    window.find_text("Render Strength", within=view)
    window.click_text("Describe the texture", within=view)
    window.type_text("old brick wall")
    window.key("Return")
    window.wait_for("bpy.context.scene.sd.prompt == 'old brick wall'", 5)
    window.screenshot("popover")
    window.click_text("Generate", within=view)
    window.wait_for("len(sd.jobs()) == 1 and sd.jobs()[-1].done", ENGINE_START)
    assert window.run_script("result = sd.jobs()[-1].state") == "finished"
    window.screen.move(view[0] + 20, view[3] - 20)  # away from it: it closes
    _clean(window)


def test_the_popover_has_a_key_of_its_own(window):
    view = _view(window)
    window.key("ctrl+shift+alt+i", over=view)
    window.find_text("Texture Strength", within=view)
    window.key("Escape")
    window.wait_for(lambda: not window.shows("Texture Strength", within=view, timeout=0), 10, "the popover to go")
    listed = window.run_script("""
import sys
keymap, mine = sys.modules["bl_ext.user_default.blender_sd.addon.keymap"], bpy.context.window_manager.keyconfigs.user
result = [sum(keymap._same(one, item) for one in mine.keymaps[place.name].keymap_items) for place, item in keymap._items]
""")  # noqa: E501
    assert len(listed) >= 7 and set(listed) == {1}, "the preferences list each key once"


@pytest.mark.parametrize(("typed", "found"), [
    ("restyle", "Restyle 3D View"), ("texture", "Generate Texture onto Object"), ("seamless", "Make Seamless"),
    ("come from", "Where Did This Come From"), ("purge", "Purge Replaced Images")])
def test_f3_finds_it(window, typed, found):
    view = _view(window)
    window.key("F3", over=view)
    window.type_text(typed)
    window.find_text(found, within=_screen(window))
    window.screenshot(f"f3-{typed.split()[0]}")
    # which stands in the field
    listed = [word for word in find(window.words(_screen(window)), found) if word.text.lower() != typed]
    window.key("Escape")
    window.key("Escape")
    assert len(listed) <= 1, "it is listed once"


def test_the_properties_tabs(window):
    window.become("PROPERTIES", was="VIEW_3D")
    for tab, header, label in (("RENDER", "Restyle", "Strength"), ("MATERIAL", "Texture", "Generate Base Color")):
        window.run_script(f"""
space = max((a for a in bpy.context.window.screen.areas if a.type == "PROPERTIES"), key=lambda a: a.width * a.height).spaces.active
space.context = {tab!r}
""")  # noqa: E501
        box = _view(window, "PROPERTIES")
        # a long tab: ours is below the window's edge until the others are shut
        if not window.shows(f"Stable Diffusion: {header}", box):
            window.open_only("Preview", box)
        window.open_only(f"Stable Diffusion: {header}", box)
        window.find_text(label, within=box)
        window.screenshot(f"properties-{tab.lower()}")
    window.click_text("Generate Base Color", within=_view(window, "PROPERTIES"))
    window.wait_for("len(sd.jobs()) == 2 and sd.jobs()[-1].done", ENGINE_START)
    window.find_text("Retexture Slot", within=_view(window, "PROPERTIES"))  # there is a slot now
    window.screenshot("properties-slot")
    window.become("VIEW_3D", was="PROPERTIES")
    _clean(window)


def test_a_node_is_added_and_painted_from_the_menu(window):
    window.become("ShaderNodeTree")
    nodes = window.run_script("tree = bpy.context.object.active_material.node_tree\nresult = len(tree.nodes)")
    view = _view(window, "ShaderNodeTree")
    window.key("shift+a", over=view)
    window.find_text("Image from Prompt", within=_screen(window))
    window.screenshot("node-add")
    window.click_text("Image from Prompt", within=_screen(window))
    window.wait_for("len(sd.jobs()) == 3 and sd.jobs()[-1].done", ENGINE_START)
    count, painted = window.run_script(
        "result = [len(tree.nodes), tree.nodes.active.image == sd.jobs()[-1].outputs[0]]")
    assert count == nodes + 1 and painted
    window.screenshot("node-painted")
    window.become("VIEW_3D", was="ShaderNodeTree")
    _clean(window)


def test_a_prompt_is_written_in_a_text_block(window):
    window.become("TEXT_EDITOR", was="PROPERTIES")
    window.open_tab("SD")
    window.click(window.sidebar()[2] - EDIT, window.find_text("old brick wall").centre[1])
    window.wait_for("bpy.context.scene.sd.prompt_text is not None", 10)
    window.find_text("old brick wall", within=_view(window, "TEXT_EDITOR"))
    area = _view(window, "TEXT_EDITOR")
    window.click((area[0] + area[2]) // 2, (area[1] + area[3]) // 2)
    window.key("ctrl+End")
    window.key("Return")
    window.type_text("covered by wet moss and small ferns, morning light")
    window.wait_for("settings.words() == 'old brick wall covered by wet moss and small ferns, morning light'", 10)
    window.screen.move(*window.find_text("Generate").centre)
    window.find_text("small ferns", window.sidebar())  # the panel shows it wrapped
    window.screenshot("prompt-text")
    row = window.find_text("Edit", window.sidebar()).centre[1]
    window.click(window.sidebar()[2] - EDIT, row)
    window.wait_for("settings.prompt_text is None and settings.prompt.endswith('ferns, morning light')", 10)
    window.screenshot("prompt-field")
    _clean(window)


def test_without_a_text_editor_a_window_opens(window):
    window.become("PROPERTIES", was="TEXT_EDITOR")
    window.run_script("settings.prompt = 'old brick wall'\nfor area in bpy.context.screen.areas: area.tag_redraw()")
    left, top, right, _ = window.sidebar()
    window.click(right - EDIT, window.find_text("old brick wall", (left, top, right, top + 200)).centre[1])
    window.wait_for("len(bpy.context.window_manager.windows) == 2", 10)
    shown = window.run_script("""
space = bpy.context.window_manager.windows[1].screen.areas[0].spaces.active
result = [space.type, space.text == bpy.context.scene.sd.prompt_text, space.show_word_wrap]
""")
    assert shown == ["TEXT_EDITOR", True, True]
    window.find_text("old brick wall", within=_screen(window))
    window.screenshot("prompt-window")
    _clean(window)
