"""Inputs that once brought a reader down, found by fuzzing or by looking for what fuzzing could find; one test for each
defect.

Those that once took minutes or all memory have no limit of time here: they would run into the suite's.
"""
from __future__ import annotations

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest

from blender_sd.core import prompt_choices, prompt_steps
from blender_sd.library import engine_environment, gguf, licences, png
from blender_sd.core.nets import LORA
from blender_sd.library.checkpoints import kind_of, read_title
from blender_sd.core.errors import InvalidRequest, ModelNotFound, SDError, StyleUnusable
from blender_sd.core.families import controlnet_of
from blender_sd.protocol.messages import Generate, Hello, Note, Source
from blender_sd.core.parts import Axis, Control
from blender_sd.core.request import Request
from blender_sd.core.style_format import read_style
from blender_sd.protocol.framing import MAX_BLOBS, MAX_BLOB, WireError, read_message, write_message
from blender_sd.library import wildcards
from blender_sd.library.controlnets import find_controlnets
from blender_sd.library.model_folders import kind_at
from blender_sd.library.history import History
from blender_sd.library.models import find_models, resolve_model
from blender_sd.library.material_lists import read_rows
from blender_sd.library.adapters import find_files
from blender_sd.library.styles import StyleFolder
from tests.support.model_files import make_model
from tests.support import fuzz_targets as fuzz
from tests.support.systems import link, pipe, posix

DEEP = 100_000


# ---- the wire --------------------------------------------------------------------------------------------------------


def test_a_header_that_lies_about_its_blobs_costs_no_memory():
    class Stream(io.BytesIO):
        asked = 0

        def read(self, size=-1):
            Stream.asked = max(Stream.asked, size)
            return super().read(size)

    header = json.dumps({"type": "Alive", "body": {}, "blobs": [MAX_BLOB] * 3}).encode()
    with pytest.raises(WireError):
        read_message(Stream(struct.pack("<4sI", b"SDB1", len(header)) + header + b"xx"))
    assert Stream.asked <= 32 << 20
    header = json.dumps({"type": "Alive", "body": {}, "blobs": [MAX_BLOB] * 5}).encode()
    with pytest.raises(WireError, match="bounds"):
        read_message(io.BytesIO(struct.pack("<4sI", b"SDB1", len(header)) + header))


def test_more_pictures_than_the_engine_takes_are_refused_where_they_are_sent():
    picture = Source(pixels=np.zeros((1, 1, 4), np.uint8))
    inputs = {f"control{number}": picture for number in range(MAX_BLOBS + 1)}
    stream = io.BytesIO()
    with pytest.raises(InvalidRequest, match="too many"):
        write_message(stream, Generate("1", Request(), "/m", "", inputs))
    assert stream.getvalue() == b""


@posix("names of files that are no Unicode")
def test_paths_that_are_no_unicode_travel():
    path = os.fsdecode(b"/models/\xff\xe9")
    stream = io.BytesIO()
    write_message(stream, Generate("1", Request(), path, path))
    assert read_message(io.BytesIO(stream.getvalue())).folder == path


def test_errors_can_be_drawn_whatever_they_quote():
    error = ModelNotFound("no \udcff", "\ud800", "\udfff")
    assert f"{error}{error.message}{error.detail}".encode() and str(ModelNotFound("Ziegel 砖")) == "Ziegel 砖"


def test_what_is_true_or_false_is_nothing_else():
    stream = io.BytesIO()
    write_message(stream, Hello(fuzz.EngineConfig()))
    with pytest.raises(WireError):
        read_message(
            io.BytesIO(stream.getvalue().replace(b'"compile": false', b'"compile": "no" ').replace(
                struct.pack("<I",
                            len(stream.getvalue()) - 8), struct.pack("<I",
                                                                     len(stream.getvalue()) - 7))))
    write_message(stream, Note("1", "x"))


# ---- requests --------------------------------------------------------------------------------------------------------


def stranger(**changes: object) -> str:
    return json.dumps({**json.loads(Request().to_json()), **changes})


