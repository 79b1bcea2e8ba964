"""Every finished picture in the output folder: found, searched, marked and thrown away. No database: the files are all there is.

A picture's settings stand in its own PNG text; a favourite is an empty file of the picture's name in `.favourites/`; what was
thrown away lies in `.trash/` until the person empties it. So two Blenders can work on one folder, and nothing that is lost
(a crash, another machine) takes more with it than itself. One thread reads and writes; what it knows is in `History.view`.
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

from ..protocol.errors import OutputUnwritable
from ..protocol.files import drawable
from ..protocol.messages import text_of
from ..protocol.png import read_head
from .entries import HistoryEntry, entry_of

log = logging.getLogger("blender_sd")

FAVOURITES, TRASH = ".favourites", ".trash"
SUFFIX = ".png"
_FIRST = 24  # pictures of a long first look that are shown before the others are read
_EVERY = 0.5  # seconds after which what was read meanwhile is shown too
_FRESH = 3.0  # seconds for which a folder's time of change cannot be trusted to tell a later change (FAT keeps 2 s)


@dataclass(frozen=True)
class View:
    """What is known, at one moment. Newest first. `ready`: the folder was looked through to its end; `problem`: one line that says
    why not; `note`: one line about files that were passed over. `serial` rises with every change."""

    serial: int = 0
    ready: bool = False
    entries: tuple[HistoryEntry, ...] = ()
    trash: tuple[HistoryEntry, ...] = ()
    bytes: int = 0
    trash_bytes: int = 0
    problem: str = ""
    note: str = ""


class _Place:
    """What is known of one folder of pictures: by name, the file's time and size, and its entry (None where it is none of ours)."""

    def __init__(self, folder: str, trashed: bool) -> None:
        self.folder, self.trashed = folder, trashed
        self.known: dict[str, tuple[tuple[int, int], HistoryEntry | None]] = {}
        self.unreadable: set[str] = set()

    def listed(self) -> dict[str, tuple[int, int]]:
        """The PNG files that lie there now, newest first. Raises OSError."""
        found = {}
        with os.scandir(self.folder) as files:
            for file in files:
                if file.name.lower().endswith(SUFFIX) and not file.name.startswith(".") and drawable(file.name):
                    try:
                        about = file.stat()
                    except OSError:
                        continue  # gone in this moment, or a link to nowhere
                    if stat.S_ISREG(about.st_mode):  # a pipe would be waited for
                        found[file.name] = (about.st_mtime_ns, about.st_size)
        return dict(sorted(found.items(), key=lambda item: (item[1][0], item[0]), reverse=True))

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
        self.known[name] = (mark, head and entry_of(path, mark, head, self.trashed))

    def forget(self, names: Iterable[str]) -> None:
        for name in names:
            self.known.pop(name, None)
            self.unreadable.discard(name)

    def entries(self, favourites: set[str]) -> tuple[HistoryEntry, ...]:
        found = sorted(((mark, name, entry) for name, (mark, entry) in self.known.items() if entry is not None),
                       key=lambda item: (item[0][0], item[1]), reverse=True)
        return tuple(entry if entry.favourite == (name in favourites) else replace(entry, favourite=name in favourites)
                     for _, name, entry in found)


