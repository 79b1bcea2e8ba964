"""A pipeline without torch, for tests of what Blender shows: it paints flat colours, writes true PNG files, and obeys
the test."""
from __future__ import annotations

import os
import struct
import threading
import zlib

import numpy as np

from blender_sd.library import png
from blender_sd.core.errors import SDError
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Generate, Loading, Note, Ready, Result, Step
from blender_sd.core.image_origin import ORIGIN_KEY, Origin


class FakePipeline:
    """`hold()` stops it before the next step until `go()`; the next job reports `fail_with` and `note` (`fail_with`
    only where the prompt holds `fail_on`)."""

    def __init__(self) -> None:
        self.orders: list[Generate] = []
        self.warmed = 0
        self.closed = False
        self.fail_with: SDError | None = None
        self.fail_on = ""
        self.note = self.note_about = ""
        self.origin: Origin | None = None  # what pictures say of their origin
        self._gate = threading.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def go(self) -> None:
        self._gate.set()

    def warm(self) -> Ready:
        self.warmed += 1
        return Ready("cpu", "fp32", {})

    def close(self) -> None:
        self.closed = True
        self.go()

    def run(self, order, emit, cancelled) -> None:
        self.orders.append(order)
        emit(self.warm())
        emit(Loading(order.job, "Loading the model"))
        if self.note:
            emit(Note(order.job, self.note, self.note_about))
        if order.controls_only:
            request = order.request
            picture = np.full((request.height, request.width, 4), 77, np.uint8)
            return emit(Finished(order.job, (Result("", request, request.width, request.height, picture),)))
        results = []
        for index in range(order.request.count):
            single = order.request.single(index)
            for step in range(1, single.steps + 1):
                emit(
                    Step(order.job, step, single.steps, index + 1, order.request.count,
                         np.full((8, 8, 3), 100 + step, np.uint8)))
                while not self._gate.wait(0.01):
                    if cancelled():
                        break
                if cancelled():
                    return emit(Cancelled(order.job))
                if self.fail_with and self.fail_on in order.request.prompt:
                    return emit(Failed.of(order.job, self.fail_with))
            if not order.output:
                pixels = np.full((single.height, single.width, 4), (*colour_of(single.seed), 255), np.uint8)
                results.append(Result("", single, single.width, single.height, pixels))
                continue
            path = os.path.join(order.output, f"{order.job}-{index}.png")
            write_png(path, single, self.origin)
            results.append(Result(path, single, single.width, single.height))
        emit(Finished(order.job, tuple(results)))


def colour_of(seed: int) -> tuple[int, int, int]:
    """What a picture of that seed is painted with (sRGB bytes)."""
    return seed % 251, (seed * 7) % 253, (seed * 13) % 255


def write_png(path: str, request, origin: Origin | None = None) -> None:
    """A flat 8-bit RGB picture with the request (and the origin) in its text, as the engine's are."""
    rows = b"".join(b"\0" + bytes(colour_of(request.seed)) * request.width for _ in range(request.height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", request.width, request.height, 8, 2, 0, 0, 0)),
              (b"iTXt", png.REQUEST_KEY.encode() + b"\0\0\0\0\0" + request.to_json().encode()),
              *([(b"iTXt", ORIGIN_KEY.encode() + b"\0\0\0\0\0" + origin.to_json().encode())] if origin else []),
              (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, body in chunks:
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
