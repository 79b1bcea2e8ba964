"""The engine's process as a program at the end of two pipes."""
from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from blender_sd.protocol.framing import read_message, write_message
from blender_sd.protocol.messages import (
    Alive,
    EngineConfig,
)

PACKAGE = Path(__file__).resolve().parents[2] / "blender_sd"
CONFIG = EngineConfig(device="cpu", precision="fp32", threads=1)
PATIENCE = 120  # seconds before a hanging engine is killed; no test waits that long when all is well


class Child:
    def __init__(self, python=sys.executable, package=PACKAGE, cwd=None, flags=(), env=None):
        command = [python, *flags, str(package / "protocol" / "boot.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        cwd=cwd, env=env)
        self.log = b""
        self._drain = threading.Thread(target=self._read_log, daemon=True)
        self._drain.start()
        self._guard = threading.Timer(PATIENCE, self.process.kill)
        self._guard.daemon = True
        self._guard.start()

    def _read_log(self):
        self.log = self.process.stderr.read()

    def send(self, message):
        write_message(self.process.stdin, message)

    def read(self):
        """The next message that is no heartbeat; None at the end."""
        message = read_message(self.process.stdout)
        while isinstance(message, Alive):
            message = read_message(self.process.stdout)
        return message

    def until(self, kinds):
        events = [self.read()]
        while events[-1] is not None and not isinstance(events[-1], kinds):
            events.append(self.read())
        return events

    def exit(self) -> int:
        status = self.process.wait(PATIENCE)
        self._drain.join(10)
        return status

    def close(self):
        self._guard.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass  # what was still to be written has nowhere to go
