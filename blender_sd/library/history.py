"""Find, search, mark and delete the finished pictures in the output folder.

There is no database: the files hold everything.

A picture's settings are in its own PNG text; a favourite is an empty file with the picture's name in `.favourites/`;
deleted pictures are in `.trash/` until the person empties it. So two Blenders can work on one folder, and whatever is
lost (in a crash, on another machine) takes nothing else with it. One thread reads and writes; its results are in
`History.view`.
"""
from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import OutputUnwritable
from ..protocol.messages import text_of
from . import files
from .history_entries import HistoryEntry, entry_of
from .png import read_head

log = logging.getLogger("blender_sd")

FAVOURITES, TRASH = ".favourites", ".trash"
SUFFIX = ".png"
_FIRST = 24  # pictures of a long first look that are shown before the rest is read
_EVERY = 0.5  # seconds after which what was read so far is shown
_FRESH = 3.0  # seconds for which a folder's time of change cannot reveal a later change (FAT stores 2 s)


@dataclass(frozen=True)
class View:
    """Describe a folder of pictures at one moment.

    Attributes:
        serial: A number that grows with every change.
        ready: Whether the folder was read completely.
        entries: The pictures, newest first.
        trash: The pictures in the trash, newest first.
        bytes: The size of the pictures on disk.
        trash_bytes: The size of the trash on disk.
        problem: Why the folder cannot be read, in one line.
        note: One line about files that were skipped.
    """

    serial: int = 0
    ready: bool = False
    entries: tuple[HistoryEntry, ...] = ()
    trash: tuple[HistoryEntry, ...] = ()
    bytes: int = 0
    trash_bytes: int = 0
    problem: str = ""
    note: str = ""


class _Place:
    """Hold what is known of one folder: for each file name its time, size and entry (None if it is not ours)."""

    def __init__(self, folder: str, trashed: bool) -> None:
        self.folder, self.trashed = folder, trashed
        self.known: dict[str, tuple[tuple[int, int], HistoryEntry | None]] = {}
        self.unreadable: set[str] = set()

    def listed(self) -> dict[str, tuple[int, int]]:
        """Return the PNG files that are there now, newest first. Raise OSError."""
        marks = {}
        if self.trashed:
            files.check_folder(self.folder)  # ours; a link would lead to somebody's own files
        with os.scandir(self.folder) as there:
            for file in there:
                if file.name.lower().endswith(SUFFIX) and not file.name.startswith(".") and files.drawable(file.name):
                    try:
                        about = file.stat()
                    except OSError:
                        continue  # just deleted, or a broken link
                    if stat.S_ISREG(about.st_mode):  # reading a pipe would block
                        marks[file.name] = (about.st_mtime_ns, about.st_size)
        return dict(sorted(marks.items(), key=lambda item: (item[1][0], item[0]), reverse=True))

    def read(self, name: str, mark: tuple[int, int]) -> None:
        path = os.path.join(self.folder, name)
        self.unreadable.discard(name)
        try:
            head = read_head(path)
        except OSError as error:
            log.info("history: %s cannot be read: %s", path, error)
            self.known.pop(name, None)  # the next look tries again
            if os.path.lexists(path):
                self.unreadable.add(name)
            return
        if head is None:
            self.unreadable.add(name)
        self.known[name] = (mark, entry_of(path, mark, head, self.trashed) if head is not None else None)

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.known.pop(name, None)
            self.unreadable.discard(name)

    def entries(self, favourites: set[str]) -> tuple[HistoryEntry, ...]:
        newest_first = sorted(((mark, name, entry) for name, (mark, entry) in self.known.items() if entry is not None),
                       key=lambda item: (item[0][0], item[1]), reverse=True)
        return tuple(entry if entry.favourite == (name in favourites) else replace(entry, favourite=name in favourites)
                     for _, name, entry in newest_first)