@pytest.mark.parametrize("changes", [
    {"axes": [{"setting": "steps", "values": "1" * 140_000}]},  # beyond csv's own limit: csv.Error
    {"axes": [{"setting": "steps", "values": "1,2"}] * 20_000},  # 2^20000 pictures: a number too long to be written
    {"axes": [{"setting": "prompt", "values": "a," + "b" * 90_000}], "prompt": "a" * 500_000},  # 45 GB
    {"loras": [{}] * 100_000},
    {"steps": [[[[[[[[[[]]]]]]]]]]},
    {"\ud800": 1},
    {"x" * 1000: 1},
], ids=["long value", "many axes", "replaced", "loras", "nested", "surrogate", "long name"])
def test_settings_of_strangers(changes):
    with pytest.raises(InvalidRequest) as caught:
        Request.from_json(stranger(**changes))
    assert len(str(caught.value)) < 300 and str(caught.value).encode()


def test_a_grids_values_are_split_once(monkeypatch):
    asked = []
    split = Axis.options.func
    monkeypatch.setattr(Axis.options, "func", lambda self: asked.append(1) or split(self))
    assert Request(axes=(Axis("steps", ", ".join(map(str, range(1, 101)))),)).pictures == 100
    assert len(asked) < 5


def test_controls_without_end_are_refused_when_they_are_sent():
    made = Request(controls=(Control(),) * 40)
    assert Request.from_json(made.to_json()) == made


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_a_small_file_does_not_unpack_to_gigabytes():
    bomb = zlib.compress(b"x" * ((1 << 20) - 8), 9)
    chunks = [fuzz.chunk(b"zTXt", b"k%d\0\0" % number + bomb) for number in range(300)]
    found = png.text_of(fuzz.picture(*chunks))
    assert 0 < sum(map(len, found.values())) <= 8 << 20


@pytest.mark.parametrize("seed", ["Infinity", "1e300", "-1", "NaN", '"7"', "99999999999999999999", "null"])
def test_one_odd_picture_does_not_hide_the_history(tmp_path, seed):
    (tmp_path / "odd.png").write_bytes(
        fuzz.picture(fuzz.spoken(stranger(seed=0).replace('"seed": 0', f'"seed": {seed}'))))
    (tmp_path / "sound.png").write_bytes(fuzz.picture(fuzz.spoken(stranger(prompt="\ud800 brick"))))
    history = History(str(tmp_path))
    try:
        view = history.refresh().result(20)
    finally:
        history.close()
    assert [one.name for one in view.entries] == ["sound.png"] and view.entries[0].prompt == "? brick"


# ---- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [
    "{" * DEEP + "}" * DEEP, "(a" * DEEP + ")" * DEEP, "(" * DEEP, "[" * DEEP + "]" * DEEP, " " * DEEP * 4, "a" * DEEP * 10,  # noqa: E501
    "<lora:x:" + "1" * DEEP * 2, "(a:" + "1" * DEEP * 2 + "x)", "(a:" + " " * DEEP * 2 + ")", "embedding:a" + "." * DEEP * 4, "_" * DEEP,  # noqa: E501
], ids=lambda prompt: prompt[:12])
def test_long_and_deep_prompts_are_read_in_time(prompt):
    made = prompt_choices.chosen(prompt, 1)
    prompt_choices.without_loras(made), prompt_choices.embeddings(made), prompt_choices.with_lists(
        made, lambda name: ["x"])
    assert prompt_steps.weighted(made) or not made


def test_the_notation_is_as_it_was():
    assert prompt_choices.without_loras("a <lora:x:0.5> b <lora:y:-.5>  <lora:z>") == (
        "a b", [prompt_choices.LoraTag("x", 0.5), prompt_choices.LoraTag("y", -0.5), prompt_choices.LoraTag("z", 1.0)])
    assert prompt_steps.weighted("(a:1.5) (b: .5 ) ((c)) [d]") == [
        ("a", 1.5), (" ", 1.0), ("b", 0.5), (" ", 1.0), ("c", 1.1 * 1.1), (" ", 1.0), ("d", 1 / 1.1)]
    assert prompt_choices.chosen("{a|{b|c}} {d|e}", 3) == prompt_choices.chosen("{a|{b|c}} {d|e}", 3)


