"""Styles in the panel and in the calls; Blender's presets for the settings."""
from __future__ import annotations

from pathlib import Path

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import config, history, styles
from blender_sd.calls.runtime import runtime
from blender_sd.addon import layout, presets, style_icons
from blender_sd.addon.panels.vocabulary import SD_MT_words
from blender_sd.core.tasks import TextToImage
from blender_sd.core.errors import InvalidRequest, ModelNotFound, StyleUnusable
from blender_sd.core.names import name_key
from blender_sd.library.history_entries import HistoryEntry
from tests.support.panels import draw, panel, wide  # noqa: F401 (wide is a fixture)
from tests.support.addon import drain, state


@pytest.fixture
def own(addon, tmp_path) -> Path:
    """The folder of own styles, with one in it that sets much."""
    sd.configure(styles=tmp_path / "styles")
    sd.save_style("Wet", description="Rain", prompt="{prompt}, wet, {red|green}", negative="dry", steps=3, guidance=2.5,
                  width=48, height=32, tiling="x", sampler="euler", strength=0.3)
    return tmp_path / "styles"


def _request(pipeline):
    drain()
    return pipeline.orders[-1].request


def test_choosing_sets_the_panel_and_painting_takes_the_words(addon, own, pipeline):
    addon.prompt, addon.negative = "brick", "moss"
    assert bpy.ops.sd.choose_style(style="wet") == {"FINISHED"}
    assert (addon.style, addon.steps, addon.guidance, addon.width, addon.height, addon.tiling, addon.sampler) == (
        "Wet", 3, 2.5, 48, 32, "x", "euler")
    assert addon.slot_strength == addon.render_strength == pytest.approx(0.3)
    assert (addon.prompt, addon.negative) == ("brick", "moss")
    addon.steps, addon.random_seed, addon.seed = 2, False, 11  # what the artist changes afterwards counts
    bpy.ops.sd.generate()
    request = _request(pipeline)
    assert (request.prompt, request.negative, request.style, request.steps) == ("brick, wet, {red|green}", "moss, dry",
                                                                                "Wet", 2)
    assert bpy.ops.sd.choose_style(style="") == {"FINISHED"}
    assert addon.style == "" and addon.steps == 2
    bpy.ops.sd.generate()
    assert _request(pipeline).prompt == "brick"


def test_recall_makes_the_picture_again_without_the_style(addon, own, pipeline):
    addon.prompt, addon.random_seed, addon.seed = "brick", False, 11
    bpy.ops.sd.choose_style(style="Wet")
    bpy.ops.sd.generate()
    drain()
    image = sd.jobs()[-1].outputs[0]
    sd.delete_style("Wet")
    made = sd.recall(image)
    assert made.style == "Wet" and made.prompt in ("brick, wet, red", "brick, wet, green")
    bpy.ops.sd.recall(image=image.name)
    assert addon.style == "" and addon.prompt == made.prompt
    bpy.ops.sd.generate()
    again = _request(pipeline)
    assert (again.prompt, again.negative, again.seed, again.steps) == (made.prompt, made.negative, made.seed,
                                                                       made.steps)
    assert sd.run(made).request == made


def test_a_style_alone_is_a_prompt(addon, pipeline):
    addon.prompt = ""
    bpy.ops.sd.choose_style(style="Brick Wall")
    bpy.ops.sd.generate()
    assert _request(pipeline).prompt == "brick wall, seamless texture"


