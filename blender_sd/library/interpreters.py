"""Find Python environments that could be the engine's by looking at their files. None of them is started.

An environment beside a .blend file may be malicious, so it is only listed. `installation.check_python` runs it once the
person has chosen it.
"""
from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..core.errors import EngineMissing
from .engine_environment import python_in

PACKAGES = ("torch", "diffusers", "transformers")
_USUAL_NAMES = (".venv", "venv", "env")
_CONDA_HOMES = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", ".conda")
_INTERPRETERS = ("python3", "python", "python.exe")


@dataclass(frozen=True)
class Interpreter:
    """An environment that has the engine's packages: its interpreter and its folder."""

    python: str
    folder: str


def interpreter_at(path: str) -> str:
    """Return the interpreter that a person means by `path`: the file itself, or the interpreter in that folder.

    Args:
        path: An interpreter, a virtual environment or its bin or Scripts folder, a conda environment, or a project that
            contains .venv, venv or env. A path that does not exist is returned unchanged; the later check reports it.

    Raises:
        EngineMissing: The folder contains no interpreter.
    """
    path = os.path.expanduser(path.strip())
    if not os.path.isdir(path):
        return path
    folders = (path, *(os.path.join(path, name) for name in _USUAL_NAMES))
    interpreter = next(filter(None, map(_python_below, folders)), "")
    if not interpreter:
        raise EngineMissing(f"There is no Python in the folder {path}.",
                            "Choose a virtual environment, its bin or Scripts folder, or the interpreter itself.")
    return interpreter


def environments(near: str = "", home: str = "", variables: Mapping[str, str] = os.environ) -> list[Interpreter]:
    """Return the environments in the usual places that have torch, diffusers and transformers, each once.

    This reads many folders, so it must not run on Blender's main thread.

    Args:
        near: A folder whose environments come first, such as that of the .blend file; "" for none.
        home: The person's home folder; "" for that of the account.
        variables: The environment variables.
    """
    interpreters: dict[str, Interpreter] = {}
    for folder in _candidates(near, home or os.path.expanduser("~"), variables):
        python = _python_below(folder)
        if python and _has_packages(folder):
            interpreters.setdefault(os.path.realpath(folder), Interpreter(python, os.path.normpath(folder)))
    return list(interpreters.values())


def _python_below(folder: str) -> str:
    """Return the interpreter of an environment, given its folder or its folder of programs; "" if there is none."""
    in_programs = (os.path.join(folder, name) for name in _INTERPRETERS)
    for file in (*in_programs, python_in(folder), os.path.join(folder, "bin", "python3")):
        if os.path.isfile(file) and os.access(file, os.X_OK):
            return file
    return ""


def _candidates(near: str, home: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield every folder that may be an environment, the most likely ones first."""
    if near:
        yield from _in_project(near)
    yield from filter(None, (variables.get(name) for name in ("VIRTUAL_ENV", "CONDA_PREFIX")))
    yield from _in_project(home)
    yield from _conda(home)
    pyenv = variables.get("PYENV_ROOT") or os.path.join(home, ".pyenv")
    for pattern in (os.path.join(home, ".virtualenvs", "*"), os.path.join(pyenv, "versions", "*")):
        yield from _folders(pattern)
    for project in _folders(os.path.join(home, "*")):  # ComfyUI, A1111 and others keep their environment inside
        yield from (os.path.join(project, name) for name in _USUAL_NAMES)


def _in_project(folder: str) -> Iterator[str]:
    yield from (os.path.join(folder, name) for name in _USUAL_NAMES)
    for pattern in ("*", ".*"):  # environments under any other name
        yield from (os.path.dirname(file)
                    for file in sorted(glob.glob(os.path.join(glob.escape(folder), pattern, "pyvenv.cfg"))))


def _conda(home: str) -> Iterator[str]:
    """Yield conda's environments: those in its own list, then those in its usual folders."""
    try:
        with open(os.path.join(home, ".conda", "environments.txt"), encoding="utf-8", errors="replace") as file:
            yield from (line.strip() for line in file if line.strip())
    except OSError:
        pass  # conda was never used here
    for name in _CONDA_HOMES:
        yield os.path.join(home, name)
        yield from _folders(os.path.join(home, name, "envs", "*"))


def _folders(pattern: str) -> Iterator[str]:
    yield from (path for path in sorted(glob.glob(pattern)) if os.path.isdir(path))


def _has_packages(folder: str, follow: bool = True) -> bool:
    """Return whether an environment has PACKAGES, in itself or (if it shares them) in the Python that it was made from.
    """
    for pattern in (("lib", "python3*", "site-packages"), ("Lib", "site-packages")):
        for packages in glob.glob(os.path.join(glob.escape(folder), *pattern)):
            if all(os.path.isdir(os.path.join(packages, name)) for name in PACKAGES):
                return True
    base = _shared_base(folder) if follow else ""
    return bool(base) and _has_packages(base, follow=False)


def _shared_base(folder: str) -> str:
    """Return the Python whose packages a virtual environment shares; "" if it shares none."""
    try:
        with open(os.path.join(folder, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            lines = (line.partition("=") for line in file)
            settings = {key.strip().lower(): value.strip() for key, _, value in lines}
    except OSError:
        return ""
    if settings.get("include-system-site-packages", "").lower() != "true":
        return ""
    programs = settings.get("home", "")
    return os.path.dirname(programs) if os.path.basename(programs) == "bin" else programs
