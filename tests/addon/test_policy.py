"""The studio's policy and the safety filter as Blender shows and holds them: panels, polls, preferences, calls."""
from __future__ import annotations

import dataclasses
import json

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls import live_frames, policy as policy_calls
from blender_sd.calls.runtime import runtime
from blender_sd.addon import downloads, live, policy as policy_view, preference_access, preference_sections, properties, tick  # noqa: E501
from blender_sd.library import policy
from blender_sd.library.checkpoints import STARTER_FOLDER
from blender_sd.core.errors import PictureWithheld, PolicyForbids, WordBlocked
from tests.support.live import at_rest, shown, sight  # noqa: F401  (fixture)
from tests.support.panels import draw, panel, wide  # noqa: F401  (fixture)
from tests.support.preferences import prefs  # noqa: F401  (fixture)
from tests.support.addon import cube, drain, state
from tests.support.paper import Paper

MAIN = "SD_PT_view3d_main"


@pytest.fixture
def rules(tmp_path, monkeypatch, addon):
    """Deploys a policy in the system's place, on this machine's behalf, and lets the add-on look at it."""
    place = tmp_path / "policy.toml"
    monkeypatch.setattr(policy, "system_file", lambda: str(place))
    monkeypatch.setattr(policy, "_read", None)

    def deploy(text: str) -> str:
        place.write_text(text, encoding="utf-8")
        policy_view.refresh()
        return str(place)

    yield deploy
    monkeypatch.setattr(policy, "_read", None)


@pytest.fixture
def other(addon, monkeypatch, tmp_path):
    """A second model beside the starter."""
    folder = tmp_path / "models" / "Other"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: fair-ai\n---\n")
    model = dataclasses.replace(runtime.models._models[0], id=str(folder), name="Other", folder=str(folder))
    starter = dataclasses.replace(runtime.models._models[0], folder=STARTER_FOLDER)
    monkeypatch.setattr(runtime.models, "_models", [starter, model])
    properties.refresh_model_items()
    return model


def words() -> list[str]:
    return draw(panel(MAIN)).texts


def test_without_anything_the_panel_says_so(addon, other):
    assert "Safety filter: the starter needs none" in words()
    addon.model = other.id
    assert "Safety filter: off" in words() and not any("policy" in text for text in words())
    assert sd.policy() == policy.NONE


def test_a_model_that_is_forbidden_is_not_offered_and_refused_everywhere(addon, other, rules, pipeline):
    addon.model = other.id
    assert [item[1] for item in properties._model_items] == ["Starter", "Other"]
    place = rules("models = ['starter']\ncontact = 'Ask Maria'")
    assert [item[1] for item in properties._model_items] == ["Starter"] and [info.id
                                                                             for info in sd.models()] == ["starter"]
    assert properties._items_with(other.id)[-1][1] == "Other (not allowed)"
    text = next(text for text in words() if "'models'" in text)
    assert "does not allow the model 'Other'" in text and place in text and "Your studio's policy applies" in words()
    addon.prompt = "brick"
    with pytest.raises(RuntimeError, match="does not allow the model 'Other'"):
        bpy.ops.sd.generate()
    for call in (lambda: sd.generate("x", model=other.id), lambda: sd.restyle("CAMERA", "x", model=other.id),
                 lambda: live_frames.live_request("x", steps=2, strength=0.5, model=other.id)):
        with pytest.raises(PolicyForbids) as caught:
            call()
        assert "Ask Maria" in caught.value.hint
    request = dataclasses.replace(sd.generate("x").request, model=other.id)
    drain()
    with pytest.raises(PolicyForbids):
        sd.run(request)
    assert len(pipeline.orders) == 1 and len(sd.jobs()) == 1, "a refused order is no job"
    addon.model = "starter"
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()
    rules("licences = ['cc0-1.0', 'fair-ai']")
    assert [item[1] for item in properties._model_items] == ["Starter", "Other"], "a file that changes is read again"
    rules("licences = ['cc0-1.0']")
    assert "whose licence is fair-ai" in runtime.policy.refusal(other.id)


