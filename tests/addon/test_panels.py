"""Every panel, menu and popover drawn, in each editor that it is placed in; what it shows for a model, a state and an
error."""
from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import config, models
from blender_sd.calls.runtime import runtime
from blender_sd.addon import _CLASSES, downloads, history, layout, menus, remedies
from blender_sd.addon.layout import POPOVER
from blender_sd.addon.panels.installation import SetUp
from blender_sd.core.errors import OutOfMemory
from blender_sd.core.families import FAMILIES, family_of
from tests.support.addon import cube, drain, state
from tests.support.paper import Paper
from tests.support.panels import KINDS, MENUS, PANELS, draw, enabled, panel, shown, wide, within  # noqa: F401  (fixtures)


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


EXPECTED = {
    "TOPBAR_MT_render": ("VIEW_3D", []), "NODE_MT_add": ("NODE_EDITOR", ["sd.add_image_node"]),
    "NODE_MT_context_menu": ("NODE_EDITOR", []), "IMAGE_MT_image": ("IMAGE_EDITOR", []),
    "TOPBAR_MT_file_export": ("VIEW_3D", ["sd.report"]), "TOPBAR_MT_file_cleanup": ("VIEW_3D", ["sd.purge_replaced"]),
    "VIEW3D_MT_object_context_menu": ("VIEW_3D", []), "VIEW3D_PT_overlay": ("VIEW_3D", ["sd.live"]),
    "VIEW3D_HT_header": ("VIEW_3D", []), "IMAGE_HT_header": ("IMAGE_EDITOR", [])}


def test_the_entries_in_blenders_menus(addon):
    state().active = True
    assert {name for name, _ in menus._ENTRIES} == set(EXPECTED)
    for menu, entry in menus._ENTRIES:
        paper = Paper()
        with within(EXPECTED[menu][0]) as context:
            entry(type("Menu", (), {"layout": paper})(), context)
        assert list(dict(paper.operators)) == EXPECTED[menu][1], menu


def _searched(addon) -> list[tuple[str, str, dict]]:
    """The entries of ours that F3 lists, as Blender collects them: each menu once, in whichever menu it stands
    first."""
    _slot()
    node = cube().active_material.node_tree.nodes.active
    entries, waiting = [], []
    for menu, entry in menus._ENTRIES:
        if "_MT_" in menu:  # the pie's key calls an operator, so F3 does not look into that menu
            paper = Paper()
            with within(EXPECTED[menu][0]) as context:
                entry(
                    type("Menu", (), {"layout": paper})(),
                    SimpleNamespace(space_data=context.space_data, active_node=node))
            entries += paper.entries
            waiting += paper.menus
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            paper = draw(next(cls for cls in MENUS if cls.bl_idname == name))
            entries += paper.entries
            waiting += paper.menus
    return entries


def test_search_lists_each_entry_once(addon):
    entries = _searched(addon)
    shown = [(idname, tuple(values.items())) for idname, _, values in entries]
    assert sorted(set(shown)) == sorted(shown), "nothing twice"
    for word in ("seamless", "inpaint", "outpaint", "upscale", "texture", "models", "come from"):
        assert [text for _, text, _ in entries if word in text.lower()][1:] == [], f"{word} finds more than one"
        assert any(word in text.lower() for _, text, _ in entries), f"{word} finds nothing"


def test_nothing_above_the_button_moves_while_a_job_runs(addon, pipeline):
    """All that is typed into is drawn before the button, and the bar takes the place of the engine's line."""
    addon.prompt = "brick"
    before = shown("SD_PT_view3d_main")
    pipeline.hold()
    bpy.ops.sd.generate()
    drain(lambda: sd.jobs()[-1].state == "running")
    during = shown("SD_PT_view3d_main")
    assert [name for _, name in during.props] == [name for _, name in before.props]
    assert "sd.cancel" in dict(during.operators) and "sd.cancel" not in dict(before.operators)
    assert list(dict(before.operators)).index("sd.generate") == len(before.operators) - 1, "messages come after it"


def test_only_what_the_model_can_do_is_shown(addon, monkeypatch):
    for cls in sorted(FAMILIES):
        _shown_for(addon, monkeypatch, family_of(cls))


def _shown_for(addon, monkeypatch, family) -> None:
    addon.task = "TEXT"
    monkeypatch.setattr(runtime.models, "_models", [dataclasses.replace(models.models()[0], abilities=family)])
    hidden = {name for name in ("control", "reference", "inpaint", "extend", "enlarge", "highres", "sampling")
              if draw(panel(f"SD_PT_view3d_{name}")) is None}
    wanted = {name for name, lacks in {
        "control": not family.controls, "reference": not family.reference, "inpaint": "inpaint" not in family.tasks,
        "extend": not {"outpaint", "make_seamless"} & set(family.tasks), "enlarge": "upscale" not in family.tasks,
        "highres": "upscale" not in family.tasks}.items() if lacks}
    assert hidden == wanted
    names = [name for _, name in shown("SD_PT_view3d_main").props + shown("SD_PT_view3d_sampling").props]
    assert ("negative" in names, "guidance" in names, "sampler"
            in names) == (family.negative, family.guides, not family.own_sampler)
    assert names.count("task") == len({"TEXT"} | ({"TEXTURE", "RENDER"} if "image_to_image" in family.tasks else set()))
    addon.task = "RENDER"
    assert ("render_strength" in [name for _, name in shown("SD_PT_view3d_main").props]) == family.strength


