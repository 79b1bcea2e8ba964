"""A pipeline without torch that writes real PNG files: each picture's pixels follow from its request alone."""
from __future__ import annotations

import hashlib
import os
import struct
import time
import uuid
import zlib
from collections.abc import Callable

from blender_sd.core.errors import OutputUnwritable, SDError
from blender_sd.library.png import REQUEST_KEY, SIGNATURE
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Generate, Loading, Ready, Result, Step


def png_of(request) -> bytes:
    """Return a PNG of 16 × 16 pixels with the request in it."""
    colour = hashlib.sha256(request.to_json().encode()).digest()[:3]
    rows = b"".join(b"\0" + colour * 16 for _ in range(16))
    text = REQUEST_KEY.encode() + b"\0\0\0\0\0" + request.to_json().encode()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)), (b"iTXt", text),
             (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return SIGNATURE + b"".join(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
                                for kind, body in parts)


class DrawingPipeline:
    """As `protocol.pipeline.Pipeline`. `runs` counts what was painted, `fail` raises for prompts that it knows.

    Args:
        pause: Seconds that each step takes.
        fail: The error for each prompt that fails.
    """

    def __init__(self, pause: float = 0.0, fail: dict[str, SDError] | None = None) -> None:
        self.pause, self.fail = pause, fail or {}
        self.runs: list[Generate] = []
        self.on_step: Callable[[int], None] = lambda step: None

    def warm(self) -> Ready:
        return Ready("cpu", "fp32", {})

    def run(self, order: Generate, emit, cancelled) -> None:
        emit(self.warm())
        emit(Loading(order.job, "Loading"))
        request = order.request
        if request.prompt in self.fail:
            emit(Failed.of(order.job, self.fail[request.prompt]))
            return
        if not os.path.isdir(order.output):
            emit(Failed.of(order.job, OutputUnwritable(f"The output folder does not exist: {order.output}")))
            return
        results = []
        for index in range(request.pictures):
            for step in range(1, request.steps + 1):
                time.sleep(self.pause)
                self.on_step(step)
                emit(Step(order.job, step, request.steps, index + 1, request.pictures))
                if cancelled():
                    emit(Cancelled(order.job))
                    return
            single = request.single(index)
            path = os.path.join(order.output, f"x_{single.seed}_{uuid.uuid4().hex[:6]}.png")
            with open(path, "wb") as file:
                file.write(png_of(single))
            results.append(Result(path, single, 16, 16))
        self.runs.append(order)
        emit(Finished(order.job, tuple(results)))

    def close(self) -> None:
        pass
