"""Enforce the studio policy in force: find its files, and check models, licences, downloads and requests.

The format is in `core/policy.py`. A policy is in one place per system (`system_file`), and the environment variable
SD_POLICY can name a second file. Both count: what one forbids is forbidden. Panels, calls and the engine's processes
all read it here, so that it also binds a script that talks to the engine directly.
"""
from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..core.blocked_words import check as check_words
from ..core.errors import PolicyForbids
from ..core.licences import Licence
from ..core.names import name_key
from ..core.policy import MAX_BYTES, Filter, Rules, broken, parse_rules
from ..core.request import Request
from . import model_paths
from ..core.nets import STARTER
from .licences import licence_of

VARIABLE = "SD_POLICY"
# a folder made by a download, or one of the hub's cache
_HUB = re.compile(r"(?:models--)?([A-Za-z0-9][\w.-]*?)--([A-Za-z0-9][\w.-]*)")


@dataclass(frozen=True)
class Policy:
    """Combine the rules of all files; without any, everything is allowed. The `check_…` methods raise PolicyForbids."""

    rules: tuple[Rules, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the policy's files."""
        return tuple(rules.file for rules in self.rules)

    @property
    def marking(self) -> bool:
        """Whether pictures must be marked as made by a model."""
        return any(rules.marking for rules in self.rules)

    @property
    def network(self) -> bool:
        """Whether models and the engine may be downloaded."""
        return all(rules.network for rules in self.rules)

    @property
    def contacts(self) -> tuple[str, ...]:
        """Sentences that say whom to ask."""
        return tuple(dict.fromkeys(rules.contact for rules in self.rules if rules.contact))

    @cached_property
    def filters(self) -> tuple[Filter, ...]:
        """The safety filters that every picture must pass."""
        return tuple(dict.fromkeys(Filter(rules.filter, rules.filter_labels, rules.filter_threshold)
                                   for rules in self.rules if rules.filter))

    @cached_property
    def blocked_words(self) -> tuple[str, ...]:
        """Words that no prompt may contain."""
        return tuple(dict.fromkeys(word for rules in self.rules for word in rules.blocked_words))

    def source(self, field: str) -> str:
        """Return the file that sets `field`, "" if none does."""
        default = Rules.__dataclass_fields__[field].default
        return next((rules.file for rules in self.rules if getattr(rules, field) != default), "")

    def check_model(self, place: str, kind: str = "model") -> None:
        """Check the name, place and licence of a model. Small files are read.

        Args:
            place: The model's folder or file.
            kind: What to call it in messages.

        Raises:
            PolicyForbids: The policy does not allow it.
        """
        if not self.rules:
            return
        place = model_paths.real(place)
        known = _names(place)
        for rules in self.rules:
            if rules.models is not None and not any(_matches(pattern, known) for pattern in rules.models):
                raise rules.forbids(f"the {kind} '{known.shown}'", "models", f"Choose another {kind}.")
        self.check_licence(place, f"the {kind} '{known.shown}'")

    def check_licence(self, place: str, what: str, licence: Licence | None = None) -> None:
        """Check the licence of a model or other net.

        Args:
            place: Its folder or file, whose licence is read from small files.
            what: What to call it in messages.
            licence: Its licence, if that is known already.

        Raises:
            PolicyForbids: The policy does not allow it.
        """
        listed = [(rules, rules.licences) for rules in self.rules if rules.licences is not None]
        if not listed:
            return
        key = (licence_of(place) if licence is None else licence).key
        for rules, allowed in listed:
            if not key and not rules.unknown_licences:
                raise rules.forbids(f"{what}, since no file says its licence", "licences", "Choose another one.")
            if key and not any(fnmatch.fnmatchcase(key, Licence(pattern).key) for pattern in allowed):
                raise rules.forbids(f"{what}, whose licence is {key}", "licences", "Choose another one.")

    def check_network(self, what: str) -> None:
        """Check whether `what`, which needs the internet, may be done. Raise PolicyForbids if not."""
        for rules in self.rules:
            if not rules.network:
                raise rules.forbids(what, "network")

    def check_download(self, repo: str, file: str) -> None:
        """Check whether a repository may be downloaded, by its name. Nothing is read.

        Args:
            repo: owner/name.
            file: One file of it; "" for all.

        Raises:
            PolicyForbids: The policy does not allow it.
        """
        self.check_network("downloads")
        name = f"{repo}/{file}".rstrip("/")
        known = _Names(name, frozenset({name_key(repo), name_key(name)}), frozenset())
        for rules in self.rules:
            if rules.models is not None and not any(_matches(pattern, known) for pattern in rules.models):
                raise rules.forbids(f"to download {name}", "models", "Choose another one.")

    def check_request(self, request: Request, place: str, base_model: str = "", own_words: Sequence[str] = ()) -> None:
        """Check a request with its model, other nets and prompts.

        Args:
            request: The request.
            place: The folder or file of its model.
            base_model: As in `messages.Generate`.
            own_words: Blocked words beside those of the policy.

        Raises:
            PolicyForbids: The policy does not allow a model or a licence.
            WordBlocked: A prompt contains a blocked word.
        """
        for folder in (place, base_model) if base_model else (place,):
            self.check_model(folder)
        for kind, net in request.nets:
            file = model_paths.real(model_paths.place_of(kind, net))
            if kind == "upscaler" and os.path.isdir(file):
                self.check_model(file, kind)  # a Stable Diffusion model that enlarges
            else:
                self.check_licence(file, f"the {kind} '{_names(file).shown}'")
        check_words((*self.blocked_words, *own_words), request, " ".join(self.contacts) if self.blocked_words else "")


NONE = Policy()


# ---- reading -------------------------------------------------------------------------------------------------------


_read: tuple[tuple, Policy | PolicyForbids] | None = None  # with the state of the files that it was read from


def system_file() -> str:
    """Return the place where an administrator puts the policy."""
    if sys.platform == "win32":
        return os.path.join(_program_data(), "blender_sd", "policy.toml")
    if sys.platform == "darwin":
        return "/Library/Application Support/blender_sd/policy.toml"
    return "/etc/blender_sd/policy.toml"


def current() -> Policy:
    """Return the policy in force, re-reading files that changed.

    Raises:
        PolicyForbids: A file is broken or cannot be read; then nothing is allowed.
    """
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


def is_known() -> bool:
    """Return whether the files were read before."""
    return _read is not None


def known() -> Policy | PolicyForbids:
    """Return what `current` returned or raised last. Nothing is read, so this suits drawing."""
    return NONE if _read is None else _read[1]


def read_file(path: str) -> Rules:
    """Read the policy file at `path`. Raise PolicyForbids, which names the line."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise broken(path, f"{error.strerror or error}") from None
    return parse_rules(path, data)


def _stamp(path: str, wanted: bool) -> tuple | None:
    """Return a value that changes with the file; None if it does not exist and is not `wanted`."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        return (path, repr(error)) if wanted or os.path.islink(path) else None
    except OSError as error:
        return path, repr(error)
    return path, status.st_mtime_ns, status.st_size, status.st_ino


def _program_data() -> str:
    """Return Windows' folder for all users' data from the system itself.

    Anybody can set the environment variable of that name.
    """
    import ctypes

    buffer = ctypes.create_unicode_buffer(260)
    common_data = 0x23
    # A WinDLL of our own, since ctypes.windll is shared with all other add-ons.
    folder_path = ctypes.WinDLL("shell32").SHGetFolderPathW  # type: ignore[attr-defined]  # Windows
    folder_path.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_wchar_p)
    folder_path.restype = ctypes.c_long
    failed = folder_path(None, common_data, None, 0, buffer)
    return r"C:\ProgramData" if failed else buffer.value


