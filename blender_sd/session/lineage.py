"""The whole chain of edits behind a picture: what it was made of, what that was made of, and so on, as far as files tell.

A request names its input pictures by digest. The engine keeps a copy of each as `<output>/sources/<sha256>.<ext>`; a copy that is a
picture of ours carries its own request, which names its inputs, and so on. A picture of the history with the same bytes is found too
(it has the same size, so few files are read), since it has a name and a date. Only what is proven is believed: a copy whose bytes do not
have the digest of its name says nothing of settings. Reads files: for a thread (`in_background`).
"""
from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..protocol import png
from ..protocol.errors import SDError
from ..protocol.facts import said_in
from ..protocol.origin import Origin
from ..protocol.request import Request
from .history import SUFFIX, TRASH

log = logging.getLogger("blender_sd")

SOURCES = "sources"  # the folder of input pictures in the output folder (`engine.output.save_input`)
MAX_DEPTH, MAX_LINKS = 24, 100
GONE, CHANGED, AGAIN, DEEP = "gone", "changed", "again", "deep"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_FILE = 1 << 29  # bytes of one file that are hashed
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Known:
    """What the texts of one picture say. `foreign`: A1111's `parameters` of a picture that another program made, as it stands there (a
    stranger's text). `credentials`: whether the file holds content credentials (C2PA)."""

    request: Request | None = None
    origin: Origin | None = None
    foreign: str = ""
    credentials: bool = False


@dataclass(frozen=True)
class Link:
    """One input picture in the chain. `depth`: 1 for what the picture itself was made of. `role`: "source", "mask", "control0" …
    `path`: its file; "" where none is there. `name`: the history's file name, where it is one of its pictures. `problem`: "" or one of
    GONE (no copy), CHANGED (the copy is not what the digest says), AGAIN (stands higher up already), DEEP (no further is looked)."""

    depth: int
    role: str
    digest: str
    path: str = ""
    name: str = ""
    known: Known = Known()
    problem: str = ""


def trace(request: Request, folder: str, stopped: Callable[[], bool] = lambda: False) -> tuple[Link, ...]:
    """The chain behind `request`, each link followed by those behind it, from the files of the output folder `folder`. Ends early, with
    what is there, where `stopped()`. Never raises for what files hold or lack."""
    sizes = _sizes(folder)
    seen: set[str] = set()
    found: list[Link] = []

    def walk(request: Request, depth: int) -> None:
        for role, digest in request.inputs.items():
            if stopped() or len(found) >= MAX_LINKS:
                return
            link = _link(depth, role, digest, folder, sizes, seen)
            found.append(link)
            if link.known.request is not None and not link.problem:
                walk(link.known.request, depth + 1)

    walk(request, 1)
    return tuple(found)


def known_in(text: dict[str, str], credentials: bool = False) -> Known:
    """What the text chunks of a picture say; unreadable ones say nothing, since they may be a stranger's."""
    said = said_in(text)
    return Known(said.request, said.origin, "" if said.request is not None else text.get(png.PARAMETERS_KEY, ""), credentials)


def look_into(file: str | bytes) -> Known:
    """What a PNG file (its path, or its bytes) says of itself. Raises OSError."""
    if isinstance(file, bytes):
        return known_in(png.text_of(file), png.credentials_in(file))
    return known_in(png.read_text(file), png.has_credentials(file))


def in_background(work: Callable[[], Any]) -> Future:
    """`work()` on a thread of its own, which ends with it and never keeps Blender from closing (a drive may not answer)."""
    future: Future = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever asked is told
            if not isinstance(error, (OSError, SDError)):
                log.exception("lineage: an order failed")
            future.set_exception(error)

    threading.Thread(target=carry_out, name="blender_sd lineage", daemon=True).start()
    return future


# ---- inside --------------------------------------------------------------------------------------------------------


def _link(depth: int, role: str, digest: str, folder: str, sizes: dict[int, list[str]], seen: set[str]) -> Link:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        return Link(depth, role, digest, problem=GONE)
    if digest in seen:
        return Link(depth, role, digest, problem=AGAIN)
    seen.add(digest)
    copy = next(_copies(folder, match[1]), "")
    if not copy:
        return Link(depth, role, digest, problem=GONE)
    try:
        true, known = _sha256(copy) == match[1], look_into(copy)
        if not true:  # pixels travel without a file: their digest is not of the copy's bytes, and the copy carries no texts
            changed = known.request is not None or known.origin is not None
            return Link(depth, role, digest, copy, problem=CHANGED if changed else "")
        twin = next((path for path in sizes.get(os.path.getsize(copy), ()) if _sha256(path) == match[1]), "")
    except OSError as error:
        log.info("lineage: %s cannot be read: %s", copy, error)
        return Link(depth, role, digest, problem=GONE)
    deep = depth >= MAX_DEPTH and known.request is not None and known.request.inputs
    return Link(depth, role, digest, twin or copy, os.path.basename(twin), known, DEEP if deep else "")


def _copies(folder: str, sha256: str) -> Iterator[str]:
    """The regular files that were kept under that digest."""
    for kind in ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "exr", "hdr", "tga", "gif", "bin"):
        path = os.path.join(folder, SOURCES, f"{sha256}.{kind}")
        if os.path.isfile(path):
            yield path


def _sizes(folder: str) -> dict[int, list[str]]:
    """The pictures of the output folder and its trash, by their size in bytes."""
    found: dict[int, list[str]] = {}
    for place in (folder, os.path.join(folder, TRASH)):
        try:
            with os.scandir(place) as files:
                for file in files:
                    if file.name.lower().endswith(SUFFIX) and not file.name.startswith(".") and file.is_file():
                        found.setdefault(file.stat().st_size, []).append(file.path)
        except OSError:
            continue  # the folder is not there, or a file of it went
    return found


def _sha256(path: str) -> str:
    """The digest of the file's bytes; "" for one that is too large. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > _MAX_FILE:
            return ""
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
