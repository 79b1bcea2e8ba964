"""Trace the pictures that a picture was made of, the pictures that those were made of, and so on, through their files.

A request names its input pictures by digest. The engine keeps a copy of each as `<output>/sources/<sha256>.<ext>`; a
copy that is a picture of ours contains its own request, which names its inputs, and so on. A picture of the history
with the same bytes is found too (it has the same size, so few files are read), since it has a name and a date. Only
proof counts: the settings in a copy whose bytes do not match its digest are ignored. This reads files, so it needs a
thread (`in_background`).
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

from ..core.errors import SDError
from ..core.image_origin import Origin
from ..core.request import Request
from . import png, source_copies
from .history import SUFFIX, TRASH
from .image_origin import facts_in
from .paths import open_plain

log = logging.getLogger("blender_sd")

SOURCES = "sources"  # folder of input pictures in the output folder (`engine.output.pictures.save_input`)
MAX_DEPTH, MAX_LINKS = 24, 100
GONE, CHANGED, AGAIN, DEEP = "gone", "changed", "again", "deep"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MAX_FILE = 1 << 29  # bytes of one file, at most, that are hashed
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Known:
    """Hold what the texts of one picture say.

    Attributes:
        request: The request that made it, if it is ours.
        origin: Its model, licence and program, if it is ours.
        foreign: A1111's `parameters` of a picture by another program, unchecked.
        credentials: Whether the file has content credentials (C2PA).
    """

    request: Request | None = None
    origin: Origin | None = None
    foreign: str = ""
    credentials: bool = False


@dataclass(frozen=True)
class Link:
    """Describe one input picture in the chain.

    Attributes:
        depth: 1 for an input of the picture itself, 2 for an input of that, and so on.
        role: "source", "mask", "control0", ….
        digest: The digest in the request.
        path: Its file, "" if there is none.
        name: Its file name in the history, "" if it is not there.
        known: What its texts say.
        problem: "", or GONE (no copy), CHANGED (the copy does not match the digest), AGAIN (listed above), DEEP (not
            traced any further).
    """

    depth: int
    role: str
    digest: str
    path: str = ""
    name: str = ""
    known: Known = Known()
    problem: str = ""


def trace(request: Request, folder: str, stopped: Callable[[], bool] = lambda: False) -> tuple[Link, ...]:
    """Trace the inputs of a request through the files of an output folder.

    Never raises for what files contain or lack.

    Args:
        request: The request.
        folder: The output folder.
        stopped: Returns whether to stop early and return what was traced so far.

    Returns:
        The links, each followed by its own inputs.
    """
    sizes = _sizes(folder)
    seen: set[str] = set()
    links: list[Link] = []

    def walk(request: Request, depth: int) -> None:
        for role, digest in request.inputs.items():
            if stopped() or len(links) >= MAX_LINKS:
                return
            link = _link(depth, role, digest, folder, sizes, seen)
            links.append(link)
            if link.known.request is not None and not link.problem:
                walk(link.known.request, depth + 1)

    walk(request, 1)
    return tuple(links)


def known_in(text: dict[str, str], credentials: bool = False) -> Known:
    """Return what the text chunks of a picture say; unreadable ones are ignored, since they may come from anybody."""
    facts = facts_in(text)
    return Known(facts.request, facts.origin, "" if facts.request is not None else text.get(png.PARAMETERS_KEY, ""),
                 credentials)


def look_into(file: str | bytes) -> Known:
    """Return what a PNG file (a path, or its bytes) says about itself. Raise OSError."""
    if isinstance(file, bytes):
        return known_in(png.text_of(file), png.credentials_in(file))
    return known_in(png.read_text(file), png.has_credentials(file))


def in_background(work: Callable[[], Any]) -> Future:
    """Run `work()` on a thread of its own that never keeps Blender from closing, since a drive may not answer."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # the future reports it
            if not isinstance(error, (OSError, SDError)):
                log.exception("lineage: a request failed")
            future.set_exception(error)

    threading.Thread(target=run, name="blender_sd lineage", daemon=True).start()
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
        # The input may have come as pixels: then the digest is not of the copy's bytes, and the copy has no texts.
        if not true:
            return Link(depth, role, digest, copy, problem="" if source_copies.holds_pixels(copy, digest) else CHANGED)
        twin = next((path for path in sizes.get(os.path.getsize(copy), ()) if _sha256(path) == match[1]), "")
    except OSError as error:
        log.info("lineage: %s cannot be read: %s", copy, error)
        return Link(depth, role, digest, problem=GONE)
    deep = depth >= MAX_DEPTH and known.request is not None and known.request.inputs
    return Link(depth, role, digest, twin or copy, os.path.basename(twin), known, DEEP if deep else "")


def _copies(folder: str, sha256: str) -> Iterator[str]:
    """Yield the files that were kept under the digest."""
    for kind in ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "exr", "hdr", "tga", "gif", "bin"):
        path = os.path.join(folder, SOURCES, f"{sha256}.{kind}")
        if os.path.isfile(path):
            yield path


def _sizes(folder: str) -> dict[int, list[str]]:
    """Return the pictures of the output folder and its trash by their size in bytes."""
    by_size: dict[int, list[str]] = {}
    for place in (folder, os.path.join(folder, TRASH)):
        try:
            with os.scandir(place) as files:
                for file in files:
                    if file.name.lower().endswith(SUFFIX) and not file.name.startswith(".") and file.is_file():
                        by_size.setdefault(file.stat().st_size, []).append(file.path)
        except OSError:
            continue  # the folder is missing, or a file was deleted
    return by_size


def _sha256(path: str) -> str:
    """Return the digest of the file's bytes, "" for a file that is too large. Raise OSError."""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        if os.fstat(file.fileno()).st_size > _MAX_FILE:
            return ""
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
