"""Parse the studio policy: a TOML file by which an administrator sets what may be painted with, and how.

    models = ["starter", "stabilityai/*", "/mnt/studio/models/*"]
    licences = ["CC0-1.0", "Apache-2.0", "creativeml-openrail-*"]
    unknown_licences = false
    marking = true
    filter = "nsfw_image_detection"
    filter_labels = []
    filter_threshold = 0.5
    blocked_words = ["some name", "another"]
    network = false
    contact = "Ask Maria in room 12, or pipeline@studio.example"

Every field may be left out. An unknown field, or a value of another kind, makes the whole file broken, and with a
broken file nothing is painted: a typing error never weakens a policy. `docs/guide/studio.md` explains each field;
`library/policy.py` reads the files and checks requests against them.
"""
from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import blocked_words
from .errors import PolicyForbids
from .names import suggestion

MAX_BYTES = 1 << 20
_MAX_TEXT = 300  # characters of a line
_ASK = "Ask whoever looks after this computer."


@dataclass(frozen=True)
class Filter:
    """Describe a safety filter.

    Attributes:
        folder: The folder of its model.
        labels: The labels that are unsafe; empty for those known by their names.
        threshold: The certainty (above 0, up to 1) from which a label counts.
    """

    folder: str
    labels: tuple[str, ...] = ()
    threshold: float = 0.5


@dataclass(frozen=True)
class Rules:
    """Hold the rules of one policy file (see the top of this module). None means that the file has no such list."""

    file: str
    models: tuple[str, ...] | None = None
    licences: tuple[str, ...] | None = None
    unknown_licences: bool = False
    marking: bool = False
    filter: str = ""
    filter_labels: tuple[str, ...] = ()
    filter_threshold: float = 0.5
    blocked_words: tuple[str, ...] = ()
    network: bool = True
    contact: str = ""

    def forbids(self, what: str, rule: str, hint: str = "") -> PolicyForbids:
        """Return the error for `what`, which the line `rule` of the file does not allow."""
        return PolicyForbids(f"Your studio's policy does not allow {what} ('{rule}' in {self.file}).",
                             f"{hint} {self.contact or _ASK}".strip())


def parse_rules(path: str, data: bytes) -> Rules:
    """Parse a policy file.

    Args:
        path: The file's path, for messages.
        data: The file's content.

    Raises:
        PolicyForbids: The file is broken; the message names the line.
    """
    if len(data) > MAX_BYTES:
        raise broken(path, f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        from . import toml  # imported here: an engine on Python 3.10 has no tomllib, and needs it only under a policy
    except ImportError:
        raise broken(path, "the engine's Python is too old for it; 3.11 is needed") from None
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        raw = toml.loads(text)
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b"\n") + 1
        raise broken(path, f"line {line} is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        why = str(error)[:200].replace("at end of document", f"at line {len(text.rstrip().splitlines())}, the last")
        raise broken(path, why or "it is nested too deeply") from None
    return _rules(path, text, raw)


def _rules(path: str, text: str, raw: Mapping[str, Any]) -> Rules:
    values: dict[str, Any] = {}
    for key, value in raw.items():
        kind = _KINDS.get(key)
        if kind is None:
            raise broken(path, f"line {_line(text, key)} has a field that does not exist, '{key:.60}'",
                         suggestion(key, _KINDS))
        try:
            values[key] = kind(value)
        except ValueError as error:
            raise broken(path, f"line {_line(text, key)}: '{key}' must be {error}, not {value!r:.60}") from None
    if values.get("filter"):
        values["filter"] = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(path)), values["filter"]))
    for field in ("filter_labels", "filter_threshold"):
        if values.get(field) and "filter" not in values:
            raise broken(path, f"line {_line(text, field)}: '{field}' says nothing without a 'filter'")
    return Rules(path, **values)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"text of at most {_MAX_TEXT} characters in quotes")
    return " ".join(value.split())


def _name(value: Any) -> str:
    if not _text(value):
        raise ValueError("the name of a folder in quotes; leave the line out for none")
    return _text(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError('a list of texts, such as ["one", "two"]')
    return tuple(map(_text, value))


def _words(value: Any) -> tuple[str, ...]:
    for text in (words := _texts(value)):
        if not blocked_words.is_word(text):
            raise ValueError(f"a list of words with letters or digits in each (see {text!r})")
    return words


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= 1:
        raise ValueError("a number above 0 and up to 1")
    return float(value)


_KINDS = {"models": _texts, "licences": _texts, "unknown_licences": _truth, "marking": _truth, "filter": _name,
          "filter_labels": _texts,
          "filter_threshold": _share, "blocked_words": _words, "network": _truth, "contact": _text}


def _line(text: str, key: str) -> int:
    """Return the number of the line that mentions the field `key` first."""
    field = re.search(rf"""^[ \t]*\[*[ \t]*["']?{re.escape(key)}["']?[ \t]*[=.\]]""", text, re.M)
    return text.count("\n", 0, field.start()) + 1 if field else 1


def broken(path: str, why: str, hint: str = "") -> PolicyForbids:
    """Return the error for the broken policy file at `path`."""
    return PolicyForbids(f"The studio policy {path} cannot be used: {why}.",
                         f"{hint} Nothing is painted until it can be. {_ASK}".lstrip())