# ---- names and places ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Names:
    """The names of a model: the one to show, its names and hub ids in lower case, and its paths."""

    shown: str
    names: frozenset[str]
    paths: frozenset[str]


def _names(place: str) -> _Names:
    path = model_paths.real(place)
    if model_paths.is_starter(path):
        return _Names(STARTER, frozenset({STARTER}), _paths(path))
    base = os.path.basename(path)
    stem = os.path.splitext(base)[0] if os.path.isfile(path) else base
    names = {name_key(base), name_key(stem)} - {STARTER}
    parts = path.split(os.sep)
    for at in range(len(parts) - 1, max(0, len(parts) - 5), -1):
        if (hub := _HUB.fullmatch(parts[at])) is not None:
            repo, rest = f"{hub[1]}/{hub[2]}", parts[at + 1:]
            if rest[:1] == ["snapshots"]:  # the hub's cache, whose folders are named after their revision
                rest = rest[2:]
            if not rest:
                stem = hub[2]
                names.add(name_key(hub[2]))
            names |= {name_key(repo), name_key("/".join((repo, *rest)))}
            break
    return _Names(stem, frozenset(names), _paths(path))


def _paths(place: str) -> frozenset[str]:
    return frozenset({_path(place), _path(os.path.realpath(place))})  # a file in the hub's cache has two


def _real_pattern(pattern: str) -> str:
    """Return `pattern` with links followed in the folders before its first wildcard."""
    parts = pattern.split(os.sep)
    plain = next((number for number, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    return os.path.join(os.path.realpath(os.sep.join(parts[:plain]) + os.sep), *parts[plain:])


def _path(path: str) -> str:
    """Return `path` in the form in which this system compares paths.

    Windows ignores case and the kind of slash; macOS ignores case and the form of accents.
    """
    path = os.path.normcase(os.path.normpath(path))
    return name_key(path) if sys.platform == "darwin" else path


def _matches(pattern: str, known: _Names) -> bool:
    """Return whether a pattern (with *, ?, [ab]) for a name, a hub id or an absolute path matches one of `known`."""
    if os.path.isabs(pattern):
        return _any(_path(pattern), known.paths) or _any(_path(_real_pattern(pattern)), known.paths)
    return _any(name_key(pattern), known.names)


def _any(pattern: str, names: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)