def test_a_weight_without_measure_stays_a_number():
    assert prompt_steps.weighted("(a:" + "9" * 400 + ")") == [("a", 100.0)]


def test_of_lists_that_swell_some_lines_are_taken_and_they_are_read_once():
    asked = []

    def lines(name: str) -> list[str]:
        asked.append(name)
        return ["x" * 1000] * 90

    prompt = "__a__ " * 1000
    made = prompt_choices.with_lists(prompt, lines)
    assert len(made) < 2_000_000 and asked == ["a"] and prompt_choices.chosen(made, 1) == f"{'x' * 1000} " * 1000


def test_a_list_that_leads_out_of_its_folder_is_none(tmp_path):
    (tmp_path / "secret.txt").write_text("token\n")
    folder = tmp_path / "models" / "wildcards"
    folder.mkdir(parents=True)
    (folder / "plain.txt").write_text("red\n")
    pipe(folder / "pipe.txt")
    link(folder / "link.txt", tmp_path / "secret.txt")
    assert wildcards.read_list("plain", [str(tmp_path / "models")]) == ["red"]
    for name in ("link", "pipe", "../../secret", "x/../../secret"):
        with pytest.raises(InvalidRequest, match="no list"):
            wildcards.read_list(name, [str(tmp_path / "models")])
    (tmp_path / "other").mkdir()
    if link(tmp_path / "other" / "wildcards", folder):  # the person's own, to a folder of lists
        assert wildcards.read_list("plain", [str(tmp_path / "other")]) == ["red"]


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["description.a" + ".a" * 20_000 + " = 1", "steps.a" + ".a" * 20_000 + " = 1",
                                  "prompt = 0x" + "f" * 30_000,
                                  "steps = 0x" + "f" * 30_000, "loras = [0x" + "f" * 30_000 + "]"], ids=lambda text: text[:14])  # noqa: E501
def test_styles_that_cannot_even_be_shown(text):
    with pytest.raises(StyleUnusable) as caught:
        read_style(text.encode(), "x")
    assert len(str(caught.value)) < 300


def test_a_table_with_an_endless_first_line():
    assert read_rows("prompt," + "x" * 140_000 + "\nbrick")[0].keywords["prompt"].startswith("prompt,")


