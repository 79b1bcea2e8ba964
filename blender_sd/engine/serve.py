"""The process that paints: an engine behind the loop that serves messages."""
from __future__ import annotations

from typing import BinaryIO

from ..protocol import serving
from ..protocol.messages import EngineConfig, Generate
from ..protocol.pipeline import Pipeline
from . import quiet


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve requests until the session ends; see `protocol.serving.serve`. Return the process's exit status."""
    return serving.serve(reader, writer, _engine)


def _engine(config: EngineConfig) -> Pipeline[Generate]:
    quiet.stay_offline()
    from .engine import Engine

    return Engine(config)
