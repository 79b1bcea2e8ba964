"""Write the log: one file for each run of Blender, for the add-on and all its child processes.

Each run has its own file, because two Blenders that write and rotate one file would lose lines. The loggers
"blender_sd" and (for an engine inside Blender) the package's own name go there, and so does the standard error of child
processes, as "blender_sd.engine".
"""
from __future__ import annotations

import logging
import logging.handlers
import os
import re
import time
from collections import deque
from pathlib import Path

from . import files

NAMES = tuple(dict.fromkeys(("blender_sd", __package__.rpartition(".")[0])))
MAX_BYTES = 2 << 20  # of one file; one older part of the same run is kept
KEPT = 20  # files of earlier runs that are kept
RECENT = 20  # warnings and errors that are remembered for reports
# Access tokens of the hub, of every kind that it has issued, even without a space around them.
_TOKEN = re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{8,}|hf_(?:oauth|jwt)_[\w.-]{8,}|(?<=[Bb]earer )[\w.~+/-]{8,}=*")

_NAME = re.compile(r"\d{8}-\d{6,}-\d+\.log(\.\d)?")

_open: SessionLog | None = None


class SessionLog(logging.handlers.RotatingFileHandler):
    """Write this run's log file in `folder`, private to the user; it is created with the first line.

    `recent` holds the last warnings and errors as they were written, oldest first. If the disk takes no file, only the
    log is lost.
    """

    def __init__(self, folder: Path) -> None:
        self.recent: deque[str] = deque(maxlen=RECENT)
        self._reported = False
        super().__init__(folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log", maxBytes=MAX_BYTES,
                         backupCount=1,
                         encoding="utf-8", errors="replace", delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    @property
    def path(self) -> Path:
        return Path(self.baseFilename)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with anything that looks like an access token of the hub removed."""
        return without_tokens(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.recent.append(self.format(record))
            # With a handler of ours in the chain Python no longer prints them by itself.
            if not logging.root.handlers and logging.lastResort is not None:
                logging.lastResort.handle(record)
        super().emit(record)

    def doRollover(self) -> None:
        try:
            super().doRollover()
        except PermissionError:
            pass  # on Windows another program may be reading the file: it grows, and the next line tries again

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._reported:
            self._reported = True
            if logging.lastResort is not None:
                logging.lastResort.handle(logging.makeLogRecord(
                    {"levelno": logging.WARNING, "msg": f"The log {self.baseFilename} cannot be written."}))

    def _open(self):
        folder = self.path.parent
        files.make_folders(str(folder), private=True)
        _sweep(folder)
        return files.open_own(self.baseFilename, self.mode, private=True, encoding=self.encoding, errors=self.errors)


def start(folder: Path) -> None:
    """Log into `folder` from now on, unless that is so already. No file is created before the first line."""
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
    """Close the log file. May be called repeatedly."""
    global _open
    gone, _open = _open, None
    if gone is not None:
        for name in NAMES:
            logging.getLogger(name).removeHandler(gone)
        gone.close()


def path() -> Path | None:
    """Return this run's log file, or None before its first line."""
    return _open.path if _open is not None and _open.path.exists() else None


def recent() -> list[str]:
    """Return the last warnings and errors of this run, oldest first, with their details."""
    return list(_open.recent) if _open is not None else []


def without_tokens(text: str) -> str:
    """Return `text` with access tokens of the Hugging Face hub removed."""
    return _TOKEN.sub("hf_…", text)


def _sweep(folder: Path) -> None:
    """Delete the oldest logs. Files that another process holds or has deleted are skipped."""
    def age(file: Path) -> float:
        try:
            return file.stat().st_mtime
        except OSError:
            return 0.0

    own = [file for name in files.names_in(str(folder)) if _NAME.fullmatch(name) and (file := folder / name).is_file()]
    for file in sorted(own, key=age, reverse=True)[KEPT:]:
        try:
            file.unlink()
        except OSError:
            continue
