"""Settings of other programs: from their texts, however a file carries them."""
from __future__ import annotations

import gzip
import io
import json
import struct

import pytest

from blender_sd.core.declarations import SETTINGS
from blender_sd.core.request import Request
from blender_sd.core.samplers import SAMPLERS, closest_id
from blender_sd.core.tasks import TASKS
from blender_sd.core.webui_text import parameters_text
from blender_sd.library import embedded_texts, foreign_settings, novelai_prompt

WEBUI = ("a castle, (old:1.2)\non a hill <lora:x:0.8>\nNegative prompt: ugly,\nblurry\n"
         "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, "
         "CFG scale: 7, Seed: 4294967297, Size: 512x768, Model hash: 0123abcd, Model: dream shaper, Denoising "
         "strength: 0.4, "
         'Clip skip: 2, Lora hashes: "x: 01, y: 02", Version: v1.10.1')
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl/base.safetensors"}},
    "2": {
        "class_type": "LoraLoader", "inputs": {
            "lora_name": "old bricks.safetensors", "strength_model": 0.6, "strength_clip": 0.8, "model": ["1", 0],
            "clip": ["1", 1]}},
    "3": {
        "class_type": "KSampler", "inputs": {
            "seed": ["9", 0], "steps": 28, "cfg": 6.5, "sampler_name": "euler_ancestral", "scheduler": "karras",
            "denoise": 1, "model": ["2", 0], "positive": ["8", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["10", 0], "clip": ["2", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["2", 1]}},
    "8": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0], "strength": 1.0}},
    "9": {"class_type": "Seed (rgthree)", "inputs": {"seed": 41}},
    "10": {"class_type": "StringFunction", "inputs": {"text": "a castle"}},
    "11": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
    "12": {"class_type": "SaveImage", "inputs": {"images": ["11", 0]}},}
FLUX = {
    "a": {
        "class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["b", 0], "guider": ["c", 0], "sampler": ["d", 0], "sigmas": ["e", 0], "latent_image": ["f", 0]}},
    "b": {"class_type": "RandomNoise", "inputs": {"noise_seed": 41}},
    "c": {"class_type": "BasicGuider", "inputs": {"conditioning": ["g", 0], "model": ["h", 0]}},
    "d": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "e": {
        "class_type": "BasicScheduler",
        "inputs": {"scheduler": "simple", "steps": 28, "denoise": 1.0, "model": ["h", 0]}},
    "f": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 512, "height": 768}},
    "g": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["i", 0]}},
    "h": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.sft"}},
    "i": {"class_type": "CLIPTextEncode", "inputs": {"text": "a castle"}},}
INVOKE = {
    "positive_prompt": "a castle", "negative_prompt": "ugly", "seed": 41, "steps": 28, "width": 512, "height": 768,
    "cfg_scale": 7.5, "scheduler": "euler_a", "model": {"name": "base", "base": "sdxl"},
    "loras": [{"model": {"name": "x"}, "weight": 0.5}], "clip_skip": 2, "app_version": "5.0"}
FOOOCUS = {
    "prompt": "a castle", "negative_prompt": "ugly", "steps": 28, "guidance_scale": 4.0, "seed": "41",
    "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "resolution": "(512, 768)", "base_model": "base",
    "loras": [["x.safetensors", 0.5, "01"]], "styles": "['Fooocus V2']", "sharpness": 2.0}
NOVELAI = {
    "prompt": "a castle", "uc": "ugly", "steps": 28, "scale": 5.0, "seed": 41, "sampler": "k_euler_ancestral",
    "width": 512, "height": 768, "noise_schedule": "native", "sm": True}
SWARM = {
    "sui_image_params": {
        "prompt": "a castle", "negativeprompt": "ugly", "model": "Official/base", "seed": 41, "steps": 28,
        "cfgscale": 7.0, "width": 512, "height": 768, "sampler": "euler_ancestral", "scheduler": "karras",
        "loras": ["sets/x"], "loraweights": ["0.5"], "swarm_version": "0.9", "automaticvae": True}}
COMMON = {"seed": "41", "steps": "28", "width": "512", "height": "768", "negative": "ugly"}


