"""Every panel, menu and popover drawn, in each editor that it is placed in; what it shows for a model, a state and an error."""
from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from types import SimpleNamespace

import bpy
import pytest
from addon_helpers import cube, drain, state
from bl_ui.utils import PresetPanel
from paper import Paper

from blender_sd import api, catalogue, config
from blender_sd.addon import _CLASSES, downloads, layout, menus, preferences, remedies
from blender_sd.addon.layout import POPOVER
from blender_sd.addon.panels.setup import SetUp
from blender_sd.protocol import errors
from blender_sd.protocol.errors import OutOfMemory, SDError
from blender_sd.protocol.families import FAMILIES, family_of

# All but the list of presets, which Blender draws, and the panel Set Up, which stands alone.
PANELS = [cls for cls in _CLASSES if issubclass(cls, bpy.types.Panel) and not issubclass(cls, (PresetPanel, SetUp))]
MENUS = [cls for cls in _CLASSES if issubclass(cls, bpy.types.Menu)]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Regions have a width only where there is a window."""
    monkeypatch.setattr(layout, "_width", lambda _context: 2000.0)


@contextmanager
def within(space: str):
    """The context of an editor of that type. (Tabs of the Properties editor cannot be chosen without a window before 5.2.)"""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = space
    if space == "NODE_EDITOR":
        area.ui_type = "ShaderNodeTree"
    region = next(region for region in area.regions if region.type == ("WINDOW" if space == "PROPERTIES" else "UI"))
    with bpy.context.temp_override(window=window, area=area, region=region, space_data=area.spaces.active):
        yield bpy.context


def draw(cls) -> Paper | None:
    """What the panel or menu draws in its editor; None where its poll hides it."""
    paper = Paper()
    space = {"TOPBAR": "VIEW_3D"}.get(getattr(cls, "bl_space_type", ""), getattr(cls, "bl_space_type", "VIEW_3D"))
    with within(space) as context:
        if hasattr(cls, "poll") and not cls.poll(context):
            return None
        ours = tuple(base for base in cls.__bases__ if base not in (bpy.types.Panel, bpy.types.Menu))
        drawn = type(cls.__name__, ours, {"layout": paper, **({} if ours else {"draw": cls.draw})})()
        if hasattr(drawn, "draw_header"):
            drawn.draw_header(context)
        drawn.draw(context)
    return paper


def panel(name: str) -> type[bpy.types.Panel]:
    return next(cls for cls in PANELS if cls.bl_idname == name)


def shown(name: str) -> Paper:
    """What the panel of that id draws; it must not be hidden."""
    paper = draw(panel(name))
    assert paper is not None, f"{name} is hidden"
    return paper


def _slot() -> bpy.types.Image:
    """An image in the active slot of the cube's material."""
    image = bpy.data.images.new("slot", 64, 64)
    node = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    cube().active_material.node_tree.nodes.active = node
    return image


def test_all_draw_in_their_editors(addon):
    everything = [*PANELS, *MENUS]
    for cls in everything:
        assert draw(cls) is not None, cls
    _slot()
    addon.controls.add()
    addon.prompt_text = bpy.data.texts.new("Prompt")
    addon.mask_full_res = True
    addon.variation_strength = 0.5
    addon.y_setting = "seed"
    downloads.state().choice = downloads.OTHER
    state().engine, state().engine_text, state().notes, state().active = "failed", "No Python.", "one\ntwo", True
    for task in ("TEXT", "TEXTURE", "RENDER"):
        addon.task = task
        for cls in everything:
            assert draw(cls) is not None, cls
    addon.expand_to, addon.mask_source = "ASPECT", "ALPHA"
    state().active, state().engine = False, "ready"
    for cls in everything:
        assert draw(cls) is not None, cls


EXPECTED = {"TOPBAR_MT_render": ("VIEW_3D", []), "NODE_MT_add": ("NODE_EDITOR", ["sd.add_image_node"]),
            "NODE_MT_context_menu": ("NODE_EDITOR", []),
            "IMAGE_MT_image": ("IMAGE_EDITOR", ["sd.retexture", "sd.recall", "sd.apply", "sd.save_material", "sd.report"]),
            "TOPBAR_MT_file_export": ("VIEW_3D", ["sd.report"]),
            "VIEW3D_MT_object_context_menu": ("VIEW_3D", ["sd.generate_onto", "sd.retexture"]),
            "VIEW3D_PT_overlay": ("VIEW_3D", ["sd.live"]), "VIEW3D_HT_header": ("VIEW_3D", []),
            "STATUSBAR_HT_header": ("VIEW_3D", ["sd.cancel"])}


def test_the_entries_in_blenders_menus(addon):
    state().active = True
    assert {name for name, _ in menus._ENTRIES} == set(EXPECTED)
    for menu, entry in menus._ENTRIES:
        paper = Paper()
        with within(EXPECTED[menu][0]) as context:
            entry(type("Menu", (), {"layout": paper})(), context)
        assert list(dict(paper.operators)) == EXPECTED[menu][1], menu


def test_nothing_above_the_button_moves_while_a_job_runs(addon, pipeline):
    """All that is typed into is drawn before the button, and the bar takes the place of the engine's line."""
    addon.prompt = "brick"
    before = shown("SD_PT_view3d_main")
    pipeline.hold()
    bpy.ops.sd.generate()
    drain(lambda: api.jobs()[-1].state == "running")
    during = shown("SD_PT_view3d_main")
    assert [name for _, name in during.props] == [name for _, name in before.props]
    assert "sd.cancel" in dict(during.operators) and "sd.cancel" not in dict(before.operators)
    assert list(dict(before.operators)).index("sd.generate") == len(before.operators) - 1, "messages come after it"


