"""One engine process and the three threads that serve its pipes. Mechanics only; `process` decides."""
from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from typing import Any

from ..protocol.errors import EngineMissing, InvalidRequest
from ..protocol.messages import (
    CHECK, FETCH, INSTALL, PAINT, VERIFY, Alive, Cancelled, Failed, Fetched, Finished, Found, Installed, Loading, Note, Ready, Shutdown,
    Stage, Step, Verified,
)
from ..protocol.wire import WireError, read_message, write_message

log = logging.getLogger("blender_sd.engine")

EVENTS = (Ready, Alive, Loading, Step, Note, Finished, Found, Fetched, Stage, Installed, Verified, Cancelled, Failed)
_TAIL = 50  # lines of the engine's last words that are kept
_LINE = 4096  # bytes; progress bars can write for ever without a line end
_SCRUBBED = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
_SET = {
    PAINT: {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    # Xet's own protocol begins a file anew after a break; plain HTTP goes on at the byte where it stopped.
    FETCH: {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    INSTALL: {"PYTHONNOUSERSITE": "1"},  # what the person has installed for the same Python elsewhere is none of the environment's
    CHECK: {},
    VERIFY: {},
}
_ALWAYS = {"PYTHONUNBUFFERED": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


class Gone:
    """Put into the inbox when the engine's stream has ended; `error`: why, None for a clean end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class Rejected:
    """Put into the inbox when an order could not be put into words."""

    def __init__(self, error: InvalidRequest) -> None:
        self.error = error


def environment(role: str = PAINT) -> dict[str, str]:
    """This process's environment without Blender's own Python settings; for the one that paints, with the network switched off."""
    kept = {name: value for name, value in os.environ.items() if name not in _SCRUBBED}
    return {**kept, **_ALWAYS, **_SET[role]}


class Child:
    """A running engine process. Raises EngineMissing where it cannot be started.

    Reading and writing happen on threads of its own, so that no caller ever blocks on a pipe; they end with the
    process. `heard` grows with every message, heartbeats included.
    """

    def __init__(self, python: str, boot: str, role: str = PAINT) -> None:
        self._process = _start([python, boot, role], environment(role))
        self.pid = self._process.pid
        self.heard = 0
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
        """Hand a message to the writing thread. Never blocks, never raises: a dead engine shows as `Gone`."""
        self._outbox.put(message)

    def receive(self, timeout: float) -> Any:
        """The engine's next message but for heartbeats, or Gone or Rejected, or None after `timeout` seconds."""
        try:
            return self._inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def gone(self) -> bool:
        """Whether the process has ended or its stream is closed."""
        return self._process.poll() is not None or self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """The exit code; on POSIX -N where signal N ended it; None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._tail)

    # ---- ending ----------------------------------------------------------------------------------------------------

    def wait(self, timeout: float) -> bool:
        """Wait for the process's own end and reap it; whether it ended."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it by force, with every process it started. May be called from any thread."""
        if self._process.poll() is None or not self._ended.is_set():  # else something it started holds the pipes
            try:
                if hasattr(os, "killpg"):
                    os.killpg(self.pid, signal.SIGKILL)  # it leads a group of its own, see _start
                else:
                    self._process.kill()
            except (ProcessLookupError, PermissionError):
                pass  # it ended by itself in this moment
        self._process.wait()
        self._outbox.put(None)
        for thread in self._threads:  # the pipes are broken now
            if thread is not threading.current_thread():
                thread.join(1.0)

    def close(self, patience: float) -> None:
        """Ask it to go, wait `patience` seconds, then insist. Reaps it in any case."""
        if self._process.poll() is None:
            self.send(Shutdown())
            self._outbox.put(None)  # closes its input: a second way to say it
            if not self.wait(patience):
                log.warning("the engine did not end when asked to")
                self._process.terminate()
                self.wait(patience / 2)
        self.kill()

    # ---- the three threads -----------------------------------------------------------------------------------------

    def _read(self) -> None:
        end = Gone()
        with self._process.stdout as stream:
            try:
                while (message := read_message(stream)) is not None:
                    if not isinstance(message, EVENTS):
                        raise WireError(f"the engine sent a {type(message).__name__}")
                    self.heard += 1
                    if not isinstance(message, Alive):
                        self._inbox.put(message)
            except (WireError, OSError, MemoryError) as error:
                end = Gone(error)
        self._ended.set()
        self._inbox.put(end)

    def _write(self) -> None:
        stream = self._process.stdin
        try:
            while (message := self._outbox.get()) is not None:
                try:
                    write_message(stream, message)
                except InvalidRequest as error:  # nothing of it was written
                    self._inbox.put(Rejected(error))
        except OSError as error:
            log.debug("the engine's input is closed: %s", error)
        finally:
            try:
                stream.close()
            except OSError:
                pass  # what could not be flushed has no reader any more

    def _listen(self) -> None:
        with self._process.stderr as stream:
            while line := stream.readline(_LINE):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._tail.append(text)
                    log.info("%s", text)


def _start(command: list[str], variables: dict[str, str]) -> subprocess.Popen:
    options: dict[str, Any] = {}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True  # Ctrl-C in Blender's console is not for the engine
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables,
            close_fds=True, **options)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise EngineMissing(
            f"The engine's interpreter cannot be started: {command[0]} ({reason}).",
            "Repair the engine, or name a Python with torch and diffusers, in the add-on's preferences.", repr(error)) from error
    return process