def test_a_card_with_a_line_of_spaces(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: a" + " " * 500_000 + "b\nlicense_link: 'https://x'\n---\n")
    assert licences.licence_of(str(tmp_path)).link == "https://x"


@pytest.mark.parametrize("header", [
    {"a": {"shape": ["x", 1]}}, {"a": {"shape": [1, None]}}, {"a": {"shape": 5}}, {"a": {"shape": [[], []]}},
    {"model.diffusion_model.input_blocks.0.0.weight": {"shape": [1, [], 1, 1]}, "first_stage_model.a": {},
     "cond_stage_model.transformer.a": {}},
    {"double_blocks.0": {}, "img_in.weight": {"shape": [1, []]}, "single_blocks.0.modulation.lin.a": {}},
])
def test_shapes_that_are_none(header):
    assert type(kind_of(header).channels) is int


def test_one_odd_file_does_not_hide_the_models(tmp_path):
    (tmp_path / "odd.safetensors").write_bytes(fuzz.tensors({"a": {"shape": ["x", 1]}}))
    (tmp_path / "many.safetensors").write_bytes(fuzz.tensors({f"{number}": {} for number in range(140_000)}))
    pipe(tmp_path / "pipe.safetensors")
    for name, config in (("cls", {"_class_name": []}),
                         ("huge", {"_class_name": "ControlNetUnionModel", "num_control_type": 10**400})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    for number, targets in enumerate((5, ["albedo", ["x"], {}], {"albedo": 1})):
        (tmp_path / f"marigold{number}").mkdir()
        (tmp_path / f"marigold{number}" / "model_index.json").write_text(json.dumps({
            "_class_name": "MarigoldIntrinsicsPipeline",
            "target_properties": {"target_names": targets, "albedo": {"sub_target_names": 7}}}))
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "model_index.json").write_text('{"_class_name": ["MarigoldIntrinsicsPipeline"]}')
    find_controlnets([str(tmp_path)])
    assert {model.id for model in find_models([str(tmp_path)])} <= {"starter"}
    assert kind_at(str(tmp_path / "many.safetensors")) is None and controlnet_of({"_class_name": {}}) is None


def test_a_transformer_beside_a_model_with_an_odd_config(tmp_path):
    for part in ("transformer", "vae"):
        (tmp_path / "flux" / part).mkdir(parents=True)
        (tmp_path / "flux" / part / "config.json").write_text(json.dumps({"in_channels": [64]}))
    (tmp_path / "flux" / "model_index.json").write_text(
        json.dumps({"_class_name": "FluxPipeline", "transformer": ["a", "b"]}))
    (tmp_path / "alone.safetensors").write_bytes(fuzz.SEEDS["safetensors"][2])
    assert all(model.base_model == "" for model in find_models([str(tmp_path)]))
    with pytest.raises(ModelNotFound):
        resolve_model(str(tmp_path / "alone.safetensors"), [str(tmp_path)])


@posix("names of files that are no Unicode")
def test_names_that_blender_cannot_show_hide_no_others(tmp_path):
    """As archives made on another system leave them; Linux alone takes such names."""
    odd = os.fsdecode(b"stra\xdfe")
    for name in ("sound", odd):
        make_model(tmp_path / name)
        (tmp_path / f"{name}.png").write_bytes(fuzz.picture(fuzz.spoken(Request().to_json())))
        (tmp_path / f"{name}.toml").write_text('prompt = "x"')
        (tmp_path / f"{name}.safetensors").write_bytes(fuzz.SEEDS["safetensors"][1])
    assert [model.name for model in find_models([str(tmp_path)]) if model.id != "starter"] == ["sound"]
    assert [lora.name for lora in find_files(LORA, [str(tmp_path)])] == ["sound"]
    shelf = StyleFolder(str(tmp_path), "")
    assert [style.name for style in shelf.read()] == ["sound"] and not shelf.problems
    history = History(str(tmp_path))
    try:
        assert [one.name for one in history.refresh().result(20).entries] == ["sound.png"]
    finally:
        history.close()


def test_a_title_that_matches_for_minutes(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(fuzz.tensors({"__metadata__": {"modelspec.title": "pcm " * 500_000}}))
    assert len(read_title(str(file))) == 300


def test_a_gguf_file_of_empty_texts_without_end(tmp_path):
    file = tmp_path / "a.gguf"
    entry = struct.pack("<QIIQ", 0, 9, 8, 1 << 18)
    with open(file, "wb") as data:
        data.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1000))
        for number in range(1000):  # a sparse file: 2 GB that take no room
            data.seek(24 + number * (len(entry) + (2 << 20)))
            data.write(entry)
    with pytest.raises(ValueError, match="too long"):
        gguf.read_header(str(file))


@pytest.mark.parametrize("field, value", [("bytes", "x"), ("digest", None), ("accelerator", 5), ("version", [])])
def test_a_stamp_of_other_types(tmp_path, field, value):
    sound = {"folder": "env1", "accelerator": "cpu", "digest": "0", "base": "/p", "version": "3.11", "bytes": 1}
    (tmp_path / "engine.json").write_text(json.dumps({**sound, field: value}))
    assert engine_environment.read(str(tmp_path)) is None


def test_a_lock_that_includes_itself(tmp_path):
    (tmp_path / "a.toml").write_text('tool.blender_sd.include = ["a.toml", "b.toml"]')
    (tmp_path / "b.toml").write_text('tool.blender_sd.include = ["a.toml"]')
    assert len(engine_environment.lock_files(str(tmp_path / "a.toml"))) == 3
    fuzz.read_lock(b'packages = []\ntool.blender_sd.include = ["lock.toml"]\n')


def test_a_wheel_whose_description_is_a_bomb(tmp_path):
    if fuzz.wheels is None:
        pytest.skip("this Python has no pip")
    path = tmp_path / "a.whl"
    path.write_bytes(fuzz.wheel(b"Name: a\n" + b" " * (64 << 20)))
    with pytest.raises(SDError, match="no wheel"):
        list(fuzz.wheels.asked_for(str(path)))
