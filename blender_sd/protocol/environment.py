"""The engine's environment on disk, as the add-on finds it and the worker leaves it.

    place/engine.json     written last, by one rename: names the environment's folder; without it there is none
    place/env1, env2, …   virtual environments; the one that is named counts, any other is a half-made or an old one
    place/wheels          what was downloaded; kept until an environment stands
    place/busy            locked by the one process that may write here

Names are short: Windows allows 260 letters in a path, and torch's own are long.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, fields

from .files import write_whole

STAMP, WHEELS, BUSY = "engine.json", "wheels", "busy"
FOLDER = re.compile(r"env\d+")


@dataclass(frozen=True)
class Environment:
    """What is installed: in which `folder` of the place, for which `accelerator`, by the lock of which `digest`, from which Python
    (`base`: its path, `version`), with how many `bytes` of files."""

    folder: str
    accelerator: str
    digest: str
    base: str
    version: str
    bytes: int

    def python(self, place: str) -> str:
        """The path of its interpreter."""
        return python_in(os.path.join(place, self.folder))


def python_in(folder: str) -> str:
    """The interpreter of the virtual environment `folder`, on this system."""
    return os.path.join(folder, "Scripts", "python.exe") if os.name == "nt" else os.path.join(folder, "bin", "python")


def read(place: str) -> Environment | None:
    """The environment that stands in the folder `place`; None where none was completed. Its interpreter may be gone all the same."""
    try:
        with open(os.path.join(place, STAMP), encoding="utf-8") as file:
            one = Environment(**json.load(file))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    sound = all(type(getattr(one, spec.name)) is {"str": str, "int": int}[spec.type] for spec in fields(one))
    return one if sound and FOLDER.fullmatch(one.folder) else None


def write(place: str, one: Environment) -> None:
    """Names `one` as the environment that counts. Raises OSError."""
    write_whole(os.path.join(place, STAMP), json.dumps(asdict(one), indent=1).encode())


def lock_files(path: str) -> list[str]:
    """The lock file `path` and those that it includes ("-r name"), each once. Raises OSError."""
    found: list[str] = []
    waiting = [path]
    while waiting:
        one = waiting.pop(0)
        if one not in found:
            found.append(one)
            with open(one, encoding="utf-8") as file:
                names = [line[3:].strip() for line in file if line.startswith("-r ")]
            waiting += [os.path.normpath(os.path.join(os.path.dirname(one), name)) for name in names]
    return found


def digest_of(path: str) -> str:
    """A hash of a lock, with those that it includes. Raises OSError."""
    digest = hashlib.sha256()
    for name in lock_files(path):
        with open(name, encoding="utf-8") as file:
            digest.update(file.read().encode() + b"\0")
    return digest.hexdigest()