@pytest.mark.parametrize(("program", "texts", "fields", "unused"), [
    ("ComfyUI", {"prompt": json.dumps(GRAPH)}, {
        "prompt": "a castle <lora:old bricks:0.8:0.6>",
                  "guidance": "6.5", "model": "base", "sampler": "euler_ancestral",
        "schedule": "karras"}, ()),
    ("ComfyUI", {"prompt": json.dumps(FLUX)}, {"prompt": "a castle", "guidance": "3.5", "model": "flux1-dev", "negative": ""}, ()),  # noqa: E501
    ("InvokeAI", {"invokeai_metadata": json.dumps(INVOKE)}, {"prompt": "a castle <lora:x:0.5>", "sampler": "euler_a", "model": "base"},  # noqa: E501
     ("clip_skip",)),
    ("Fooocus", {"parameters": json.dumps(FOOOCUS)}, {"prompt": "a castle <lora:x:0.5>", "schedule": "karras"}, ("styles", "sharpness")),  # noqa: E501
    ("NovelAI", {"Comment": json.dumps(NOVELAI), "Software": "NovelAI", "Source": "SDXL 01AB"}, {"prompt": "a castle", "guidance": "5.0"},  # noqa: E501
     ("Source", "sm")),
    ("SwarmUI", {"parameters": json.dumps(SWARM)}, {"prompt": "a castle <lora:x:0.5>", "guidance": "7.0", "model": "base"},  # noqa: E501
     ("automaticvae",)),
])
def test_each_program_is_read(program, texts, fields, unused):
    found = foreign_settings.read(texts)
    assert found.program == program
    assert {name: str(found.fields.get(name)) for name in {**COMMON, **fields}} == {**COMMON, **fields}
    assert set(unused) <= set(found.unused) and not set(found.unused) - set(unused), found.unused


def check_webui(found, program="A1111"):
    assert found.program == program
    assert found.fields["prompt"] == "a castle, (old:1.2)\non a hill <lora:x:0.8>" and found.fields[
        "negative"] == "ugly,\nblurry"
    assert (found.fields["seed"], found.fields["width"], found.fields["height"]) == ("4294967297", "512", "768")
    assert (found.fields["sampler"], found.fields["schedule"], found.fields["model"]) == ("DPM++ 2M", "Karras",
                                                                                          "dream shaper")
    assert found.fields["clip_skip"] == "2" and found.fields["strength"] == "0.4"


@pytest.mark.parametrize(("text", "program"), [
    (WEBUI, "A1111"), (WEBUI.replace("v1.10.1", "f2.0.1v1.10.1"), "Forge"), (WEBUI.replace("0123abcd", "unknown"), "Krita"),  # noqa: E501
    (WEBUI.replace("\n", "\r\n").replace("\r\n", "\n"), "A1111"),
])
def test_the_text_of_a1111_forge_and_krita(text, program):
    check_webui(foreign_settings.read({"parameters": text}), program)


A1111_LINE = "a castle\nSteps: 28, Sampler: Euler, CFG scale: 7, Seed: 41, Size: 512x768"


@pytest.mark.parametrize(("text", "fields", "unused"), [
    (f'{A1111_LINE}, Hires upscale: 2, Hires upscaler: 4x-UltraSharp, Denoising strength: 0.35, Hires prompt: "say \\"hi\\", \\nyes"',  # noqa: E501
     {"refine_scale": "2", "refine_strength": "0.35", "upscaler": "4x-UltraSharp"}, {"Hires prompt": 'say "hi", yes'}),
    (f'{A1111_LINE}, ADetailer model: face.pt, ADetailer prompt: "a face, smiling: (x:1.2)", VAE: my vae.safetensors',
     {"vae": "my vae"}, {"ADetailer model": "face.pt", "ADetailer prompt": "a face, smiling: (x:1.2)"}),
    (f'{A1111_LINE}, Civitai resources: [{{"type":"lora","modelName":"Pony, Diffusion"}}], Clip skip: 2', {},
     {"Civitai resources": '[{"type":"lora","modelName":"Pony, Diffusion"}]'}),
    (A1111_LINE.replace("\n", "\nNegative prompt: EasyNegative, (bad-hands:1.2)\n", 1)
     + ', TI hashes: "EasyNegative: c74b4e810b03, bad-hands: 01"',
     {"negative": "embedding:EasyNegative, (embedding:bad-hands:1.2)", "prompt": "a castle"}, {}),
    (A1111_LINE.replace("\n", "\r\n"), {"prompt": "a castle"}, {}), ("the Steps: 3 of\n" + A1111_LINE, {"steps": "28"}, {}),  # noqa: E501
    (A1111_LINE + "\n\nTemplate: a {castle|tower}", {"seed": "41"}, {"Template": "a {castle|tower}"}),
    (A1111_LINE.replace("Euler", "Default - DPM++ 2M (Hyper)") + ", Model hash: unknown, Model: xl/jugger.v9.safetensors",  # noqa: E501
     {"sampler": "DPM++ 2M", "model": "jugger.v9"}, {}),
    (A1111_LINE.replace("CFG scale", "CFG Scale") + ", Scheduler: karras", {"guidance": "7", "schedule": "karras"}, {}),
], ids=lambda value: value[-40:] if isinstance(value, str) else "")
def test_a1111s_text_as_extensions_and_other_programs_write_it(text, fields, unused):
    found = foreign_settings.read({"Parameters": text})
    assert {name: found.fields.get(name) for name in fields} == fields and found.unused == unused


