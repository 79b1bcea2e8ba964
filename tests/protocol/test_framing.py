"""Frames: every message survives the way; nothing but a well-formed message is ever read."""
from __future__ import annotations

import dataclasses
import io
import json
import random
import struct

import numpy as np
import pytest

from blender_sd.protocol import framing
from blender_sd.core.errors import EngineDied, InvalidRequest, OutOfMemory, SDError, error_of_kind
from blender_sd.protocol.messages import (
    Alive, Cancel, Cancelled, Check, Encode, EngineConfig, Failed, Fetch, Fetched, Finished, Found, FrameDone,
    Generate, Hello, Install, Installed, Loading, Note, Outline, Ready, Record, Result, Shutdown, Source, Stage, Step,
    Unwrapped, Verified, Verify,
)
from blender_sd.core.request import Request
from blender_sd.protocol.framing import WireError, read_message, write_message
from blender_sd.protocol.shots import ShotOrder
from blender_sd.protocol.surfaces import Bare

REQUEST = Request(prompt="Ziegel, 砖墙 🧱\n\0", negative="\"quotes\" \\ {}", seed=7, guidance=7)
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)
MESSAGES = [
    Hello(EngineConfig(device="cuda:1", precision="bf16", threads=3, memory_mb=4096, memory_use="tiles", preview_px=0)),
    Cancel("1"),
    Shutdown(),
    Alive(),
    Loading("1", "Lädt …"),
    Note("1", "cut"),
    Generate("1", REQUEST, "/models/a b", "", base_model="/models/c"),
    Generate("1", REQUEST, "", "", {"source": Source(pixels=PIXELS)}),
    Generate("1", REQUEST, "", "", {"source": Source(encoded=b"\x89PNG"), "mask": Source(pixels=PIXELS)}),
    Generate("1", REQUEST, "", "", bare=(Bare(NUMBERS, NUMBERS.astype(np.int32), np.arange(2, dtype=np.int32)),)),
    Generate("1", REQUEST, "", "/out", shot=ShotOrder("/shots/a b", (-3, 1, 2), True)),
    FrameDone("1", -3, "/out/-00003.png", 1, 240, True, PIXELS[..., :3]),
    Unwrapped("1", (NUMBERS, NUMBERS[:0])),
    Unwrapped("1", ()),
    Ready("cpu", "fp32", {"torch": "2.13"}),
    Step("1", 1, 2, 3, 4),
    Step("1", 1, 2, 3, 4, PIXELS[..., :3]),
    Cancelled("1"),
    Failed("", "out_of_memory", "a", "b", "c"),
    Finished("1", (Result("/a.png", REQUEST, 8, 16), Result("C:\\b.png", REQUEST.single(1), 8, 16))),
    Finished("1", ()),
    Finished("1", (Result("", REQUEST, 3, 2, PIXELS),)),
    Fetch("1", "owner/name", "a.safetensors", "/models", True, "hf_x"),
    Found("1", "mit", "https://x", 0, 1 << 40),
    Fetched("1", 1 << 40),
    Installed("1", "/models/a"),
    Install("1", "repair", "/place", "/locks/cpu.txt", "/wheels"),
    Check("1"),
    Stage("1", "Downloading", 1 << 40, 1 << 41),
    Stage("1", "Testing"),
    Verify("1", "/a.png"),
    Verify("1", "", Source(encoded=b"\x89PNG")),
    Verified("1", "{}"),
    Record("1", "/out/.shot", (-3, 1, 2), "/a.blend", "ab12", "Scene", "/in/####.png", "vector", 16,
           ("strength=sd.strength",), '[[1, "clay"]]', True, ("0=depth",), "[]"),
    Encode("1", "/out", (-3, 1, 2), "/out/a.mp4", (30000, 1001), "/in.mp4", "/out/exr", "/out/.a.mp4.part"),
    Outline("1", "/tmp/a.blend", "Scene", "/tmp/a.exr", True),]


def test_two_hundred_masks_and_meshes_without_uvs_travel_together():
    mask, bare = Source(encoded=b"\x89PNG"), Bare(NUMBERS, NUMBERS.astype(np.int32), np.arange(2, dtype=np.int32))
    stream = io.BytesIO()
    write_message(stream, Generate("1", REQUEST, "", "", {f"region{number}": mask for number in range(200)},
                                   bare=(bare,) * 200))
    back = read_message(io.BytesIO(stream.getvalue()))
    assert len(back.inputs) == len(back.bare) == 200 and np.array_equal(back.bare[-1].vertices, NUMBERS)


def framed(*messages):
    stream = io.BytesIO()
    for message in messages:
        write_message(stream, message)
    return stream.getvalue()


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, spec.name), getattr(b, spec.name)) for spec in dataclasses.fields(a))
    if isinstance(a, tuple):
        return type(b) is tuple and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return type(b) is dict and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_way(message):
    assert same(read_message(io.BytesIO(framed(message))), message)


