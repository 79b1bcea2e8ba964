"""Everything here that reads what a stranger may have written, as functions of bytes: what the tests of fuzzing and the bench `fuzz` feed.

A target returns, whatever it is given; what it lets through is a defect. What a reader may raise by its documentation, its target takes in,
after a look at the words that a person would see. `SEEDS` holds sound inputs from which fuzzers start.
"""
from __future__ import annotations

import atexit
import functools
import importlib
import io
import json
import os
import shutil
import struct
import sys
import tempfile
import types
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from png_bytes import chunk, picture

from blender_sd.protocol import cards, checkpoints, environment, hub, png, styles, wire, wording
from blender_sd.protocol.errors import AssetUnusable, InvalidRequest, ModelNotFound, ModelUnreadable, SDError, SourceUnusable, StyleUnusable
from blender_sd.protocol.messages import (
    Cancel, EngineConfig, Failed, Fetch, Finished, Generate, Hello, Install, Ready, Result, Source, Step,
)
from blender_sd.protocol.origin import Origin, Part
from blender_sd.protocol.parts import Axis, Control, Embedding, Lora
from blender_sd.protocol.request import Request
from blender_sd.session import asset_library, controlnets, entries, folders, library, licences, material_rows, named_files, wildcards

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGETS: dict[str, Callable[[bytes], None]] = {}
SEEDS: dict[str, list[bytes]] = {}
_TIME = 1_700_000_000, 1_700_000_000


def _alone(name: str) -> types.ModuleType:
    """A module that needs nothing of its room, without the room's `__init__`, which would import Blender's modules."""
    room = name.rpartition(".")[0]
    if room in sys.modules:
        return importlib.import_module(name)
    package = types.ModuleType(room)
    package.__path__ = [os.path.join(ROOT, *room.split("."))]
    sys.modules[room] = package
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[room], sys.modules[name]


encoded = _alone("blender_sd.scene.encoded")


