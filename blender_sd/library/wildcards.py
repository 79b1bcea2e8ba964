"""Read the lists that prompts name as __name__.

They are text files `wildcards/name.txt` in the model folders, with one option per line.
"""
from __future__ import annotations

import codecs
import functools
import logging
import os
import re
from collections.abc import Iterable, Sequence

from ..core.errors import InvalidRequest
from ..core.names import closest, name_key, suggestion
from .files import drawable
from .model_folders import full_path

log = logging.getLogger("blender_sd")

FOLDER = "wildcards"
_MAX_BYTES = 1 << 28  # far beyond any list; a wrong file must not fill the memory
_KEPT = 1 << 22  # bytes of a list that is remembered
# UTF-32's mark for little-endian begins with UTF-16's.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"),
          (codecs.BOM_UTF16_BE, "utf-16"))


def options(text: str) -> list[str]:
    """Return the options in a list's text: its lines without empty ones and those that begin with "#"."""
    lines = re.split(r"[\r\n]+", text)  # not splitlines, for which some characters of old encodings end a line
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def decoded(data: bytes) -> str:
    """Return the text in a list's bytes.

    The encoding is the one that a byte order mark tells, or else UTF-8, or UTF-16 if every other byte is zero, or
    Windows' Western European code page, which has Latin-1's letters.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    even, odd = data[0:4096:2].count(0), data[1:4096:2].count(0)
    if max(even, odd) > len(data[:4096]) // 4:
        return data.decode("utf-16-le" if odd > even else "utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_list(name: str, folders: Iterable[str], others: Sequence[str] = ()) -> list[str]:
    """Return the options of a list.

    Args:
        name: The list's name; it may be in a subfolder ("brick/colours").
        folders: The model folders.
        others: Names of lists elsewhere, for the hint.

    Raises:
        InvalidRequest: There is no such list, or it is empty or unreadable.
    """
    known = _files(folders)
    path = known.get(name_key(name))
    if path is None:
        raise InvalidRequest(
            f"There is no list called '{name:.80}' for the wildcard __{name:.80}__.",
            suggestion(
                name,
                closest(name, [*others, *known]),
                f"Make a text block of that name in this file, or {FOLDER}/{name:.80}.txt in a model folder, with one "
                "option a line.",
            ),
        )
    listed = _read(path)
    if not listed:
        raise InvalidRequest(f"The list {path} is empty.", "Give it one option a line.")
    return listed


def read_lists(pattern: str, folders: Iterable[str], others: Sequence[str] = ()) -> list[str]:
    """Return the options of all lists whose names match a pattern, sorted by list.

    Args:
        pattern: The pattern (see `matching`).
        folders: The model folders.
        others: Options from elsewhere, which come first.

    Raises:
        InvalidRequest: There are none.
    """
    known = _files(folders)
    listed = [*others, *(line for key in matching(pattern, known) for line in _read(known[key]))]
    if not listed:
        raise InvalidRequest(f"There is no list that fits the wildcard __{pattern:.80}__, or those that do are empty.",
                             f"Put text files into {FOLDER} in a model folder, with one option a line.")
    return listed


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that match a pattern: ? stands for one character, * for any but slashes, ** for any."""
    signs = {"?": "[^/]", "*": "[^/]*", "**": ".*", "**/": "(?:.*/)?"}
    rule = re.compile("".join(signs.get(part) or re.escape(part)
                              for part in re.split(r"(\*\*/|\*\*|\*|\?)", name_key(pattern))))
    return sorted(name for name in names if rule.fullmatch(name))


def _files(folders: Iterable[str]) -> dict[str, str]:
    """Return the paths of the lists in `folders` by the form in which names are compared."""
    known: dict[str, str] = {}
    for folder in folders:
        top = os.path.realpath(os.path.join(full_path(folder), FOLDER))  # may itself be a link
        for place, _, files in os.walk(top):
            for file in sorted(files):
                if file.lower().endswith(".txt") and drawable(file) and _stays(os.path.join(place, file), top):
                    key = os.path.relpath(os.path.join(place, file), top)[:-4].replace(os.sep, "/")
                    known.setdefault(name_key(key), os.path.join(place, file))
    return known


def _read(path: str) -> list[str]:
    try:
        about = os.stat(path)
        read = _remembered if about.st_size <= _KEPT else _remembered.__wrapped__
        return list(read(path, about.st_mtime_ns, about.st_size))
    except OSError as error:
        raise InvalidRequest(f"The list {path} cannot be read ({error.strerror}).", "Check the file.",
                             repr(error)) from error


@functools.lru_cache(maxsize=32)
def _remembered(file: str, _changed: int, size: int) -> tuple[str, ...]:
    if size > _MAX_BYTES:
        raise InvalidRequest(f"The list {file} is larger than {_MAX_BYTES >> 20} MB.",
                             "Split it, if it is a list of options at all.")
    with open(file, "rb") as opened:
        return tuple(options(decoded(opened.read(_MAX_BYTES))))


def _stays(file: str, top: str) -> bool:
    """Return whether `file` is a plain file in the folder `top`.

    The text of a list goes into prompts, and with them into pictures: a link that came with somebody's lists must not
    lead to a private file.
    """
    real = os.path.realpath(file)
    if os.path.isfile(real) and real.startswith(os.path.join(top, "")):
        return True
    log.warning("the list %s is left out: it leads to %s", file, real)
    return False
