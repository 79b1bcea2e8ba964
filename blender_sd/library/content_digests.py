"""Identify models by their content: the SHA-256 of a file, or of the files in a folder in diffusers format.

A path only says where this machine found a model. Digests are kept in a JSON file by path, with the sizes and times of
the files that they were computed from, so that gigabytes are read once.
"""
from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator

from .files import make_folders, write_whole
from .licences import OWN
from .paths import open_plain

log = logging.getLogger("blender_sd")

_ENDINGS = (".safetensors", ".gguf", ".bin", ".json", ".txt", ".model")
_BLOCK = 4 << 20  # bytes read at a time
_MAX_KEPT = 10_000  # places in the file
_MAX_FILE = 16 << 20  # bytes


class ContentDigests:
    """Compute digests and remember them. Any thread may call it.

    Args:
        file: Where they are kept; "" for in memory alone.
    """

    def __init__(self, file: str = "") -> None:
        self._file = file
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, str]] = {}  # place -> stamp, digest
        self._seen: tuple[int, int] | None = None  # size and time of the file when it was read last

    def digest(self, place: str, check: Callable[[], None] = lambda: None) -> str:
        """Return the digest "sha256:…" of a model's file or folder. Reads all of it, unless it is known and unchanged.

        Args:
            place: The real path.
            check: Called between blocks; raises to stop.

        Raises:
            OSError: It cannot be read.
        """
        if known := self.known(place):
            return known
        stamp, files = _stamp(place)
        whole = hashlib.sha256()
        if os.path.isfile(place):
            _feed(whole, place, check)
        else:
            for name in files:
                own = hashlib.sha256()
                _feed(own, os.path.join(place, name), check)
                whole.update(f"{name}\n{own.hexdigest()}\n".encode("utf-8", "surrogatepass"))
        digest = f"sha256:{whole.hexdigest()}"
        with self._lock:
            self._read()
            self._kept[place] = stamp, digest
            self._write()
        return digest

    def known(self, place: str) -> str:
        """Return the digest of `place` if it was computed before and nothing has changed since, else "". Reads no
        contents."""
        try:
            stamp, _ = _stamp(place)
        except OSError:
            return ""
        with self._lock:
            if self._kept.get(place, ("",))[0] != stamp:
                self._read()  # another process may have computed it
            kept, digest = self._kept.get(place, ("", ""))
        return digest if kept == stamp else ""

    def places_of(self, digest: str) -> list[str]:
        """Return where models with that digest are known to lie, unchanged."""
        with self._lock:
            self._read()
            places = [place for place, (_, other) in self._kept.items() if other == digest]
        return [place for place in places if self.known(place)]

    def _read(self) -> None:
        """Take over what the file holds, which another process may have written since."""
        try:
            about = os.stat(self._file) if self._file else None
            if about is None or about.st_size > _MAX_FILE or self._seen == (about.st_size, about.st_mtime_ns):
                return
            self._seen = about.st_size, about.st_mtime_ns
            with open(self._file, encoding="utf-8") as file:
                raw = json.load(file)
            self._kept |= {place: (str(stamp), str(digest)) for place, (stamp, digest) in raw.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            log.warning("the digests of models cannot be read: %r", error)

    def _write(self) -> None:
        while len(self._kept) > _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        if self._file:
            try:
                make_folders(os.path.dirname(self._file), private=True)
                write_whole(self._file, json.dumps(self._kept, indent=0).encode("ascii"))
            except OSError as error:
                log.warning("the digests of models cannot be kept: %r", error)


def _stamp(place: str) -> tuple[str, list[str]]:
    """Return what changes whenever a file of the model changes, and the names of its files below `place`."""
    if os.path.isfile(place):
        about = os.stat(place)
        return f"{about.st_size} {about.st_mtime_ns}", [""]
    names = list(_names(place, "", ()))
    stamp = hashlib.sha256()
    for name in sorted(names):
        about = os.stat(os.path.join(place, name))
        stamp.update(f"{name} {about.st_size} {about.st_mtime_ns}\n".encode("utf-8", "surrogatepass"))
    if not names:
        raise FileNotFoundError(place)
    return stamp.hexdigest(), sorted(names)


def _names(top: str, below: str, inside: tuple[str, ...]) -> Iterator[str]:
    """Yield the names of the files that count in the folder `below` of `top`.

    Links are followed, since models share parts by them, but never back into one of the real folders `inside`.
    """
    folder = os.path.join(top, below)
    inside = (*inside, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if not entry.name.startswith(".") and os.path.realpath(entry.path) not in inside:
                    yield from _names(top, f"{below}{entry.name}/", inside)
            elif entry.name.lower().endswith(_ENDINGS) and entry.name != OWN:
                yield below + entry.name


def _feed(digest: hashlib._Hash, file: str, check: Callable[[], None]) -> None:
    with open_plain(file) as opened:
        while block := opened.read(_BLOCK):
            check()
            digest.update(block)
