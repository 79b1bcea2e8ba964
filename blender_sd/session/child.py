"""Run one child process with the three threads that serve its pipes. Decisions are made in `process`."""
from __future__ import annotations

import errno
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import Any

from ..core.errors import EngineMissing, InvalidRequest
from ..library import paths
from ..protocol.boot import BEGINS, NICENESS_VARIABLE
from ..protocol.framing import WireError, read_message, write_message
from ..protocol.messages import (
    CHECK, EVENTS, FETCH, INSTALL, PAINT, RECORD, VERIFY, Alive, Ready, Shutdown,
)

log = logging.getLogger("blender_sd.engine")

_TAIL = 50  # lines of the process's last output that are kept
_LINE = 4096  # bytes; progress bars may never end a line
_SCRUBBED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
# only for the process that downloads
_TOKENS = ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_SET = {
    PAINT: {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "DIFFUSERS_DISABLE_REMOTE_CODE": "1"},
    # Xet's own protocol restarts a file after a break; plain HTTP resumes where it stopped.
    FETCH: {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    INSTALL: {"PYTHONNOUSERSITE": "1"},  # packages that the person installed for the same Python must not be found
    CHECK: {},
    VERIFY: {},
    RECORD: {},
}
_ALWAYS = {"PYTHONUNBUFFERED": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


class Gone:
    """Put into the inbox when the process's stream ended; `error` says why, None for a clean end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class Rejected:
    """Put into the inbox when a request could not be encoded."""

    def __init__(self, error: InvalidRequest) -> None:
        self.error = error


def environment(role: str = PAINT) -> dict[str, str]:
    """Return the environment variables for a child process of a role.

    Blender's own Python settings are removed, and access tokens too except for the role that downloads. For the role
    that paints the network is switched off.
    """
    # these variables may say where a Python finds bpy
    left_out = _SCRUBBED if role == FETCH else _TOKENS if role == RECORD else (*_SCRUBBED, *_TOKENS)
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, **_ALWAYS, **_SET[role]}


class Child:
    """Run a child process.

    Reading and writing happen on threads of its own, which end with the process, so that callers never block on a pipe.

    Args:
        python: The interpreter.
        boot: The path of `protocol/boot.py`.
        role: The role of the process (see `protocol.messages`).
        blender: Options for `python` before the script, if it is Blender; they end with "--python".

    Attributes:
        received: The number of messages received so far, with heartbeats.
        worked: Milliseconds of processor time that the process has used, as it reports itself.

    Raises:
        EngineMissing: The process cannot be started.
    """

    def __init__(self, python: str, boot: str, role: str = PAINT, blender: tuple[str, ...] = ()) -> None:
        command = [python, "-X", "utf8", boot, role]
        if blender:  # which reads files as UTF-8 by itself
            command[1:] = [*blender, boot, "--", role]
        self._process = _start(command, environment(role))
        self._role = role
        self.pid = self._process.pid
        self.received = self.worked = 0
        self.info: Ready | None = None  # kept here by the pipeline
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._ended = threading.Event()  # the stream's end has been put into the inbox
        self._threads = [
            threading.Thread(target=work, name=f"blender_sd engine {work.__name__}", daemon=True)
            for work in (self._read, self._write, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    # ---- talking ---------------------------------------------------------------------------------------------------

    def send(self, message: Any) -> None:
        """Pass a message to the writing thread. Never blocks or raises: a dead process shows as `Gone`."""
        self._outbox.put(message)

    def receive(self, timeout: float) -> Any:
        """Return the next message except heartbeats, or Gone or Rejected, or None after `timeout` seconds."""
        try:
            return self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def gone(self) -> bool:
        """Return whether the process has ended or its stream is closed."""
        return self._process.poll() is not None or self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """The exit code; on POSIX -N if signal N ended it; None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """Return the last lines of its standard error."""
        return "\n".join(self._tail)

    # ---- ending ----------------------------------------------------------------------------------------------------

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end, and return whether it did."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill the process with every process that it started. May be called from any thread."""
        # otherwise something that it started holds the pipes
        if self._process.poll() is None or not self._ended.is_set():
            try:
                if hasattr(os, "killpg"):
                    os.killpg(self.pid, signal.SIGKILL)  # it leads its own process group, see _start
                else:
                    self._process.kill()
            except (ProcessLookupError, PermissionError):
                pass  # it just ended by itself
        self._process.wait()
        self._outbox.put(None)
        for thread in self._threads:  # the pipes are broken now
            if thread is not threading.current_thread():
                thread.join(1.0)

    def close(self, patience: float) -> None:
        """Ask the process to end, wait `patience` seconds, then kill it."""
        if self._process.poll() is None:
            self.send(Shutdown())
            self._outbox.put(None)  # closes its input, which also asks it to end
            if not self.wait(patience):
                log.warning("the engine did not end when asked to")
                self._process.terminate()
                self.wait(patience / 2)
        self.kill()

    # ---- the three threads -----------------------------------------------------------------------------------------

    def _read(self) -> None:
        end, stream = Gone(), self._process.stdout
        assert stream is not None  # a pipe, as `_start` asks for
        with stream:
            try:
                if self._role == RECORD:
                    while (line := stream.readline(_LINE)) and not line.endswith(BEGINS):
                        pass
                while (message := read_message(stream)) is not None:
                    if not isinstance(message, EVENTS):
                        raise WireError(f"the engine sent a {type(message).__name__}")
                    self.received += 1
                    if isinstance(message, Alive):
                        self.worked = message.worked
                    else:
                        self._inbox.put(message)
            except (WireError, OSError, MemoryError) as error:
                end = Gone(error)
        self._ended.set()
        self._inbox.put(end)

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None  # a pipe, as `_start` asks for
        try:
            while (message := self._outbox.get()) is not None:
                try:
                    write_message(stream, message)
                except InvalidRequest as error:  # nothing was written
                    self._inbox.put(Rejected(error))
        except OSError as error:
            log.debug("the engine's input is closed: %s", error)
        finally:
            try:
                stream.close()
            except OSError:
                pass  # nobody reads what could not be flushed

    def _listen(self) -> None:
        stream = self._process.stderr
        assert stream is not None  # a pipe, as `_start` asks for
        with stream:
            while line := stream.readline(_LINE):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._tail.append(text)
                    log.info("%s", text)


def _start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {}
    if sys.platform == "win32":
        options["creationflags"] = (subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
                                    # Elsewhere the process lowers its own, see protocol/boot.py
                                    | (0 if variables.get(NICENESS_VARIABLE) == "0"
                                       else subprocess.BELOW_NORMAL_PRIORITY_CLASS))
    else:
        options["start_new_session"] = True  # Ctrl-C in Blender's console is not meant for the engine
    try:
        if not (program := paths.program(command[0])):
            raise FileNotFoundError(errno.ENOENT, "it is no whole path, and no program of that name is installed")
        options["executable"] = program
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables,
            close_fds=True, **options)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EngineMissing(
            f"The engine's interpreter cannot be started: {command[0]} ({reason}).",
            "Repair the engine, or name a Python with torch and diffusers, in the add-on's preferences.",
            repr(error)) from error
    return process
