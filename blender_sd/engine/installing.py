"""Sets up the engine's environment, in a process of its own that runs on Blender's Python and can be ended at any moment.

A virtual environment cannot be moved, so it is made where it will stay, under a name that nobody looks for, and becomes the engine's by
the last step, one rename of a small file (`protocol.environment`). Whatever is cut off before leaves the old environment in use, and
the next set-up goes on with the wheels, and the parts of wheels, that are here.
"""
from __future__ import annotations

import contextlib
import ensurepip
import errno
import glob
import logging
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ..protocol import environment, policy
from ..protocol.environment import Environment
from ..protocol.errors import EngineMissing, InvalidRequest, JobCancelled, OutputUnwritable, SDError
from ..protocol.messages import Cancelled, Event, Failed, Install, Installed, Ready, Stage, text_of
from . import disk, process
from .disk import bytes_in, locked, stubbornly

log = logging.getLogger(__name__)

_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
_SPARE = 256 << 20  # bytes of the disk that are left alone
_GROWTH = 3  # installed, a wheel takes about so many times its own bytes; the exact figure is known once it is here
_LOOK = 1.0  # seconds between two looks at how much is unpacked
_WINDOWS_PATH = 259  # letters
# A program of ours that ends with us: on Windows nothing else ends it where this process is killed.
_WATCHED = ("import os, sys, threading; threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start(); ")
_PIP = _WATCHED + "import runpy; sys.argv[0] = 'pip'; runpy.run_module('pip', run_name='__main__', alter_sys=True)"
_TRY = _WATCHED + "import numpy, PIL, safetensors, torch, transformers, diffusers; print(torch.__version__)"


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Speaks with the session; see `engine.process.serve`."""
    return process.serve(reader, writer, lambda config: Installer())


class Installer:
    """Carries out `Install` orders, one at a time. A `protocol.messages.Pipeline`."""

    def warm(self) -> Ready:
        return Ready("", "", {"python": sys.version.split()[0]})

    def run(self, order: Install, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Emits Stages, and one of Installed, Cancelled, Failed."""
        try:
            ending: Event = Installed(order.job, _Work(order, emit, cancelled).carry_out())
        except JobCancelled:
            ending = Cancelled(order.job)
        except Exception as error:
            known = _translated(error, order.place)
            log.info("%s: %s\n%s", order.action, known, known.detail)
            ending = Failed.of(order.job, known)
        emit(ending)

    def close(self) -> None:
        """Nothing is kept between orders."""


