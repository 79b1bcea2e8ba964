"""Lists that prompts name as __name__: text files `wildcards/name.txt` in the model folders, one option a line."""
from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Sequence

from ..protocol.errors import InvalidRequest
from ..protocol.files import drawable
from .folders import full_path

log = logging.getLogger("blender_sd")

FOLDER = "wildcards"
_MAX_BYTES = 1 << 20


def options(text: str) -> list[str]:
    """The options in a list's text: its lines, without empty ones and those that begin with #."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def read_list(name: str, folders: Iterable[str], others: Sequence[str] = ()) -> list[str]:
    """The options of the list `name`, which may lie in a subfolder ("brick/colours"). `others`: names known elsewhere, for
    the hint. Raises InvalidRequest where there is no such list or it is empty."""
    known: dict[str, str] = {}
    for folder in folders:
        top = os.path.realpath(os.path.join(full_path(folder), FOLDER))  # which may be a link itself
        for place, _, files in os.walk(top):
            for file in sorted(files):
                if file.lower().endswith(".txt") and drawable(file) and _stays(os.path.join(place, file), top):
                    key = os.path.relpath(os.path.join(place, file), top)[:-4].replace(os.sep, "/")
                    known.setdefault(key.casefold(), os.path.join(place, file))
    file = known.get(name.strip().casefold())
    if file is None:
        near = difflib.get_close_matches(name.casefold(), [*others, *known], 5, 0.4)
        raise InvalidRequest(f"There is no list called '{name:.80}' for the wildcard __{name:.80}__.", (
            f"There is: {', '.join(near)}." if near else
            f"Make a text block of that name in this file, or {FOLDER}/{name:.80}.txt in a model folder, with one option a line."))
    try:
        with open(file, encoding="utf-8-sig", errors="replace") as text:
            found = options(text.read(_MAX_BYTES))
    except OSError as error:
        raise InvalidRequest(f"The list {file} cannot be read ({error.strerror}).", "Check the file.", repr(error)) from error
    if not found:
        raise InvalidRequest(f"The list {file} is empty.", "Give it one option a line.")
    return found


def _stays(file: str, top: str) -> bool:
    """Whether `file` is a plain file in the folder `top`. What a list says goes into prompts, and with them into pictures: a link that came
    with somebody's lists must not lead to a private file."""
    real = os.path.realpath(file)
    if os.path.isfile(real) and real.startswith(os.path.join(top, "")):
        return True
    log.warning("the list %s is left out: it leads to %s", file, real)
    return False
