"""Serve messages in a process: one thread works, one reads requests, one reports that the process lives.

However Blender ends, this process ends too: the end of the pipe, or another parent than at the start, stops it within
two seconds, whatever torch is doing. A picture that is being written is finished first.
"""
from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

from ..core.errors import EngineMissing, SDError
from . import endings
from .framing import WireError, read_message, write_message
from .messages import (
    PROTOCOL, Alive, Cancel, Cancelled, EngineConfig, Failed, Hello, Shutdown, WorkRequest, text_of,
)
from .pipeline import Pipeline
from .missing_runtime import missing_runtime

log = logging.getLogger(__name__)
_HEARTBEAT = 1.0  # seconds
WRITING = threading.Lock()  # held while a picture is written, so that the process does not end meanwhile
_LAST_WRITE = 2.0  # seconds to wait for a picture that is being written
_INSTALL = ("Install torch, diffusers, transformers, accelerate and safetensors for {}, or name another interpreter in "
            "the preferences.")


def serve(reader: BinaryIO, writer: BinaryIO, make: Callable[[EngineConfig], Pipeline]) -> int:
    """Serve the session until it ends.

    Args:
        reader: The stream of messages from the session.
        writer: The stream of messages to the session.
        make: Creates the pipeline that runs the requests.

    Returns:
        The exit status of the process.
    """
    _log_to_stderr()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in Blender's terminal is meant for Blender
    events = EventWriter(writer)
    try:
        hello = read_message(reader)
    except WireError as error:
        log.error("no Hello: %s", error)
        return 2
    if not isinstance(hello, Hello):
        return 0 if hello is None else 2
    if hello.protocol != PROTOCOL:
        events.send(Failed("", SDError.kind, "The engine is of another version than the add-on.", "Restart Blender.",
                           f"protocol {PROTOCOL}, asked for {hello.protocol}"))
        return 2
    threading.Thread(target=_beat, args=(events,), name="heartbeat", daemon=True).start()
    requests = RequestQueue(events)
    threading.Thread(target=_listen, args=(reader, requests), name="listen", daemon=True).start()
    return _work(lambda: make(hello.config), events, requests)


def _work(make: Callable[[], Pipeline], events: EventWriter, requests: RequestQueue) -> int:
    try:
        pipeline = make()
        events.send(pipeline.warm())
    except SDError as error:
        events.send(Failed.of("", error))
        return 1
    except BaseException as error:  # a broken torch may raise anything: OSError for a DLL, RuntimeError, AttributeError
        log.error("cannot start", exc_info=error)
        events.send(Failed.of("", missing_runtime(text_of(error)) or EngineMissing(
            "The engine's Python cannot import torch and diffusers.", _INSTALL.format(sys.executable), text_of(error))))
        return 1
    prepare = getattr(pipeline, "prepare", None)
    if prepare is not None and requests.idle():
        try:
            prepare()
        except BaseException as error:  # whatever it is, the first request reports it
            log.warning("nothing was prepared", exc_info=error)
    while True:
        request = requests.next()
        endings.run(pipeline, request, events.send, requests.is_cancelled)
        requests.done()


class EventWriter:
    """Send messages to the session, one at a time. If nobody reads them any more, the process ends."""

    def __init__(self, writer: BinaryIO) -> None:
        self._writer = writer
        self._lock = threading.Lock()

    def send(self, message: Any) -> None:
        try:
            with self._lock:
                write_message(self._writer, message)
        except (OSError, ValueError):  # ValueError: the stream was closed
            end()


class RequestQueue:
    """Hold the waiting requests, and know which job is cancelled. Thread-safe."""

    def __init__(self, events: EventWriter) -> None:
        self._events = events
        self._changed = threading.Condition()
        self._waiting: deque[WorkRequest] = deque()
        self._current: str | None = None
        self._cancelled = False

    def put(self, request: WorkRequest) -> None:
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()

    def next(self) -> WorkRequest:
        """Wait for the next request and return it."""
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            request = self._waiting.popleft()
            self._current, self._cancelled = request.job, False
            return request

    def idle(self) -> bool:
        with self._changed:
            return not self._waiting

    def done(self) -> None:
        with self._changed:
            self._current, self._cancelled = None, False

    def is_cancelled(self) -> bool:
        """Return whether the running job is to stop."""
        return self._cancelled

    def cancel(self, job: str) -> None:
        """Mark the running job as cancelled, or remove a waiting one and report that at once. Other ids are stale."""
        with self._changed:
            if job == self._current:
                self._cancelled = True
                return
            kept = [request for request in self._waiting if request.job != job]
            if len(kept) == len(self._waiting):
                return
            self._waiting = deque(kept)
        self._events.send(Cancelled(job))


def _listen(reader: BinaryIO, requests: RequestQueue) -> None:
    """Read messages until the session ends or sends nonsense; then end the process."""
    status = 0
    try:
        while True:
            message = read_message(reader)
            if message is None or isinstance(message, Shutdown):
                break
            if isinstance(message, WorkRequest):
                requests.put(message)
            elif isinstance(message, Cancel):
                requests.cancel(message.job)
            else:
                raise WireError(f"not a command: {type(message).__name__}")
    except WireError as error:
        log.error("%s", error)
        status = 2
    except (OSError, ValueError) as error:
        log.info("the session is gone: %s", error)
    except BaseException as error:  # an engine that reads nothing would live for ever
        log.error("listening failed", exc_info=error)
        status = 2
    end(status)


def _beat(events: EventWriter) -> None:
    parent = os.getppid()
    pause = threading.Event()
    while not pause.wait(_HEARTBEAT):
        if os.getppid() != parent:  # POSIX gives orphans another parent; elsewhere the pipe's end tells
            end()
        events.send(Alive(int(time.process_time() * 1000)))


def end(status: int = 0) -> None:
    """End the process now, from any thread, waiting only for a picture that is being written."""
    WRITING.acquire(timeout=_LAST_WRITE)
    logging.shutdown()
    os._exit(status)


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