def test_every_message_type_is_tested():
    assert {type(message) for message in MESSAGES} == set(framing.MESSAGES)


def test_messages_follow_each_other_until_the_end():
    stream = io.BytesIO(framed(*MESSAGES))
    for message in MESSAGES:
        assert same(read_message(stream), message)
    assert read_message(stream) is None


def test_a_stream_that_gives_one_byte_at_a_time():
    class Trickle(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1))

    stream = Trickle(framed(MESSAGES[7]))
    assert same(read_message(stream), MESSAGES[7]) and read_message(stream) is None


def test_arrays_of_any_memory_layout():
    for pixels in (PIXELS[:, ::2], PIXELS[::-1], np.asfortranarray(PIXELS)):
        assert same(
            read_message(io.BytesIO(framed(Step("1", 1, 1, 1, 1, pixels)))).preview, np.ascontiguousarray(pixels))


@pytest.mark.parametrize("pixels", [PIXELS.astype(np.float32), PIXELS[0], PIXELS[None]])
def test_other_arrays_are_refused_before_anything_is_written(pixels):
    stream = io.BytesIO()
    with pytest.raises(TypeError):
        write_message(stream, Step("1", 1, 1, 1, 1, pixels))
    assert stream.getvalue() == b""


def test_a_prompt_beyond_the_bound_is_refused_before_anything_is_written():
    stream = io.BytesIO()
    with pytest.raises(InvalidRequest, match="too long"):
        write_message(stream, Generate("1", Request(prompt="x" * framing.MAX_HEADER), "", ""))
    assert stream.getvalue() == b""


# ---- what is no message ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [MESSAGES[0], MESSAGES[7], MESSAGES[14]])
def test_a_stream_that_breaks_off_anywhere(message):
    whole = framed(message)
    for length in range(1, len(whole)):
        with pytest.raises(WireError):
            read_message(io.BytesIO(whole[:length]))


