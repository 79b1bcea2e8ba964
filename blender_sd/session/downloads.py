"""Download models, each in a process of its own (see `workers.downloads`)."""
from __future__ import annotations

import glob
import os
import shutil
import time

from ..core.errors import InvalidRequest
from ..core.hub import UNFINISHED, folder_name
from ..library.checkpoints import SUFFIX
from ..library.controlnets import CONFIG
from ..library.model_folders import INDEX
from ..protocol.messages import Event, Fetch, Fetched, Found, Installed
from .process import ProcessPipeline
from .transfers import Transfer, Transfers

STATES = ("looking", "downloading", "finished", "cancelled", "failed")


class Download(Transfer):
    """A download of one model.

    Attributes:
        repo: The repository, owner/name.
        file: One file of it; "" for the whole model.
        accepted: Whether the person has accepted its licence.
        state: One of STATES.
        licence, link: Its licence and where to read it, once these are known.
        path: The finished model's folder, or the one file.
    """

    def __init__(self, repo: str, file: str, accepted: bool, owner: Downloads) -> None:
        super().__init__(owner, "looking")
        self.online = True
        self.repo, self.file, self.accepted = repo, file, accepted
        self.licence = self.link = ""

    def __repr__(self) -> str:
        return f"<Download {self.name!r} {self.state} {self.progress:.0%}>"

    @property
    def name(self) -> str:
        """What people call it: owner/name, or owner/name/file."""
        return f"{self.repo}/{self.file}" if self.file else self.repo

    def on_event(self, event: Event, at: float) -> bool:
        if isinstance(event, Found):
            self.licence, self.link, self.bytes_total = event.licence, event.link, event.total
        elif isinstance(event, Fetched):
            self.state = "downloading"
        else:
            return False
        self.mark(at, event.done)
        return True


class Downloads(Transfers):
    """Manage the downloads of this session (see `Transfers`)."""

    def start(self, pipeline: ProcessPipeline, repo: str, file: str, *, folder: str, accepted: bool,
              token: str = "") -> Download:
        """Start or resume a download, and return at once.

        Args:
            pipeline: The process that downloads.
            repo, file, accepted, token: See `messages.Fetch`.
            folder: The folder of models.

        Raises:
            InvalidRequest: The same repository is being downloaded already.
        """
        if any(download.repo == repo and not download.done for download in self._all):
            raise InvalidRequest(f"{repo} is being downloaded already.", "Wait until it has finished, or cancel it.")
        started = Download(repo, file, accepted, self)
        if path := installed(folder, repo, file):
            self._all.append(started)
            started.apply(Installed(started.id, path), time.monotonic())
            self._on_change(started)
            return started
        self.begin(pipeline, started, Fetch(started.id, repo, file, os.path.abspath(folder), accepted, token))
        return started


def installed(folder: str, repo: str, file: str) -> str:
    """Return the path that a download would have, if that exists already; otherwise ""."""
    place = os.path.join(folder, folder_name(repo))
    if file:
        path = os.path.join(place, *file.split("/"))
        return path if os.path.isfile(path) else ""
    if any(os.path.isfile(os.path.join(place, name)) for name in (INDEX, CONFIG)):
        return place
    singles = glob.glob(os.path.join(glob.escape(place), "*" + SUFFIX))
    return singles[0] if len(singles) == 1 else ""


def unfinished_bytes(folder: str) -> int:
    """Return the number of bytes of unfinished downloads in the models folder `folder`."""
    return sum(os.path.getsize(os.path.join(place, name))
               for place, _, names in os.walk(os.path.join(folder, UNFINISHED)) for name in names)


def clear_unfinished(folder: str) -> None:
    """Delete unfinished downloads in the models folder `folder`. Raise OSError."""
    if os.path.isdir(place := os.path.join(folder, UNFINISHED)):
        shutil.rmtree(place)
