"""Report whether the running interpreter has what the engine needs, without importing it.

`boot` has found each package before.
"""
from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from typing import BinaryIO

from ..protocol import endings, serving
from ..protocol.messages import Check, Event, Installed, Ready


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve the session; see `protocol.serving.serve`."""
    return serving.serve(reader, writer, lambda config: Checker())


class Checker:
    """Run `Check` requests. It implements `protocol.pipeline.Pipeline`."""

    def warm(self) -> Ready:
        versions = {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers")}
        return Ready("", "", {"python": sys.version.split()[0], **versions})

    def run(self, request: Check, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        endings.finish(request.job, lambda: Installed(request.job, sys.executable), emit)

    def close(self) -> None:
        """Do nothing: nothing is kept between requests."""