@pytest.mark.parametrize(("texts", "fields"), [
    ({"Dream": '"a "big" castle" -s 28 -S 41 -W 512 -H 768 -C 7.5 -A k_lms'},
     {"prompt": 'a "big" castle', "steps": "28", "seed": "41", "sampler": "k_lms"}),
    ({"invokeai_metadata": json.dumps({**INVOKE, "scheduler": "dpmpp_2m_k", "seamless_x": True, "vae": {"name": "ae"}})},  # noqa: E501
     {"sampler": "dpmpp_2m", "schedule": "karras", "tiling": "x", "vae": "ae"}),
    ({"parameters": json.dumps({"Prompt": "a", "Base Model": "m.safetensors", "Performance": "Extreme Speed",
                                "LoRA 1": "x.safetensors : 0.5"})}, {"prompt": "a <lora:x:0.5>", "steps": 8, "model": "m"}),  # noqa: E501
    ({"parameters": json.dumps({"sui_image_params": {**SWARM["sui_image_params"], "prompt": "a <lora:sets/x:0.5>",
                                                     "refinerupscale": 1.5, "vae": "None"}})},
     {"prompt": "a <lora:sets/x:0.5>", "refine_scale": 1.5, "vae": None}),
], ids=["invoke line", "invoke", "fooocus log", "swarm"])
def test_older_and_newer_notations_of_a_program(texts, fields):
    found = foreign_settings.read(texts).fields
    assert {name: found.get(name) for name in fields} == fields


@pytest.mark.parametrize(("prompt", "ours"), [
    ("{{a castle}}, [old], 1.5::big ::", "(a castle:1.103), (old:0.952), (big:1.5) "), ("{a (b)", "(a \\(b\\):1.05)"),
    ("a, 0.5::x::, y", "a, (x:0.5), y"), ("-1::bad::", "(bad:-1)"), ("{a, {b}}", "(a:1.05), (b:1.103)"),
    ("3.5 walls, std::x", "3.5 walls, stdx"), ("", ""),
])
def test_weights_of_novelai_are_ours(prompt, ours):
    assert novelai_prompt.in_our_notation(prompt) == ours
    found = foreign_settings.read({"Comment": json.dumps({**NOVELAI, "prompt": prompt or "x", "uc": "[y]"})})
    assert found.fields["prompt"] == (ours or "x") and found.fields["negative"] == "(y:0.952)"


@pytest.mark.parametrize("texts", [
    {}, {"parameters": "just words"}, {"prompt": "{}"}, {"prompt": '{"1": {"class_type": '
                                                                   '"x"}}'}, {"parameters": "{" * 100_000},
    {"invokeai_metadata": "[1]"}, {"Comment": '{"uc": 3}'}, {"parameters": '{"sui_image_params": 3}'},
    {"sd-metadata": '{"image": {"prompt": [1]}}'},
    {"prompt": json.dumps({"1": {"class_type": "KSampler", "inputs": {"seed": ["1", 0], "positive": ["1", 0], "steps": ["1", 0]}}})},  # noqa: E501
], ids=lambda texts: str(texts)[:30])
def test_what_is_nobodys_is_nobodys(texts):
    found = foreign_settings.read(texts)
    assert found is None or not found.fields.get("prompt")


