"""Read, save and delete the files in the folders of styles. Their format is in `core.style_format`."""
from __future__ import annotations

import logging
import os
from dataclasses import replace

from ..core.errors import OutputUnwritable, SDError, StyleUnusable
from ..core.names import name_key, suggestion
from ..core.style_format import MAX_BYTES, SUFFIX, Style, checked_name, read_style, written
from .files import drawable, make_folders, remove, write_whole

log = logging.getLogger("blender_sd")

_MAX_FILES = 2000  # entries looked at in one folder


class StyleFolder:
    """Manage the styles of two folders: the person's (or studio's) own and the shipped ones.

    An own style hides a shipped one of the same name. `styles`, sorted by name, and `problems`, a line for each
    unusable file, are the result of the last `read`; accessing them reads nothing. Files that have not changed (by size
    and time) are not parsed again.

    Args:
        own: The folder of the person's or studio's styles.
        shipped: The folder of the shipped styles.
    """

    def __init__(self, own: str, shipped: str) -> None:
        self.own = own
        self.shipped = shipped
        self.styles: list[Style] = []
        self.problems: list[str] = []
        # the folders' times at the last `read`: a list of materials asks for its style at every row
        self._seen: list = []
        self._parsed: dict[str, tuple[tuple[int, int], Style | SDError]] = {}

    def read(self) -> list[Style]:
        """Read both folders and return all styles, sorted by name."""
        by_name: dict[str, Style] = {}
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
                    by_name.setdefault(name_key(known[1].name), known[1])
                else:
                    problems.append(f"{os.path.basename(file)} is left out. {known[1]}")
        self._parsed = seen
        self.styles = [by_name[key] for key in sorted(by_name)]
        if problems != self.problems:
            for problem in problems:
                log.warning("style %s", problem)
        self.problems = problems
        return self.styles

    def known(self, name: str) -> Style | None:
        """Return the style of that name among those last read, or None. Nothing is read, so this suits drawing."""
        key = name_key(name)
        return next((style for style in self.styles if name_key(style.name) == key), None)

    def find(self, name: str) -> Style:
        """Return the style of that name (regardless of case) as its file is now. Raise StyleUnusable."""
        known, folders = self.known(name), self._folders()
        if (known is None or self.problems or folders != self._seen
                or _stamp(known.file) != self._parsed[known.file][0]):
            self.read()
            known = self.known(name)
        if known is None:
            broken = next((problem for problem in self.problems
                           if name_key(problem).startswith(name_key(name) + SUFFIX)), "")
            raise StyleUnusable(f"There is no style called '{name:.80}'.",
                                broken or suggestion(name, (style.name for style in self.styles), "Choose no style."))
        return known

    def save(self, style: Style, overwrite: bool = False) -> Style:
        """Save `style` in the person's folder and return it as saved.

        Args:
            style: The style.
            overwrite: Whether it may replace an own style of the same name.

        Raises:
            StyleUnusable: An own style of that name exists and may not be replaced.
            OutputUnwritable: The file cannot be written.
        """
        return self._put(style, written(style).encode(), overwrite)

    def import_file(self, file: str, overwrite: bool = False) -> Style:
        """Copy a style's file, with its comments, into the person's folder.

        Raise as `save` does, and for a file that is no style.
        """
        data = _bytes(file)
        return self._put(read_style(data, _stem(file)), data, overwrite)

    def export(self, name: str, file: str) -> str:
        """Write a copy of a style's file to be shared, and return its path. Raise StyleUnusable or OutputUnwritable."""
        style = self.find(name)
        file = file if file.lower().endswith(SUFFIX) else file + SUFFIX
        _write(file, _bytes(style.file))
        return file

    def delete(self, name: str) -> None:
        """Delete the person's style of that name; a shipped style that it hid appears again.

        Raises:
            StyleUnusable: There is no such style, or it is a shipped one.
            OutputUnwritable: Its file cannot be deleted.
        """
        style = self.find(name)
        if not style.own:
            raise StyleUnusable(f"The style '{style.name}' came with the add-on and cannot be deleted.",
                                "Save one of your own under the same name to have it in its place.")
        try:
            remove(style.file)
        except OSError as error:
            raise OutputUnwritable(f"The style's file {style.file} cannot be deleted ({error.strerror}).",
                                   "Check the folder of styles.",
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
    """Return the style files in `folder` by name, each with its time and size; none if it cannot be read."""
    files = []
    try:
        with os.scandir(folder) as entries:
            for _, entry in zip(range(_MAX_FILES), entries):
                if (
                    entry.name.lower().endswith(SUFFIX)
                    and not entry.name.startswith(".")
                    and drawable(entry.name)
                    and entry.is_file()
                ):
                    status = entry.stat()
                    files.append((entry.path, (status.st_mtime_ns, status.st_size)))
    except OSError as error:
        log.info("no styles are read from %s: %s", folder, error)
    return sorted(files)


def _stamp(path: str) -> tuple[int, int] | None:
    """Return the time of change and the size of the file or folder, or None if it does not exist."""
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
        raise StyleUnusable(f"The file {file} cannot be read ({error.strerror}).", "Check the file.",
                            repr(error)) from error


def _write(file: str, data: bytes) -> None:
    try:
        make_folders(os.path.dirname(file) or ".")
        write_whole(file, data)
    except OSError as error:
        raise OutputUnwritable(f"The style cannot be written to {os.path.dirname(file)} ({error.strerror}).",
                               "Choose another folder for styles in the preferences.", repr(error)) from error


def _stem(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]