def test_a_broken_policy_stops_everything_and_says_where(addon, rules, pipeline):
    addon.prompt = "brick"
    place = rules("network = false\nmodel = []")
    text = next(text for text in words() if "cannot be used" in text)
    assert f"{place} cannot be used: line 2" in text and any("Did you mean 'models'" in text for text in words())
    with pytest.raises(RuntimeError, match="line 2"):
        bpy.ops.sd.generate()
    with pytest.raises(PolicyForbids, match="line 2"):
        sd.policy()
    with pytest.raises(PolicyForbids, match="line 2"):
        sd.generate("brick")
    rules("")
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()


def test_the_tick_finds_a_new_policy_by_itself(addon, rules, tmp_path, monkeypatch):
    (tmp_path / "policy.toml").write_text("network = false")
    monkeypatch.setattr(policy_view, "EVERY", 0.0)
    tick.tick()
    assert runtime.policy.state.files and not runtime.policy.state.network


def test_blocked_words_are_refused_before_anything_is_made(addon, rules, pipeline, tmp_path, prefs):  # noqa: F811
    rules("blocked_words = ['mickey mouse']")
    list_file = tmp_path / "ours.txt"
    list_file.write_text("moss # ours\n")
    prefs.blocked_words = str(list_file)
    text = bpy.data.texts.new("things")
    text.write("a Mickey  Mouse\na brick\n")
    for prompt, word in (("a __things__ wall", "mickey mouse"), ("{red|(moss:1.2)} wall", "moss")):
        with pytest.raises(WordBlocked, match=f"'{word}'"):
            sd.generate(prompt)
    with pytest.raises(WordBlocked):
        sd.generate("wall", negative="MOSS")
    with pytest.raises(WordBlocked):
        sd.restyle("CAMERA", "moss")
    sd.save_style("Mossy Test", prompt="{prompt}, moss")
    try:
        with pytest.raises(WordBlocked, match="'moss'"):
            sd.generate("wall", style="Mossy Test")
    finally:
        sd.delete_style("Mossy Test")
    addon.prompt = "moss"
    with pytest.raises(RuntimeError, match="'moss'"):
        bpy.ops.sd.generate()
    assert "'moss'" in state().error and state().error_kind == "blocked_word" and not pipeline.orders and not sd.jobs()
    assert sd.generate("mossy brass").result()


def test_no_network(addon, rules, tmp_path):
    bpy.context.window_manager.sd_setup.wheels = ""
    system = bpy.context.preferences.system
    before, system.use_online_access = system.use_online_access, True
    try:
        rules("network = false")
        for operator in (bpy.ops.sd.fetch, bpy.ops.sd.set_up_engine):
            with pytest.raises(RuntimeError, match="policy allows no downloads"):
                operator()
        with pytest.raises(PolicyForbids, match="'network'"):
            sd.fetch("owner/model", accept_licence=True)
        with pytest.raises(PolicyForbids, match="'network'"):
            sd.install_engine("cpu")
        assert any("allows no downloads" in text for text in draw(panel("SD_PT_get_models")).texts)
        rules("models = ['stabilityai/*']")
        shown_hub = bpy.context.window_manager.sd_hub
        shown_hub.choice = "stabilityai/sdxl-turbo"
        assert bpy.ops.sd.fetch.poll()
        shown_hub.choice = "Qwen/Qwen-Image"
        with pytest.raises(RuntimeError, match="to download Qwen/Qwen-Image"):
            bpy.ops.sd.fetch()
        assert any("to download Qwen/Qwen-Image" in text for text in draw(panel("SD_PT_get_models")).texts)
    finally:
        system.use_online_access = before
        runtime.shutdown()
        runtime.shutdown()


def _filter(folder, names=("ViTForImageClassification",)):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": list(names)}))
    return str(folder)


