"""Everything here that reads what a stranger may have written, as functions of bytes: what the tests of fuzzing and the
bench `fuzz` feed.

`TARGETS` lists them by name, those of `fuzz_models` too; `SEEDS` holds sound inputs to start from. See `fuzzing`.
"""
from __future__ import annotations

import io
import os
import zipfile
import zlib

import numpy as np

from blender_sd.core import hub, prompt_choices, prompt_steps, prompt_syntax, style_format, webui_text
from blender_sd.library import engine_environment, foreign_settings, novelai_prompt, png
from blender_sd.protocol import framing, light, shots
from blender_sd.core.errors import (
    AssetUnusable, InvalidRequest, SourceUnusable, SDError, StyleUnusable,
)
from blender_sd.protocol.messages import (
    Cancel, EngineConfig, Failed, Fetch, Finished, Generate, Hello, Install, Ready, Result, Source, Step,
)
from blender_sd.cli import job_file
from blender_sd.protocol.surfaces import Lens
from blender_sd.core.image_origin import Origin, Part
from blender_sd.core.parts import Axis, Control, Embedding, Lora
from blender_sd.core.request import Request
from blender_sd.library import (
    accepted_licences, asset_library, encoded, history_entries, material_lists, wildcards,
)
from tests.support.png_bytes import chunk, picture

from tests.support.fuzz_models import tensors  # noqa: F401  (its targets are listed by this)
from tests.support.fuzzing import SEEDS, TARGETS, optional, place, put, refused, target, text  # noqa: F401

lock, indexes, wheels = map(
    optional, ("blender_sd.workers.lock", "blender_sd.workers.package_indexes", "blender_sd.workers.wheels"))


# ---- the wire --------------------------------------------------------------------------------------------------------

REQUEST = Request(prompt="{red|green} (moss:1.2) brick", negative="blurry", model="/models/a",
                  loras=(Lora("/models/b.safetensors",
                              0.5),), embeddings=(Embedding("embedding:old", "/models/c.safetensors"),),
                  axes=(Axis("steps", "8, 20"), Axis("prompt", "brick, stone")),
                  controls=(Control("depth", "starter", 0.5, 0.1, 0.9, "sha256:00"),), source="sha256:" + "0" * 64)
PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def framed(message: object) -> bytes:
    stream = io.BytesIO()
    framing.write_message(stream, message)
    return stream.getvalue()


@target("wire", *map(framed, (
    Hello(EngineConfig()), Cancel("1"), Step("1", 1, 2, 1, 1, PIXELS[..., :3]), Failed("1", "model_unreadable", "a", "b", "c"),  # noqa: E501
    Generate("1", REQUEST, "/models/a", "/out", {"source": Source(pixels=PIXELS), "mask": Source(encoded=b"\x89PNG")}),
    Finished("1", (Result("/a.png", Request(), 2, 3, PIXELS),)), Fetch("1", "a/b", "", "/models", True, "t"),
    Ready("cpu", "fp32", {"a": "1"}), Install("1", "install", "/p", "/l", ""))))
def read_frames(data: bytes) -> None:
    stream = io.BytesIO(data)
    try:
        while framing.read_message(stream) is not None:
            pass
    except framing.WireError:
        pass


_LENS = Lens((0.0, 0.0, 5.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0), 50.0, 50.0, 32.0, 32.0, 64, 64, True, 0.1,
             100.0)
_TOPOLOGY = shots.topology_of(np.array([[0, 1, 2]]), np.array([0]))


@target("shot", shots.info_bytes(shots.ShotInfo((1, 2, 3), 64, 64, cuts=(2,), objects=("Cube",))),
        shots.course_bytes(shots.Course(strength={1: 0.5}, regions={0: {2: 0.1}}, prompts=((1, "a"), (3, "b")))),
        shots.topology_bytes(_TOPOLOGY), shots.surface_bytes(np.eye(3, dtype=np.float32), _TOPOLOGY.name, _LENS))
def read_shot(data: bytes) -> None:
    for read in (shots.read_info, shots.read_course, lambda raw: shots.read_topology(raw, "a", "b"),
                 lambda raw: shots.read_surface(raw, "a")):
        try:
            read(data)
        except SourceUnusable as error:
            refused(error)


# ---- what pictures say -----------------------------------------------------------------------------------------------


@target("request", REQUEST.to_json().encode(), Request().to_json().encode())
def read_request(data: bytes) -> None:
    try:
        one = Request.from_json(text(data))
        one.single(one.pictures - 1)
        assert Request.from_json(one.to_json()) == one
        webui_text.parameters_text(one, "model")
        framed(Generate("1", one, one.model, ""))
    except InvalidRequest as error:
        refused(error)


@target("origin", Origin("a", "2026", "m", "SDXL", "mit", "https://a", parts=(Part("LoRA", "x", "y"),)).to_json().encode())  # noqa: E501
def read_origin(data: bytes) -> None:
    try:
        one = Origin.from_json(text(data))
        assert Origin.from_json(one.to_json()) == one
    except InvalidRequest as error:
        refused(error)


