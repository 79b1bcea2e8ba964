"""Lists and LoRA tags in prompts, from text files and text blocks to the picture's own settings."""
from __future__ import annotations

import json

import bpy
import pytest

from blender_sd.calls.runtime import runtime
from blender_sd.core.errors import InvalidRequest, ModelNotFound
from blender_sd.core.parts import Lora
from blender_sd.core.request import Request
from blender_sd.core.tasks import TEXT_TO_IMAGE
from tests.support.calls import PATIENCE

pytestmark = pytest.mark.bpy


@pytest.fixture
def folder(sd, tmp_path):
    (tmp_path / "models" / "wildcards" / "walls").mkdir(parents=True)
    (tmp_path / "models" / "loras").mkdir()
    sd.configure(model_folders=(str(tmp_path / "models"),))
    return tmp_path / "models"


def lora(folder, name):
    tensors = {"lora_unet_down_blocks_0.lora_down.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
    header = json.dumps(tensors).encode()
    (folder / "loras" / f"{name}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return str(folder / "loras" / f"{name}.safetensors")


def painted(sd, small, prompt, **changes):
    job = sd.generate(prompt, **{**small, **changes})
    job.result(timeout=PATIENCE)
    return job


def test_a_line_of_a_list_is_painted_whole(sd, small, folder):
    for name, lines in (("bars", ["a [red|blue] car", "a tag |_|"]), ("braces", ["smile :}", "frown", "wink"])):
        (folder / "wildcards" / f"{name}.txt").write_text("\n".join(lines))
        for seed in (1, 2, 3):
            assert painted(sd, small, f"__{name}__", seed=seed).results[0].request.prompt in lines


def test_lists_are_found_by_patterns_in_files_and_text_blocks(sd, small, folder):
    (folder / "wildcards" / "walls" / "old.txt").write_text("brick")
    (folder / "wildcards" / "walls" / "new.txt").write_bytes("béton".encode("utf-16"))
    text = bpy.data.texts.new("walls/own")
    text.write("mud\n")
    found = {painted(sd, small, "__walls/*__", seed=seed, steps=1).results[0].request.prompt for seed in range(12)}
    bpy.data.texts.remove(text)
    assert found == {"brick", "béton", "mud"}
    with pytest.raises(InvalidRequest, match="no list that fits"):
        sd.generate("__none/*__", **small)


def test_of_the_loras_in_a_list_only_that_of_the_chosen_line_is_asked_for(sd, folder):
    """And one that is missing is named only where a picture would wear it."""
    from blender_sd.calls.look_ups import LOOK_UPS
    from blender_sd.core.request_builder import build

    files = [lora(folder, name) for name in ("bricks", "my__temple__v2 [x] {y}")]
    (folder / "wildcards"
     / "looks.txt").write_text("<lora:bricks:0.5> old bricks\n<lora:my__temple__v2 [x] {y}:0.4:0.6> a temple\n")
    runtime.models.forget()

    def made(prompt, **given):
        return build(TEXT_TO_IMAGE, prompt, given, LOOK_UPS).request

    singles = [made("__looks__", seed=seed).single(0) for seed in range(12)]
    assert {(one.prompt, one.loras) for one in singles} == {
        ("old bricks", (Lora(files[0], 0.5),)), ("a temple", (Lora(files[1], 0.6, 0.4),))}
    several = made("__looks__", seed=0, count=12)
    assert {one.loras for one in map(several.single, range(12))} == {one.loras for one in singles}
    assert made("wall <lyco:bricks>", seed=1).loras == (Lora(files[0]),)
    prompt = "{<lora:bricks:1>|<lora:none:1>}"
    for seed in range(8):
        if "none" in Request(prompt=prompt, seed=seed).drawn(0).prompt:
            with pytest.raises(ModelNotFound, match="'none'"):
                made(prompt, seed=seed)
        else:
            assert made(prompt, seed=seed).single(0).loras == (Lora(files[0]),)


def test_what_a_tag_says_that_is_not_understood_is_noted(sd, small, folder):
    lora(folder, "bricks")
    job = sd.generate("wall, [<lora:bricks:0:lbw=MIDD>:0.5]", **small)
    job.cancel()
    assert any("lbw=MIDD" in note for note in job.notes) and any("cannot change" in note for note in job.notes)


def test_notation_that_is_not_understood_is_noted(sd, small):
    assert any("AND" in note for note in painted(sd, small, "a AND b").notes)
    assert not painted(sd, small, "[a|b] (c:1.2) BREAK {d|e} [f:0.5]").notes
