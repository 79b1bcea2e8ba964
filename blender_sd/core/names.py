"""Compare names that people type, and suggest names in errors about one that does not exist."""
from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # characters that some system forbids in file names
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)  # device names on Windows
_NEAREST = 3  # names suggested at most
_LISTED = 16  # names listed at most
_SIMILAR = 0.66  # difflib's ratio from which two names are similar
_PART = 3  # letters that a part of a name needs to stand for it


def name_key(name: str) -> str:
    """Return the form in which names that people type are compared: case-folded, and with accents in one form.

    macOS and programs on it write a letter and its accent as two characters, keyboards as one.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold()).strip()


def closest(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of the `known` names that `name` may be a misspelling of, the most similar first.

    Case, spaces and punctuation do not count, a part of a name finds it, and a name with more parts (mask_feather for
    feather) too.
    """
    wanted = _plain(name)
    plain: dict[str, str] = {}
    for candidate in known:
        plain.setdefault(_plain(candidate), candidate)
    if wanted in plain:
        return [plain[wanted]]
    near = difflib.get_close_matches(wanted, plain, _NEAREST, _SIMILAR)
    if len(wanted) >= _PART:
        parts = {_plain(part) for part in re.split(r"[_\W]+", name)}
        near += [candidate for candidate in plain
                 if candidate not in near and (wanted in candidate or candidate in parts)]
    return [plain[candidate] for candidate in near[:_NEAREST]]


def suggestion(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the hint of an error about an unknown name.

    Args:
        name: The name that does not exist.
        known: The names that exist. The hint suggests the closest ones, or lists them if none is close.
        otherwise: The hint if no name is known at all.
    """
    known = list(known)
    if near := closest(name, known):
        *others, last = (f"'{candidate}'" for candidate in near)
        return f"Did you mean {', '.join(others)} or {last}?" if others else f"Did you mean {last}?"
    if not known:
        return otherwise
    return f"Choose one of: {', '.join(known[:_LISTED])}{', …' if len(known) > _LISTED else ''}."


def _plain(name: str) -> str:
    """Return `name` case-folded and without spaces and punctuation."""
    folded = name_key(name)
    return "".join(letter for letter in folded if letter.isalnum()) or folded
