"""Downloads of models: each in a process of its own, watched by a thread of its own. See `engine.fetching`.

Ending the process is the cancel: whatever it has written stays, and the next download of the same model goes on from there.
"""
from __future__ import annotations

import atexit
import glob
import logging
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable

from ..protocol.checkpoints import SUFFIX
from ..protocol.errors import EngineDied, InvalidRequest, JobCancelled, SDError
from ..protocol.hub import UNFINISHED, folder_name
from ..protocol.messages import Cancelled, Event, Failed, Fetch, Fetched, Found, Installed
from .controlnets import CONFIG
from .folders import INDEX
from .inbox import Inbox, pump_until
from .process import ProcessPipeline

log = logging.getLogger("blender_sd")

STATES = ("looking", "downloading", "finished", "cancelled", "failed")
_DONE = STATES[2:]
_WINDOW = 10.0  # seconds over which the speed is measured
_STALLED = 5.0  # seconds without a byte after which a person is told


class Download:
    """One model on its way from the hub. Read it freely; only `Downloads.pump` changes it, on the thread that pumps.

    `repo` (owner/name) and `file` ("" = the whole model) say what; `accepted`: whether its licence is. `state` is one of
    STATES. `licence` and `link` are known once it was found; `bytes_done` of `bytes_total` are on disk. `error`: why a
    failed one failed. `path`: the finished model's folder, or the one file that was asked for.
    """

    def __init__(self, repo: str, file: str, accepted: bool, owner: Downloads) -> None:
        self.id = uuid.uuid4().hex
        self.repo, self.file, self.accepted = repo, file, accepted
        self.state = "looking"
        self.licence = self.link = self.path = ""
        self.bytes_done = self.bytes_total = 0
        self.error: SDError | None = None
        self.cancelling = False
        self._owner = owner
        self._marks: deque[tuple[float, int]] = deque()  # when how many bytes were there

    def __repr__(self) -> str:
        return f"<Download {self.name!r} {self.state} {self.progress:.0%}>"

    @property
    def name(self) -> str:
        """What a person calls it: owner/name, or owner/name/file."""
        return f"{self.repo}/{self.file}" if self.file else self.repo

    @property
    def done(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self.state in _DONE

    @property
    def progress(self) -> float:
        """The share of all bytes that is on disk, 0 to 1."""
        return 1.0 if self.state == "finished" else min(1.0, self.bytes_done / max(1, self.bytes_total))

    @property
    def eta(self) -> float | None:
        """Seconds left, None while unknown."""
        if self.state != "downloading" or len(self._marks) < 2:
            return None
        (first, before), (last, now) = self._marks[0], self._marks[-1]
        return (self.bytes_total - now) * (last - first) / (now - before) if now > before and last > first else None

    @property
    def stalled(self) -> bool:
        """Whether nothing has come for a while; the process then tries again by itself."""
        return self.state == "downloading" and bool(self._marks) and time.monotonic() - self._marks[-1][0] > _STALLED

    def cancel(self) -> bool:
        """End it; what has come is kept. False where it had ended already."""
        return self._owner.cancel(self)

    def result(self, timeout: float | None = None) -> str:
        """Pump on this thread until it has ended, and return `path`. `timeout`: seconds, None = without limit. Raises its
        error, JobCancelled, or TimeoutError (it goes on)."""
        pump_until(lambda: self.done, self._owner, timeout, "The download")
        if self.error is not None:
            raise self.error
        if self.state == "cancelled":
            raise JobCancelled("The download was cancelled.")
        return self.path

    # ---- changes, made by Downloads.pump -------------------------------------------------------------------------------

    def apply(self, event: Event, at: float) -> bool:
        """Take in one event that happened at `at` (time.monotonic); whether it changed anything."""
        if self.done:
            return False
        if isinstance(event, Found):
            self.licence, self.link, self.bytes_total = event.licence, event.link, event.total
            self._mark(at, event.done)
        elif isinstance(event, Fetched):
            self.state = "downloading"
            self._mark(at, event.done)
        elif isinstance(event, Installed):
            self.state, self.path, self.bytes_done = "finished", event.path, self.bytes_total
        elif isinstance(event, Cancelled) or isinstance(event, Failed) and self.cancelling:
            self.state = "cancelled" if self.error is None else "failed"
        elif isinstance(event, Failed):
            self.state, self.error = "failed", _in_words(event.error())
        else:
            return False
        return True

    def _mark(self, at: float, count: int) -> None:
        if self._marks and count < self._marks[-1][1]:  # a broken file was thrown away
            self._marks.clear()
        self._marks.append((at, count))
        while at - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        self.bytes_done = count


def _in_words(error: SDError) -> SDError:
    if isinstance(error, EngineDied):
        return EngineDied("The download stopped unexpectedly.", "Download it again: it goes on where it stopped.", error.detail)
    return error


class Downloads:
    """Every download of this session. `told` hears of each that was found or has ended, on the thread that pumps."""

    def __init__(self, told: Callable[[Download], None] = lambda one: None) -> None:
        self._told = told
        self._all: list[Download] = []
        self._running: dict[str, tuple[ProcessPipeline, threading.Thread]] = {}
        self._inbox = Inbox()
        self._pumping = threading.RLock()
        self._pid = os.getpid()

    @property
    def all(self) -> list[Download]:
        """Oldest first. A copy."""
        return list(self._all)

    def start(self, pipeline: ProcessPipeline, repo: str, file: str, *, folder: str, accepted: bool, token: str = "") -> Download:
        """Begin to fetch, or go on with, a model (see `messages.Fetch`) into the models folder `folder`; returns at once.
        Raises InvalidRequest where the same is being downloaded already."""
        if any(one.repo == repo and not one.done for one in self._all):
            raise InvalidRequest(f"{repo} is being downloaded already.", "Wait until it has finished, or cancel it.")
        one = Download(repo, file, accepted, self)
        self._all.append(one)
        if path := installed(folder, repo, file):
            one.apply(Installed(one.id, path), time.monotonic())
            self._told(one)
            return one
        order = Fetch(one.id, repo, file, os.path.abspath(folder), accepted, token)
        thread = threading.Thread(target=self._watch, args=(pipeline, order), name=f"blender_sd download {repo}", daemon=True)
        if not self._running:
            atexit.register(self.shutdown)
        self._running[one.id] = (pipeline, thread)
        thread.start()
        return one

    def pump(self, budget: float | None = None) -> bool:
        """Apply what the processes said; whether anything changed. `budget` is there for `pump_until`: events are few and small."""
        changed = False
        with self._pumping:
            while (item := self._inbox.get()) is not None:
                at, event = item
                one = next((one for one in self._all if one.id == event.job), None)
                if one is not None and one.apply(event, at):
                    changed = True
                    if one.done:
                        self._running.pop(one.id, None)
                    if one.done or isinstance(event, Found):
                        self._told(one)
        return changed

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `pump` has something to do, at most `timeout` seconds; whether it has."""
        return self._inbox.wait(timeout)

    def cancel(self, one: Download, reason: SDError | None = None) -> bool:
        """End `one`, as failed where there is a `reason`."""
        if one.done or one.id not in self._running:
            return False
        one.cancelling, one.error = True, one.error or reason
        self._running[one.id][0].abort()
        return True

    def shutdown(self, timeout: float = 2.0) -> None:
        """End every download, within about `timeout` seconds."""
        if os.getpid() != self._pid:
            return  # a fork: the processes are not its own
        atexit.unregister(self.shutdown)
        threads = [thread for _, thread in self._running.values()]
        for one in self._all:
            self.cancel(one)
        for thread in threads:
            thread.join(timeout / len(threads))
        self.pump()

    def _watch(self, pipeline: ProcessPipeline, order: Fetch) -> None:
        try:
            pipeline.run(order, self._hear, lambda: False)
        finally:
            pipeline.close()

    def _hear(self, event: Event) -> None:
        if getattr(event, "job", "") and isinstance(event, (Found, Fetched, Installed, Cancelled, Failed)):
            self._inbox.put(event)


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
