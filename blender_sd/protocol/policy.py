"""The studio policy: a read-only TOML file by which an administrator says what may be painted with, and how.

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

Every field may be left out; one that does not exist, or a value of another kind, makes the whole file broken, and a broken file lets
nothing be painted: a typing error never weakens a policy. It lies in one place per system (`system_file`), and the environment variable
SD_POLICY can name one more. Both count: what one forbids is forbidden. `docs/guide/studio.md` explains each field.

Panels, calls and the engine's processes all read it here, so that a script that speaks to the engine by hand is held too.
"""
from __future__ import annotations

import difflib
import fnmatch
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import blocked
from .cards import Licence, licence_of
from .checkpoints import STARTER, STARTER_CONTROL_FOLDER, STARTER_FOLDER
from .errors import PolicyForbids
from .request import Request

VARIABLE = "SD_POLICY"
MAX_BYTES = 1 << 20
_MAX_TEXT = 300  # characters of a line
_HUB = re.compile(r"(?:models--)?([A-Za-z0-9][\w.-]*?)--([A-Za-z0-9][\w.-]*)")  # a folder made by a download, or of the hub's cache
_ASK = "Ask whoever looks after this computer."


@dataclass(frozen=True)
class Filter:
    """A safety filter: the folder of its model, which of its labels are unsafe (none: those known by their names), and from which
    share of certainty on."""

    folder: str
    labels: tuple[str, ...] = ()
    threshold: float = 0.5


@dataclass(frozen=True)
class Rules:
    """What one file says. None: it has no such list."""

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
        """The error for `what`, which `rule` does not allow."""
        return PolicyForbids(f"Your studio's policy does not allow {what} ('{rule}' in {self.file}).",
                             f"{hint} {self.contact or _ASK}".strip())


