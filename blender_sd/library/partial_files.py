"""Download files so that a later process can resume where one stopped. Standard library only.

The transport is the caller's: `huggingface_hub`'s for models, `urllib` for the engine's packages, which run in
Blender's Python.
"""
from __future__ import annotations

import functools
import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from . import files

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # bytes read at a time
TRIES = 3  # attempts in a row that bring nothing
PAUSE = 1.0  # seconds between attempts
Answer = TypeVar("Answer")


class Corrupt(Exception):
    """A file arrived twice with another hash than expected; `sha256` is that of the second time."""

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        super().__init__(f"the SHA-256 is {sha256}")


class Part:
    """Open the file at `path`, creating it if needed, and hash what it contains so far. Use it as a context manager.

    It also has the methods of a file that `huggingface_hub`'s `http_get` calls.

    Args:
        path: The file.
        on_change: Called with each later change of the size in bytes; negative when it is truncated.
    """

    def __init__(self, path: str | Path, on_change: Callable[[int], object]) -> None:
        files.make_folders(os.path.dirname(path))
        self._on_change = on_change
        self._file = files.open_own(str(path), "a+b", buffering=0)  # closed by __exit__
        self._digest, self.size = hashlib.sha256(), 0
        self._file.seek(0)
        while block := self._file.read(BLOCK):
            self._count(block)

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file.fileno())  # the rename must not reach the disk before the content
        self._file.close()

    def tell(self) -> int:
        return self.size

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self._count(block)
        self._on_change(len(block))

    def seek(self, place: int) -> None:
        """Do nothing: `http_get` seeks to the beginning before it truncates, and writes always go to the end."""

    def truncate(self) -> None:
        """Delete the content, because the server sends the file from its beginning."""
        self._file.truncate(0)
        gone, self._digest, self.size = self.size, hashlib.sha256(), 0
        self._on_change(-gone)

    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _count(self, block: bytes) -> None:
        self._digest.update(block)
        self.size += len(block)


def with_retries(call: Callable[[], Answer], size: Callable[[], int],
                 is_temporary: Callable[[Exception], bool]) -> Answer:
    """Return what `call()` returns, calling it again after a temporary error as long as that brings something.

    Args:
        call: The call.
        size: Returns the number of bytes received so far.
        is_temporary: Returns whether the same call may succeed in a moment. Other errors are raised at once, and so is
            the last one after TRIES calls in a row that brought nothing.
    """
    fruitless = 0
    while True:
        before = size()
        try:
            return call()
        except Exception as error:
            fruitless = 0 if size() > before else fruitless + 1
            if not is_temporary(error) or fruitless >= TRIES:
                raise
            log.info("trying again after %s", type(error).__name__)  # its text may contain a signed address
            time.sleep(PAUSE)


def download(part_path: str | Path, target: str | Path, receive: Callable[[Part], None], *, sha256: str,
             on_change: Callable[[int], object], is_temporary: Callable[[Exception], bool]) -> None:
    """Download a file to `part_path`, resuming what is there, check its hash, and rename it to `target`.

    Args:
        part_path: The unfinished file.
        target: The finished file; its folder is created if needed.
        receive: Makes one request for the bytes from `part.size` on, and writes them to the part. It is called again
            after a temporary error (see `with_retries`).
        sha256: The expected hash; "" if it is unknown.
        on_change: Called with each change of the size in bytes; negative when bytes are deleted.
        is_temporary: As for `with_retries`.

    Raises:
        Corrupt: The hash was wrong twice; the file is deleted each time.
        OSError: The file cannot be written. Errors of `receive` are passed on; what it received is kept.
    """
    for _ in range(2):
        with Part(part_path, on_change) as part:
            with_retries(functools.partial(receive, part), part.tell, is_temporary)
        if sha256 in ("", part.sha256()):
            files.make_folders(os.path.dirname(target))
            files.replace(part_path, target)
            return
        log.info("%s has the SHA-256 %s", target, part.sha256())
        files.remove(part_path)
        on_change(-part.size)
    raise Corrupt(part.sha256())
