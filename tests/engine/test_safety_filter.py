"""The safety filter: real classifiers and the SD checker, tiny and with weights set by hand, on every way that a
picture can take."""
from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.engine import Engine
from blender_sd.engine.output import safety_filter
from blender_sd.library import policy
from blender_sd.library.checkpoints import STARTER_FOLDER
from blender_sd.core.errors import InvalidRequest, PictureWithheld
from blender_sd.protocol.messages import EngineConfig, Failed, Finished, Loading, Note, Source, Step
from blender_sd.core.parts import Axis, Control, Lora
from blender_sd.core.request import Request
from blender_sd.core.tasks import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, OUTPAINT, UPSCALE, Upscale
from tests.support.engine import small
from tests.support.tiny_filters import BLUE, RED, build_checker, build_classifier, picture
from tests.support.safety import restyled

ALL = -3.0  # a level below which no picture is: everything is flagged


@pytest.fixture(scope="module")
def filters(tmp_path_factory):
    """The folder of a filter, by its kind; made once."""
    place = tmp_path_factory.mktemp("filters")
    builders = {
        "classifier": build_classifier,
        "checker": build_checker,
        "all": lambda folder: build_classifier(folder, level=ALL),
        "multi": lambda folder: build_classifier(folder, ("normal", "porn"), multi=True),
        "unknown": lambda folder: build_classifier(folder, ("good", "bad")),}
    return lambda kind: str(place / kind if (place / kind).exists() else builders[kind](place / kind))


@pytest.fixture
def with_filter(engine, monkeypatch):
    """Puts a filter on the engine, and previews too, for one test."""

    def put_on(folder: str, **changes) -> None:
        monkeypatch.setattr(engine, "_config",
                            dataclasses.replace(engine._config, safety_filter=folder, preview_px=64, **changes))

    return put_on


def texts(events) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def previews(events) -> int:
    return sum(event.preview is not None for event in events if isinstance(event, Step))


@pytest.mark.parametrize("kind", ["classifier", "multi", "checker"])
def test_a_red_picture_is_withheld_and_a_blue_one_is_not(kind, filters, with_filter, run, sd, tmp_path):
    with_filter(filters(kind))
    request, source = restyled(sd, RED)
    failed = run(request, source=source)[-1]
    assert isinstance(failed, Failed) and failed.kind == "withheld" and kind in failed.message and "seed" in failed.hint
    assert not list(tmp_path.rglob("*.png")), "nothing of it is written"
    request, source = restyled(sd, BLUE)
    (result,) = run(request, source=source)[-1].results
    assert np.array_equal(np.asarray(Image.open(result.path).convert("RGB")), np.asarray(picture(BLUE)))


def test_the_others_of_a_job_come_and_a_note_says_how_many_do_not(filters, with_filter, run, engine, sd, tmp_path):
    request = small(sd, count=4, width=64, height=64)
    plain = [np.asarray(Image.open(one.path)).astype(float) / 255 for one in run(request)[-1].results]
    judge = safety_filter._load(policy.Filter(filters("classifier")), torch.device("cpu"))
    redness = [certainty(judge, one) for one in plain]
    first, second = sorted(redness, reverse=True)[:2]
    with_filter(filters("classifier"), safety_threshold=(first + second) / 2)
    out = tmp_path / "filtered"
    out.mkdir()
    events = run(request, output=out)
    worst = redness.index(first)
    assert [one.request.seed for one in events[-1].results] == [7 + number for number in range(4) if number != worst]
    assert "1 of 4 pictures was withheld by the safety filter classifier." in texts(events)
    assert len(list(out.glob("*.png"))) == 3 and previews(events) == 0
    unguarded = run(dataclasses.replace(request, model="starter"), folder=STARTER_FOLDER, output=out)
    assert previews(unguarded) > 0, "where no filter looks, there is nothing to hide"


def certainty(judge, pixels) -> float:
    image = Image.fromarray((pixels * 255).round().astype(np.uint8))
    with torch.inference_mode():
        return judge._model(**judge._processor(images=image, return_tensors="pt")).logits.softmax(-1)[0, 1].item()


