"""Find the engine's environment on disk, in the layout that the installing worker creates.

    place/engine.json     names the environment's folder; written last, by one rename; without it, there is none
    place/env1, env2, …   virtual environments; the named one counts, any other is unfinished or old
    place/wheels          downloads; kept until an environment is complete
    place/busy            locked by the one process that may write here

Names are short because Windows allows 260 characters in a path, and torch's own paths are long.

The `pyvenv.cfg` of an environment names the Python that it was made from. That Python may disappear: Blender is updated
into another folder, and macOS starts a Blender that was not moved out of Downloads from a new place each time. `rehome`
points the environment to another Python of the same version.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass, fields

from ..core import toml
from .files import write_whole

STAMP, WHEELS, BUSY = "engine.json", "wheels", "busy"
FOLDER = re.compile(r"env\d+")
_DLLS = re.compile(r"(python3\d*|vcruntime\d+(_\d)?)\.dll", re.I)

# Windows' default limits, and the longest paths below site-packages, in characters. torch's licence files are the
# longest; its CUDA build adds "+cu130" to their folder.
WINDOWS_FILE, WINDOWS_FOLDER = 259, 247
LONGEST_FILE, LONGEST_FOLDER = 173, 162


@dataclass(frozen=True)
class Environment:
    """Describe an installed environment.

    Attributes:
        folder: The name of its folder in the place.
        accelerator: The id of its accelerator.
        digest: The digest of the lock that it was installed from.
        base: The path of the Python that it was made from.
        version: The version of that Python.
        bytes: Its size on disk.
    """

    folder: str
    accelerator: str
    digest: str
    base: str
    version: str
    bytes: int

    def python(self, place: str) -> str:
        """Return the path of its interpreter."""
        return python_in(os.path.join(place, self.folder))


def python_in(folder: str) -> str:
    """Return the interpreter of the virtual environment `folder` on this system."""
    return os.path.join(folder, "Scripts", "python.exe") if os.name == "nt" else os.path.join(folder, "bin", "python")


def too_long(packages: str, file: int = LONGEST_FILE, folder: int = LONGEST_FOLDER) -> int:
    """Return by how many characters paths in the folder `packages` exceed Windows' limits; 0 if they do not.

    Args:
        packages: The path of the site-packages folder.
        file: The length of the longest path of a file below it.
        folder: The length of the longest path of a folder below it.
    """
    return max(0, len(packages) + 1 + file - WINDOWS_FILE, len(packages) + 1 + folder - WINDOWS_FOLDER)


# ---- the Python that an environment was made from --------------------------------------------------------------------


def running_python() -> str:
    """Return the running interpreter, or the one that its virtual environment was made from."""
    return sys.executable if sys.prefix == sys.base_prefix else getattr(sys, "_base_executable", sys.executable)


def is_orphan(folder: str) -> bool:
    """Return whether the Python that the virtual environment `folder` was made from is gone."""
    home = _config(folder).get("home", "")
    if not home or not os.path.exists(python_in(folder)):
        return True
    return not (os.path.exists(os.path.join(home, "python.exe")) if os.name == "nt" else os.path.isdir(home))


def rehome(folder: str, python: str) -> None:
    """Point the virtual environment `folder` to the interpreter `python`, of the same version (such as 3.11).

    Raise OSError.
    """
    programs = os.path.dirname(python_in(folder))
    for name in os.listdir(programs):
        path = os.path.join(programs, name)
        if name.startswith("python") and os.path.islink(path):
            os.remove(path)
            os.symlink(python, path)
    if any(map(_DLLS.fullmatch, os.listdir(programs))):
        copy_python(folder, python)
    changed = {"home": os.path.dirname(python), "executable": python}
    lines = [f"{key} = {changed.get(key, value)}\n" for key, value in _config(folder).items()]
    write_whole(os.path.join(folder, "pyvenv.cfg"), "".join(lines).encode())


def copy_python(folder: str, python: str) -> None:
    """Copy Windows' interpreter `python` into the virtual environment `folder`, with the DLLs that it needs to start.

    This is for a Python without the launcher that `venv` puts there.

    Raises:
        OSError: A file cannot be copied.
    """
    programs, home = os.path.dirname(python_in(folder)), os.path.dirname(python)
    os.makedirs(programs, exist_ok=True)
    shutil.copyfile(python, python_in(folder))
    for name in filter(_DLLS.fullmatch, os.listdir(home)):
        shutil.copyfile(os.path.join(home, name), os.path.join(programs, name))


def _config(folder: str) -> dict[str, str]:
    """Return the settings in the environment's pyvenv.cfg, {} if it cannot be read."""
    try:
        with open(os.path.join(folder, "pyvenv.cfg"), encoding="utf-8") as file:
            pairs = [line.partition("=") for line in file if "=" in line]
    except (OSError, UnicodeError):
        return {}
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


# ---- the stamp -------------------------------------------------------------------------------------------------------


def read(place: str) -> Environment | None:
    """Return the environment in the folder `place`, or None if none was completed.

    Its interpreter may be gone all the same.
    """
    try:
        with open(os.path.join(place, STAMP), encoding="utf-8") as file:
            environment = Environment(**json.load(file))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds: dict[object, type] = {"str": str, "int": int}
    sound = all(type(getattr(environment, spec.name)) is kinds[spec.type] for spec in fields(environment))
    return environment if sound and FOLDER.fullmatch(environment.folder) else None


def write(place: str, environment: Environment) -> None:
    """Record `environment` as the one that counts in the folder `place`. Raise OSError."""
    write_whole(os.path.join(place, STAMP), json.dumps(asdict(environment), indent=1).encode())


# ---- lock files ------------------------------------------------------------------------------------------------------


def lock_files(path: str) -> list[str]:
    """Return the lock file `path` and the files in its folder that it includes (see `workers.lock`).

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is not TOML, or its list of included files is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            names = toml.loads(file.read()).get("tool", {}).get("blender_sd", {}).get("include", [])
        if not isinstance(names, list) or not all(name == os.path.basename(name) for name in names):
            raise ValueError("include is no list of file names")
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a lock file: {error!r}") from error
    return [path, *(os.path.join(os.path.dirname(path), name) for name in names)]


def accelerator_of(path: str) -> str:
    """Return the accelerator that a lock file is for, from its name: "cpu" for ".../pylock.cpu.toml"."""
    return os.path.basename(path).removesuffix(".toml").removeprefix("pylock.")


def digest_of(path: str) -> str:
    """Return a hash of a lock and the files that it includes. Raise OSError or ValueError as `lock_files` does."""
    digest = hashlib.sha256()
    for name in lock_files(path):
        with open(name, encoding="utf-8") as file:
            digest.update(file.read().encode() + b"\0")
    return digest.hexdigest()
