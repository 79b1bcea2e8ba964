"""The log: one file for each run of Blender, with what the add-on and all its child processes have to say.

A file of its own for each run, since two Blenders writing and rotating one file would lose lines. What is logged to "blender_sd" (or, in an
engine inside Blender, to the package's own name) goes there; so do the children's standard errors, as "blender_sd.engine".
"""
from __future__ import annotations

import logging
import logging.handlers
import os
import re
import time
from collections import deque
from pathlib import Path

NAMES = tuple(dict.fromkeys(("blender_sd", __package__.rpartition(".")[0])))
MAX_BYTES = 2 << 20  # of one file; one older part of the same run is kept
KEPT = 20  # files of earlier runs that stay
RECENT = 20  # warnings and errors that are remembered for reports
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")

_open: SessionLog | None = None


class SessionLog(logging.handlers.RotatingFileHandler):
    """Writes this run's file in `folder`, private to the user, made with the first line. `recent`: the last warnings and errors as they
    were written, oldest first. A disk that takes no file costs the log, nothing else."""

    def __init__(self, folder: Path) -> None:
        self.recent: deque[str] = deque(maxlen=RECENT)
        self._said = False
        super().__init__(folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log", maxBytes=MAX_BYTES, backupCount=1,
                         encoding="utf-8", errors="replace", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    @property
    def path(self) -> Path:
        return Path(self.baseFilename)

    def format(self, record: logging.LogRecord) -> str:
        """The line; what looks like an access token of the hub is struck out."""
        return without_tokens(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.recent.append(self.format(record))
            if not logging.root.handlers:  # with a handler of ours in the chain Python no longer prints them by itself
                logging.lastResort.handle(record)
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._said:
            self._said = True
            logging.lastResort.handle(logging.makeLogRecord(
                {"levelno": logging.WARNING, "msg": f"The log {self.baseFilename} cannot be written."}))

    def _open(self):
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
        return super()._open()


def start(folder: Path) -> None:
    """Logs into `folder` from now on; does nothing where that is so already. Nothing is written before the first line."""
    global _open
    if _open is not None and _open.path.parent == folder.absolute():
        return
    stop()
    _open = SessionLog(folder.absolute())
    for name in NAMES:
        logger = logging.getLogger(name)
        logger.addHandler(_open)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def stop() -> None:
    """Closes the file. Idempotent."""
    global _open
    gone, _open = _open, None
    if gone is not None:
        for name in NAMES:
            logging.getLogger(name).removeHandler(gone)
        gone.close()


def path() -> Path | None:
    """This run's log; None before its first line."""
    return _open.path if _open is not None and _open.path.exists() else None


def recent() -> list[str]:
    """The last warnings and errors of this run, oldest first, with their details."""
    return list(_open.recent) if _open is not None else []


def without_tokens(text: str) -> str:
    """`text` with access tokens of the Hugging Face hub struck out."""
    return _TOKEN.sub("hf_…", text)


def _sweep(folder: Path) -> None:
    """Deletes the oldest logs; what another process has open or has deleted first is left to it."""
    def age(file: Path) -> float:
        try:
            return file.stat().st_mtime
        except OSError:
            return 0.0

    for file in sorted(folder.glob("*.log*"), key=age, reverse=True)[KEPT:]:
        try:
            file.unlink()
        except OSError:
            continue