def test_calls_take_what_they_leave_open_from_the_style(addon, own, pipeline):
    sd.generate("brick", style="WET", steps=5, negative="moss").result()
    request = _request(pipeline)
    assert (request.steps, request.guidance, request.width, request.height, request.tiling,
            request.style) == (5, 2.5, 48, 32, "x", "Wet")
    assert request.negative == "moss, dry"
    sd.generate("brick", style="Wet", size=(64, 64), tiling="none").result()
    assert (_request(pipeline).width, pipeline.orders[-1].request.tiling) == (64, "none")
    image = bpy.data.images.new("source", 64, 64)
    sd.restyle(image, "brick", style="Wet").result()
    assert (_request(pipeline).task.strength, pipeline.orders[-1].request.width) == (pytest.approx(0.3), 64)
    sd.restyle(image, "brick", style="Wet", strength=0.9).result()
    assert _request(pipeline).task.strength == pytest.approx(0.9)
    sd.outpaint(image, "brick", left=16, style="Wet").result()
    assert (_request(pipeline).tiling, pipeline.orders[-1].request.steps) == ("none", 3)
    sd.generate("brick").result()
    assert (_request(pipeline).prompt, pipeline.orders[-1].request.style,
            type(pipeline.orders[-1].request.task)) == ("brick", "", TextToImage)


def test_a_style_whose_model_or_lora_is_not_here(addon, own, pipeline):
    sd.save_style("Far", model="no such model", loras={"no such lora": 0.5}, steps=7)
    with pytest.raises(ModelNotFound, match="no such model"):
        sd.generate("x", style="Far")
    addon.prompt = "x"
    bpy.ops.sd.choose_style(style="Far")  # says so, and takes over the rest
    assert (addon.model, addon.steps, addon.style) == ("starter", 7, "Far")
    with pytest.raises(RuntimeError, match="no such lora"):
        bpy.ops.sd.generate()
    assert not pipeline.orders


def test_styles_that_are_not_there(addon, own, pipeline):
    with pytest.raises(StyleUnusable, match="'Wat'") as caught:
        sd.generate("x", style="Wat")
    assert "Wet" in caught.value.hint
    with pytest.raises(RuntimeError, match="no style called"):
        bpy.ops.sd.choose_style(style="Wat")
    assert addon.style == "" and "Wat" in state().error
    with pytest.raises(InvalidRequest):
        sd.generate("x", style=3)
    (own / "Broken.toml").write_text("colour = 1", encoding="utf-8")
    bpy.ops.sd.reload_styles()
    assert len(styles.problems()) == 1 and "Broken.toml" in styles.problems()[0]
    assert styles.known_style("Wet") and not pipeline.orders


def test_save_edit_share_delete(addon, own, tmp_path):
    addon.prompt = "brick"
    bpy.ops.sd.save_style(name="Mine", group="Own", prompt="{prompt}, odd <lora:old bricks:0.7>", use_sampling=True,
                          steps=9, guidance=1.1)
    mine = sd.find_style("mine")
    assert addon.style == "Mine" and mine.settings["steps"] == addon.steps == 9 and mine.settings["guidance"] == 1.1
    assert mine.loras == (("old bricks", 0.7),) and mine.prompt == "{prompt}, odd" and "width" not in mine.settings
    with pytest.raises(RuntimeError, match="already"):
        bpy.ops.sd.save_style(name="Mine")
    bpy.ops.sd.edit_style(name="Mine", prompt="{prompt}, odder", overwrite=True)
    assert sd.find_style("Mine").prompt == "{prompt}, odder"
    bpy.ops.sd.export_style(filepath=str(tmp_path / "out" / "Given.toml"))
    bpy.ops.sd.import_styles(directory=str(tmp_path / "out"), files=[{"name": "Given.toml"}])
    assert sd.find_style("Given").prompt == "{prompt}, odder"
    bpy.ops.sd.delete_style()
    assert addon.style == "" and not (own / "Mine.toml").exists()
    bpy.ops.sd.choose_style(style="Clay")
    with pytest.raises(RuntimeError, match="came with the add-on"):
        bpy.ops.sd.delete_style()


def test_the_folder_of_ones_own_styles(addon, monkeypatch):
    monkeypatch.setattr(runtime, "config", config.Config())
    assert runtime.folders.style_folder() == runtime.folders.own_folder("styles")
    assert len(sd.styles()) >= 40


