"""Downloads of models: each in a process of its own, see `engine.fetching`."""
from __future__ import annotations

import glob
import os
import shutil
import time

from ..protocol.checkpoints import SUFFIX
from ..protocol.errors import InvalidRequest
from ..protocol.hub import UNFINISHED, folder_name
from ..protocol.messages import Event, Fetch, Fetched, Found, Installed
from .controlnets import CONFIG
from .folders import INDEX
from .process import ProcessPipeline
from .transfers import Transfer, Transfers

STATES = ("looking", "downloading", "finished", "cancelled", "failed")


class Download(Transfer):
    """One model on its way from the hub.

    `repo` (owner/name) and `file` ("" = the whole model) say what; `accepted`: whether its licence is. `state` is one of
    STATES. `licence` and `link` are known once it was found. `path`: the finished model's folder, or the one file that was asked for.
    """

    def __init__(self, repo: str, file: str, accepted: bool, owner: Downloads) -> None:
        super().__init__(owner, "looking")
        self.repo, self.file, self.accepted = repo, file, accepted
        self.licence = self.link = ""

    def __repr__(self) -> str:
        return f"<Download {self.name!r} {self.state} {self.progress:.0%}>"

    @property
    def name(self) -> str:
        """What a person calls it: owner/name, or owner/name/file."""
        return f"{self.repo}/{self.file}" if self.file else self.repo

    def hear(self, event: Event, at: float) -> bool:
        if isinstance(event, Found):
            self.licence, self.link, self.bytes_total = event.licence, event.link, event.total
        elif isinstance(event, Fetched):
            self.state = "downloading"
        else:
            return False
        self.mark(at, event.done)
        return True


class Downloads(Transfers):
    """Every download of this session. `told` hears of each that was found or has ended, on the thread that pumps."""

    def start(self, pipeline: ProcessPipeline, repo: str, file: str, *, folder: str, accepted: bool, token: str = "") -> Download:
        """Begin to fetch, or go on with, a model (see `messages.Fetch`) into the models folder `folder`; returns at once.
        Raises InvalidRequest where the same is being downloaded already."""
        if any(one.repo == repo and not one.done for one in self._all):
            raise InvalidRequest(f"{repo} is being downloaded already.", "Wait until it has finished, or cancel it.")
        one = Download(repo, file, accepted, self)
        if path := installed(folder, repo, file):
            self._all.append(one)
            one.apply(Installed(one.id, path), time.monotonic())
            self._told(one)
            return one
        self.begin(pipeline, one, Fetch(one.id, repo, file, os.path.abspath(folder), accepted, token))
        return one


def installed(folder: str, repo: str, file: str) -> str:
    """The path of what `Download` would bring, where it is there already; else ""."""
    place = os.path.join(folder, folder_name(repo))
    if file:
        path = os.path.join(place, *file.split("/"))
        return path if os.path.isfile(path) else ""
    if any(os.path.isfile(os.path.join(place, name)) for name in (INDEX, CONFIG)):
        return place
    singles = glob.glob(os.path.join(glob.escape(place), "*" + SUFFIX))
    return singles[0] if len(singles) == 1 else ""


def unfinished_bytes(folder: str) -> int:
    """How many bytes of downloads that have not ended well lie in the models folder `folder`."""
    return sum(os.path.getsize(os.path.join(place, name))
               for place, _, names in os.walk(os.path.join(folder, UNFINISHED)) for name in names)


def clear_unfinished(folder: str) -> None:
    """Delete them. Raises OSError."""
    if os.path.isdir(place := os.path.join(folder, UNFINISHED)):
        shutil.rmtree(place)