def test_only_what_the_model_can_do_is_shown(addon, monkeypatch):
    for cls in sorted(FAMILIES):
        _shown_for(addon, monkeypatch, family_of(cls))


def _shown_for(addon, monkeypatch, family) -> None:
    addon.task = "TEXT"
    monkeypatch.setattr(catalogue, "_models", [dataclasses.replace(catalogue.models()[0], abilities=family)])
    hidden = {name for name in ("control", "reference", "inpaint", "extend", "enlarge", "highres", "sampling")
              if draw(panel(f"SD_PT_view3d_{name}")) is None}
    wanted = {name for name, lacks in {
        "control": not family.controls, "reference": not family.reference, "inpaint": "inpaint" not in family.tasks,
        "extend": not {"outpaint", "make_seamless"} & set(family.tasks), "enlarge": "upscale" not in family.tasks,
        "highres": "upscale" not in family.tasks}.items() if lacks}
    assert hidden == wanted
    names = [name for _, name in shown("SD_PT_view3d_main").props + shown("SD_PT_view3d_sampling").props]
    assert ("negative" in names, "guidance" in names, "sampler" in names) == (family.negative, family.guides, not family.own_sampler)
    assert names.count("task") == len({"TEXT"} | ({"TEXTURE", "RENDER"} if "image_to_image" in family.tasks else set()))
    addon.task = "RENDER"
    assert ("render_strength" in [name for _, name in shown("SD_PT_view3d_main").props]) == family.strength


def test_sub_panels_follow_their_parents():
    known: set[str] = set()
    for cls in PANELS:
        assert getattr(cls, "bl_parent_id", cls.bl_idname) in known | {cls.bl_idname}, f"{cls.__name__} comes before its parent"
        known.add(cls.bl_idname)


def test_without_an_engine_there_is_only_the_set_up(addon):
    setup = bpy.context.window_manager.sd_setup
    alone = [cls for cls in _CLASSES if issubclass(cls, SetUp)]
    assert [draw(cls) for cls in alone] == [None] * 3
    setup.missing = True
    try:
        assert all("sd.set_up_engine" in dict(draw(cls).operators) for cls in alone)
        assert [cls.bl_idname for cls in PANELS if draw(cls) is not None] == [POPOVER]
        assert [name for name, _ in draw(panel(POPOVER)).operators] == ["sd.set_up_engine"]
    finally:
        setup.missing = False


def test_the_properties_tabs(addon):
    render = shown("SD_PT_render_restylerender")
    assert "sd.restyle" in dict(render.operators) and "render_strength" in [name for _, name in render.props]
    material = shown("SD_PT_material_texturematerial")
    assert "sd.generate_onto" in dict(material.operators) and "sd.retexture" not in dict(material.operators)
    image = _slot()
    material = shown("SD_PT_material_texturematerial")
    assert "sd.retexture" in dict(material.operators) and image.name in material.texts
    context = SimpleNamespace(space_data=SimpleNamespace(type="PROPERTIES"), window_manager=bpy.context.window_manager,
                              scene=bpy.context.scene, object=bpy.data.objects["Camera"])
    assert not panel("SD_PT_material_texturematerial").poll(context), "a camera has no texture"


# ---- errors and their buttons --------------------------------------------------------------------------------------

KINDS = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, SDError)]


@pytest.fixture
def enabled(addon):
    """As once the add-on is enabled: it has preferences."""
    entry = bpy.context.preferences.addons.new()
    entry.module = preferences.PACKAGE
    yield
    bpy.context.preferences.addons.remove(entry)


def test_every_error_shows_its_words_and_its_buttons(enabled):
    for error in KINDS:
        state().error, state().hint, state().error_kind = "It broke.", "Mend it.", error.kind
        paper = shown("SD_PT_view3d_main")
        assert "It broke." in paper.texts and "Mend it." in paper.texts
        offered = [idname for idname, _ in paper.operators]
        assert offered[offered.index("sd.dismiss") + 1:] == [remedy.operator for remedy in remedies.of(error.kind)]
        downloads.state().error, downloads.state().error_kind = "It broke.", error.kind
        assert {remedy.operator for remedy in remedies.of(error.kind)} <= set(dict(shown("SD_PT_view3d_getmodels").operators))


def test_each_kind_with_buttons_is_a_kind():
    assert set(remedies._REMEDIES) <= {error.kind for error in KINDS}


def test_the_kind_of_error_travels_and_goes(addon, pipeline):
    addon.prompt, addon.width, addon.height = "brick", 512, 384
    pipeline.fail_with = OutOfMemory("It does not fit.", "Choose a smaller size.")
    bpy.ops.sd.generate()
    drain()
    assert state().error_kind == "out_of_memory"
    assert bpy.ops.sd.smaller_picture() == {"FINISHED"}
    assert (addon.width, addon.height) == (384, 256)
    bpy.ops.sd.dismiss()
    assert state().error_kind == "" and not state().error
    addon.width = addon.height = 64
    assert not bpy.ops.sd.smaller_picture.poll()


def test_an_unwritable_folder_offers_the_preferences(addon, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(config, "current", config.replace(config.current, output=str(tmp_path / "file")))
    addon.prompt = "brick"
    with pytest.raises(RuntimeError, match="output folder"):
        bpy.ops.sd.generate()
    assert remedies.of(state().error_kind)[0].operator == "preferences.addon_show"
