"""A request from another machine: its model is found by its content, then by its name, and its nets by their names."""
from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from blender_sd.calls import config, locating
from blender_sd.calls.runtime import runtime
from blender_sd.core.errors import ModelNotFound
from blender_sd.core.parts import Control, Lora
from blender_sd.core.request import Request
from blender_sd.library.content_digests import ContentDigests
from tests.support.model_files import KOHYA, UNET, make_model, safetensors

pytestmark = pytest.mark.bpy


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two models of one kind with different weights, and their digests, as after they have painted."""
    for name in ("Bricks", "Moss"):
        folder = make_model(tmp_path / "models" / name)
        (folder / "unet" / "config.json").write_text(json.dumps({**UNET, "name": name}))
    monkeypatch.setattr(runtime, "config", config.Config(model_folders=(str(tmp_path / "models"),)))
    monkeypatch.setitem(vars(runtime), "digests", ContentDigests())
    monkeypatch.setattr(runtime.models, "_models", None)
    yield tmp_path / "models"
    runtime.models.forget()


def theirs(models, name: str, **changes) -> Request:
    """Return the request of a picture that the model painted on a machine where it lies elsewhere."""
    digest = ContentDigests().digest(str(models / name))
    return Request(prompt="x", model=f"/mnt/theirs/{name}", model_name=name, model_digest=digest).changed(**changes)


def ids(models) -> dict[str, str]:
    return {info.name: info.id for info in runtime.models.all()}


def test_it_is_found_by_its_content_under_another_name(models):
    request = theirs(models, "Bricks")
    os.rename(models / "Bricks", models / "Wall v2")
    runtime.models.forget()
    runtime.digests.digest(str(models / "Wall v2"))
    made, info, notes = locating.located(request)
    assert (made.model, info.name, notes) == (str(models / "Wall v2"), "Wall v2", [])


def test_without_known_content_it_is_found_by_its_name_and_that_is_said(models):
    made, info, notes = locating.located(theirs(models, "Moss"))
    assert made.model == str(models / "Moss") and notes == ["The model 'Moss' was found by its name."]


def test_one_that_was_exchanged_at_its_place_gives_way_to_the_right_one(models):
    request = replace(theirs(models, "Bricks"), model=str(models / "Moss"))
    for name in ("Bricks", "Moss"):
        runtime.digests.digest(str(models / name))
    assert locating.located(request)[1].name == "Bricks"


def test_what_is_known_to_be_the_same_comes_before_what_lies_at_the_place(models):
    request = replace(theirs(models, "Bricks"), model=str(models / "Moss"))  # whose content nobody has looked at yet
    runtime.digests.digest(str(models / "Bricks"))
    assert locating.located(request)[1].name == "Bricks"


def test_the_same_place_is_kept_where_nothing_says_otherwise(models):
    request = replace(theirs(models, "Bricks"), model=str(models / "Bricks"))
    made, info, notes = locating.located(request)
    assert (made, info.name, notes) == (request, "Bricks", [])
    assert locating.located(replace(request, model_digest="", model_name=""))[1].name == "Bricks"


def test_a_model_that_is_not_here_is_named(models):
    with pytest.raises(ModelNotFound, match="'Brix' is not on this computer") as caught:
        locating.located(
            replace(theirs(models, "Bricks"), model="C:\\models\\Brix", model_name="Brix", model_digest="")
        )
    assert "Bricks" in caught.value.hint


def test_nets_are_found_by_their_names(models):
    mine = safetensors(models / "Lora" / "moss.safetensors", KOHYA)
    request = theirs(models, "Moss", loras=(Lora("D:\\loras\\moss.safetensors", 0.5),),
                     controls=(Control("depth", "starter"),))
    made, _, notes = locating.located(request)
    assert made.loras == (Lora(mine, 0.5),) and "'moss' was found by its name." in notes
    assert made.controls == request.controls
    with pytest.raises(ModelNotFound, match="clay"):
        locating.located(request.changed(loras=(Lora("/l/clay.safetensors"),)))


def test_a_path_on_another_computer_is_not_looked_at(models, monkeypatch):
    looked = []
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: looked.append(os.fspath(path)) or exists(path))
    with pytest.raises(ModelNotFound):
        locating.located(theirs(models, "Moss", loras=(Lora("\\\\evil\\share\\x.safetensors"),)))
    assert not [path for path in looked if "evil" in path]