def test_a_contact_sheet_shows_grey_in_its_place(filters, with_filter, run, sd, tmp_path):
    request, source = restyled(sd, RED)
    with_filter(filters("classifier"), safety_threshold=0.99)  # which noise does not reach
    events = run(dataclasses.replace(request, axes=(Axis("strength", "0, 1"),), sampler="euler"), source=source)
    sheet, single = events[-1].results
    assert single.request.task.strength == 1 and any("1 of 2 pictures was withheld" in text for text in texts(events))
    shown = np.asarray(Image.open(sheet.path).convert("RGB")).reshape(-1, 3)
    assert (shown == RED).all(1).sum() == 0 and (shown == 128).all(1).sum() >= 64 * 64


@pytest.mark.parametrize("task", ["text", IMAGE_TO_IMAGE, INPAINT, OUTPAINT, MAKE_SEAMLESS, UPSCALE, "refine", "frame", "grid"])  # noqa: E501
def test_every_way_that_a_picture_can_take(task, filters, with_filter, run, sd, tmp_path):
    source = Source(pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8))
    inputs, changes = {"source": source}, {"task": task}
    if task in ("text", "refine", "grid"):
        inputs, changes = {}, {
            "refine": {"refine_scale": 2.0, "tile": 64}, "grid": {"axes": (Axis("steps", "2, 3"),)}}.get(task, {})
    elif task == INPAINT:
        inputs["mask"] = Source(pixels=np.full((64, 64, 4), 255, np.uint8))
    elif task == OUTPAINT:
        changes |= {"width": 80, "left": 16}
    elif task == UPSCALE:
        changes |= {"width": 128, "height": 128, "tile": 64}
    elif task == MAKE_SEAMLESS:
        changes |= {"tiling": "xy"}
    elif task == "frame":
        changes["task"] = IMAGE_TO_IMAGE
    request = small(sd, **changes).with_inputs({role: one.digest() for role, one in inputs.items()})
    with_filter(filters("all"))
    events = run(request, inputs=inputs, output="" if task == "frame" else None)
    assert isinstance(events[-1], Failed) and events[-1].kind == "withheld", events[-1]
    assert [event for event in events if isinstance(event, Step) and event.step], "it was painted, and then looked at"
    assert previews(events) == 0 and not list(tmp_path.iterdir())


def test_live_frames_that_pass_come_over_the_pipe(filters, with_filter, run, sd, tmp_path):
    with_filter(filters("classifier"))
    request, source = restyled(sd, BLUE)
    (result,) = run(request, source=source, output="")[-1].results
    assert (result.pixels[..., :3] == BLUE).all() and not list(tmp_path.iterdir())


def test_without_blender(filters, sd):
    guarded = Engine(device="cpu", precision="fp32", threads=1, safety_filter=filters("classifier"))
    try:
        with pytest.raises(PictureWithheld):
            guarded.restyle(picture(RED), "", strength=0.0, model=sd)
        (image,) = guarded.restyle(picture(BLUE), "", strength=0.0, model=sd)
        assert image.info[safety_filter.FILTER_KEY] == "classifier", "what the file will say of its origin"
    finally:
        guarded.close()


def test_a_filter_whose_files_change_is_read_again(filters, with_filter, run, sd, tmp_path):
    place = shutil.copytree(filters("classifier"), tmp_path / "changing")
    with_filter(str(place))
    request, source = restyled(sd, BLUE)
    assert isinstance(run(request, source=source)[-1], Finished)
    for file in place.iterdir():
        file.unlink()
    shutil.copytree(filters("all"), place, dirs_exist_ok=True)
    events = run(request, source=source)
    assert events[-1].kind == "withheld" and any(
        isinstance(event, Loading) and "changing" in event.text for event in events)
    shutil.rmtree(place)
    assert run(
        request,
        source=source)[-1].kind == "model_not_found", "one that is in memory does not stand in for one that is gone"