def test_the_filter_of_the_preferences_is_seen_and_reaches_the_engine(addon, other, tmp_path, prefs):  # noqa: F811
    prefs.safety_filter, prefs.safety_labels, prefs.safety_threshold = _filter(tmp_path / "nsfw"), "bad, worse", 0.3
    engine = runtime.config.engine_config("", "")
    assert (engine.safety_filter, engine.safety_labels, engine.safety_threshold) == (str(tmp_path / "nsfw"),
                                                                                     "bad, worse", 0.3)
    assert "Safety filter: the starter needs none" in words()
    addon.model = other.id
    assert "nsfw" in words() and "Safety Filter" in words() and not any("holds no model" in text for text in words())
    prefs.safety_filter = str(tmp_path / "gone")
    assert any("holds no model" in text for text in words())


def _drawn_preferences():
    paper = Paper()
    policy_view.draw_preferences(paper, bpy.context, preference_access.get())
    return paper


def _drawn_marking():
    paper = Paper()
    preference_sections.draw_marking(preference_access.get(), bpy.context, paper)
    return paper


def test_what_the_policy_forces_cannot_be_changed(addon, other, rules, tmp_path, prefs):  # noqa: F811
    prefs.safety_filter = _filter(tmp_path / "mine")
    names = [name for _, name in _drawn_preferences().props]
    assert names == ["safety_filter", "safety_labels", "safety_threshold", "blocked_words"]
    _filter(tmp_path / "theirs")
    place = rules("filter = 'theirs'\ncontact = 'Ask Maria'")
    paper = _drawn_preferences()
    assert [name for _, name in paper.props] == ["blocked_words"]
    assert {"theirs", f"Set by your studio's policy ({place}).", "Ask Maria",
            f"Your studio's policy: {place}"} <= set(paper.texts)
    addon.model = other.id
    assert "theirs" in words() and "mine" not in words()
    assert prefs.marking and runtime.marks()
    prefs.marking = False
    assert not runtime.marks() and "marking" in [name for _, name in _drawn_marking().props]
    place = rules("marking = true")
    paper = _drawn_marking()
    assert "marking" not in [name
                             for _, name in paper.props] and f"Set by your studio's policy ({place})." in paper.texts
    assert runtime.marks() and not any("do not tell other programs" in text for text in paper.texts)


def test_a_filter_that_was_downloaded_is_chosen(addon, tmp_path, prefs):  # noqa: F811
    folder = _filter(tmp_path / "Falconsai--nsfw")
    downloads._choose(addon, folder)
    assert prefs.safety_filter == folder and addon.model == "starter"
    downloads._choose(addon, _filter(tmp_path / "another", ("StableDiffusionSafetyChecker",)))
    assert prefs.safety_filter == folder, "the one that was chosen stays"
    assert not policy_calls.is_filter(_filter(tmp_path / "text", ("BertModel",)))


def test_a_job_whose_pictures_are_all_withheld_says_what_to_do(addon, pipeline):
    pipeline.fail_with = PictureWithheld("The picture was withheld by the safety filter nsfw.",
                                         "Try another seed, or other words.")
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain()
    assert state().error_kind == "withheld" and "nsfw" in state().error and "seed" in state().hint
    assert {"The picture was withheld by the safety filter nsfw.", "Try another seed, or other words."} <= set(words())


def test_live_mode_goes_on_after_a_frame_that_was_withheld(sight, pipeline, addon):  # noqa: F811
    at_rest(1)
    assert shown().picture
    pipeline.fail_with = PictureWithheld("The picture was withheld by the safety filter nsfw.")
    sight.show(2)
    at_rest(2)
    tick.tick()
    assert live.running() and shown().text == "The safety filter has kept this picture back" and not shown().picture
    orders = len(pipeline.orders)
    for _ in range(10):
        tick.tick()
    assert len(pipeline.orders) == orders, "the same sight is not painted again and again"
    pipeline.fail_with = None
    sight.show(3)
    at_rest(3)
    assert shown().picture and "pictures/s" in shown().text


def test_the_cube_stays_as_it_was(addon, rules):
    before = cube().active_material.name
    rules("models = []")
    addon.prompt = "brick"
    with pytest.raises(RuntimeError, match="'models'"):
        bpy.ops.sd.generate_onto()
    assert cube().active_material.name == before and not sd.jobs()