class _Work:
    """One order, carried out."""

    def __init__(self, order: Install, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        self._order, self._emit, self._cancelled = order, emit, cancelled
        self._place, self._wheels = order.place, os.path.join(order.place, environment.WHEELS)

    def carry_out(self) -> str:
        """The interpreter; "" after a removal."""
        os.makedirs(self._place, exist_ok=True)
        with self._alone():
            if self._order.action == "remove":
                return self._remove()
            if not self._order.wheels:
                policy.current().check_network("to download the engine")
            self._check_wheels()
            digest = self._digest()
            if self._order.action == "install" and (python := self._sound(digest)):
                return python
            return self._install(digest)

    def _install(self, digest: str) -> str:
        self._sweep()
        folder = self._fresh()
        try:
            self._say("Making the environment")
            purelib = make_environment(os.path.join(self._place, folder))
            from . import wheels  # pip is there now

            files = self._bring(wheels)
            size = self._check_room(files, purelib)
            self._unpack(folder, files, purelib, size)
            self._try(os.path.join(self._place, folder))
        except BaseException:
            shutil.rmtree(os.path.join(self._place, folder), ignore_errors=True)
            raise
        base = getattr(sys, "_base_executable", sys.executable)
        accelerator = os.path.splitext(os.path.basename(self._order.lock))[0]
        one = Environment(folder, accelerator, digest, base, _VERSION, size)
        stubbornly(lambda: environment.write(self._place, one))
        self._sweep()
        shutil.rmtree(self._wheels, ignore_errors=True)
        return one.python(self._place)

    # ---- before --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the place; waits for another process that does. The system frees the lock where this process is killed."""
        with open(os.path.join(self._place, environment.BUSY), "a+b") as file:
            while not disk.try_lock(file):
                self._say("Another Blender is at work here; waiting for it")
                time.sleep(0.5)
            yield

    def _check_wheels(self) -> None:
        folder = self._order.wheels
        if folder and not (os.path.isdir(folder) and any(name.endswith(".whl") for name in os.listdir(folder))):
            raise InvalidRequest(f"There are no wheels in the folder {folder}.", "Choose the folder that holds the .whl files.")

    def _digest(self) -> str:
        try:
            return environment.digest_of(self._order.lock)
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"The lock file {self._order.lock} cannot be read.", "Install the add-on again.",
                                 text_of(error)) from error

    def _sound(self, digest: str) -> str:
        """The interpreter of the environment that stands, where it is what is wanted and works; "" else. Where only the Python that it
        was made from has moved, as Blender's does with an update, it is led there."""
        one = environment.read(self._place)
        if one is None or one.digest != digest:
            return ""
        self._say("Testing the engine that is here")
        if not os.path.exists(one.python(self._place)):
            if one.version != _VERSION:
                return ""
            rehome(os.path.join(self._place, one.folder))
        try:
            self._try(os.path.join(self._place, one.folder))
        except SDError as error:
            log.info("what is here is not sound: %s\n%s", error, error.detail)
            return ""
        return one.python(self._place)

    def _fresh(self) -> str:
        """The name of a folder that is not there."""
        taken = set(os.listdir(self._place))
        return next(name for name in (f"env{number}" for number in range(1, 1000)) if name not in taken)

    def _sweep(self) -> None:
        """Deletes every environment but the one that counts. What cannot be deleted now, as while an engine runs in it, is next time."""
        one = environment.read(self._place)
        for name in os.listdir(self._place):
            if environment.FOLDER.fullmatch(name) and (one is None or name != one.folder):
                shutil.rmtree(os.path.join(self._place, name), ignore_errors=True)

    def _remove(self) -> str:
        self._say("Removing the engine")
        stamp = os.path.join(self._place, environment.STAMP)
        if os.path.exists(stamp):
            stubbornly(lambda: os.remove(stamp))
        for name in os.listdir(self._place):
            if environment.FOLDER.fullmatch(name) or name == environment.WHEELS:
                stubbornly(lambda name=name: shutil.rmtree(os.path.join(self._place, name)))
        return ""

    # ---- the steps -----------------------------------------------------------------------------------------------------

    def _bring(self, wheels: Any) -> list[str]:
        """Every wheel of the lock, downloaded and checked; their paths."""
        os.makedirs(self._wheels, exist_ok=True)
        lock = wheels.read_lock(self._order.lock)
        with wheels.Index(lock, self._order.wheels) as index:
            found = self._find(index, lock.pins)
            here = bytes_in(self._wheels)
            total = sum(one.size for one in found)
            local = sum(one.size for one in found if one.link.is_file)
            self._check_disk(max(0, total - local - here) + _GROWTH * total)
            count = _Count(lambda done: self._say("Downloading", done, max(done, sum(one.size for one in found))))
            known = {pin.name for pin in lock.pins}
            for one in found:  # it may grow meanwhile
                index.bring(one, self._wheels, count)
                if not one.pin.hashes:  # a build that the lock cannot know, such as ROCm's: what it asks for besides comes too
                    more = [pin for pin in wheels.asked_for(one.path) if pin.name not in known]
                    known |= {pin.name for pin in more}
                    found += self._find(index, more)
        return [one.path for one in found]

    def _find(self, index: Any, pins: Any) -> list[Any]:
        found, missing = [], []
        for number, pin in enumerate(pins, 1):
            self._say(f"Looking for packages: {number} of {len(pins)}")
            wheel = index.find(pin)
            if wheel is None:
                missing.append(str(pin))
            else:
                index.measure(wheel)
                found.append(wheel)
        if missing:
            raise self._not_there(missing)
        return found

    def _not_there(self, missing: list[str]) -> SDError:
        names = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        system = f"Python {_VERSION} on {sysconfig.get_platform()}"
        if self._order.wheels:
            return InvalidRequest(f"The folder {self._order.wheels} lacks wheels for {system}: {names}.",
                                  "Put them in (on a computer with internet: pip download --no-deps name==version), and start again.")
        return EngineMissing(f"There are no packages for {system}: {names}.",
                             "Choose another accelerator, or use an existing Python that has torch, diffusers and transformers.")

    def _check_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self._place).free
        if free < needed + _SPARE:
            raise OutputUnwritable(f"The disk is too full: about {(needed + _SPARE) / 1e9:.1f} GB are needed in {self._place}, "
                                   f"{free / 1e9:.1f} GB are free.", "Free some, or choose another Engine Folder in the preferences.")

    def _check_room(self, files: list[str], purelib: str) -> int:
        """How many bytes the wheels unpack to, once that is sure to fit: on the disk, and into Windows' paths."""
        size, longest = 0, ""
        for path in files:
            with zipfile.ZipFile(path) as archive:
                size += sum(one.file_size for one in archive.infolist())
                longest = max(longest, *archive.namelist(), key=len)
        self._check_disk(size)
        if sys.platform == "win32" and len(purelib) + 1 + len(longest) > _WINDOWS_PATH and not disk.long_paths():
            raise OutputUnwritable(f"The folder {self._place} has too long a path for Windows: a file of the engine would need "
                                   f"{len(purelib) + 1 + len(longest)} letters, {_WINDOWS_PATH} are allowed.",
                                   "Choose a short Engine Folder in the preferences, such as C:\\sd-engine.")
        return size

    def _unpack(self, folder: str, files: list[str], purelib: str, size: int) -> None:
        python = environment.python_in(os.path.join(self._place, folder))
        before = bytes_in(purelib)
        command = [python, "-I", "-c", _PIP, "--isolated", "install", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir",
                   "--no-input", "--disable-pip-version-check", "--ignore-installed", "--quiet", *files]
        for pause in (*disk.PATIENCE, None):
            code, said = self._watch(command, lambda: self._say("Unpacking", min(size, bytes_in(purelib) - before), size))
            if code == 0:
                return
            held = re.search(r"PermissionError: \[[^]]*\][^'\"\n]*['\"]([^'\"\n]+)", said)
            if held is None or pause is None:
                break
            log.info("%s is held by another program; trying again", held[1])
            time.sleep(pause)
        if held is not None:
            raise locked(held[1], said)
        if "No space left" in said or "Errno 28" in said:
            raise OSError(errno.ENOSPC, said)
        raise SDError("The packages could not be unpacked.", "Start the set-up again; the log holds the details.", said)

    def _try(self, folder: str) -> None:
        """Whether what the engine needs can be imported there. Raises EngineMissing."""
        self._say("Testing the engine")
        code, said = self._watch([environment.python_in(folder), "-I", "-c", _TRY], lambda: None)
        if code != 0:
            lines = said.strip().splitlines() or [f"exit code {code}"]
            raise EngineMissing(f"The engine that was set up does not start: {lines[-1][:200]}.",
                                "Choose another accelerator, or look into the log.", said)

    def _watch(self, command: list[str], look: Callable[[], None]) -> tuple[int, str]:
        """Runs `command`, which ends with this process; (its exit code, what it wrote). Raises EngineMissing, JobCancelled."""
        variables = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PYTHONIOENCODING": "utf-8"}
        options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
        try:
            program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables,
                                       **options)
        except OSError as error:
            raise EngineMissing(f"The program {command[0]} cannot be started.", "Repair the engine.", text_of(error)) from error
        said: list[bytes] = []
        listener = threading.Thread(target=lambda: said.extend(iter(lambda: program.stdout.read1(1 << 16), b"")), daemon=True)
        listener.start()
        try:
            while program.poll() is None:
                look()
                self._check_cancelled()
                try:
                    program.wait(_LOOK)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            program.kill()
            program.wait()
            program.stdin.close()
        listener.join(1.0)
        text = b"".join(said).decode("utf-8", "replace")
        for line in text.splitlines():
            log.info("%s", line)
        return program.returncode, text

    def _say(self, text: str, done: int = 0, total: int = 0) -> None:
        self._check_cancelled()
        self._emit(Stage(self._order.job, text, done, total))

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise JobCancelled("The set-up was cancelled.")