def test_the_starter_needs_none_as_long_as_it_is_alone(filters, with_filter, run, tmp_path):
    with_filter(str(tmp_path / "gone"))
    assert isinstance(
        run(Request(prompt="red brick", width=64, height=64, steps=2), folder=STARTER_FOLDER)[-1], Finished)
    alone = Request(prompt="x")
    assert not safety_filter.is_needed(alone, STARTER_FOLDER) and safety_filter.is_needed(alone, "/models/other")
    for changes in ({"loras": (Lora("/l", 1.0),)}, {"ip_adapter": "/i"}, {"task": Upscale(upscaler=str(tmp_path))},
                    {"controls": (Control("depth", "/c"),)}):
        assert safety_filter.is_needed(dataclasses.replace(alone, **changes), STARTER_FOLDER)
    assert not safety_filter.is_needed(dataclasses.replace(alone, controls=(Control("depth", "starter"),)),
                                       STARTER_FOLDER)


def _without(folder, name):
    weights = load_file(folder / "model.safetensors")
    save_file({key: value for key, value in weights.items() if not key.startswith(name)}, folder / "model.safetensors",
              {"format": "pt"})


def _foreign(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('run')")
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("kind", "spoil", "error", "words"), [
    ("classifier", lambda folder: shutil.rmtree(folder), "model_not_found", "no safety filter in"),
    ("classifier", lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "model_unreadable", "safetensors"),  # noqa: E501
    ("classifier", lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "model_unreadable", "cannot be loaded"),  # noqa: E501
    ("classifier", lambda folder: _without(folder, "classifier"), "model_unreadable", "lacks some of its weights"),
    ("checker", lambda folder: _without(folder, "concept_embeds"), "model_unreadable", "lacks some of its weights"),
    ("checker", lambda folder: (folder / "preprocessor_config.json").unlink(), "model_unreadable", "preprocessor_config"),  # noqa: E501
    ("classifier", lambda folder: (folder / "config.json").write_text("[]"), "model_unreadable", "describes no model"),
    ("classifier", lambda folder: (folder / "config.json").write_text("{"), "model_unreadable", "cannot be read"),
    ("classifier", _foreign, "model_unreadable", "cannot be loaded"),
    ("unknown", lambda folder: None, "invalid_request", "'good', 'bad'"),
])
def test_nothing_is_painted_without_the_filter_that_is_set(kind, spoil, error, words, filters, with_filter, run, engine,
                                                           sd, tmp_path):
    place = shutil.copytree(filters(kind), tmp_path / "filter")
    spoil(place)
    with_filter(str(place))
    engine.warm()
    engine._painter.loader.library.clear()
    output = tmp_path / "out"
    output.mkdir()
    events = run(small(sd), output=output)
    assert isinstance(events[-1], Failed) and events[-1].kind == error and words in events[-1].message, events[-1]
    assert not [event for event in events if isinstance(event, Step)]
    assert not engine._painter.loader.library.loaded() and not list(output.iterdir())


def test_labels_can_be_named(filters, with_filter, run, sd):
    with_filter(filters("unknown"), safety_labels=" Bad ,")
    request, source = restyled(sd, RED)
    assert run(request, source=source)[-1].kind == "withheld"
    with_filter(filters("unknown"), safety_labels="worse")
    assert "no label 'worse'" in run(request, source=source)[-1].message


@pytest.mark.parametrize(("labels", "unsafe"), [
    (("normal", "nsfw"), [1]), (("drawings", "hentai", "neutral", "porn", "sexy"), [1, 3, 4]), (("sfw", "NSFW"), [1]),
    (("safe", "unsafe"), [1]),
    (("Anime Picture", "Enticing or Sensual", "Pornography"), [1, 2]), (("not_nsfw", "non-nude", "nude"), [2]),
])
def test_labels_that_are_known(labels, unsafe):
    assert safety_filter.unsafe_labels("x", dict(enumerate(labels)), ()) == unsafe


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1"), ("safe for work", "safe, not nude"), ("essex", "nudist beach hut")])  # noqa: E501
def test_labels_that_are_not(labels):
    with pytest.raises(InvalidRequest, match="its labels are"):
        safety_filter.unsafe_labels("x", dict(enumerate(labels)), ())


def test_a_threshold_that_cannot_be(filters, with_filter, run, sd):
    with_filter(filters("classifier"), safety_threshold=0.0)
    assert run(small(sd))[-1].kind == "invalid_request"
    for threshold in (-1.0, 1.5, float("nan"), "0.5"):
        with pytest.raises(InvalidRequest):
            EngineConfig(safety_threshold=threshold)