@pytest.mark.parametrize("order", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_jpeg_and_webp_carry_it_in_exif(form, order):
    image = pytest.importorskip("PIL.Image")
    exif = image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + WEBUI.encode(order)
    buffer = io.BytesIO()
    image.new("RGB", (32, 32)).save(buffer, form, exif=exif.tobytes())
    check_webui(foreign_settings.read(embedded_texts.texts_of(buffer.getvalue())))


def test_webp_of_comfyui():
    image = pytest.importorskip("PIL.Image")
    exif = image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(GRAPH)
    buffer = io.BytesIO()
    image.new("RGB", (32, 32)).save(buffer, "WEBP", exif=exif.tobytes())
    assert foreign_settings.read(embedded_texts.texts_of(buffer.getvalue())).program == "ComfyUI"


def hidden(text: str, packed: bool, pixels: int = 1 << 16) -> bytes:
    body = gzip.compress(text.encode()) if packed else text.encode()
    data = (b"stealth_pngcomp" if packed else b"stealth_pnginfo") + struct.pack(">I", 8 * len(body)) + body
    bits = [254 | (byte >> shift & 1) for byte in data for shift in range(7, -1, -1)]
    return bytes(bits + [255] * (pixels - len(bits)))


@pytest.mark.parametrize("packed", [True, False])
def test_texts_in_the_alpha_channel(packed):
    assert embedded_texts.hidden_text(hidden(WEBUI, packed)) == WEBUI
    check_webui(foreign_settings.read_hidden(WEBUI))
    wrapped = json.dumps({"Software": "NovelAI", "Description": "a castle", "Comment": json.dumps(NOVELAI)})
    assert foreign_settings.read_hidden(embedded_texts.hidden_text(hidden(wrapped, packed))).program == "NovelAI"


@pytest.mark.parametrize("alpha", [b"", b"\xff" * 999, hidden(WEBUI, True)[:400], hidden(WEBUI, True)[:2000],
                                   hidden("x", False).replace(b"\xfe", b"\xff")])
def test_an_alpha_channel_without_a_text(alpha):
    assert embedded_texts.hidden_text(alpha) == ""


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xff", b"RIFF\0\0\0\0WEBP",
                                  b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xff",
                                  b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40, b"\x89PNG\r\n\x1a\neXIf"])  # noqa: E501
def test_damaged_files_say_nothing(data):
    assert embedded_texts.texts_of(data) == {}


# ---- what we write ourselves -----------------------------------------------------------------------------------------

IN_THE_TEXT = [(task, declared) for task in TASKS for declared in SETTINGS
               if declared.setting.a1111 and declared.task in ("", task)]


@pytest.mark.parametrize(("task", "declared"), IN_THE_TEXT, ids=lambda value: getattr(value, "name", value))
def test_each_declared_name_is_read_as_it_was_written(task, declared):
    rule, values = declared.setting, {"model": ["my model: v2"], "sampler": list(SAMPLERS), "tiling": ["none", "xy"]}
    numbers = {"int": [int(rule.low or 0), int(rule.high or 0), declared.default],
               "float": [rule.low, rule.high, declared.default,
                         *(value for value in (0.1234567, 0.7, 1.7) if (rule.low or 0) <= value <= (rule.high or 0))]}
    for value in values.get(declared.name) or numbers[declared.kind]:
        others = {"prompt": "a (wall:1.2), old\nCFG scale: 3", "negative": "x: y, z"}
        if rule.only_with:
            others[rule.only_with] = {"refine_scale": 2.0, "variation_strength": 0.5}[rule.only_with]
        request = Request.of(task, **{**others, declared.name: value})
        read = foreign_settings.read({"parameters": parameters_text(request, request.model)})
        assert (read.program, read.unused) == ("A1111", {})
        assert (read.fields["prompt"], read.fields["negative"]) == (request.prompt, request.negative)
        if rule.neutral and value == declared.default:
            assert declared.name not in read.fields
        elif declared.name == "sampler":
            assert closest_id(read.fields["sampler"], read.fields.get("schedule", "")) == (value, True)
        else:
            assert type(value)(read.fields[declared.name]) == value