class History:
    """The pictures of one output folder. Every call returns at once; what takes time is done on a thread of its own, in order.

    `optional`: the folder may not exist yet, which is no problem then.
    """

    def __init__(self, folder: str, optional: bool = False) -> None:
        self.folder, self.optional = os.path.abspath(folder), optional
        self.view = View()
        self._pictures = _Place(self.folder, False)
        self._trash = _Place(os.path.join(self.folder, TRASH), True)
        self._favourites: set[str] = set()
        self._looked: tuple | None = None  # the folders' times of change at the last look, and when that was
        self._orders: deque[tuple[Future, Callable[[], Any]]] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._working = False
        self._thread: threading.Thread | None = None

    # ---- from any thread ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is still to be done."""
        return self._working or bool(self._orders)

    def refresh(self) -> Future[View]:
        """Look at the folder again; only what is new or was changed is read."""
        return self._order(self._look)

    def set_favourite(self, names: Iterable[str], on: bool) -> Future[None]:
        """Mark the pictures of these file names as favourites, or no longer. The future raises OutputUnwritable."""
        return self._order(lambda names=[*names]: self._mark(names, on))

    def to_trash(self, names: Iterable[str]) -> Future[list[str]]:
        """Move pictures to the trash; the future gives the names that they have there. Raises OutputUnwritable."""
        return self._order(lambda names=[*names]: self._move(names, self._pictures, self._trash))

    def restore(self, names: Iterable[str]) -> Future[list[str]]:
        """Bring pictures back from the trash; the future gives their names. Raises OutputUnwritable."""
        return self._order(lambda names=[*names]: self._move(names, self._trash, self._pictures))

    def empty_trash(self) -> Future[int]:
        """Delete what lies in the trash, for good; the future gives how many bytes that were. Raises OutputUnwritable."""
        return self._order(self._empty)

    def close(self, timeout: float = 1.0) -> None:
        """End the thread after what it is at, waiting at most `timeout` seconds (a dead network drive may hold it)."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread:
            self._thread.join(timeout)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _order(self, work: Callable[[], Any]) -> Future:
        future: Future = Future()
        with self._wake:
            waiting = next((one for one, other in self._orders if other == work), None)  # a second look is the same look
            if waiting is not None:
                return waiting
            self._orders.append((future, work))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="blender_sd history", daemon=True)
                self._thread.start()
            self._wake.notify()
        return future

    def _work(self) -> None:
        while True:
            with self._wake:
                self._working = False
                while not self._orders and not self._closed:
                    self._wake.wait()
                if self._closed:
                    for future, _ in self._orders:
                        future.cancel()
                    return
                self._working = True
            self._do(*self._orders.popleft())

    def _do(self, future: Future, work: Callable[[], Any]) -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever asked is told; the thread goes on
            if not isinstance(error, OutputUnwritable):
                log.exception("history: an order failed")
            future.set_exception(error)

    def _look(self) -> View:
        marks = tuple(_changed_at(folder) for folder in (self.folder, os.path.join(self.folder, FAVOURITES), self._trash.folder))
        now = time.time()
        if self._looked and self._looked[0] == marks and all(at is None or self._looked[1] - at / 1e9 > _FRESH for at in marks):
            return self.view
        try:
            self._favourites = _names(os.path.join(self.folder, FAVOURITES))
            listed = self._pictures.listed()
        except OSError as error:
            return self._gone(error)
        try:
            binned = self._trash.listed()
        except OSError:
            binned = {}  # nothing was thrown away yet
        if not (self._read(self._pictures, listed) and self._read(self._trash, binned)):
            return self.view  # it was changed meanwhile, or is being closed
        again = any(place.unreadable - place.known.keys() for place in (self._pictures, self._trash))
        self._looked = None if again else (marks, now)
        self._publish(ready=True)
        return self.view

    def _gone(self, error: OSError) -> View:
        """What was read is kept: the drive may come back."""
        self._looked = None
        missing = isinstance(error, FileNotFoundError)
        log.info("history: %s", error)
        problem = "" if missing and self.optional else (
            f"The output folder is not there: {self.folder}" if missing else f"The output folder cannot be read: {self.folder}")
        if not self.view.ready or (self.view.problem, self.view.entries, self.view.trash) != (problem, (), ()):
            self.view = View(self.view.serial + 1, True, problem=problem)
        return self.view

    def _read(self, place: _Place, listed: dict[str, tuple[int, int]]) -> bool:
        """Reads what is new in `place`. Orders that come meanwhile go first; whether the list was true to the end."""
        shown, read = time.monotonic(), 0
        place.forget((place.known.keys() | place.unreadable) - listed.keys())
        for name, mark in listed.items():
            if place.known.get(name, (None,))[0] == mark:
                continue
            place.read(name, mark)
            read += 1
            if self._closed:
                return False
            if any(work != self._look for _, work in tuple(self._orders)):
                self._publish()
                self._looked = None
                self._order(self._look)  # behind what came
                return False
            if read == _FIRST or time.monotonic() - shown > _EVERY:
                self._publish()
                shown = time.monotonic()
        return True

    def _publish(self, ready: bool | None = None) -> None:
        entries, trash = self._pictures.entries(self._favourites), self._trash.entries(self._favourites)
        odd = sorted(self._pictures.unreadable)
        note = "" if not odd else f"{odd[0]} cannot be read" if len(odd) == 1 else f"{len(odd)} files cannot be read"
        now = View(self.view.serial, self.view.ready if ready is None else ready, entries, trash, sum(one.bytes for one in entries),
                   sum(one.bytes for one in trash), note=note)
        if now != self.view:
            self.view = replace(now, serial=self.view.serial + 1)

    # ---- changes, on the thread --------------------------------------------------------------------------------------

    def _mark(self, names: Sequence[str], on: bool) -> None:
        for name in map(os.path.basename, names):
            marker = os.path.join(self.folder, FAVOURITES, name)
            try:
                if on:
                    self._make(FAVOURITES)
                    with open(marker, "ab"):
                        pass
                    self._favourites.add(name)
                else:
                    self._favourites.discard(name)
                    os.unlink(marker)
            except FileNotFoundError:
                pass  # it is no favourite already
            except OSError as error:
                raise _unwritable(self.folder, error) from error
        self._publish()

    def _make(self, name: str) -> None:
        """The folder `name` in the output folder; never that one itself, whose drive may be unplugged."""
        try:
            os.mkdir(os.path.join(self.folder, name))
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise OutputUnwritable(f"The output folder is not there: {self.folder}",
                                   "Plug its drive in, or choose another folder.") from None

    def _move(self, names: Sequence[str], start: _Place, end: _Place) -> list[str]:
        """Moves files by renaming, each whole or not at all. Those that are gone already (another Blender was faster) are left out."""
        moved = []
        try:
            if end.trashed:
                self._make(TRASH)
            for name in map(os.path.basename, names):
                target = _unused(end.folder, name)
                try:
                    os.rename(os.path.join(start.folder, name), os.path.join(end.folder, target))
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
        """The picture is another one's now; it was not changed, so it is not read again."""
        mark, entry = start.known.get(name, (None, None))
        start.forget([name])
        if entry is not None:
            end.known[target] = (mark, replace(entry, path=os.path.join(end.folder, target), trashed=end.trashed))

    def _empty(self) -> int:
        freed = 0
        try:
            for name, (_, size) in (self._trash.listed() if os.path.isdir(self._trash.folder) else {}).items():
                try:
                    os.unlink(os.path.join(self._trash.folder, name))
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


def _names(folder: str) -> set[str]:
    """The names of the files in `folder`; none where there is no such folder."""
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _changed_at(folder: str) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _unused(folder: str, name: str) -> str:
    """`name`, or one like it that no file in `folder` has: renaming would replace that one."""
    stem, suffix = os.path.splitext(name)
    found, number = name, 2
    while os.path.lexists(os.path.join(folder, found)):
        found, number = f"{stem}-{number}{suffix}", number + 1
    return found


def _unwritable(folder: str, error: OSError) -> OutputUnwritable:
    name = os.path.basename(error.filename or "") or "A file"
    return OutputUnwritable(f"{name} in the output folder {folder} cannot be changed.",
                            "Look whether another program holds it, and who may write there.", text_of(error))
