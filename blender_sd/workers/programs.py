"""Run programs for the installation: watched, with a time limit, and ended together with it."""
from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from ..core.errors import EngineMissing
from ..protocol.messages import text_of

log = logging.getLogger(__name__)

WATCHED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "watched.py")
_LOOK = 1.0  # seconds between calls of `look`


def run(command: list[str], look: Callable[[], object], patience: float) -> tuple[int, str]:
    """Run a program.

    Args:
        command: The program and its arguments.
        look: Called about once a second. It returns a measure of progress, and may raise to end the program.
        patience: Seconds without progress after which the program counts as hung.

    Returns:
        Its exit code, and its output.

    Raises:
        EngineMissing: It hung, or could not be started.
    """
    variables = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=variables,
                                   **options)
    except OSError as error:
        raise EngineMissing(f"The program {command[0]} cannot be started.", "Repair the engine.",
                            text_of(error)) from error
    output: list[bytes] = []
    listener = threading.Thread(target=lambda: output.extend(iter(lambda: program.stdout.read1(1 << 16), b"")),
                                daemon=True)
    listener.start()
    hangs = False
    try:
        seen, since = look(), time.monotonic()
        while program.poll() is None and not hangs:
            try:
                program.wait(_LOOK)
            except subprocess.TimeoutExpired:
                pass
            if (now := look()) != seen:
                seen, since = now, time.monotonic()
            hangs = time.monotonic() - since > patience
    finally:
        program.kill()
        program.wait()
        program.stdin.close()
        listener.join(1.0)
        if not listener.is_alive():  # otherwise something that the program started holds the pipe
            program.stdout.close()
    text = b"".join(output).decode("utf-8", "replace")
    for line in text.splitlines():
        log.info("%s", line)
    if hangs:
        raise EngineMissing(
            f"{os.path.basename(command[0])} did not go on for {patience / 60:.0f} minutes, so it was stopped.",
            "Start the set-up again; if that happens again, look whether a virus scanner holds its files.",
            f"{command}\n{text}",
        )
    return program.returncode, text