def test_sub_panels_follow_their_parents():
    known: set[str] = set()
    for cls in PANELS:
        assert getattr(cls, "bl_parent_id",
                       cls.bl_idname) in known | {cls.bl_idname}, f"{cls.__name__} comes before its parent"
        known.add(cls.bl_idname)


def test_no_two_panels_of_a_sidebar_have_the_same_place():
    for prefix in ("SD_PT_view3d_", "SD_PT_image_", "SD_PT_shader_"):
        places = {cls.__name__: cls.bl_order for cls in PANELS if cls.bl_idname.startswith(prefix)
                  and not hasattr(cls, "bl_parent_id") and hasattr(cls, "bl_order")}
        assert len(places) > 2 and len(set(places.values())) == len(places), places


def test_without_an_engine_there_is_only_the_set_up(addon):
    setup = bpy.context.window_manager.sd_setup
    alone = [cls for cls in _CLASSES if issubclass(cls, SetUp)]
    assert [draw(cls) for cls in alone] == [None] * 3
    setup.missing = True
    try:
        assert all("sd.set_up_engine" in dict(draw(cls).operators) for cls in alone)
        popovers = [POPOVER, layout.ORIGIN, layout.GET_MODELS, layout.STYLES]
        assert sorted(cls.bl_idname for cls in PANELS if draw(cls) is not None) == sorted(popovers)
        assert all([name for name, _ in draw(panel(one)).operators] == ["sd.set_up_engine"] for one in popovers)
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


def test_every_error_shows_its_words_and_its_buttons(enabled):
    for error in KINDS:
        state().error, state().hint, state().error_kind = "It broke.", "Mend it.", error.kind
        paper = shown("SD_PT_view3d_main")
        assert "It broke." in paper.texts and "Mend it." in paper.texts
        offered = [idname for idname, _ in paper.operators]
        assert offered[offered.index("sd.dismiss") + 1:] == [remedy.operator for remedy in remedies.of(error.kind)]
        downloads.state().error, downloads.state().error_kind = "It broke.", error.kind
        assert {remedy.operator for remedy in remedies.of(error.kind)} <= set(dict(shown(layout.GET_MODELS).operators))


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


def test_a_smaller_picture_is_made_where_its_size_comes_from(addon):
    addon.width, addon.height, addon.task, addon.render_source = 512, 384, "RENDER", "CAMERA"
    assert bpy.ops.sd.smaller_picture() == {"FINISHED"}
    assert (addon.width, addon.height, bpy.context.scene.render.resolution_percentage) == (512, 384, 75)
    for task, source in (("RENDER", "VIEWPORT"), ("TEXTURE", "CAMERA")):
        addon.task, addon.render_source = task, source
        assert not bpy.ops.sd.smaller_picture.poll(), "the size is that of the view, or of the texture"


def test_an_unwritable_folder_offers_the_preferences(addon, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(runtime, "config", config.replace(runtime.config, output=str(tmp_path / "file")))
    addon.prompt = "brick"
    with pytest.raises(RuntimeError, match="output folder"):
        bpy.ops.sd.generate()
    assert remedies.of(state().error_kind)[0].operator == "preferences.addon_show"


def test_an_object_that_cannot_take_a_picture_says_why_and_offers_a_new_image(addon):
    main = next(cls for cls in PANELS if cls.__name__ == "SD_PT_view3d_main")
    assert "Base color of Cube" in draw(main).texts
    cube().data = bpy.data.meshes.new("without faces")
    addon.prompt = "brick"
    paper = draw(main)
    assert any("no faces" in text for text in paper.texts) and paper.props.count((addon, "target")) == 2
    assert not bpy.ops.sd.generate.poll()
    addon.target = "NEW"
    assert not any("no faces" in text for text in draw(main).texts) and bpy.ops.sd.generate.poll()


def test_latest_results_have_thumbnails_and_buttons(addon):
    main, results = (next(cls for cls in _CLASSES if cls.__name__ == f"SD_PT_view3d_{name}")
                     for name in ("main", "results"))
    assert draw(results) is None
    addon.prompt, addon.count = "brick", 2
    bpy.ops.sd.generate()
    drain(lambda: len(history.shown().latest) == 2)
    paper, newest = draw(results), history.shown().chosen.name
    buttons = [(name, values) for name, values in paper.operators if name.startswith("sd.history")]
    assert [name for name, _ in buttons
            ] == ["sd.history_select"] * 2 + ["sd.history_use"] * 2 + ["sd.history_recall", "sd.history_vary"]
    assert all(values["name"] == newest for _, values in buttons[2:])
    assert [values["into"] for _, values in buttons[2:4]] == ["EDITOR", "MATERIAL"]
    assert "Brick is the base color of Cube" in draw(main).texts