def test_blenders_presets(addon, monkeypatch):
    shown = presets.SD_PT_setting_presets
    monkeypatch.setattr(shown, "bl_label", shown.bl_label)  # Blender writes the chosen preset's name into it
    addon.steps, addon.width, addon.tiling, addon.prompt = 9, 48, "xy", "kept"
    bpy.ops.sd.setting_preset_add(name="My draft")
    folder = Path(bpy.utils.user_resource("SCRIPTS", path="presets/blender_sd"))
    assert [file.name for file in folder.glob("*.py")] == ["My_draft.py"]
    addon.steps, addon.width, addon.tiling, addon.prompt = 4, 64, "none", "brick"
    call = {"filepath": str(folder / "My_draft.py"), "menu_idname": "SD_PT_setting_presets"}
    bpy.ops.script.execute_preset(**call)
    assert (addon.steps, addon.width, addon.tiling, addon.prompt) == (9, 48, "xy", "brick")
    (folder / "My_draft.py").write_text("import bpy\nsettings = bpy.context.scene.sd\nsettings.sampler = 'gone'\n",
                                        encoding="utf-8")
    with pytest.raises(RuntimeError, match="preset"):
        bpy.ops.script.execute_preset(**call)
    assert addon.steps == 9
    bpy.ops.sd.setting_preset_add(name="My draft", remove_name=True)
    assert not list(folder.glob("*.py"))


def test_the_menu_shows_a_picture_of_each_and_greys_out_what_the_model_cannot_paint(addon, own, pipeline):
    styles.styles()
    style_icons.update()
    assert not style_icons.update(), "nothing is new"
    known = styles.known_styles()
    assert len(known) == 49 and all(Path(style_icons._files[name_key(style.name)]).is_file() for style in known)
    assert set(style_icons._files.values()) == set(
        style_icons._previews), "icons have numbers only where there is a window"
    greyed = {style.name for style in known if styles.refusal(style, addon.model)}
    assert len(greyed) == 24 and {"Watercolour", "Anime"} < greyed and not {"Wet", "Brick Wall"} & greyed
    drawn = [values["style"] for name, values in draw(panel(layout.STYLES)).operators if name == "sd.choose_style"]
    assert drawn[0] == "" and sorted(drawn[1:]) == sorted(style.name for style in known)
    assert "does not know: watercolour" in styles.refusal(sd.find_style("Watercolour"), addon.model)
    assert not styles.refusal(sd.find_style("Watercolour"), "sdxl"), "any other model may know it"
    addon.style = "Watercolour"
    assert any("does not know: watercolour" in text for text in draw(panel("SD_PT_view3d_main")).texts)


def test_ones_own_style_shows_its_newest_picture(addon, own, monkeypatch, tmp_path):
    styles.styles()
    style_icons.update()
    assert style_icons._files["wet"].endswith("neutral.jpg")
    newest, older = (HistoryEntry(str(tmp_path / name), 1.0, 1, 8, 8, "brick", "Starter", "text to image", "Euler", 1,
                                  style="wet") for name in ("new.png", "old.png"))
    monkeypatch.setattr(history, "known_entries", lambda entries=(newest, older): entries)
    assert style_icons.update() and style_icons._files["wet"] == newest.path
    assert newest.path in style_icons._previews and older.path not in style_icons._previews


def test_words_are_written_and_unknown_ones_named(addon):
    addon.prompt = "furry cobblestones"
    shown = draw(panel("SD_PT_view3d_main"))
    assert "The starter model does not know: furry" in shown.texts and "SD_MT_words" in shown.menus
    assert bpy.ops.sd.write_word(kind="colour", word="red") == {"FINISHED"} and addon.prompt == "furry red cobblestones"
    words = draw(SD_MT_words)
    offered = [(values["kind"], values["word"]) for name, values in words.operators if name == "sd.write_word"]
    assert len(offered) > 50 and ("material", "brick wall") in offered and ("colour", "teal") in offered
    addon.prompt = "red cobblestones"
    assert not any("does not know" in text for text in draw(panel("SD_PT_view3d_main")).texts)
    addon.prompt_text = bpy.data.texts.new("Prompt")
    assert not bpy.ops.sd.write_word.poll()
    addon.prompt_text, addon.model = None, "another"
    assert "SD_MT_words" not in draw(panel("SD_PT_view3d_main")).menus and not bpy.ops.sd.write_word.poll()
