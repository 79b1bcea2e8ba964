"""Limits count what is read, not what is kept; and what is sent is never longer than a message may be."""
from __future__ import annotations

import io
import struct
import zlib

import pytest

from blender_sd.core import blocked_words
from blender_sd.library import png
from blender_sd.protocol import framing
from blender_sd.core.errors import InvalidRequest, WordBlocked
from blender_sd.protocol.messages import Failed, Finished, Loading, Note, Record, Result, Stage
from blender_sd.core.image_origin import Origin, Part
from blender_sd.core.parts import Axis
from blender_sd.core.request import Request
from tests.support.png_bytes import chunk, picture

PACKED = zlib.compress(b"x" * (2 << 20), 9)


class Counted:
    """zlib's unpacker, whose work is counted."""

    total = 0
    made = staticmethod(zlib.decompressobj)

    def __init__(self) -> None:
        self._own = self.made()

    def decompress(self, *arguments) -> bytes:
        out = self._own.decompress(*arguments)
        Counted.total += len(out)
        return out

    def __getattr__(self, name: str):
        return getattr(self._own, name)


@pytest.mark.parametrize(("kind", "body"), [
    (b"zTXt", b"k\0\0" + PACKED), (b"iTXt", b"k\0\1\0\0\0" + PACKED),
    (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"\xff" * (1 << 20), 9)), (b"zTXt", b"k\0\0" + zlib.compress(b"x" * (1 << 20), 9)),  # noqa: E501
], ids=["too long", "too long, international", "no UTF-8", "kept"])
def test_texts_that_are_thrown_away_count_too(monkeypatch, kind, body):
    monkeypatch.setattr(png.zlib, "decompressobj", Counted)
    Counted.total = 0
    for read in (png.text_of, lambda data: png._texts(io.BytesIO(data[8:]), before_pixels=True)):
        Counted.total = 0
        read(picture(*[chunk(kind, body)] * 300))
        assert Counted.total <= 17 << 20


def test_bytes_of_a_file_that_is_all_text_count(tmp_path):
    class Watched(io.BytesIO):
        count = 0

        def read(self, *arguments):
            data = super().read(*arguments)
            self.count += len(data)
            return data

    file = Watched(b"".join(
        struct.pack(">I", 1 << 20) + b"tEXt" + b"k\0" + b"x" * ((1 << 20) - 2) + bytes(4) for _ in range(64)))
    png._texts(file)
    assert file.count < 20 << 20


def test_settings_of_any_length_are_no_origin():
    sound = Origin("a", parts=tuple(Part("LoRA", "n" * 500, "l" * 500) for _ in range(64)))
    assert Origin.from_json(sound.to_json()) == sound
    with pytest.raises(InvalidRequest):
        Origin.from_json(Origin("a" * (1 << 20)).to_json())


@pytest.mark.slow
def test_expanded_prompts_are_looked_at_within_bounds():
    with pytest.raises(WordBlocked):
        blocked_words.check(("qwertyword",), Request(prompt="{a|b} {c|d} wall {qwerty|x}{word|y}", axes=(
            Axis("steps", "1, 2"), Axis("prompt", "wall, stone"))))
    many = Request(prompt="a {red|green} wall " * 5, axes=(Axis("steps", ", ".join(map(str, range(1, 17)))),
                                                           Axis("guidance", ", ".join(map(str, range(1, 17))))))
    blocked_words.check(("qwertyword",), many)
    long = "{a|b}" * 7 + " brick" * 10_000
    with pytest.raises(InvalidRequest, match="too many alternatives"):
        blocked_words.check(("qwertyword",), Request(prompt=long + " wall", negative=long, axes=(
            Axis("prompt", "wall, " + ", ".join(f"stone{number}" for number in range(23))),)))


def sent(message) -> object:
    stream = io.BytesIO()
    framing.write_message(stream, message)
    assert stream.tell() <= framing.MAX_HEADER + 100
    stream.seek(0)
    return framing.read_message(stream)


@pytest.mark.parametrize("make", [
    lambda text: Failed("1", "internal", text, text, text), lambda text: Note("1", text), lambda text: Loading("1", text),  # noqa: E501
    lambda text: Stage("1", text)], ids=["Failed", "Note", "Loading", "Stage"])
@pytest.mark.parametrize("text", ["x" * (20 << 20), "\u2028" * (4 << 20), "short"], ids=["long", "wide", "short"])
def test_texts_are_cut_before_they_are_sent(make, text):
    got = sent(make(text))
    assert type(got) is type(make("")) and (text != "short" or got == make("short"))


def test_many_pictures_of_long_settings_are_sent():
    request = Request.from_json(Request(prompt="x" * 60_000, style="y" * 60_000, count=64).to_json())
    results = tuple(Result(f"/out/{number}.png", request.single(number), 64, 64) for number in range(64))
    framing.check_answer(request, "/out")
    assert sent(Finished("1", results)) == Finished("1", results)


def test_an_answer_that_could_not_be_sent_is_refused_before_it_is_made():


    with pytest.raises(InvalidRequest, match="too long to be sent"):
        framing.check_answer(Request.from_json(Request(prompt="{a|b} " + "y" * 150_000, count=64).to_json()), "/out")


def test_every_message_with_texts_for_people_is_cut():
    """A new event declares such texts as prose."""
    from dataclasses import fields

    texts = {
        cls: {spec.name
              for spec in fields(cls) if spec.type == "str"} & {"text", "message", "hint", "detail", "licence", "link"}
        for cls in framing.MESSAGES}
    texts[Record] -= {"link"}  # a choice
    assert {cls: {spec.name for spec in fields(cls) if framing.PROSE in spec.metadata}
            for cls in framing.MESSAGES} == texts
