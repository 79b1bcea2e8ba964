"""A file that grows: a download that goes on in a later process at the byte where it stopped. Standard library only."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

BLOCK = 1 << 20  # bytes read at a time


class Part:
    """The file at `path`, made where it is missing; what is there is read once, for its hash. `told` hears of each later change in
    size. Use it as a context. Also what `huggingface_hub`'s `http_get` asks of a file."""

    def __init__(self, path: str | Path, told: Callable[[int], object]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._told = told
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115  closed by __exit__
        self._digest, self.size = hashlib.sha256(), 0
        self._file.seek(0)
        while block := self._file.read(BLOCK):
            self._count(block)

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file.fileno())  # before it is renamed: a rename must not reach the disk first
        self._file.close()

    def tell(self) -> int:
        return self.size

    def write(self, block: bytes) -> None:
        self._file.write(block)
        self._count(block)
        self._told(len(block))

    def seek(self, place: int) -> None:
        """`http_get` goes back to the beginning before it truncates; all that is written goes to the end anyway."""

    def truncate(self) -> None:
        """Throws away what is there: the server sends the file from its beginning."""
        self._file.truncate(0)
        gone, self._digest, self.size = self.size, hashlib.sha256(), 0
        self._told(-gone)

    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _count(self, block: bytes) -> None:
        self._digest.update(block)
        self.size += len(block)