def spoken(request: str = "", key: str = png.REQUEST_KEY) -> bytes:
    """The iTXt chunk with a request's text."""
    return chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + request.encode("utf-8", "surrogatepass"))


@target("png", picture(spoken(REQUEST.to_json()), chunk(b"tEXt", b"parameters\0a\nSteps: 1, Model: m"),
                       chunk(b"zTXt", b"k\0\0" + zlib.compress(b"words")), chunk(b"iTXt", b"i\0\1\0\0\0" + zlib.compress(b"more"))))  # noqa: E501
def read_png(data: bytes) -> None:
    path = put("picture.png", data)
    png.read_text(path)
    found = png.text_of(data)
    assert sum(map(len, found.values())) <= 8 << 20
    head = png.read_head(path)
    entry = head and history_entries.entry_of(path, (0, 0), head, False)
    if entry:
        assert f"{entry.prompt}{entry.model}{entry.task}{entry.sampler}{entry.seed}".encode(
        ) and 0 <= entry.seed < 2**31
        history_entries.matching([entry], "brick seed:7")
    try:
        png.request_in(found)
    except InvalidRequest as error:
        refused(error)


@target("header", picture(), b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08\0\x10\0\x10\3\1\x11\0\2\x11\0\3\x11\0")  # noqa: E501
def read_header(data: bytes) -> None:
    found = encoded.read_header(data)
    assert found is None or min(found.width, found.height) >= 0


@target("other programs' settings",
        b"a castle, EasyNegative <lora:x:0.8>\nNegative prompt: b\nSteps: 28, Sampler: Euler a, Size: 512x768, Seed: 4, "  # noqa: E501
        b'Hires prompt: "a, \\"b\\"", Civitai resources: [{"a": 1}], TI hashes: "EasyNegative: 01"',
        b'{"3": {"class_type": "KSampler", "inputs": {"seed": ["9", 0], "steps": 28, "positive": ["6", 0]}}, "6": '
        b'{"class_type": "CLIPTextEncode", "inputs": {"text": "a"}}}', b'"a castle" -s 50 -S 42',
        b'{"prompt": "{{a}}, [b], 1.5::c ::", "uc": "d", "steps": 28}', b'{"sui_image_params": {"prompt": "a", "loras": ["x"]}}')  # noqa: E501
def read_settings_of_others(data: bytes) -> None:
    given = text(data)
    for key in ("parameters", "Comment", "prompt", "invokeai_metadata", "Dream", "UserComment"):
        foreign_settings.read({key: given})
    foreign_settings.read_hidden(given)
    novelai_prompt.in_our_notation(given)


# ---- words -----------------------------------------------------------------------------------------------------------


@target("prompt", b"a {red|green {x|y}} (moss:1.3) [wall] <lora:old:0.8> embedding:old_look __colours__ \\(plain\\)",
        b"((((a:1.2)", b"{{|}}")
def read_prompt(data: bytes) -> None:
    given = text(data)
    made = prompt_choices.chosen(prompt_choices.with_lists(given, lambda name: ["red", name]), 7)
    made, tags = prompt_choices.without_loras(made)
    assert all(isinstance(tag.name, str) and isinstance(tag.weight, float) for tag in tags)
    prompt_choices.embeddings(made)
    assert all(abs(weight) < 1e300 for _, weight in prompt_steps.weighted(made))
    prompt_steps.plain(made)
    prompt_steps.note(made)
    assert all(prompt_steps.plain(step) is not None for step in prompt_steps.readings(made, 4))
    prompt_choices.alternatives(given, 20)
    assert prompt_syntax.shape(prompt_syntax.parse(prompt_syntax.literal(given))) == prompt_syntax.shape(
        prompt_syntax.parse(given))


@target("wildcards", b"# colours\nred\n\n green \n", b"\xef\xbb\xbfblue")
def read_wildcards(data: bytes) -> None:
    put("wildcards/colours.txt", data)
    try:
        assert all(wildcards.read_list("Colours", [place()]))
    except InvalidRequest as error:
        refused(error)


@target("style", b'description = "x"\nprompt = "{prompt}, wet"\nsteps = 30\nguidance = 6.0\nwidth = 512\n[loras]\n"old '
                 b'paper" = 0.7\n')
def read_style(data: bytes) -> None:
    try:
        one = style_format.read_style(data, "a style")
        one.words("brick", "blur")
        again = style_format.read_style(style_format.written(one).encode(), "a style")
        assert again.words("a", "b") == one.words("a",
                                                  "b") and (again.settings, again.loras) == (one.settings, one.loras)
    except StyleUnusable as error:
        refused(error)


@target("rows", b"name,prompt,seed,size,tags\nBrick,red "
                b"brick,7,512x512,a;b\n", b"red brick\n# no\nmoss\n", b"prompt;steps\n\"a;b\";4\n")
def read_rows(data: bytes) -> None:
    try:
        for row in material_lists.read_rows(text(data)):
            assert row.name and row.name.encode() and len(row.problem) < 500
    except AssetUnusable as error:
        refused(error)


@target("jobs", b'{"format": 2, "settings": {"steps": 3}, "jobs": [{"name": "a", "task": {"name": "restyle", '
                b'"strength": 0.4}, "prompt": "x", "source": "a_##.png", "frames": "1-3,5-9x2", '
        b'"loras": [{"name": "l"}]}]}',
        b'{"format": 2, "jobs": [{"request": {"format": 2, "task": {"name": "upscale"}}, "source": "CAMERA"}]}')
def read_jobs(data: bytes) -> None:
    try:
        listed = job_file.read(put("jobs.json", data))
    except (InvalidRequest, SourceUnusable) as error:
        refused(error)
        return
    for problem in listed.problems:
        refused(problem.error)
        assert problem.where.startswith(("jobs[", "blend", "output", "settings.")) and len(problem.where) < 500


@target("hub", b"owner/name", b"https://huggingface.co/owner/name/blob/main/a/b.safetensors?x=1", b"owner/name/file.safetensors")  # noqa: E501
def read_hub(data: bytes) -> None:
    try:
        repo, _ = hub.parse(text(data))
        folder = hub.folder_name(repo)
        assert "/" not in folder and "\\" not in folder and folder.strip(".") and repo.count("/") == 1
        hub.known(text(data))
    except InvalidRequest as error:
        refused(error)


# ---- our own files ---------------------------------------------------------------------------------------------------


@target("licences", b'{"a/b": "mit"}')
def read_licences(data: bytes) -> None:
    assert "x/y" not in accepted_licences.Licences(put("licences.json", data)) or b"x/y" in data or b"\\u" in data


@target("engine", b'{"folder": "env1", "accelerator": "cpu", "digest": "0", "base": "/p", "version": "3.11", "bytes": '
                  b'1}')
def read_engine(data: bytes) -> None:
    put("engine/engine.json", data)
    found = engine_environment.read(os.path.join(place(), "engine"))
    assert found is None or found.python("/p").startswith("/p" + os.sep + "env")


@target("catalog", b"# x\n\nVERSION 1\n\n8b2a0b4e-5f5e-4b0e-8b2a-0b4e5f5e4b0e:Stable Diffusion:Stable "
                   b"Diffusion\n", b"VERSION 1\na:b:c\n")
def read_catalog(data: bytes) -> None:
    put("assets/blender_assets.cats.txt", data)
    asset_library.catalog(os.path.join(place(), "assets"))
    assert asset_library.asset_name(text(data)).encode()


_PIN = (b'[[packages]]\nname = "a"\nversion = "1"\nmarker = "python_version > \'3\'"\n[[packages.wheels]]\n'
        b'url = "https://b/a-1-py3-none-any.whl"\nsize = 5\nhashes = {sha256 = "' + b"0" * 64 + b'"}\n')


@target("lock", _PIN, b'packages = []\n[[tool.blender_sd.builds]]\nname = "a"\nversion = "1"\nlabel = "b"\nindex = '
                      b'"https://b"\n',
        b'packages = []\ntool.blender_sd.include = ["lock.toml"]\n')
def read_lock(data: bytes) -> None:
    if wheels is not None:
        try:
            lock.read_lock(put("engine/lock.toml", data))
        except InvalidRequest as error:
            refused(error)


@target("source of high depth", light.encoded(light.Light(
    np.linspace(0, 3, 17 * 16 * 4, dtype=np.float32).reshape(17, 16, 4), np.zeros((17, 16, 4), np.uint8))))
def read_light(data: bytes) -> None:
    try:
        read = light.read(data)
    except ValueError:
        return
    assert read.shown.shape == read.values.shape


@target("index page", b'<base href="https://a/b/"><a href="a-1-py3-none-any.whl#sha256=0">a</a>',
        b'{"files": [{"filename": "a-1-py3-none-any.whl", "url": "../a.whl", "hashes": {"sha256": "0"}, "size": 5}]}')
def read_page(data: bytes) -> None:
    if wheels is not None:
        for kind in ("text/html", "application/json"):
            try:
                found = indexes.links(data, kind, "https://a/b/")
            except ValueError:
                continue
            assert all(os.path.basename(one.name) == one.name for one in found)


def wheel(metadata: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", metadata)
    return file.getvalue()


@target("wheel", wheel(b"Metadata-Version: 2.1\nName: a\nRequires-Dist: b>=1; extra == 'x'\nRequires-Dist: c\n"))
def read_wheel(data: bytes) -> None:
    """What `workers.installation` turns into words: it takes in all that a broken archive raises."""
    if wheels is not None:
        try:
            list(wheels.asked_for(put("a-1-py3-none-any.whl", data)))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error, SDError):  # noqa: E501
            pass