@dataclass(frozen=True)
class Policy:
    """What all files say together; without any, everything is allowed. Those that `check_…` raise PolicyForbids."""

    rules: tuple[Rules, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Where it is written."""
        return tuple(one.file for one in self.rules)

    @property
    def marking(self) -> bool:
        """Whether pictures must be marked as made by a model."""
        return any(one.marking for one in self.rules)

    @property
    def network(self) -> bool:
        """Whether models and the engine may be downloaded."""
        return all(one.network for one in self.rules)

    @property
    def contacts(self) -> tuple[str, ...]:
        """Whom to ask."""
        return tuple(dict.fromkeys(one.contact for one in self.rules if one.contact))

    @cached_property
    def filters(self) -> tuple[Filter, ...]:
        """The safety filters that every picture must pass."""
        return tuple(dict.fromkeys(Filter(one.filter, one.filter_labels, one.filter_threshold) for one in self.rules if one.filter))

    @cached_property
    def blocked_words(self) -> tuple[str, ...]:
        """Words that no prompt may hold."""
        return tuple(dict.fromkeys(word for one in self.rules for word in one.blocked_words))

    def source(self, field: str) -> str:
        """The file that sets `field`, "" where none does."""
        return next((one.file for one in self.rules if getattr(one, field) != Rules.__dataclass_fields__[field].default), "")

    def check_model(self, place: str) -> None:
        """Whether the model in the folder or file `place` may be used: its name, place, and licence. Reads small files."""
        if not self.rules:
            return
        known = _names(place)
        for one in self.rules:
            if one.models is not None and not any(_matches(pattern, known) for pattern in one.models):
                raise one.forbids(f"the model '{known.shown}'", "models", "Choose another model.")
        self.check_licence(place, f"the model '{known.shown}'")

    def check_licence(self, place: str, what: str, licence: Licence | None = None) -> None:
        """Whether `what`, in the folder or file `place`, is under a licence that is allowed. Reads small files, unless the `licence` is
        known."""
        rules = [one for one in self.rules if one.licences is not None]
        if not rules:
            return
        key = (licence_of(place) if licence is None else licence).key
        for one in rules:
            if not key and not one.unknown_licences:
                raise one.forbids(f"{what}, since no file says its licence", "licences", "Choose another one.")
            if key and not any(fnmatch.fnmatchcase(key, Licence(pattern).key) for pattern in one.licences):
                raise one.forbids(f"{what}, whose licence is {key}", "licences", "Choose another one.")

    def check_network(self, what: str) -> None:
        """Whether `what` may be done, which needs the internet."""
        for one in self.rules:
            if not one.network:
                raise one.forbids(what, "network")

    def check_download(self, repo: str, file: str) -> None:
        """Whether `repo` (owner/name), or its one `file`, may be downloaded, as far as its name tells. Reads nothing."""
        self.check_network("downloads")
        name = f"{repo}/{file}".rstrip("/")
        known = _Names(name, frozenset({repo.casefold(), name.casefold()}), frozenset())
        for one in self.rules:
            if one.models is not None and not any(_matches(pattern, known) for pattern in one.models):
                raise one.forbids(f"to download {name}", "models", "Choose another one.")

    def check_order(self, request: Request, place: str, borrowed: str = "", own_words: Sequence[str] = ()) -> None:
        """Whether `request` may be carried out with the model in `place` (`borrowed`: as in `messages.Generate`). `own_words`: words that
        are blocked beside the policy's. Raises WordBlocked too."""
        for folder in filter(None, (place, borrowed)):
            self.check_model(folder)
        for kind, net in request.nets:
            file = STARTER_CONTROL_FOLDER if (kind, net) == ("ControlNet", STARTER) else net
            self.check_licence(file, f"the {kind} '{_names(file).shown}'")
        blocked.check((*self.blocked_words, *own_words), request, " ".join(self.contacts) if self.blocked_words else "")


NONE = Policy()


# ---- reading -------------------------------------------------------------------------------------------------------


_read: tuple[tuple, Policy | PolicyForbids] | None = None  # of which state of the files


def system_file() -> str:
    """Where an administrator deploys the policy."""
    if sys.platform == "win32":
        return os.path.join(_program_data(), "blender_sd", "policy.toml")
    if sys.platform == "darwin":
        return "/Library/Application Support/blender_sd/policy.toml"
    return "/etc/blender_sd/policy.toml"


def current() -> Policy:
    """The policy in force. The files are looked at, and read where they have changed. Raises PolicyForbids where one of them cannot be
    read or is broken: nothing is allowed then."""
    global _read
    named = os.environ.get(VARIABLE, "").strip()
    stamp = (_stamp(system_file(), False), _stamp(os.path.abspath(named), True) if named else None)
    seen = _read
    if seen is None or seen[0] != stamp:
        try:
            seen = stamp, Policy(tuple(read_file(path) for path, *_ in filter(None, stamp)))
        except PolicyForbids as error:
            seen = stamp, error
        _read = seen
    if isinstance(seen[1], PolicyForbids):
        raise PolicyForbids(seen[1].message, seen[1].hint, seen[1].detail)
    return seen[1]


def known() -> Policy | PolicyForbids:
    """What `current` gave or raised last. Reads nothing: made for drawing."""
    return NONE if _read is None else _read[1]


def read_file(path: str) -> Rules:
    """What the file at `path` says. Raises PolicyForbids, which names the line."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _broken(path, f"{error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise _broken(path, f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        import tomllib  # here, since an engine on Python 3.10 has none, and needs it only where there is a policy
    except ImportError:
        raise _broken(path, "the engine's Python is too old for it; 3.11 is needed") from None
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b"\n") + 1
        raise _broken(path, f"line {line} is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        why = str(error)[:200].replace("at end of document", f"at line {len(text.rstrip().splitlines())}, the last")
        raise _broken(path, why or "it is nested too deeply") from None
    return _rules(path, text, raw)


def _rules(path: str, text: str, raw: Mapping[str, Any]) -> Rules:
    values: dict[str, Any] = {}
    for key, value in raw.items():
        kind = _KINDS.get(key)
        if kind is None:
            near = difflib.get_close_matches(key, _KINDS, 1)
            said = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(_KINDS)}"
            raise _broken(path, f"line {_line(text, key)} has a field that does not exist, '{key:.60}' ({said})")
        try:
            values[key] = kind(value)
        except ValueError as error:
            raise _broken(path, f"line {_line(text, key)}: '{key}' must be {error}, not {value!r:.60}") from None
    if values.get("filter"):
        values["filter"] = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), values["filter"]))
    return Rules(path, **values)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"text of at most {_MAX_TEXT} characters in quotes")
    return " ".join(value.split())


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ValueError('a list of texts, such as ["one", "two"]')
    return tuple(map(_text, value))


def _words(value: Any) -> tuple[str, ...]:
    for one in (words := _texts(value)):
        if not blocked.is_word(one):
            raise ValueError(f"a list of words with letters or digits in each (see {one!r})")
    return words


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value <= 1:
        raise ValueError("a number above 0 and up to 1")
    return float(value)


_KINDS = {"models": _texts, "licences": _texts, "unknown_licences": _truth, "marking": _truth, "filter": _text, "filter_labels": _texts,
          "filter_threshold": _share, "blocked_words": _words, "network": _truth, "contact": _text}


def _line(text: str, key: str) -> int:
    """The line of the first mention of the field `key`."""
    found = re.search(rf"""^[ \t]*\[*[ \t]*["']?{re.escape(key)}["']?[ \t]*[=.\]]""", text, re.M)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _broken(path: str, why: str) -> PolicyForbids:
    return PolicyForbids(f"The studio policy {path} cannot be used: {why}.",
                         f"Nothing is painted until it can be. {_ASK}")


def _stamp(path: str, wanted: bool) -> tuple | None:
    """What changes with the file; None where there is none, and none is `wanted`."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        return (path, repr(error)) if wanted or os.path.islink(path) else None
    except OSError as error:
        return path, repr(error)
    return path, found.st_mtime_ns, found.st_size, found.st_ino


def _program_data() -> str:
    """Windows' folder for all users' data, from the system itself: the variable of that name is anybody's to set."""
    import ctypes

    buffer = ctypes.create_unicode_buffer(260)
    common_data = 0x23
    failed = ctypes.windll.shell32.SHGetFolderPathW(None, common_data, None, 0, buffer)
    return r"C:\ProgramData" if failed else buffer.value


# ---- names and places ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Names:
    """What a model may be called by: its name as shown, its names and hub ids in lower case, and its paths."""

    shown: str
    names: frozenset[str]
    paths: frozenset[str]


def _names(place: str) -> _Names:
    path = os.path.abspath(place)
    if os.path.realpath(path) == os.path.realpath(STARTER_FOLDER):
        return _Names(STARTER, frozenset({STARTER}), _paths(path))
    base = os.path.basename(path)
    stem = os.path.splitext(base)[0] if os.path.isfile(path) else base
    names = {base.casefold(), stem.casefold()} - {STARTER}
    parts = path.split(os.sep)
    for at in range(len(parts) - 1, max(0, len(parts) - 5), -1):
        if (hub := _HUB.fullmatch(parts[at])) is not None:
            repo, rest = f"{hub[1]}/{hub[2]}", parts[at + 1:]
            if rest[:1] == ["snapshots"]:  # of the hub's cache, whose folders are called by their revision
                rest = rest[2:]
            if not rest:
                stem = hub[2]
                names.add(hub[2].casefold())
            names |= {repo.casefold(), "/".join((repo, *rest)).casefold()}
            break
    return _Names(stem, frozenset(names), _paths(path))


def _paths(place: str) -> frozenset[str]:
    return frozenset(os.path.normcase(path) for path in (os.path.abspath(place), os.path.realpath(place)))


def _matches(pattern: str, known: _Names) -> bool:
    """Whether a pattern (*, ?, [ab]) of a name, a hub id or an absolute path is one of `known`'s."""
    if os.path.isabs(pattern):
        return _any(os.path.normcase(os.path.normpath(pattern)), known.paths)
    return _any(pattern.casefold(), known.names)


def _any(pattern: str, names: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
