"""The studio's policy in the engine's own processes and without Blender: whoever speaks to them by hand is held too."""
from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from blender_sd.engine import Engine
from blender_sd.library import policy
from blender_sd.core.errors import PictureWithheld, PolicyForbids, WordBlocked
from blender_sd.protocol.messages import ENDINGS, EngineConfig, FETCH, Finished, Generate, Hello, Ready
from blender_sd.core.image_origin import ORIGIN_KEY, Origin
from blender_sd.session.downloads import Downloads
from blender_sd.session.process import ProcessPipeline
from tests.support.safety import restyled
from tests.support.engine_process import CONFIG, Child
from tests.support.engine import small
from tests.support.fake_hub import FakeHub
from tests.support.tiny_filters import BLUE, RED, build_classifier, picture

pytestmark = pytest.mark.slow


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """Writes the file that SD_POLICY names, as a farm's administrator would."""
    place = tmp_path / "policy.toml"

    def write(text: str) -> str:
        place.write_text(text, encoding="utf-8")
        monkeypatch.setenv(policy.VARIABLE, str(place))
        return str(place)

    return write


def test_an_engine_process_reads_it_by_itself(rules, sd, tmp_path):
    """By hand, over the pipes: a word, a model, a filter, and files that are changed while the process lives."""
    build_classifier(tmp_path / "nsfw")
    rules("models = ['sd', 'starter']\nblocked_words = ['qwertyword']\nfilter = 'nsfw'\ncontact = 'Ask "
          "Maria'\nlicences = ['*']\n"
          "unknown_licences = true")
    out = tmp_path / "out"
    out.mkdir()
    child = Child(env=None)
    try:
        child.send(Hello(CONFIG))
        assert isinstance(child.read(), Ready)

        def events_of(job, request, folder, **inputs):
            child.send(Generate(job, request, folder, str(out), inputs))
            return child.until(ENDINGS)

        word = events_of("word", small(sd, prompt="a {nice|qwertyword} wall"), sd)
        assert word[-1].kind == "blocked_word" and "qwertyword" in word[-1].message and "Ask Maria" in word[-1].hint
        other = events_of("model", small("other"), str(tmp_path / "other"))
        assert len(
            other) == 1 and other[0].kind == "policy" and "'models'" in other[0].message, "before anything is loaded"
        request, source = restyled(sd, RED)
        assert events_of("red", request, sd, source=source)[-1].kind == "withheld"
        request, source = restyled(sd, BLUE)
        assert isinstance(events_of("blue", request, sd, source=source)[-1], Finished)
        assert len(list(out.glob("*.png"))) == 1
        place = rules("models = ['starter']")
        assert events_of("now", request, sd, source=source)[-1].kind == "policy"
        rules("modles = []")
        broken = events_of("broken", request, sd, source=source)
        assert len(
            broken) == 1 and broken[0].kind == "policy" and f"{place} cannot be used: line 1" in broken[0].message
        assert "Did you mean 'models'?" in broken[0].hint
    finally:
        child.process.stdin.close()
        child.exit()
        child.close()
    log = child.log.decode()
    assert "a blocked word" in log and "qwertyword" not in log


def test_the_engine_without_blender(rules, sd, tmp_path, engine):
    rules("models = ['starter']")
    engine.warm()
    engine._painter.loader.library.clear()
    events = []
    for call in (lambda: engine.generate("brick", model=sd, on_event=events.append),
                 lambda: engine.upscale(picture(BLUE), model=sd), lambda: engine.restyle(picture(BLUE), "", model=sd)):
        with pytest.raises(PolicyForbids, match="'models'"):
            call()
    assert not engine._painter.loader.library.loaded() and not events
    rules("blocked_words = ['brick']")
    with pytest.raises(WordBlocked):
        engine.generate("red BRICK", model=sd, steps=1, size=(64, 64))
    rules("contact = 'nothing is forbidden'")
    assert engine.generate("red brick", model=sd, steps=1, size=(64, 64))


