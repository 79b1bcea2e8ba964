"""The folders of styles: reading, keeping and deleting their files. What the files hold: `protocol.styles`."""
from __future__ import annotations

import difflib
import logging
import os
from dataclasses import replace

from ..protocol.errors import OutputUnwritable, SDError, StyleUnusable
from ..protocol.files import drawable, write_whole
from ..protocol.styles import MAX_BYTES, SUFFIX, Style, checked_name, key_of, read_style, written

log = logging.getLogger("blender_sd")

_MAX_FILES = 2000  # entries of a folder looked at


class Shelf:
    """The styles of two folders: `own`, the person's (or a studio's), and `shipped`. An own one hides a shipped one of the same name.

    `styles`, sorted by name, and `problems`, a line for each file that cannot be used, are what was found by the last `read`; looking
    at them reads nothing. Files that have not changed since (by size and time) are not parsed again.
    """

    def __init__(self, own: str, shipped: str) -> None:
        self.own = own
        self.shipped = shipped
        self.styles: list[Style] = []
        self.problems: list[str] = []
        self._seen: list = []  # the folders' times at the last `read`: a list of materials asks for its style at every row
        self._parsed: dict[str, tuple[tuple[int, int], Style | SDError]] = {}

    def read(self) -> list[Style]:
        """Looks through both folders."""
        found: dict[str, Style] = {}
        problems: list[str] = []
        seen = {}
        self._seen = self._folders()
        for folder, own in ((self.own, True), (self.shipped, False)):
            for file, stamp in _files(folder):
                known = self._parsed.get(file)
                if known is None or known[0] != stamp:
                    known = stamp, _parsed(file, own)
                seen[file] = known
                if isinstance(known[1], Style):
                    found.setdefault(key_of(known[1].name), known[1])
                else:
                    problems.append(f"{os.path.basename(file)} is left out. {known[1]}")
        self._parsed = seen
        self.styles = [found[key] for key in sorted(found)]
        if problems != self.problems:
            for problem in problems:
                log.warning("style %s", problem)
        self.problems = problems
        return self.styles

    def known(self, name: str) -> Style | None:
        """The style of that name among those last read. Reads nothing: made for drawing."""
        key = key_of(name)
        return next((style for style in self.styles if key_of(style.name) == key), None)

    def find(self, name: str) -> Style:
        """The style of that name (in any case) as its file stands now. Raises StyleUnusable."""
        found = self.known(name)
        if found is None or self.problems or self._folders() != self._seen or _stamp(found.file) != self._parsed[found.file][0]:
            self.read()
            found = self.known(name)
        if found is None:
            near = difflib.get_close_matches(name, [style.name for style in self.styles], 3, 0.5)
            broken = next((problem for problem in self.problems if key_of(problem).startswith(key_of(name) + SUFFIX)), "")
            raise StyleUnusable(f"There is no style called '{name:.80}'.",
                                broken or (f"There is: {', '.join(near)}." if near else "Choose another, or none."))
        return found

    def save(self, style: Style, overwrite: bool = False) -> Style:
        """Keeps `style` in the person's folder, in one step; the style as it lies there. Raises StyleUnusable where an own style of that
        name is there and may not be replaced, OutputUnwritable."""
        return self._put(style, written(style).encode(), overwrite)

    def take_in(self, file: str, overwrite: bool = False) -> Style:
        """Copies a style's file, comments and all, into the person's folder; raises as `save` does, and for files that are no styles."""
        data = _bytes(file)
        return self._put(read_style(data, _stem(file)), data, overwrite)

    def give_out(self, name: str, file: str) -> str:
        """Writes a copy of a style's file, to be shared; its path. Raises StyleUnusable, OutputUnwritable."""
        style = self.find(name)
        file = file if file.lower().endswith(SUFFIX) else file + SUFFIX
        _write(file, _bytes(style.file))
        return file

    def delete(self, name: str) -> None:
        """Deletes the person's style of that name; a shipped one that it hid is there again. Raises StyleUnusable, OutputUnwritable."""
        style = self.find(name)
        if not style.own:
            raise StyleUnusable(f"The style '{style.name}' came with the add-on and cannot be deleted.",
                                "Save one of your own under the same name to have it in its place.")
        try:
            os.remove(style.file)
        except OSError as error:
            raise OutputUnwritable(f"The style's file {style.file} cannot be deleted ({error.strerror}).", "Check the folder of styles.",
                                   repr(error)) from error
        self.read()

    def _folders(self) -> list:
        return [_stamp(folder) for folder in (self.own, self.shipped)]

    def _put(self, style: Style, data: bytes, overwrite: bool) -> Style:
        self.read()
        there = self.known(style.name)
        if there is not None and there.own and not overwrite:
            raise StyleUnusable(f"There is a style of your own called '{there.name}' already.",
                                "Choose another name, or let it be replaced.")
        name = checked_name(style.name)
        file = there.file if there is not None and there.own else os.path.join(self.own, name + SUFFIX)
        _write(file, data)
        self.read()
        return self.known(name) or replace(style, file=file, own=True)


def _files(folder: str) -> list[tuple[str, tuple[int, int]]]:
    """The style files in `folder` by name, each with its time and size; none where it cannot be read."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MAX_FILES), entries):
                if entry.name.lower().endswith(SUFFIX) and not entry.name.startswith(".") and drawable(entry.name) and entry.is_file():
                    status = entry.stat()
                    found.append((entry.path, (status.st_mtime_ns, status.st_size)))
    except OSError as error:
        log.info("no styles are read from %s: %s", folder, error)
    return sorted(found)


def _stamp(path: str) -> tuple[int, int] | None:
    """When the file or folder was last changed, and its size; None where it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _parsed(file: str, own: bool) -> Style | SDError:
    try:
        return read_style(_bytes(file), _stem(file), file, own)
    except SDError as error:
        return error


def _bytes(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise StyleUnusable(f"The file {file} cannot be read ({error.strerror}).", "Check the file.", repr(error)) from error


def _write(file: str, data: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
        write_whole(file, data)
    except OSError as error:
        raise OutputUnwritable(f"The style cannot be written to {os.path.dirname(file)} ({error.strerror}).",
                               "Choose another folder for styles in the preferences.", repr(error)) from error


def _stem(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]
