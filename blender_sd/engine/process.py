"""The engine process: one thread works, one listens, one keeps saying that the process lives.

However Blender ends, this process ends too: the end of the pipe, or another parent than at the start, stops it within
two seconds, whatever torch is doing. A picture that is being written is finished first.
"""
from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

from ..protocol.errors import EngineMissing, SDError
from ..protocol.messages import (
    ORDERS, PROTOCOL, Alive, Cancel, Cancelled, EngineConfig, Failed, Hello, Order, Pipeline, Shutdown, text_of,
)
from ..protocol.wire import WireError, read_message, write_message
from . import quiet

log = logging.getLogger(__name__)
_HEARTBEAT = 1.0  # seconds
_LAST_WRITE = 2.0  # seconds that a picture being written is waited for
_INSTALL = "Install torch, diffusers, transformers, accelerate and safetensors for {}, or name another interpreter in the preferences."


def _engine(config: EngineConfig) -> Pipeline:
    quiet.stay_offline()
    from .engine import Engine

    return Engine(config)


def serve(reader: BinaryIO, writer: BinaryIO, make: Callable[[EngineConfig], Pipeline] = _engine) -> int:
    """Speaks with the session over `reader` and `writer` until it ends, and gives its orders to what `make` makes; the
    process's exit status."""
    _log_to_stderr()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in Blender's terminal is Blender's affair
    line = _Line(writer)
    try:
        hello = read_message(reader)
    except WireError as error:
        log.error("no Hello: %s", error)
        return 2
    if not isinstance(hello, Hello):
        return 0 if hello is None else 2
    if hello.protocol != PROTOCOL:
        line.send(Failed("", SDError.kind, "The engine is of another version than the add-on.", "Restart Blender.",
                         f"protocol {PROTOCOL}, asked for {hello.protocol}"))
        return 2
    threading.Thread(target=_beat, args=(line,), name="heartbeat", daemon=True).start()
    desk = _Desk(line)
    threading.Thread(target=_listen, args=(reader, desk), name="listen", daemon=True).start()
    return _work(lambda: make(hello.config), line, desk)


def _work(make: Callable[[], Pipeline], line: _Line, desk: _Desk) -> int:
    try:
        pipeline = make()
        line.send(pipeline.warm())
    except SDError as error:
        line.send(Failed.of("", error))
        return 1
    except Exception as error:  # a broken torch raises anything: OSError for a DLL, RuntimeError, AttributeError
        log.error("cannot start", exc_info=error)
        line.send(Failed.of("", EngineMissing("The engine's Python cannot import torch and diffusers.", _INSTALL.format(sys.executable),
                                              text_of(error))))
        return 1
    prepare = getattr(pipeline, "prepare", None)
    if prepare is not None and desk.idle():
        prepare()
    while True:
        order = desk.next()
        pipeline.run(order, line.send, desk.is_cancelled)
        desk.done()


class _Line:
    """The way to the session. One message at a time; where nobody listens any more, the process ends."""

    def __init__(self, writer: BinaryIO) -> None:
        self._writer = writer
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        try:
            with self._lock:
                write_message(self._writer, message)
        except (OSError, ValueError):  # ValueError: the stream was closed
            end()


class _Desk:
    """The orders that wait, and which of them were cancelled. Thread-safe."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._changed = threading.Condition()
        self._waiting: deque[Order] = deque()
        self._current: str | None = None
        self._cancelled = False

    def put(self, order: Order) -> None:
        with self._changed:
            self._waiting.append(order)
            self._changed.notify_all()

    def next(self) -> Order:
        """The next order; waits for one."""
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            order = self._waiting.popleft()
            self._current, self._cancelled = order.job, False
            return order

    def idle(self) -> bool:
        with self._changed:
            return not self._waiting

    def done(self) -> None:
        with self._changed:
            self._current, self._cancelled = None, False

    def is_cancelled(self) -> bool:
        """Whether the running job is to stop."""
        return self._cancelled

    def cancel(self, job: str) -> None:
        """Marks the running job, or takes a waiting one off the desk and says so at once. Other names are stale."""
        with self._changed:
            if job == self._current:
                self._cancelled = True
                return
            kept = [order for order in self._waiting if order.job != job]
            if len(kept) == len(self._waiting):
                return
            self._waiting = deque(kept)
        self._line.send(Cancelled(job))


def _listen(reader: BinaryIO, desk: _Desk) -> None:
    """Takes commands until the session says goodbye, goes away, or talks nonsense; then ends the process."""
    status = 0
    try:
        while True:
            command = read_message(reader)
            if command is None or isinstance(command, Shutdown):
                break
            if isinstance(command, ORDERS):
                desk.put(command)
            elif isinstance(command, Cancel):
                desk.cancel(command.job)
            else:
                raise WireError(f"not a command: {type(command).__name__}")
    except WireError as error:
        log.error("%s", error)
        status = 2
    except (OSError, ValueError) as error:
        log.info("the session is gone: %s", error)
    end(status)


def _beat(line: _Line) -> None:
    parent = os.getppid()
    pause = threading.Event()
    while not pause.wait(_HEARTBEAT):
        if os.getppid() != parent:  # POSIX gives orphans another parent; elsewhere the pipe's end tells
            end()
        line.send(Alive())


def end(status: int = 0) -> None:
    """Ends the process now, from any thread; only a picture that is being written is waited for."""
    output = sys.modules.get(f"{__package__}.output")
    if output is not None:
        output.WRITING.acquire(timeout=_LAST_WRITE)
    logging.shutdown()
    os._exit(status)


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
