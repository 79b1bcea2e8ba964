"""Says whether the running interpreter has what the engine needs, without importing it: `boot` has looked for each package before."""
from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from typing import BinaryIO

from ..protocol.messages import Check, Event, Installed, Ready
from . import process


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Speaks with the session; see `engine.process.serve`."""
    return process.serve(reader, writer, lambda config: Checker())


class Checker:
    """Carries out `Check` orders. A `protocol.messages.Pipeline`."""

    def warm(self) -> Ready:
        versions = {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers")}
        return Ready("", "", {"python": sys.version.split()[0], **versions})

    def run(self, order: Check, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        emit(Installed(order.job, sys.executable))

    def close(self) -> None:
        """Nothing is kept between orders."""
