"""What is judged of a model, net or filter is what is opened, whatever becomes of its name in between."""
from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

import pytest

from blender_sd.engine import Engine
from blender_sd.engine.models import loras
from blender_sd.engine.output import safety_filter
from blender_sd.engine.engine import STARTER
from blender_sd.library import model_paths, policy
from blender_sd.core.errors import SDError
from blender_sd.protocol.messages import Failed, Finished, Generate
from blender_sd.core.parts import Lora
from blender_sd.core.request import Request
from tests.support.tiny_loras import write
from tests.support import tiny_filters
from tests.support.engine import small
from tests.support.systems import link

PACKAGE = Path(model_paths.__file__).parents[1]


@pytest.fixture
def rules(tmp_path, monkeypatch):
    def write(text: str) -> None:
        (tmp_path / "policy.toml").write_text(text)
        monkeypatch.setenv(policy.VARIABLE, str(tmp_path / "policy.toml"))

    return write


def exchange(place: Path, target: Path | str) -> None:
    """What another process does between a check and the opening."""
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def linked(place: Path, target: Path | str) -> Path:
    if not link(place, target):
        pytest.skip("this system makes no links here")
    return place


def test_dots_are_followed_after_links(run, sd, taesd, tmp_path, rules):
    (tmp_path / "home" / "a" / "b").mkdir(parents=True)
    (tmp_path / "studio").mkdir()
    linked(tmp_path / "home" / "link", tmp_path / "home" / "a" / "b")
    good, evil = tmp_path / "studio" / "good", tmp_path / "home" / "studio" / "evil"
    evil.parent.mkdir()


    shutil.copytree(taesd, good), shutil.copytree(taesd, evil)
    rules(f"models = ['{tmp_path}/studio/*']")
    assert isinstance(run(small(str(good)))[-1], Finished)
    for place in (evil, f"{tmp_path}/home/link/../../studio/evil", linked(tmp_path / "studio" / "looks-good", evil)):
        ending = run(small(str(place)))[-1]
        assert isinstance(ending, Failed) and ending.kind == "policy", (place, ending)


def test_a_pattern_through_a_link_still_allows(run, taesd, tmp_path, rules):
    linked(tmp_path / "share", Path(taesd).parent)
    rules(f"models = ['{tmp_path}/share/*']")
    assert isinstance(run(small(taesd))[-1], Finished)
    assert isinstance(run(small(str(tmp_path / "share" / Path(taesd).name)))[-1], Finished)


@pytest.mark.parametrize("folder", ["", " ", ".", "\t", "./"])
def test_the_current_folder_has_no_name(engine, taesd, tmp_path, rules, monkeypatch, folder):
    rules("models = ['starter']")
    monkeypatch.chdir(taesd)
    events: list = []
    engine.run(Generate("job", Request(prompt="wall", model=folder or " ", width=64, height=64, steps=1), folder, ""),
               events.append,
               lambda: False)
    assert isinstance(events[-1], Failed) and len(events) == 1, events
    with pytest.raises(SDError):
        engine.generate("wall", seed=1, steps=1, size=(64, 64), model=folder)


def test_an_order_that_calls_another_model_the_starter(engine, taesd):
    events: list = []
    engine.run(Generate("job", small("starter"), taesd, ""), events.append, lambda: False)
    assert events[-1].kind == "invalid_request"


@pytest.mark.slow
def test_a_link_to_the_starter_that_turns(sd, tmp_path, monkeypatch):
    place, needed, looked = linked(tmp_path / "link", STARTER.resolve()), safety_filter.is_needed, []

    def asked(*arguments):
        found = needed(*arguments)
        exchange(place, sd)
        return found

    monkeypatch.setattr(safety_filter, "is_needed", asked)
    monkeypatch.setattr(safety_filter.Guard, "passes", lambda guard, image: looked.append(bool(guard)) or True)
    engine, events = Engine(device="cpu", threads=1, marking=False,
                            safety_filter=str(tiny_filters.build_classifier(tmp_path / "nsfw"))), []
    engine.run(Generate("job", small(str(place)), str(place), ""), events.append, lambda: False)
    assert isinstance(events[-1], Finished) and looked == [False]
    assert engine._painter.loader.library.loaded() == [STARTER.name]