def test_the_policy_s_filter_counts_and_not_the_person_s(rules, sd, tmp_path):
    build_classifier(tmp_path / "theirs", ("good", "bad"))
    build_classifier(tmp_path / "lenient", level=2.0)
    rules("filter = 'theirs'\nfilter_labels = ['bad']\nfilter_threshold = 0.4")
    held = Engine(device="cpu", precision="fp32", threads=1, safety_filter=str(tmp_path / "lenient"),
                  safety_threshold=1.0)
    try:
        with pytest.raises(PictureWithheld, match="theirs"):
            held.restyle(picture(RED), "", strength=0.0, model=sd)
        assert held.restyle(picture(BLUE), "", strength=0.0, model=sd)[0].info["blender_sd_filter"] == "theirs"
    finally:
        held.close()


def test_marks_that_the_policy_wants_cannot_be_switched_off(rules, sd, tmp_path):
    build_classifier(tmp_path / "nsfw")
    careless = Engine(device="cpu", precision="fp32", threads=1, marking=False, credentials=str(tmp_path / "keys"))
    request, source = restyled(sd, BLUE)

    def written(job):
        events = []
        careless.run(Generate(job, request, sd, str(tmp_path), {"source": source}), events.append, lambda: False)
        return Path(events[-1].results[0].path).read_bytes()

    try:
        rules("network = false")
        assert b"DigitalSourceType" not in written("off") and b"caBX" not in written("off")
        rules("marking = true\nfilter = 'nsfw'")
        data = written("forced")
        assert b"DigitalSourceType" in data and b"caBX" in data, "XMP and content credentials"
        with Image.open(io.BytesIO(data)) as image:
            assert Origin.from_json(image.text[ORIGIN_KEY]).filter == "nsfw"
        rules("network = false")
        assert b"caBX" not in written("off again")
    finally:
        careless.close()


def test_a_broken_policy_stops_the_starter_too(rules, engine, tmp_path):
    rules("marking = 'yes'")
    with pytest.raises(PolicyForbids, match="true or false"):
        engine.generate("brick", seed=1, steps=1)
    fresh = Engine(device="cpu", threads=1)
    fresh.prepare()  # ahead of the first order: nothing is loaded, and nothing breaks
    assert not fresh._painter.loader.library.loaded()
    fresh.close()


def test_words_of_the_person_s_own_studio(sd, tmp_path, engine, run, monkeypatch):
    words = tmp_path / "words.txt"
    words.write_text("brick\n")
    monkeypatch.setattr(engine, "_config", dataclasses.replace(engine._config, blocked_words=str(words)))
    assert run(small(sd))[-1].kind == "blocked_word"
    words.unlink()
    events = run(small(sd))
    assert events[-1].kind == "invalid_request" and len(events) == 1, "a list that is gone lets nothing pass"


def test_downloads_in_their_own_process(rules, tmp_path, monkeypatch):
    files = {"model_index.json": b'{"_class_name": "AuraFlowPipeline", "vae": [null, null]}'}
    hub = FakeHub()
    downloads = Downloads()
    try:
        for name, value in hub.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        hub.add("owner/model", files, card={"license": "openrail"})

        def error():
            pipeline = ProcessPipeline(sys.executable, EngineConfig(), role=FETCH)
            one = downloads.start(pipeline, "owner/model", "", folder=str(tmp_path / "models"), accepted=True)
            with pytest.raises(PolicyForbids) as caught:
                one.result(60)
            return caught.value.message

        rules("network = false")
        assert "'network'" in error()
        rules("models = ['somebody/*']")
        assert "'models'" in error() and not hub.seen, "nobody is asked"
        rules("licences = ['apache-2.0']")
        assert "whose licence is openrail" in error()
        assert not list((tmp_path / "models").rglob("*.json"))
    finally:
        downloads.shutdown()
        hub.close()