def frame(header, blobs=b"", magic=b"SDB1", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return magic + struct.pack("<I", len(text) if length is None else length) + text + blobs


def message(type="Cancel", body=None, blobs=()):
    return {"type": type, "body": {"job": "1"} if body is None else body, "blobs": list(blobs)}


STEP = {"job": "1", "step": 1, "steps": 1, "image": 1, "images": 1, "preview": None}
GENERATE = {"job": "1", "request": REQUEST.to_json(), "folder": "", "output": "", "inputs": {}}


def test_the_hand_made_frames_are_right_before_they_are_broken():
    assert read_message(io.BytesIO(frame(message()))) == Cancel("1")
    assert read_message(io.BytesIO(frame(message("Step", STEP)))).step == 1
    assert read_message(io.BytesIO(frame(message("Generate", GENERATE)))).request == REQUEST


@pytest.mark.parametrize("data", [
    frame(message(), magic=b"SDB2"), frame(message(), magic=b"\x89PNG"), b"HTTP/1.1 200 OK\r\n\r\n",
    frame(b"", length=framing.MAX_HEADER + 1), frame(b"", length=0xFFFFFFFF), frame(b""), frame(b"{"), frame(b"\xff\xfe"), frame([]),  # noqa: E501
    frame(3),
    frame({}), frame({"type": "Cancel"}), frame(b"[" * 100_000),
    frame(message("Pickle")), frame(message("Source")), frame(message([])), frame(message("SDError")),
    frame(message(body=[])), frame(message(body="job")), frame(message(body={})), frame(message(body={"job": 1})),
    frame(message(body={"job": None})), frame(message(body={"job": "1", "more": 1})),
    frame(message(blobs=[framing.MAX_BLOB + 1])), frame(message(blobs=[-1])), frame(message(blobs=[1.5])),
    frame(message(blobs=[True]), b"x"),
    frame(message(blobs=[0] * (framing.MAX_BLOBS + 1))),
    frame({**message(), "blobs": None}), frame({**message(), "blobs": {"0": 1}}, b"x"),
    frame(message("Step", {**STEP, "step": "1"})), frame(message("Step", {**STEP, "step": True})),
    frame(message("Step", {**STEP, "step": 1.0})),
    frame(message("Step", {**STEP, "preview": {"blob": 0, "shape": [1, 1, 3]}})),
    frame(message("Step", {**STEP, "preview": {"blob": 0, "shape": [1, 1, 3]}}, [2]), b"xx"),
    frame(message("Step", {**STEP, "preview": {"blob": 0, "shape": [1, 3]}}, [3]), b"xxx"),
    frame(message("Step", {**STEP, "preview": {"blob": 0, "shape": [-1, 1, 3]}}, [3]), b"xxx"),
    frame(message("Step", {**STEP, "preview": {"blob": 0, "shape": [0, 1, 3]}}, [0])),
    frame(message("Step", {**STEP, "preview": {"blob": 5, "shape": [1, 1, 3]}}, [3]), b"xxx"),
    frame(message("Step", {**STEP, "preview": {"blob": "0", "shape": [1, 1, 3]}}, [3]), b"xxx"),
    frame(message("Step", {**STEP, "preview": [1, 2, 3]})),
    frame(message("Step", {**STEP, "preview": {"blob": 0, "shape": [2**40, 2**40, 3]}}, [3]), b"xxx"),
    frame(message("Generate", {**GENERATE, "request": "{}"})), frame(message("Generate", {**GENERATE, "request": None})),  # noqa: E501
    frame(message("Generate", {**GENERATE, "request": REQUEST.to_json().replace('"seed": 7', '"seed": -7')})),
    frame(message("Generate", {**GENERATE, "inputs": {"source": {}}})), frame(message("Generate", {**GENERATE, "inputs": "x"})),  # noqa: E501
    frame(message("Generate", {**GENERATE, "inputs": {"source": {"pixels": None, "encoded": {"blob": 0}}}})),
    frame(message("Generate", {**GENERATE, "folder": None})),
    frame(message("Finished", {"job": "1", "results": [{"path": "a"}]})), frame(message("Finished", {"job": "1", "results": 3})),  # noqa: E501
    frame(message("Finished", {"job": "1", "results": ["a"]})),
    frame(message("Ready", {"device": "cpu", "precision": "fp32", "versions": []})),
    frame(message("Hello", {"config": None, "protocol": 1})), frame(message("Hello", {"config": {"threads": "all"}, "protocol": 1})),  # noqa: E501
    frame(message("Hello", {"config": {"gpu": 1}, "protocol": 1})),
])
def test_malformed_frames(data):
    with pytest.raises(WireError):
        read_message(io.BytesIO(data))


def test_random_bytes_are_no_message():
    dice = random.Random(1)
    for _ in range(3000):
        data = dice.randbytes(dice.randrange(1, 60))
        with pytest.raises(WireError):
            read_message(io.BytesIO(data))
        with pytest.raises(WireError):
            read_message(io.BytesIO(frame(data)))


def test_damaged_frames_are_refused_or_read_as_a_message():
    """Whatever single bytes are changed: a message of the closed set, the stream's end, or WireError; nothing else."""
    dice = random.Random(2)
    refused = 0
    for _ in range(4000):
        data = bytearray(framed(dice.choice(MESSAGES)))
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            got = read_message(io.BytesIO(bytes(data)))
        except WireError:
            refused += 1
        else:
            assert type(got) in framing.MESSAGES
    assert refused > 1000


# ---- errors --------------------------------------------------------------------------------------------------------


def test_errors_survive_the_way():
    error = OutOfMemory("Too large.", "Make it smaller.", "CUDA …")
    back = read_message(io.BytesIO(framed(Failed.of("1", error)))).error()
    assert type(back) is OutOfMemory and (back.message, back.hint, back.detail) == ("Too large.", "Make it smaller.",
                                                                                    "CUDA …")
    assert str(back) == "Too large. Make it smaller."


def test_kinds_are_unique_and_unknown_ones_are_still_errors():
    kinds = [cls.kind for cls in SDError.__subclasses__()]
    assert len(set(kinds)) == len(kinds) and EngineDied.kind in kinds and "internal" not in kinds
    assert type(error_of_kind("from the future", "x")) is SDError


@pytest.mark.parametrize("index", [-1, 1, True, "0", None, 0.0])
def test_a_blob_that_the_frame_does_not_hold(index):
    whole = framed(Verify("1", "", Source(encoded=b"\x89PNG")))
    text = whole[8:-4].replace(b'{"blob": 0}', json.dumps({"blob": index}).encode())
    with pytest.raises(WireError):
        read_message(io.BytesIO(struct.pack("<4sI", b"SDB1", len(text)) + text + whole[-4:]))


def test_fields_are_decoded_by_their_types():
    """A field may have any name; one of a type that cannot be decoded fails here."""
    import typing

    for cls in (*framing.MESSAGES, EngineConfig, Result):
        for name, kind in typing.get_type_hints(cls).items():
            assert kind in framing._DECODERS or kind in (str, int, float, bool), (cls, name)
    assert read_message(io.BytesIO(framed(Hello(EngineConfig(safety_threshold=1))))).config.safety_threshold == 1


def test_an_animation_of_a_hundred_thousand_frames_can_be_asked_for():
    frames, folder = tuple(range(1, 100_001)), "/a folder with a long name" * 8
    for message in (Record("1", folder, frames), Encode("1", folder, frames, f"{folder}.mp4"),
                    Generate("1", Request.of("restyle_sequence"), "m", folder, shot=ShotOrder(folder, frames))):
        stream = io.BytesIO()
        write_message(stream, message)
        stream.seek(0)
        read = read_message(stream)
        assert (read.shot if isinstance(read, Generate) else read).frames == frames
