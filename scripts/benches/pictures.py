"""Write finished pictures by the thousand, as the engine does but 8 pixels wide, for benches of the history."""
from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_WORDS = "brick stone moss bark slate marble copper rust sand ice lava velvet denim oak pine terracotta".split()


def paint(folder: Path, count: int) -> None:
    """Write `count` pictures into `folder`, dated a minute apart."""
    from blender_sd.core.webui_text import parameters_text
    from blender_sd.library.png import PARAMETERS_KEY, REQUEST_KEY
    from blender_sd.core.request import Request

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        word, other = _WORDS[number % len(_WORDS)], _WORDS[number // len(_WORDS) % len(_WORDS)]
        request = Request(
            prompt=f"old {word} wall with {other}, weathered surface, soft light, detailed photograph, number {number}",
            negative="blurry, text, low quality",
            seed=number * 37,
            width=512,
            height=512,
        )
        rows = b"".join(b"\0" + bytes((number % 256, number * 7 % 256, number * 13 % 256)) * 8 for _ in range(8))
        texts = ((b"tEXt", PARAMETERS_KEY.encode() + b"\0" + parameters_text(request, "starter").encode("latin-1")),
                 (b"iTXt", REQUEST_KEY.encode() + b"\0\0\0\0\0" + request.to_json().encode()))
        path = folder / f"{number:06}.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                _chunk(kind, body)
                for kind, body in (
                    (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)),
                    *texts,
                    (b"IDAT", zlib.compress(rows)),
                    (b"IEND", b""),
                )
            )
        )
        os.utime(path, (1.7e9 + 60 * number,) * 2)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
