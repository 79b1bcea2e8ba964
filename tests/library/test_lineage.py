"""The chain of edits behind a picture, from files: whole, broken, forged and going round."""
from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import pytest

from blender_sd.library import source_copies
from blender_sd.core.image_origin import ORIGIN_KEY, Origin
from blender_sd.library.png import PARAMETERS_KEY, REQUEST_KEY
from blender_sd.core.request import Request
from blender_sd.core.tasks import IMAGE_TO_IMAGE, INPAINT, TEXT_TO_IMAGE
from blender_sd.library import lineage


def png(shade: int, texts: dict[str, str], extra: bytes = b"") -> bytes:
    """A PNG file of one grey pixel with iTXt chunks; `extra`: a chunk of that kind, without a body."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
              *((b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items()),
              *([(extra, b"x")] if extra else []), (b"IDAT", zlib.compress(bytes([0, shade]))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def output(tmp_path) -> Path:
    (tmp_path / lineage.SOURCES).mkdir()
    return tmp_path


def keep(output: Path, data: bytes, name: str = "", kind: str = "png") -> str:
    """A copy of an input picture, as the engine keeps it; its digest. `name`: it is the history's picture of that name
    too."""
    found = digest(data)
    (output / lineage.SOURCES / f"{found[7:]}.{kind}").write_bytes(data)
    if name:
        (output / name).write_bytes(data)
    return found


def ours(shade: int, task=TEXT_TO_IMAGE, **settings) -> bytes:
    request = Request.of(task, prompt=f"picture {shade}", seed=shade, **settings)
    return png(shade, {REQUEST_KEY: request.to_json(), ORIGIN_KEY: Origin(model="Brick XL", licence="mit").to_json()})


def edit(**inputs) -> Request:
    return Request.of(INPAINT if "mask" in inputs else IMAGE_TO_IMAGE, prompt="last", **inputs)


def test_the_whole_chain_with_names_of_the_history(output):
    first = keep(output, ours(1), "20260101-a-1.png")
    photo = keep(output, b"\xff\xd8\xff a photograph", kind="jpg")
    second = keep(output, ours(2, task=INPAINT, source=first, mask=photo))
    (output / "other.png").write_bytes(b"x" * len(ours(1)))  # of the same size, and another picture
    chain = lineage.trace(edit(source=second), str(output))
    assert [(link.depth, link.role, link.name, link.problem) for link in chain] == [
        (1, "source", "", ""), (2, "source", "20260101-a-1.png", ""), (2, "mask", "", "")]
    assert [link.known.request and link.known.request.seed for link in chain] == [2, 1, None]
    assert chain[1].known.origin.model == "Brick XL" and chain[1].path == str(output / "20260101-a-1.png")
    assert chain[2].path.endswith(".jpg") and chain[0].digest == second


def test_a_picture_of_the_trash_is_named(output):
    data = ours(3)
    found = keep(output, data)
    (output / ".trash").mkdir()
    (output / ".trash" / "thrown.png").write_bytes(data)
    assert lineage.trace(edit(source=found), str(output))[0].name == "thrown.png"


def kept_pixels(folder, rows: int = 5, filters: bytes = bytes(range(5))) -> str:
    """A copy of 3 × `rows` pixels that travelled without a file, its rows filtered in each way that PNG has; their
    digest."""
    pixels = [bytes((7 * at + 31 * row) & 255 for at in range(12)) for row in range(rows)]
    packed, above = b"", bytes(12)
    for kind, row in zip(filters, pixels, strict=True):
        left, corner = bytes(4) + row[:-4], bytes(4) + above[:-4]
        near = [min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
                for a, b, c in zip(left, above, corner, strict=True)]
        guess = [bytes(12), left, above, [(a + b) // 2 for a, b in zip(left, above, strict=True)], near][kind]
        packed += bytes([kind]) + bytes((one - two) & 255 for one, two in zip(row, guess, strict=True))
        above = row
    digest = hashlib.sha256(f"{rows}x3x4\n".encode() + b"".join(pixels)).hexdigest()

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    (folder / f"{digest}.png").write_bytes(b"\x89PNG\r\n\x1a\n"
                                           + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, rows, 8, 6, 0, 0, 0))
                                           + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b""))
    return f"sha256:{digest}"


def test_a_copy_of_pixels_is_known_by_them(output):
    folder = output / lineage.SOURCES
    digest = kept_pixels(folder)
    path = folder / f"{digest[7:]}.png"
    assert source_copies.holds(path, digest)
    path.write_bytes((folder / f"{kept_pixels(folder, 4, bytes(4))[7:]}.png").read_bytes())
    assert not source_copies.holds(path, digest)
    for odd in (b"", b"\x89PNG\r\n\x1a\n" + bytes(60)):
        path.write_bytes(odd)
        assert not source_copies.holds(path, digest)


def test_what_is_gone_forged_or_no_picture_ends_the_chain(output):
    forged = f"sha256:{'a' * 64}"
    (output / lineage.SOURCES / f"{'a' * 64}.png").write_bytes(ours(4, task=IMAGE_TO_IMAGE,
                                                                    source=f"sha256:{'b' * 64}"))
    other = f"sha256:{'c' * 64}"
    (output / lineage.SOURCES / f"{'c' * 64}.png").write_bytes(png(9, {}))
    pixels = kept_pixels(output / lineage.SOURCES)
    folder = f"sha256:{'d' * 64}"
    (output / lineage.SOURCES / f"{'d' * 64}.png").mkdir()
    every = (forged, pixels, other, folder, f"sha256:{'e' * 64}", "../../etc/passwd")
    chains = {one: lineage.trace(edit(source=one), str(output)) for one in every}
    assert all(len(chain) == 1 for chain in chains.values())
    assert [chain[0].problem for chain in chains.values()] == [
        lineage.CHANGED, "", lineage.CHANGED, lineage.GONE, lineage.GONE, lineage.GONE]
    assert chains[forged][0].known.request is None and chains[pixels][0].path
    assert lineage.trace(edit(source=forged), str(output / "no such folder"))[0].problem == lineage.GONE


def test_rounds_and_depths_end(output, monkeypatch):
    """True digests cannot go round; but the guard must hold where they are not looked at."""
    monkeypatch.setattr(lineage, "_sha256", lambda path: os.path.splitext(os.path.basename(path))[0])
    names = [f"{number:064x}" for number in range(lineage.MAX_DEPTH + 5)]
    for name, after in zip(names, (*names[1:], names[0]), strict=True):
        (output / lineage.SOURCES / f"{name}.png").write_bytes(
            ours(5, task=INPAINT, source=f"sha256:{after}", mask=f"sha256:{names[0]}"))
    chain = lineage.trace(edit(source=f"sha256:{names[0]}"), str(output))
    assert max(link.depth
               for link in chain) == lineage.MAX_DEPTH and chain[lineage.MAX_DEPTH - 1].problem == lineage.DEEP
    assert {link.problem for link in chain if link.role == "mask"} == {lineage.AGAIN}
    assert lineage.trace(edit(source=f"sha256:{names[0]}"), str(output), lambda: True) == ()
    monkeypatch.setattr(lineage, "MAX_LINKS", 3)
    assert len(lineage.trace(edit(source=f"sha256:{names[0]}"), str(output))) == 3


def test_what_a_file_says(output):
    foreign = output / "foreign.png"
    foreign.write_bytes(png(1, {PARAMETERS_KEY: "a castle\nSteps: 9"}, b"caBX"))
    assert lineage.look_into(str(foreign)) == lineage.Known(None, None, "a castle\nSteps: 9", True)
    broken = lineage.known_in({REQUEST_KEY: "{", ORIGIN_KEY: "[]"})
    assert broken == lineage.Known()
    future = lineage.in_background(lambda: lineage.look_into(str(output / "none.png")))
    assert isinstance(future.exception(10), OSError)