def target(name: str, *seeds: bytes) -> Callable:
    """Lists the function under `name`."""
    def listed(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[name], SEEDS[name] = function, list(seeds)
        return function
    return listed


def refused(error: SDError) -> None:
    """What a person would be shown can be shown: Blender draws no half of a pair of surrogates, and nobody reads pages."""
    assert str(error).encode() and error.message and len(str(error)) < 2000, repr(error)[:300]


@functools.cache
def place() -> str:
    """A private folder for files, gone at the end."""
    folder = tempfile.mkdtemp(prefix="sd-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def put(name: str, data: bytes) -> str:
    """`data` as the file `name`; its time changes with each call, for what remembers files by it."""
    global _TIME
    path = os.path.join(place(), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    _TIME = _TIME[0] + 1, _TIME[1] + 1
    os.utime(path, _TIME)
    return path


def text(data: bytes) -> str:
    """`data` as text, in which there may be halves of pairs of surrogates."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


# ---- the wire --------------------------------------------------------------------------------------------------------

REQUEST = Request(
    prompt="{red|green} (moss:1.2) brick", negative="blurry", model="/models/a", loras=(Lora("/models/b.safetensors", 0.5),),
    embeddings=(Embedding("embedding:old", "/models/c.safetensors"),), axes=(Axis("steps", "8, 20"), Axis("prompt", "brick, stone")),
    controls=(Control("depth", "starter", 0.5, 0.1, 0.9, "sha256:00"),), source="sha256:" + "0" * 64)
PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def framed(message: object) -> bytes:
    stream = io.BytesIO()
    wire.write_message(stream, message)
    return stream.getvalue()


@target("wire", *map(framed, (
    Hello(EngineConfig()), Cancel("1"), Step("1", 1, 2, 1, 1, PIXELS[..., :3]), Failed("1", "model_unreadable", "a", "b", "c"),
    Generate("1", REQUEST, "/models/a", "/out", {"source": Source(pixels=PIXELS), "mask": Source(encoded=b"\x89PNG")}),
    Finished("1", (Result("/a.png", Request(), 2, 3, PIXELS),)), Fetch("1", "a/b", "", "/models", True, "t"),
    Ready("cpu", "fp32", {"a": "1"}), Install("1", "install", "/p", "/l", ""))))
def read_frames(data: bytes) -> None:
    stream = io.BytesIO(data)
    try:
        while wire.read_message(stream) is not None:
            pass
    except wire.WireError:
        pass


# ---- what pictures say -------------------------------------------------------------------------------------------------


@target("request", REQUEST.to_json().encode(), Request().to_json().encode())
def read_request(data: bytes) -> None:
    try:
        one = Request.from_json(text(data))
        one.single(one.pictures - 1)
        assert Request.from_json(one.to_json()) == one
        png.parameters_text(one, "model")
        framed(Generate("1", one, one.model, ""))
    except InvalidRequest as error:
        refused(error)


@target("origin", Origin("a", "2026", "m", "SDXL", "mit", "https://a", parts=(Part("LoRA", "x", "y"),)).to_json().encode())
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
                       chunk(b"zTXt", b"k\0\0" + zlib.compress(b"words")), chunk(b"iTXt", b"i\0\1\0\0\0" + zlib.compress(b"more"))))
def read_png(data: bytes) -> None:
    path = put("picture.png", data)
    png.read_text(path)
    found = png.text_of(data)
    assert sum(map(len, found.values())) <= 8 << 20
    head = png.read_head(path)
    entry = head and entries.entry_of(path, (0, 0), head, False)
    if entry:
        assert f"{entry.prompt}{entry.model}{entry.task}{entry.sampler}{entry.seed}".encode() and 0 <= entry.seed < 2**31
        entries.matching([entry], "brick seed:7")
    try:
        png.request_in(found)
    except InvalidRequest as error:
        refused(error)


@target("header", picture(), b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xc0\0\x11\x08\0\x10\0\x10\3\1\x11\0\2\x11\0\3\x11\0")
def read_header(data: bytes) -> None:
    found = encoded.read_header(data)
    assert found is None or min(found.width, found.height) >= 0


# ---- words -------------------------------------------------------------------------------------------------------------


@target("prompt", b"a {red|green {x|y}} (moss:1.3) [wall] <lora:old:0.8> embedding:old_look __colours__ \\(plain\\)",
        b"((((a:1.2)", b"{{|}}")
def read_prompt(data: bytes) -> None:
    given = text(data)
    made = wording.chosen(wording.with_lists(given, lambda name: ["red", name]), 7)
    made, tags = wording.without_loras(made)
    assert all(isinstance(name, str) and isinstance(weight, float) for name, weight in tags)
    wording.embeddings(made)
    assert all(abs(weight) < 1e300 for _, weight in wording.weighted(made))
    wording.plain(made)


@target("wildcards", b"# colours\nred\n\n green \n", b"\xef\xbb\xbfblue")
def read_wildcards(data: bytes) -> None:
    put("wildcards/colours.txt", data)
    try:
        assert all(wildcards.read_list("Colours", [place()]))
    except InvalidRequest as error:
        refused(error)


@target("style", b'description = "x"\nprompt = "{prompt}, wet"\nsteps = 30\nguidance = 6.0\nwidth = 512\n[loras]\n"old paper" = 0.7\n')
def read_style(data: bytes) -> None:
    try:
        one = styles.read_style(data, "a style")
        one.words("brick", "blur")
        again = styles.read_style(styles.written(one).encode(), "a style")
        assert again.words("a", "b") == one.words("a", "b") and (again.settings, again.loras) == (one.settings, one.loras)
    except StyleUnusable as error:
        refused(error)


@target("rows", b"name,prompt,seed,size,tags\nBrick,red brick,7,512x512,a;b\n", b"red brick\n# no\nmoss\n", b"prompt;steps\n\"a;b\";4\n")
def read_rows(data: bytes) -> None:
    try:
        for row in material_rows.read_rows(text(data)):
            assert row.name and row.name.encode() and len(row.problem) < 500
    except AssetUnusable as error:
        refused(error)


@target("hub", b"owner/name", b"https://huggingface.co/owner/name/blob/main/a/b.safetensors?x=1", b"owner/name/file.safetensors")
def read_hub(data: bytes) -> None:
    try:
        repo, _ = hub.parse(text(data))
        folder = hub.folder_name(repo)
        assert "/" not in folder and "\\" not in folder and folder.strip(".") and repo.count("/") == 1
        hub.known(text(data))
    except InvalidRequest as error:
        refused(error)


# ---- model folders -----------------------------------------------------------------------------------------------------


def tensors(header: object) -> bytes:
    """A safetensors file of this header and no weights."""
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw


def _entry(*shape: int) -> dict:
    return {"dtype": "F16", "shape": list(shape), "data_offsets": [0, 0]}


@target("safetensors", tensors({"emb_params": _entry(4, 768)}), tensors({"a.lora_down.weight": _entry(4, 4), "__metadata__": {
    "modelspec.title": "Hyper SD 8 steps", "modelspec.license": "mit"}}), tensors({
    "double_blocks.0": _entry(1), "img_in.weight": _entry(2, 64),
    "single_blocks.0.modulation.lin.a": _entry(1)}), tensors({
    "model.diffusion_model.input_blocks.0.0.weight": _entry(320, 4, 3, 3), "first_stage_model.a": _entry(1),
    "cond_stage_model.transformer.a": _entry(1)}))
def read_safetensors(data: bytes) -> None:
    read_weights(put("nets/one.safetensors", data))
    for kind in (checkpoints.LORA, checkpoints.UPSCALER):
        named_files.find_files(kind, [os.path.join(place(), "nets")])


def gguf(*names: str) -> bytes:
    def words(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(names), 2)
    head += words("general.architecture") + struct.pack("<I", 8) + words("flux")
    head += words("list") + struct.pack("<IIQ", 9, 4, 2) + struct.pack("<II", 1, 2)
    return head + b"".join(words(name) + struct.pack("<IQQIQ", 2, 64, 3072, 0, 0) for name in names)


@target("gguf", gguf("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "single_blocks.0.modulation.lin.weight"), gguf())
def read_gguf(data: bytes) -> None:
    read_weights(put("nets2/one.gguf", data))


def read_weights(path: str) -> None:
    """All that is asked of a file of weights."""
    kind = folders.kind_at(path)
    folders.few_steps_at(path)
    cards.licence_of(path)
    if kind is not None:
        assert isinstance(kind.name, str) and type(kind.channels) is int
        try:
            library.read_checkpoint(path)
        except (ModelUnreadable, ModelNotFound) as error:
            refused(error)


_INDEX = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
          "unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "EulerDiscreteScheduler"]}
_CONFIG = {"_class_name": "FluxControlNetModel", "in_channels": 64, "sample_size": 64, "block_out_channels": [4, 8], "patch_size": 2,
           "guidance_embeds": True, "cross_attention_dim": 768, "num_mode": 2, "timestep_spacing": "trailing", "shift": 3.0}
_OWN = {"name": "A model", "size": [512, 640], "steps": 8, "guidance": 2.0, "sampler": "euler", "text": "one line", "licence": "CC0-1.0"}


@target("folder", *(b"\0".join(json.dumps(one).encode() for one in (index, _CONFIG, _OWN)) for index in (
    _INDEX, {"_class_name": "StableDiffusionPipeline", "unet": ["a", "b"], "vae": ["a", "b"]},
    {"_class_name": "ZImagePipeline", "transformer": ["a", "b"]})))
def read_folder(data: bytes) -> None:
    """A model's three kinds of JSON, with zero bytes between them."""
    index, config, own = (*data.split(b"\0"), b"{}", b"{}")[:3]
    put("models/one/model_index.json", index)
    put("models/one/blender_sd.json", own)
    put("models/net/config.json", config)
    for part in ("unet", "transformer", "vae"):
        put(f"models/one/{part}/config.json", config)
    put("models/one/scheduler/scheduler_config.json", config)
    put("models/flux.safetensors", tensors({"double_blocks.0": _entry(1), "img_in.weight": _entry(2, 64),
                                            "single_blocks.0.modulation.lin.a": _entry(1)}))
    top = os.path.join(place(), "models")
    for model in library.find_models([top]):
        assert f"{model.name}{model.text}{model.family}" and 1 <= model.steps <= 500 and 16 <= model.default_width <= 8192
    controlnets.find_controlnets([top])
    cards.licence_of(os.path.join(top, "one"))


@target("card", b"---\nlicense: openrail\nlicense_link: https://a\n---\n# A model\n", b'---\nlicense: other\nlicense_name: "x y"\n---\n')
def read_card(data: bytes) -> None:
    put("card/README.md", data)
    found = cards.licence_of(os.path.join(place(), "card"))
    assert len(found.name) <= 300 and len(found.link) <= 300 and isinstance(found.key, str)


# ---- our own files -----------------------------------------------------------------------------------------------------


@target("licences", b'{"a/b": "mit"}')
def read_licences(data: bytes) -> None:
    assert "x/y" not in licences.Licences(put("licences.json", data)) or b"x/y" in data or b"\\u" in data


@target("engine", b'{"folder": "env1", "accelerator": "cpu", "digest": "0", "base": "/p", "version": "3.11", "bytes": 1}')
def read_engine(data: bytes) -> None:
    put("engine/engine.json", data)
    found = environment.read(os.path.join(place(), "engine"))
    assert found is None or found.python("/p").startswith("/p" + os.sep + "env")


@target("catalog", b"# x\n\nVERSION 1\n\n8b2a0b4e-5f5e-4b0e-8b2a-0b4e5f5e4b0e:Stable Diffusion:Stable Diffusion\n", b"VERSION 1\na:b:c\n")
def read_catalog(data: bytes) -> None:
    put("assets/blender_assets.cats.txt", data)
    asset_library.catalog(os.path.join(place(), "assets"))
    assert asset_library.asset_name(text(data)).encode()


@target("lock", b"torch==2.13.0 \\\n    --hash=sha256:00\nnumpy==1.0; python_version < '3.12'\n--extra-index-url https://a/b\n"
        b"-r engine/lock.txt\n")
def read_lock(data: bytes) -> None:
    if wheels is not None:
        try:
            wheels.read_lock(put("engine/lock.txt", data))
        except InvalidRequest as error:
            refused(error)


def wheel(metadata: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", metadata)
    return file.getvalue()


@target("wheel", wheel(b"Metadata-Version: 2.1\nName: a\nRequires-Dist: b>=1; extra == 'x'\nRequires-Dist: c\n"))
def read_wheel(data: bytes) -> None:
    """What `engine.installing` turns into words: it takes in all that a broken archive raises."""
    if wheels is not None:
        try:
            list(wheels.asked_for(put("a-1-py3-none-any.whl", data)))
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error, SDError):
            pass


@target("source", picture(width=16, height=16))
def read_source(data: bytes) -> None:
    if sources is not None:
        try:
            image, alpha = sources.open_source(Source(encoded=data))
            assert image.mode == "RGB" and (alpha is None or alpha.size == image.size)
        except SourceUnusable as error:
            refused(error)
        sources.file_kind(data)


def _optional(name: str) -> types.ModuleType | None:
    """A module of the engine's room, where what it imports is here: Pillow, or a pip that can be imported."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


wheels, sources = _optional("blender_sd.engine.wheels"), _optional("blender_sd.engine.sources")
