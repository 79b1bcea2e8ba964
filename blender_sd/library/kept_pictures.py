"""Recognise finished pictures in a folder by the request that made them, so that they are not made again.

A picture counts if its file carries the same request (the digests of its input pictures and of the model among it) and
is whole. Where a model or a net lies is no part of that: another machine has them elsewhere.
"""
from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..core.errors import SDError
from ..core.names import name_key
from ..core.request import Request
from ..core.roles import MAPS, PICTURE, SHEET
from ..protocol.messages import Result
from .png import REQUEST_KEY, is_whole, read_head, role_in

_SUFFIX = ".png"
_PATHS = ("file", "model", "ip_adapter", "vae", "upscaler")  # settings that hold a path


class KeptPictures:
    """The pictures of a folder. Any thread may call it.

    Args:
        folder: The output folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], str, str]] = {}  # name -> time and size, key, model's digest

    def find(self, request: Request) -> tuple[Result, ...]:
        """Return the results of a request whose pictures are all there, else ().

        Args:
            request: The request with the digests of its input pictures.
        """
        wanted = [(request, SHEET)] if request.axes else []
        wanted += [(request.single(index), PICTURE) for index in range(request.pictures)]
        with self._lock:
            self._look()
            by_key: dict[str, list[tuple[str, str]]] = {}
            for name, (_, key, digest) in self._known.items():
                by_key.setdefault(key, []).append((name, digest))
        results = []
        for single, role in wanted:
            for name, digest in sorted(by_key.get(key_of(single), ())):
                path = os.path.join(self._folder, name)
                if digest and single.model_digest and digest != single.model_digest or not is_whole(path):
                    continue
                with suppress(OSError, SDError):
                    head = read_head(path)
                    if head is None:
                        continue
                    painted = Request.from_json(head.text[REQUEST_KEY])
                    results.append(Result(path, painted, head.width, head.height, role=role))
                    break
            else:
                return ()
        return tuple(results)

    def _look(self) -> None:
        """Read the heads of files that are new or have changed."""
        there: dict[str, tuple[int, int]] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.lower().endswith(_SUFFIX) and not entry.name.startswith("."):
                        with suppress(OSError):  # another process has just renamed it
                            about = entry.stat()
                            if stat.S_ISREG(about.st_mode):
                                there[entry.name] = about.st_mtime_ns, about.st_size
        except OSError:
            there = {}  # the folder is not made yet, or its share is gone
        self._known = {name: known for name, known in self._known.items() if there.get(name) == known[0]}
        for name in there.keys() - self._known.keys():
            try:
                head = read_head(os.path.join(self._folder, name))
                request = Request.from_json(head.text[REQUEST_KEY]) if head and REQUEST_KEY in head.text else None
            except (OSError, SDError):
                continue  # it went meanwhile, or is not ours
            if head is not None and request is not None:
                own = role_in(head.text) not in MAPS  # a material's maps have the request of their picture
                self._known[name] = there[name], key_of(request) if own else "", request.model_digest


def key_of(request: Request) -> str:
    """Return a request as text without what differs between machines: folders of models, and whether the model's
    content is known."""
    raw = json.loads(request.to_json())
    del raw["model_digest"], raw["model_name"]
    return json.dumps(_without_folders(raw), sort_keys=True)


def _without_folders(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: name_key(item.replace("\\", "/").rstrip("/").rpartition("/")[2])
                if name in _PATHS and isinstance(item, str) else _without_folders(item)
                for name, item in value.items()}
    return [_without_folders(item) for item in value] if isinstance(value, list) else value
