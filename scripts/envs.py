"""Manage the project's Python environments: create missing ones, update those whose pins changed, reuse the others.

    .venv          engine + one Blender + test tools: bpy 5.0 on Python 3.11, bpy 5.2 on Python 3.13
    .venv-bpyXY    one Blender (bpy X.Y) + pytest, for the tests of the other versions
    .venv-types    the type checker and the declarations of Blender's modules
    .venv-NAME     a program that the bench "cpu" compares the engine with
    .venv-fuzz     the fuzzer of the bench "fuzz"

This module uses only the standard library, so that any Python can start a script. It reports on stderr.
Environment variables: SD_PIP_ARGS (more arguments for pip, such as "--extra-index-url https://…"), PYENV_ROOT.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
BLENDERS = {"4.2": "3.11", "4.5": "3.11", "5.0": "3.11", "5.2": "3.13"}  # Blender -> the Python it is built for
STAMP = "blender_sd_env.json"
WINDOWS = os.name == "nt"

Log = Callable[[str], None]


class EnvError(Exception):
    """An environment cannot be created; the text says why and what to do."""


class PythonMissing(EnvError):
    """This machine has no interpreter of the required version."""


@dataclass(frozen=True)
class Env:
    """Describe one environment.

    Attributes:
        name: Its folder's name.
        python: Its Python, such as "3.11".
        requirements: Its requirement files.
        blender: The Blender in it, "" for none.
        download: What creating it downloads, in words.
        root: The folder that it lies in.
        bare: Requirement files of packages that are installed without their dependencies.
    """

    name: str
    python: str
    requirements: tuple[str, ...]
    blender: str
    download: str
    root: Path = ROOT
    bare: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def label(self) -> str:
        return f"Blender {self.blender}, Python {self.python}" if self.blender else f"Python {self.python}"

    @property
    def executable(self) -> Path:
        return python_in(self.folder)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def python_in(folder: Path) -> Path:
    """Return the interpreter of the environment in `folder` on this system."""
    return folder / ("Scripts/python.exe" if WINDOWS else "bin/python")


# ---- which environments there are ----------------------------------------------------------------------------------


def default_env(root: Path = ROOT) -> Env:
    """Return `.venv`, with the Python that it already has, or else the running one, or else the first of 3.11 and 3.13
    that exists.
    """
    made = version_of([str(python_in(root / ".venv"))])
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (made, running):
        if python in ("3.11", "3.13"):
            return _default_on(python, root)
    return _default_on("3.11" if find_python("3.11") or not find_python("3.13") else "3.13", root)


def _default_on(python: str, root: Path) -> Env:
    blender = "5.0" if python == "3.11" else "5.2"
    files = (f"bpy-{blender}.txt", "engine.txt", "test.txt")
    return Env(
        ".venv",
        python,
        files,
        blender,
        "about 0.9 GB, with torch's CUDA build on Linux 4 GB",
        root,
        ("engine-bare.txt",),
    )


def blender_env(blender: str, root: Path = ROOT) -> Env:
    """Return the environment with bpy of the version `blender` ("4.2" …): `.venv` if it has that one, or else a
    separate one.
    """
    default = default_env(root)
    if default.blender == blender:
        return default
    files = (f"bpy-{blender}.txt", "pytest.txt")
    return Env(f".venv-bpy{blender.replace('.', '')}", BLENDERS[blender], files, blender, "about 0.5 GB", root)


def types_env(root: Path = ROOT) -> Env:
    """Return the type checker's environment. It is separate because the stubs of bpy install into the folders of the
    real one.
    """
    return Env(".venv-types", default_env(root).python, ("types.txt",), "", "about 0.1 GB", root)


# ---- finding interpreters ------------------------------------------------------------------------------------------


def version_of(command: list[str]) -> str | None:
    """Return the version of the Python that `command` starts, such as "3.11"; None if it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([*command, "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def find_python(version: str) -> list[str] | None:
    """Return the command that starts Python `version` ("3.13"), or None. Tries the running one, PATH, Windows'
    launcher, pyenv.
    """
    return next((command for command in _candidates(version) if version_of(command) == version), None)


def lacks_python(env: Env) -> str:
    """Return what to do about the Python that `env` needs; "" if the environment or that Python is there."""
    if is_ready(env) or find_python(env.python):
        return ""
    return (f"Python {env.python} was not found; {env.name} ({env.label}) needs it. Install it from "
            f"python.org or with: pyenv install {env.python}")


def _candidates(version: str) -> Iterator[list[str]]:
    yield [getattr(sys, "_base_executable", None) or sys.executable]
    for name in (f"python{version}", "python3", "python"):
        found = shutil.which(name)
        if found:
            yield [found]
    if shutil.which("py"):
        yield ["py", f"-{version}"]
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted(home.glob(f"versions/{version}*"), reverse=True):
        yield [str(folder / "bin" / "python")]
    for folder in sorted(home.glob(f"pyenv-win/versions/{version}*"), reverse=True):
        yield [str(folder / "python.exe")]


# ---- making them ---------------------------------------------------------------------------------------------------


def fingerprint(env: Env, folder: Path = REQUIREMENTS) -> str:
    """Return a hash of the Python version and all requirement files, with those that they include."""
    digest = hashlib.sha256(env.python.encode())
    todo, seen = [*env.requirements, *env.bare], set()
    while todo:
        name = todo.pop(0)
        if name in seen:
            continue
        seen.add(name)
        text = (folder / name).read_text(encoding="utf-8")
        digest.update(f"\0{name}\0{text}".encode())
        todo += [line[3:].strip() for line in text.splitlines() if line.startswith("-r ")]
    return digest.hexdigest()


def is_ready(env: Env) -> bool:
    """Return whether the environment is complete and matches the current pins."""
    try:
        stamp = json.loads((env.folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return stamp == {"python": env.python, "requirements": fingerprint(env)} and env.executable.exists()


def ensure(env: Env, log: Log = say) -> Path:
    """Return the interpreter of `env`, created or updated first if needed. Raise EnvError (PythonMissing)."""
    if is_ready(env):
        return env.executable
    with _locked(env, log):
        if not is_ready(env):
            _make(env, log)
    return env.executable


def _make(env: Env, log: Log) -> None:
    started = time.monotonic()
    stamp = env.folder / STAMP
    stamp.unlink(missing_ok=True)  # an interruption from here on leaves no stamp, so the next call starts over
    usable = version_of([str(env.executable)]) == env.python and _works([str(env.executable), "-m", "pip", "--version"])
    if not usable:
        log(f"[{env.name}] making the environment ({env.label}; download {env.download})")
        _create(env)
    else:
        log(f"[{env.name}] bringing the packages up to the pins")
    for names, options in ((env.requirements, []), (env.bare, ["--no-deps"])):
        if names:
            files = [part for name in names for part in ("-r", str(REQUIREMENTS / name))]
            # Python compiles what it imports; compiling all 15,000 files of .venv takes 35 s
            more = shlex.split(os.environ.get("SD_PIP_ARGS", ""))
            _pip(env, ["install", "--no-compile", *options, *files, *more], log)
    stamp.write_text(json.dumps({"python": env.python, "requirements": fingerprint(env)}), encoding="utf-8")
    log(f"[{env.name}] ready after {time.monotonic() - started:.0f} s")


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _create(env: Env) -> None:
    python = find_python(env.python)
    if python is None:
        raise PythonMissing(lacks_python(env))
    done = subprocess.run([*python, "-m", "venv", "--clear", str(env.folder)], capture_output=True, text=True)
    if done.returncode != 0:
        raise EnvError(f"{shlex.join(python)} could not make {env.folder}: {(done.stdout + done.stderr).strip()}\n"
                       "On Debian and Ubuntu, install python3-venv or use a Python from pyenv.")


def _pip(env: Env, arguments: list[str], log: Log) -> None:
    """Run pip, with its own progress bars on a terminal, otherwise with one line per large download."""
    command = [str(env.executable), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    if sys.stderr.isatty():
        if subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL).returncode != 0:
            raise EnvError(f"pip could not fill {env.name}; see its message above. {_PIP_HINT}")
        return
    lines: list[str] = []
    with subprocess.Popen([*command, "--progress-bar", "off"], text=True, errors="replace", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout:
            lines.append(line)
            if line.lstrip().startswith(("Downloading", "Installing collected")) and "kB)" not in line:
                log(f"[{env.name}]   {line.strip()[:100]}")
    if process.returncode != 0:
        raise EnvError(f"pip could not fill {env.name}:\n{''.join(lines[-15:])}{_PIP_HINT}")


_PIP_HINT = (
    "Check the connection and the free disk space, then run the same command again; it continues where it stopped."
)


@contextlib.contextmanager
def _locked(env: Env, log: Log) -> Iterator[None]:
    """Hold the environment's lock. The system releases it even if this process is killed."""
    folder = env.root / ".cache" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{env.name}.lock", "a+b") as file:
        waiting = False
        while not try_lock(file):
            if not waiting:
                log(f"[{env.name}] another process is preparing this environment; waiting for it")
                waiting = True
            time.sleep(0.5)
        yield  # closing the file releases the lock


def try_lock(file) -> bool:
    """Lock the open `file` for this process. Return whether it succeeded, which it does not while another process holds
    it.
    """
    try:
        if WINDOWS:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# ---- running in them -----------------------------------------------------------------------------------------------


def run_inside(env: Env | None = None) -> None:
    """Restart the running script inside `env` (default: `.venv`), unless it already runs there.

    Return only if it does; otherwise end this process with the other's exit status. An EnvError becomes one sentence
    and exit status 1.
    """
    try:
        env = env or default_env()
        python = ensure(env)
    except EnvError as error:
        sys.exit(f"error: {error}")
    if Path(sys.prefix).resolve() == env.folder.resolve():
        return
    command = [str(python), *sys.argv]
    if WINDOWS:  # os.exec* would hand the console back before the script ends
        sys.exit(subprocess.call(command))
    os.execv(command[0], command)