def test_a_lora_whose_link_turns_after_the_policy(run, sd, tmp_path, rules, monkeypatch):
    """That one is opened whose licence was looked at; a name that was not there stays so."""
    good, bad, opened, read = tmp_path / "good", tmp_path / "bad", [], loras.weight_files.read
    for folder in (good, bad):
        folder.mkdir()
        write(sd, folder / "lora.safetensors", "diffusers")
    rules("licences = ['*']\nunknown_licences = true")
    place, judged = linked(tmp_path / "lora.safetensors", good / "lora.safetensors"), policy.Policy.check_request

    def check(*arguments, **options):
        judged(*arguments, **options)
        exchange(place, bad / "lora.safetensors")

    monkeypatch.setattr(policy.Policy, "check_request", check)
    monkeypatch.setattr(loras.weight_files, "read", lambda file, *rest, **options: (
        opened.append(file), read(file, *rest, **options))[1])
    assert isinstance(run(small(sd, loras=(Lora(str(place)),)))[-1], Finished)
    assert opened == [good / "lora.safetensors"]
    place.unlink()
    assert isinstance(run(small(sd, loras=(Lora(str(place)),)))[-1], Failed) and len(opened) == 1


def test_the_hub_s_cache_keeps_its_names(tmp_path):
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "0123", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True), blobs.mkdir()
    (blobs / "f00").write_bytes(b"x")
    place = linked(snapshot / "lora.safetensors", "../../blobs/f00")
    assert model_paths.real(str(place)) == str(place)
    assert model_paths.real(str(linked(tmp_path / "l.safetensors", place))) == str(blobs / "f00")
    assert model_paths.real(str(linked(snapshot / "other.safetensors", __file__))) == os.path.realpath(__file__)


def test_who_opens_models_takes_them_from_behind_the_door():
    """A new caller of what opens models is listed here, once it takes real paths alone."""
    openers = {"_loader.get", "self._loader.get", "self.loader.get", "inspect_folder", "weight_files.existing",
               "self.upscalers.get",
               "_inspected", "_load"}
    callers = set()
    for file in sorted((PACKAGE / "engine").rglob("*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                callers |= {(file.name, function.name, name) for call in ast.walk(function)
                            if isinstance(call, ast.Call) and (name := ast.unparse(call.func)) in openers}
    assert {(file, function) for file, function, name in callers if name not in ("_load", "_inspected")} == {
        ("embeddings.py", "apply"), ("folders.py", "_lent_to"), ("loader.py", "get"), ("loader.py", "read"),
        ("loras.py", "_existing"),
        ("painter.py", "_upscaler"), ("painter.py", "load"), ("painter.py", "prepared"), ("reference.py", "_checked"),
        ("upscalers.py", "get"), ("vaes.py", "read")}
    functions = {node.name: node for file in ("engine.py", "painter.py")
                 for node in ast.walk(ast.parse((PACKAGE / "engine" / file).read_text(encoding="utf-8")))
                 if isinstance(node, ast.FunctionDef)}
    prepared, loads = functions["prepared"], ast.unparse(functions["_load"])
    assert [arg.arg for arg in prepared.args.args][:3] == ["self", "job", "resolved"
                                                           ] and "message = resolved.message" in ast.unparse(prepared)
    assert "job.message" not in ast.unparse(prepared) and "job.request" not in ast.unparse(prepared)
    assert "folder = model_paths.model(model)" in loads and "self._painter.load(folder)" in loads
    for name in ("STARTER_FOLDER", "STARTER_CONTROL_FOLDER", "realpath", "abspath"):
        for file in (PACKAGE / "engine").rglob("*.py"):
            if file.name != "engine.py":
                assert name not in file.read_text(encoding="utf-8"), (name, file.name)