class History:
    """Manage the pictures of one output folder.

    Every call returns at once; slow work is done in order, on a thread of its own.

    Args:
        folder: The output folder.
        optional: Whether the folder may be missing without that being a problem.
    """

    def __init__(self, folder: str, optional: bool = False) -> None:
        self.folder, self.optional = os.path.abspath(folder), optional
        self.view = View()
        self._pictures = _Place(self.folder, False)
        self._trash = _Place(os.path.join(self.folder, TRASH), True)
        self._favourites: set[str] = set()
        self._looked: tuple | None = None  # the folders' times of change at the last look, and its time
        self._queue: deque[tuple[Future, Callable[[], Any]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._working = False
        self._thread: threading.Thread | None = None

    # ---- from any thread ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether work is waiting or running."""
        return self._working or bool(self._queue)

    def refresh(self) -> Future[View]:
        """Look at the folder again; only new and changed files are read."""
        return self._submit(self._look)

    def set_favourite(self, names: Iterable[str], on: bool) -> Future[None]:
        """Mark the pictures with these file names as favourites (`on`) or not. The future raises OutputUnwritable."""
        listed = [*names]
        return self._submit(lambda: self._mark(listed, on))

    def to_trash(self, names: Iterable[str]) -> Future[list[str]]:
        """Move pictures to the trash. The future returns their names there, or raises OutputUnwritable."""
        listed = [*names]
        return self._submit(lambda: self._move(listed, self._pictures, self._trash))

    def restore(self, names: Iterable[str]) -> Future[list[str]]:
        """Move pictures back from the trash. The future returns their names, or raises OutputUnwritable."""
        listed = [*names]
        return self._submit(lambda: self._move(listed, self._trash, self._pictures))

    def empty_trash(self) -> Future[int]:
        """Delete the pictures in the trash for good.

        The future returns the number of bytes freed, or raises OutputUnwritable.
        """
        return self._submit(self._empty)

    def close(self, timeout: float = 1.0) -> None:
        """End the thread after its current work, waiting at most `timeout` seconds (a dead network drive may block it).
        """
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread:
            self._thread.join(timeout)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _submit(self, work: Callable[[], Any]) -> Future:
        future: Future = Future()
        with self._wake:
            waiting = next((queued for queued, other in self._queue if other == work), None)  # one look is enough
            if waiting is not None:
                return waiting
            self._queue.append((future, work))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="blender_sd history", daemon=True)
                self._thread.start()
            self._wake.notify()
        return future

    def _work(self) -> None:
        while True:
            with self._wake:
                self._working = False
                while not self._queue and not self._closed:
                    self._wake.wait()
                if self._closed:
                    for future, _ in self._queue:
                        future.cancel()
                    return
                self._working = True
            self._do(*self._queue.popleft())

    def _do(self, future: Future, work: Callable[[], Any]) -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # the future reports it; the thread goes on
            if not isinstance(error, OutputUnwritable):
                log.exception("history: a request failed")
            future.set_exception(error)

    def _look(self) -> View:
        marks = tuple(_changed_at(folder)
                      for folder in (self.folder, os.path.join(self.folder, FAVOURITES), self._trash.folder))
        now = time.time()
        if self._looked and self._looked[0] == marks and all(at is None or self._looked[1] - at / 1e9 > _FRESH
                                                             for at in marks):
            return self.view
        try:
            self._favourites = set(files.names_in(os.path.join(self.folder, FAVOURITES)))
            listed = self._pictures.listed()
        except OSError as error:
            return self._gone(error)
        try:
            binned = self._trash.listed()
        except OSError:
            binned = {}  # nothing was deleted yet
        if not (self._read(self._pictures, listed) and self._read(self._trash, binned)):
            return self.view  # changed meanwhile, or closing
        again = any(place.unreadable - place.known.keys() for place in (self._pictures, self._trash))
        self._looked = None if again else (marks, now)
        self._publish(ready=True)
        return self.view

    def _gone(self, error: OSError) -> View:
        """Report that the folder cannot be read. What was read is kept, since the drive may come back."""
        self._looked = None
        missing = isinstance(error, FileNotFoundError)
        log.info("history: %s", error)
        problem = "" if missing and self.optional else (
            f"The output folder is not there: {self.folder}" if missing
            else f"The output folder cannot be read: {self.folder}")
        if not self.view.ready or (self.view.problem, self.view.entries, self.view.trash) != (problem, (), ()):
            self.view = View(self.view.serial + 1, True, problem=problem)
        return self.view

    def _read(self, place: _Place, listed: dict[str, tuple[int, int]]) -> bool:
        """Read what is new in `place`, letting other requests go first. Return whether the list was read to its end."""
        shown, read = time.monotonic(), 0
        place.forget((place.known.keys() | place.unreadable) - listed.keys())
        for name, mark in listed.items():
            if place.known.get(name, (None,))[0] == mark:
                continue
            place.read(name, mark)
            read += 1
            if self._closed:
                return False
            if any(work != self._look for _, work in tuple(self._queue)):
                self._publish()
                self._looked = None
                self._submit(self._look)  # after what was requested meanwhile
                return False
            if read == _FIRST or time.monotonic() - shown > _EVERY:
                self._publish()
                shown = time.monotonic()
        return True

    def _publish(self, ready: bool | None = None) -> None:
        entries, trash = self._pictures.entries(self._favourites), self._trash.entries(self._favourites)
        odd = sorted(self._pictures.unreadable)
        note = "" if not odd else f"{odd[0]} cannot be read" if len(odd) == 1 else f"{len(odd)} files cannot be read"
        now = View(self.view.serial, self.view.ready if ready is None else ready, entries, trash,
                   sum(entry.bytes for entry in entries), sum(entry.bytes for entry in trash), note=note)
        if now != self.view:
            self.view = replace(now, serial=self.view.serial + 1)

    # ---- changes, on the thread --------------------------------------------------------------------------------------

    def _mark(self, names: Sequence[str], on: bool) -> None:
        marks = os.path.join(self.folder, FAVOURITES)
        for name in map(os.path.basename, names):
            try:
                if on:
                    self._make(FAVOURITES)
                    files.touch_new(os.path.join(marks, name))
                    self._favourites.add(name)
                else:
                    self._favourites.discard(name)
                    files.remove_in(marks, name)
            except FileNotFoundError:
                pass  # it is not a favourite any more
            except OSError as error:
                raise _unwritable(self.folder, error) from error
        self._publish()

    def _make(self, name: str) -> None:
        """Create the folder `name` in the output folder, but never the output folder itself.

        The drive of that one may be unplugged.

        Raises:
            OutputUnwritable: The output folder is missing.
            OSError: A file has the name: on Windows, files moved there would seem to be gone already.
        """
        folder = os.path.join(self.folder, name)
        try:
            files.make_folder(folder)
        except FileNotFoundError:
            raise OutputUnwritable(f"The output folder is not there: {self.folder}",
                                   "Plug its drive in, or choose another folder.") from None

    def _move(self, names: Sequence[str], start: _Place, end: _Place) -> list[str]:
        """Move files by renaming, each completely or not at all, and return their new names.

        Files that are gone already are skipped, since another Blender may be faster. If two move the same file at once,
        on Windows both succeed.
        """
        moved = []
        try:
            if end.trashed:
                self._make(TRASH)
            for name in map(os.path.basename, names):
                try:
                    if start.trashed:
                        files.check_folder(start.folder)
                    target = _moved(start.folder, name, end.folder)
                except FileNotFoundError:
                    start.forget([name])
                    continue
                moved.append(target)
                self._take_over(start, name, end, target)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        finally:
            self._publish()
        return moved

    def _take_over(self, start: _Place, name: str, end: _Place, target: str) -> None:
        """Move the entry of a moved picture, which need not be read again."""
        known = start.known.get(name)
        start.forget([name])
        if known is not None and known[1] is not None:
            mark, entry = known[0], known[1]
            end.known[target] = (mark, replace(entry, path=os.path.join(end.folder, target), trashed=end.trashed))

    def _empty(self) -> int:
        freed = 0
        try:
            for name, (_, size) in (self._trash.listed() if os.path.lexists(self._trash.folder) else {}).items():
                try:
                    files.remove_in(self._trash.folder, name)
                    freed += size
                except FileNotFoundError:
                    pass
                self._trash.forget([name])
                if name in self._favourites and name not in self._pictures.known:
                    self._mark([name], False)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        finally:
            self._publish()
        return freed


# ---- inside --------------------------------------------------------------------------------------------------------


def _changed_at(folder: str) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _moved(start: str, name: str, end: str) -> str:
    """Move a file to the folder `end` under its own name or, if that is taken, a similar one.

    Return the name. Raise OSError.
    """
    stem, suffix = os.path.splitext(name)
    target, number = name, 1
    while True:
        try:
            files.move_new(os.path.join(start, name), os.path.join(end, target))
            return target
        except FileExistsError:
            number += 1
            target = f"{stem}-{number}{suffix}"


def _unwritable(folder: str, error: OSError) -> OutputUnwritable:
    name = os.path.basename(error.filename or "") or "A file"
    return OutputUnwritable(f"{name} in the output folder {folder} cannot be changed.",
                            "Look whether another program holds it, and who may write there.", text_of(error))