class _Count:
    """Adds up bytes, and says each sum."""

    def __init__(self, say: Callable[[int], None]) -> None:
        self._say, self.done = say, 0

    def __call__(self, change: int) -> None:
        self.done += change
        self._say(self.done)


# ---- environments ----------------------------------------------------------------------------------------------------


def make_environment(folder: str) -> str:
    """Makes a virtual environment with pip of the running Python, and lets this process import from it; its folder of packages.
    Raises EngineMissing, OSError."""
    venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    purelib = sysconfig.get_path("purelib", scheme, {"base": folder, "platbase": folder})
    with zipfile.ZipFile(_bundled_pip()) as archive:  # the work of half a second that takes ensurepip twenty
        archive.extractall(purelib)
    if "pip" not in sys.modules:
        sys.path.append(purelib)
    return purelib


def _bundled_pip() -> str:
    """The wheel of pip that Python brings along; some systems keep it elsewhere."""
    folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR")]
    for folder in filter(None, folders):
        found = glob.glob(os.path.join(glob.escape(folder), "pip-*.whl"))
        if found:
            return found[0]
    raise EngineMissing(f"Blender's Python ({sys.executable}) has no pip.", "Use an existing Python for the engine.")


def rehome(folder: str) -> None:
    """Lets the virtual environment `folder`, whose Python has gone, use the running one of the same version. Raises OSError."""
    programs = os.path.dirname(environment.python_in(folder))
    for name in os.listdir(programs):
        if name.startswith("python") and os.path.islink(path := os.path.join(programs, name)):
            os.remove(path)
    venv.EnvBuilder(symlinks=os.name != "nt", upgrade=os.name == "nt").create(folder)


def _translated(error: Exception, place: str) -> SDError:
    """`error` in words that say what to do."""
    if isinstance(error, SDError):
        return error
    if isinstance(error, OSError) and error.errno in disk.FULL:
        return OutputUnwritable(f"The disk with {place} is full.", "Free some space and start again: it goes on where it stopped.",
                                text_of(error))
    if isinstance(error, PermissionError) and error.filename:
        return locked(error.filename, text_of(error))
    if isinstance(error, OSError):
        return OutputUnwritable(f"The folder {place} cannot be written ({error.strerror or type(error).__name__}).",
                                "Choose another Engine Folder in the preferences.", text_of(error))
    if isinstance(error, zipfile.BadZipFile):
        return InvalidRequest("One of the wheels is broken.", "Download it again.", text_of(error))
    return SDError("The engine could not be set up.", "The log holds the details.", text_of(error))
