"""PNG text chunks, made by hand from the specification (https://www.w3.org/TR/png-3/#11textinfo)."""
from __future__ import annotations

import random
import struct
import zlib

import pytest

from blender_sd.library import png
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.image_origin import ORIGIN_KEY, Origin
from blender_sd.library.png import (
    PARAMETERS_KEY, REQUEST_KEY, has_credentials, origin_in, read_head, read_text, request_in, text_of,
)
from blender_sd.core.request import Request
from blender_sd.core.webui_text import parameters_text
from blender_sd.core.tasks import IMAGE_TO_IMAGE

REQUEST = Request(prompt="red brick wall", negative="blur", seed=7, steps=12, guidance=5, width=512, height=256)


def chunk(kind, body=b""):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def itxt(key, text, packed=False):
    data = text.encode("utf-8")
    return chunk(b"iTXt",
                 key.encode() + b"\0" + bytes([packed, 0]) + b"en\0key\0" + (zlib.compress(data) if packed else data))


def file_of(*chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND")


def test_the_three_kinds_of_text():
    data = file_of(
        chunk(b"tEXt", "a\0Grüße".encode("latin-1")), chunk(b"zTXt", b"b\0\0" + zlib.compress("Maß".encode("latin-1"))),
        itxt("c", "砖墙 🧱"), itxt("d", "packed ü", packed=True), chunk(b"tEXt", b"empty\0"))
    assert text_of(data) == {"a": "Grüße", "b": "Maß", "c": "砖墙 🧱", "d": "packed ü", "empty": ""}


def test_text_after_the_pixels_is_found(tmp_path):
    data = file_of()
    end = chunk(b"IEND")
    path = tmp_path / "x.png"
    path.write_bytes(data[: -len(end)] + itxt(REQUEST_KEY, REQUEST.to_json()) + end)
    assert request_in(read_text(path)) == REQUEST


def test_the_head_is_read_without_the_pixels(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(file_of(itxt(REQUEST_KEY, REQUEST.to_json()), chunk(b"IDAT", bytes(1000)), itxt("late", "text")))
    head = read_head(path)
    assert (head.width, head.height) == (1, 1) and request_in(head.text) == REQUEST and "late" not in head.text
    assert read_text(path)["late"] == "text"
    for broken in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(100)):
        path.write_bytes(broken)
        assert read_head(path) is None and read_text(path) == {}


def test_the_request_survives_packed_and_plain():
    request = Request(prompt="砖墙 \"x\"\n🧱")
    for packed in (False, True):
        assert request_in(text_of(file_of(itxt(REQUEST_KEY, request.to_json(), packed)))) == request


def test_a_broken_chunk_does_not_hide_the_others():
    broken = [
        chunk(b"tEXt", b"no separator"),
        chunk(b"zTXt", b"key"),
        chunk(b"zTXt", b"k\0\0not zlib"),
        chunk(b"iTXt", b"k\0"),
        chunk(b"iTXt", b"k\0\1\0en\0\0not zlib"),
        chunk(b"iTXt", b"k\0\0\0en"),
        chunk(b"iTXt", b"k\0\0\0\0\0\xff\xfe"),
        chunk(b"tEXt"),]
    assert text_of(file_of(*broken, itxt("good", "found"))) == {"good": "found"}


def test_a_text_that_unpacks_without_end_is_refused():
    bomb = zlib.compress(bytes(png._MAX_TEXT + 1))
    assert len(bomb) < 5000
    assert text_of(file_of(chunk(b"zTXt", b"bomb\0\0" + bomb), itxt("good", "found"))) == {"good": "found"}


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF89a" + bytes(50), b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40])  # noqa: E501
def test_what_is_no_png_has_no_text(data):
    assert text_of(data) == {}


def test_a_file_that_breaks_off_anywhere_gives_what_is_whole():
    data = file_of(itxt("a", "first"), itxt("b", "second"))
    for length in range(len(data)):
        assert text_of(data[:length]).items() <= {"a": "first", "b": "second"}.items()


def test_damaged_files_never_raise():
    dice = random.Random(4)
    whole = file_of(itxt("a", "first", packed=True), chunk(b"tEXt", b"b\0x"),
                    chunk(b"zTXt", b"c\0\0" + zlib.compress(b"y" * 100)))
    for _ in range(4000):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(8, len(data))] = dice.randrange(256)
        assert all(isinstance(text, str) for item in text_of(bytes(data)).items() for text in item)


def test_a_missing_file_raises(tmp_path):
    with pytest.raises(OSError):
        read_text(tmp_path / "none.png")


def test_images_without_settings():
    with pytest.raises(InvalidRequest, match="carries no settings"):
        request_in(text_of(file_of(itxt(PARAMETERS_KEY, "red brick wall"))))
    with pytest.raises(InvalidRequest):
        request_in({REQUEST_KEY: "{"})


def test_an_origin_is_read_from_the_text():
    origin = Origin("blender_sd 0.1.0", model="Ziegel 🧱", licence="mit")
    assert origin_in(text_of(file_of(itxt(ORIGIN_KEY, origin.to_json())))) == origin
    for text in ({}, {ORIGIN_KEY: "{"}):
        with pytest.raises(InvalidRequest):
            origin_in(text)


def test_whether_a_file_has_credentials_whatever_they_are_worth(tmp_path):
    path = tmp_path / "a.png"
    for data, found in ((file_of(chunk(b"caBX", b"x")), True), (file_of(chunk(b"IDAT", b"x"), chunk(b"caBX", b"")),
                                                                True), (file_of(itxt("caBX", "caBX"),
                                                                                chunk(b"tEXt", b"caBX\0caBX")), False),
                        (b"GIF89a caBX", False), (b"", False), (file_of(struct.pack(">I4s", 1 << 31, b"IDAT")), False)):
        path.write_bytes(data)
        assert has_credentials(path) is found, data


# ---- the text that other tools read ----------------------------------------------------------------------------------


def test_parameters_in_the_common_form():
    assert parameters_text(REQUEST, "Starter") == (
        "red brick wall\nNegative prompt: blur\nSteps: 12, Sampler: DPM++ 2M, CFG scale: 5, Seed: 7, Size: 512x256, "
        "Model: Starter"
    )


def test_parameters_of_a_restyle():
    request = Request.of(IMAGE_TO_IMAGE, prompt="x", strength=0.35, tiling="x", guidance=7.5, sampler="pndm")
    last = parameters_text(request, "a, b").splitlines()[-1]
    assert len(parameters_text(request, "m").splitlines()) == 2
    for part in ("Sampler: PLMS", "CFG scale: 7.5", "Denoising strength: 0.35", "Tiling: True", "Model: a  b"):
        assert part in last.replace(", ", ",").split(",") or part in last
