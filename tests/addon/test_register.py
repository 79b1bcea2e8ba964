"""Enabling and disabling: nothing started, nothing left behind, every setting explained."""
from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator

import bpy

import blender_sd
import blender_sd as sd
from blender_sd.calls.runtime import runtime
from blender_sd.calls import models
from blender_sd.core.declarations import find
from blender_sd.addon import _CLASSES, menus, properties, tick
from tests.support.addon import state


def _traces() -> tuple:
    drawn = [getattr(bpy.types, name).draw for name, _ in menus._ENTRIES]
    menu_entries = [len(draw._draw_funcs) for draw in drawn if hasattr(draw, "_draw_funcs")]
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)]
    handlers = [len(handlers) for handlers in lists if isinstance(handlers, list)]
    addon_keys = [len(keymap.keymap_items) for keymap in bpy.context.window_manager.keyconfigs.addon.keymaps]
    classes = [name for name in dir(bpy.types) if name.startswith("SD_")]
    return (classes, hasattr(bpy.types.Scene, "sd"), hasattr(bpy.types.WindowManager, "sd"),
            sum(menu_entries), handlers, sum(addon_keys), bpy.app.timers.is_registered(tick.tick), dir(bpy.ops.sd))


def test_leaves_no_residue():
    bpy.ops.wm.read_factory_settings()
    blender_sd.register()
    blender_sd.unregister()  # makes the empty key map and menu lists that Blender keeps
    before = _traces()
    assert before[0] == [] and not before[1] and not before[2] and not before[6]
    for _ in range(2):
        blender_sd.register()
        assert _traces() != before
        assert bpy.app.timers.is_registered(tick.tick)
        blender_sd.unregister()
        assert _traces() == before


def test_enabling_starts_no_engine(addon, pipeline):
    tick.tick()
    assert sd.engine_status()[0] == "off" and pipeline.warmed == 0


def test_importing_the_addon_is_light():
    code = ("import bpy, os, sys, blender_sd; blender_sd.register(); "
            # see pytest_unconfigure
            "print(sorted({'torch', 'diffusers', 'PIL'} & set(sys.modules)), flush=True); os._exit(0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_settings_come_from_the_request(addon):
    shown = addon.bl_rna.properties
    for name in ("prompt", "negative", "width", "height", "steps", "guidance", "sampler", "seed", "count", "tiling"):
        assert shown[name].name == find(name).setting.label and shown[name].description == find(name).setting.tip
    assert (
        shown["steps"].hard_min == find("steps").setting.low and shown["steps"].hard_max == find("steps").setting.high
    )
    assert {item.identifier for item in shown["sampler"].enum_items} == set(find("sampler").setting.choices)
    assert {item.identifier for item in shown["tiling"].enum_items} == set(find("tiling").setting.choices)


def test_first_settings_suit_the_starter_model(addon):
    wanted = {"width": 64, "height": 64, "steps": 4, "guidance": 3.0, "sampler": "ddim", "count": 1}
    assert {name: properties._starter_default(find(name)) for name in wanted} == wanted


def test_choosing_a_model_takes_over_what_suits_it(addon, monkeypatch):
    other = dataclasses.replace(models.models()[0], id="/models/xl", name="XL", default_width=1024, default_height=768,
                                steps=9, sampler="lcm")
    monkeypatch.setattr(runtime.models, "_models", [*models.models(), other])
    properties.refresh_model_items()
    addon.model_choice = "/models/xl"
    assert (addon.model, addon.width, addon.height, addon.steps, addon.sampler) == ("/models/xl", 1024, 768, 9, "lcm")
    monkeypatch.setattr(runtime.models, "_models", [other])  # another order, another number: the choice stays
    properties.refresh_model_items()
    assert addon.model_choice == "/models/xl"


_WITH_PROPERTIES = (bpy.types.PropertyGroup, bpy.types.AddonPreferences, bpy.types.Operator)


def test_everything_explains_itself(addon):
    classes = [cls for cls in _CLASSES if issubclass(cls, _WITH_PROPERTIES)]
    assert len(classes) > 90 and [fault for cls in classes for fault in _unexplained(cls)] == []


def _unexplained(cls: type) -> Iterator[str]:
    """What of a class and its properties says nothing in its label or its tip."""
    for name in getattr(cls, "__annotations__", {}):
        prop = _rna(cls).properties[name]
        if not _worth_reading(prop.name, prop.description):
            yield f"{cls.__name__}.{name}: {prop.description!r}"
        # those of the families and models are names, not words of ours
        for item in getattr(prop, "enum_items_static", ()):
            if item.description == item.name or item.description.endswith("."):
                yield f"{cls.__name__}.{name}, {item.name}: {item.description!r}"
    if issubclass(cls, bpy.types.Operator):
        room, name = cls.bl_idname.split(".")
        if room != "sd" or cls.__name__ != f"SD_OT_{name}":
            yield f"{cls.__name__} is called {cls.bl_idname}"
        tip = getattr(bpy.ops.sd, name).get_rna_type().description
        if not _worth_reading(cls.bl_label, tip):
            yield f"{cls.bl_idname}: {tip!r}"
        if "INTERNAL" not in getattr(cls, "bl_options", ()) and not cls.bl_label.startswith("Stable Diffusion: "):
            yield f"{cls.bl_idname}: F3 does not find it by the add-on's name"


def test_what_is_added_to_blenders_own_types_explains_itself(addon):
    for owner, name in ((bpy.types.Scene, "sd"), (bpy.types.WindowManager, "sd"), (bpy.types.WindowManager, "sd_hub"),
                        (bpy.types.Image, "sd_mask")):
        prop = owner.bl_rna.properties[name]
        assert _worth_reading(prop.name, prop.description), f"{name}: {prop.description!r}"


def _worth_reading(label: str, tip: str) -> bool:
    """Whether a tip says more than its label, without a full stop, which Blender adds."""
    return len(tip) > 10 and not tip.endswith(".") and tip.casefold() != label.removeprefix(
        "Stable Diffusion: ").casefold()


def test_where_the_panels_are(addon):
    panels = [getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("SD_PT_")]
    places = [
        (panel.bl_space_type, getattr(panel, "bl_category", ""), getattr(panel, "bl_context", "")) for panel in panels]
    tabs = [(space, category) for space, category, _ in places if category]
    assert {space
            for space, _ in tabs} == {"VIEW_3D", "IMAGE_EDITOR", "NODE_EDITOR"} and {category
                                                                                     for _, category in tabs} == {"SD"}
    # the 3D View alone is restyled live, and shows objects to paint
    live = [panel for panel in panels if panel.bl_label.startswith(("Live", "Project", "Texture", "Animation"))]
    assert {panel.bl_space_type for panel in live} == {"VIEW_3D"}
    for _ in live:
        tabs.remove(("VIEW_3D", "SD"))
    assert len({tabs.count((space, "SD")) for space, _ in tabs}) == 1, "the tab is the same in each"
    assert {context for _, _, context in places if context} == {"render", "material"}


def test_a_new_file_keeps_the_timer_and_the_state_true(addon):
    state().error = "old"
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert bpy.app.timers.is_registered(tick.tick)
    assert bpy.context.scene.sd.prompt == ""


def _rna(cls):
    """Where Blender keeps the properties: an operator's are in a type of their own."""
    return getattr(bpy.ops.sd,
                   cls.bl_idname.split(".")[1]).get_rna_type() if issubclass(cls, bpy.types.Operator) else cls.bl_rna
