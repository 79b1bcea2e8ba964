"""Install the engine's environment, in a process that runs on Blender's Python and may be ended at any moment.

A virtual environment cannot be moved, so it is created where it will stay, under a name that nobody looks for, and
becomes the engine's by the last step, one rename of a small file (see `library.engine_environment`). After an
interruption the old environment stays in use, and the next installation reuses the wheels and the parts of wheels that
exist.
"""
from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ..core.errors import EngineMissing, InvalidRequest, JobCancelled, OutputUnwritable, SDError

from ..library import disk, engine_environment, files, policy
from ..library.disk import bytes_in, locked, retry_while_held
from ..library.engine_environment import Environment
from ..protocol import endings, serving
from ..protocol.messages import Event, Install, Installed, Ready, Stage, text_of
from ..protocol.missing_runtime import missing_runtime
from . import pip_settings, programs
from .virtual_environments import import_pip, make_environment, packages_in

log = logging.getLogger(__name__)

_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
_SPARE = 256 << 20  # bytes of the disk that stay free
# an installed wheel takes about this many times its own size; the exact size is known once it is downloaded
_GROWTH = 3
_HANGS = 900.0  # seconds without progress after which a step is stopped; a slow disk with a virus scanner takes minutes


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve the session; see `protocol.serving.serve`."""
    return serving.serve(reader, writer, lambda config: Installer())


class Installer:
    """Run `Install` requests, one at a time. It implements `protocol.pipeline.Pipeline`."""

    def warm(self) -> Ready:
        return Ready("", "", {"python": sys.version.split()[0]})

    def run(self, request: Install, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Emit Stages, and one of Installed, Cancelled, Failed."""
        def explained(error: BaseException) -> SDError:
            known = _translated(error, request.place)
            log.info("%s: %s\n%s", request.action, known, known.detail)
            return known

        def work() -> Event:
            return Installed(request.job, _Work(request, emit, cancelled).run())

        endings.finish(request.job, work, emit, explained)

    def close(self) -> None:
        """Do nothing: nothing is kept between requests."""


class _Work:
    """Run one request."""

    def __init__(self, request: Install, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        self._request, self._emit, self._cancelled = request, emit, cancelled
        self._place, self._wheels = request.place, os.path.join(request.place, engine_environment.WHEELS)

    def run(self) -> str:
        """Do the work. Return the interpreter, or for "download" the folder, or "" after a removal."""
        files.make_folders(self._place)
        with self._alone():
            if self._request.action == "remove":
                return self._remove()
            if not self._request.wheels:
                policy.current().check_network("to download the engine")
            self._check_wheels()
            if self._request.action == "download":
                return self._download()
            digest = self._digest()
            if self._request.action == "install" and (python := self._sound(digest)):
                return python
            return self._install(digest)

    def _download(self) -> str:
        """Collect the wheels of the lock in the place itself."""
        self._bring(self._place)
        return self._place

    def _install(self, digest: str) -> str:
        self._sweep()
        folder = self._fresh()
        self._check_paths(packages_in(os.path.join(self._place, folder)))
        try:
            self._say("Making the environment")
            files.claim(os.path.join(self._place, folder))
            purelib = make_environment(os.path.join(self._place, folder))
            if not os.path.isdir(self._wheels):
                files.claim(self._wheels)
            paths = self._bring(self._wheels)
            size = self._check_room(paths, purelib)
            self._unpack(folder, paths, purelib, size)
            self._try(os.path.join(self._place, folder))
        except BaseException:
            shutil.rmtree(os.path.join(self._place, folder), ignore_errors=True)
            raise
        accelerator = engine_environment.accelerator_of(self._request.lock)
        environment = Environment(folder, accelerator, digest, engine_environment.running_python(), _VERSION, size)
        retry_while_held(lambda: engine_environment.write(self._place, environment))
        self._sweep()
        if files.is_claimed(self._wheels):
            shutil.rmtree(self._wheels, ignore_errors=True)
        return environment.python(self._place)

    # ---- before ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the place, waiting for another process that has it. The system releases the lock when this process ends.
        """
        with files.open_own(os.path.join(self._place, engine_environment.BUSY), "a+b") as file:
            while not disk.try_lock(file):
                self._say("Another Blender is at work here; waiting for it")
                time.sleep(0.5)
            yield

    def _check_wheels(self) -> None:
        folder = self._request.wheels
        if folder and not (os.path.isdir(folder) and any(name.endswith(".whl") for name in os.listdir(folder))):
            raise InvalidRequest(f"There are no wheels in the folder {folder}.",
                                 "Choose the folder that holds the .whl files.")

    def _digest(self) -> str:
        try:
            return engine_environment.digest_of(self._request.lock)
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"The lock file {self._request.lock} cannot be read.", "Install the add-on again.",
                                 text_of(error)) from error

    def _sound(self, digest: str) -> str:
        """Return the interpreter if the installed environment matches the lock file and works; otherwise "".

        If only the Python that it was made from has moved, as Blender's does with an update, the environment is pointed
        to the new one.
        """
        environment = engine_environment.read(self._place)
        if environment is None or environment.digest != digest:
            return ""
        self._say("Testing the engine that is here")
        folder = os.path.join(self._place, environment.folder)
        try:
            if engine_environment.is_orphan(folder):
                if environment.version != _VERSION:
                    return ""
                engine_environment.rehome(folder, engine_environment.running_python())
            self._try(folder)
        except (SDError, OSError) as error:
            log.info("what is here is not sound: %s\n%s", error, getattr(error, "detail", ""))
            return ""
        return environment.python(self._place)

    def _fresh(self) -> str:
        """Return the name of a folder that does not exist."""
        taken = set(os.listdir(self._place))
        return next(name for name in (f"env{number}" for number in range(1, 1000)) if name not in taken)

    def _sweep(self) -> None:
        """Delete every environment of ours except the one that counts.

        What cannot be deleted now, because an engine is running in it, is deleted next time.
        """
        environment = engine_environment.read(self._place)
        for name in os.listdir(self._place):
            path = os.path.join(self._place, name)
            current = environment is not None and name == environment.folder
            if engine_environment.FOLDER.fullmatch(name) and not current and files.is_claimed(path):
                shutil.rmtree(path, ignore_errors=True)

    def _remove(self) -> str:
        self._say("Removing the engine")
        stamp = os.path.join(self._place, engine_environment.STAMP)
        environment = engine_environment.read(self._place)
        if os.path.exists(stamp):
            retry_while_held(lambda: os.remove(stamp))
        for name in os.listdir(self._place):
            known = engine_environment.FOLDER.fullmatch(name) or name == engine_environment.WHEELS
            current = environment is not None and name == environment.folder
            if known and (current or files.is_claimed(os.path.join(self._place, name))):
                retry_while_held(lambda name=name: shutil.rmtree(os.path.join(self._place, name)))
        return ""

    # ---- the steps ---------------------------------------------------------------------------------------------------

    def _bring(self, folder: str) -> list[str]:
        """Download every wheel of the lock to `folder` and check it. Return their paths."""
        pip = import_pip()
        from . import lock, wheels  # these use pip's libraries

        files.make_folders(folder)
        wanted = lock.read_lock(self._request.lock)
        self._say("Looking for packages")
        settings = pip_settings.Settings() if self._request.wheels else pip_settings.read(pip)
        index = wheels.Index(settings, self._request.wheels)
        pins = [*wanted.pins, *wanted.builds]
        wanted_wheels = self._find(index, pins)
        here = bytes_in(folder)
        total = sum(wheel.size for wheel in wanted_wheels)
        self._check_disk(max(0, total - here) + (_GROWTH * total if self._request.action != "download" else 0))
        count = _Count(lambda done: self._say("Downloading", done,
                                              max(done, sum(wheel.size for wheel in wanted_wheels))))
        known = {pin.name for pin in pins}
        for wheel in wanted_wheels:  # may grow meanwhile
            index.bring(wheel, folder, count)
            if isinstance(wheel.wanted, lock.Build):  # the dependencies of a build are in no lock
                more = [pin for pin in wheels.asked_for(wheel.path, wheel.wanted.index) if pin.name not in known]
                known |= {pin.name for pin in more}
                wanted_wheels += self._find(index, more)
        return [wheel.path for wheel in wanted_wheels]

    def _find(self, index: Any, pins: Any) -> list[Any]:
        wheels, missing = [], []
        for number, pin in enumerate(pins, 1):
            self._say(f"Looking for packages: {number} of {len(pins)}")
            wheel = index.find(pin)
            if wheel is None:
                missing.append(str(pin))
            else:
                index.measure(wheel)
                wheels.append(wheel)
        if missing:
            raise self._not_there(missing, index.mirror)
        return wheels

    def _not_there(self, missing: list[str], mirror: str) -> SDError:
        names = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        system = f"Python {_VERSION} on {sysconfig.get_platform()}"
        if self._request.wheels:
            return InvalidRequest(
                f"The folder {self._request.wheels} lacks wheels for {system}: {names}.",
                "Collect them on a computer with internet, with sd.download_wheels (see the guide), and start again.",
            )
        if mirror:
            return InvalidRequest(f"{mirror}, which pip is configured to use, lacks packages for {system}: {names}.",
                                  "Have them added there, or install from a folder of wheels.")
        return EngineMissing(
            f"There are no packages for {system}: {names}.",
            "Choose another accelerator, or use an existing Python that has torch, diffusers and transformers.",
        )

    def _check_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self._place).free
        if free < needed + _SPARE:
            raise OutputUnwritable(
                f"The disk is too full: about {(needed + _SPARE) / 1e9:.1f} GB are needed in {self._place}, "
                f"{free / 1e9:.1f} GB are free.",
                "Free some, or choose another folder for the engine.",
            )

    def _check_paths(self, purelib: str, file: int = engine_environment.LONGEST_FILE,
                     folder: int = engine_environment.LONGEST_FOLDER) -> None:
        """Raise OutputUnwritable if Windows would refuse the longest paths in `purelib`.

        Args:
            purelib: The folder of packages.
            file: The length of the longest path of a file in it, in characters.
            folder: The length of the longest path of a folder in it, in characters.
        """
        if (
            sys.platform == "win32"
            and (letters := engine_environment.too_long(purelib, file, folder))
            and not disk.long_paths()
        ):
            raise OutputUnwritable(f"The folder {self._place} has too long a path for Windows, by {letters} letters: "
                                   "torch's own file names are long.",
                                   "Choose a folder with a shorter path, such as C:\\blender_sd, for the engine.")

    def _check_room(self, files: list[str], purelib: str) -> int:
        """Check that the unpacked wheels fit on the disk and into Windows' paths, and return their size in bytes."""
        size, file, folder = 0, 0, 0
        for path in files:
            with zipfile.ZipFile(path) as archive:
                size += sum(entry.file_size for entry in archive.infolist())
                file = max(file, *map(len, archive.namelist()))
                folder = max(folder, *(len(os.path.dirname(name)) for name in archive.namelist()))
        self._check_disk(size)
        self._check_paths(purelib, file, folder)
        return size

    def _unpack(self, folder: str, files: list[str], purelib: str, size: int) -> None:
        before = bytes_in(purelib)
        words = ["pip", "--isolated", "install", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir",
                 "--no-input",
                 "--disable-pip-version-check", "--ignore-installed", "--quiet", *files]

        def look() -> int:
            done = min(size, bytes_in(purelib) - before)
            self._say("Unpacking", done, size)
            return done

        for pause in (*disk.PATIENCE, None):
            code, output = self._run_program(folder, words, look)
            if code == 0:
                return
            held = re.search(r"PermissionError: \[[^]]*\][^'\"\n]*['\"]([^'\"\n]+)", output)
            if held is None or pause is None:
                break
            log.info("%s is held by another program; trying again", held[1])
            time.sleep(pause)
        if held is not None:
            raise locked(held[1], output)
        if "No space left" in output or "Errno 28" in output:
            raise OSError(errno.ENOSPC, output)
        raise SDError("The packages could not be unpacked.", "Start the set-up again; the log holds the details.",
                      output)

    def _try(self, folder: str) -> None:
        """Import what the engine needs in the environment `folder`. Raise EngineMissing."""
        self._say("Testing the engine")
        code, output = self._run_program(folder, ["try"], self._check_cancelled)
        if code != 0:
            lines = output.strip().splitlines() or [f"exit code {code}"]
            raise missing_runtime(output) or EngineMissing(
                f"The engine that was set up does not start: {lines[-1][:200]}.",
                "Choose another accelerator, or look into the log.", output)

    def _run_program(self, folder: str, words: list[str], look: Callable[[], object]) -> tuple[int, str]:
        python = engine_environment.python_in(os.path.join(self._place, folder))
        return programs.run([python, "-I", "-X", "utf8", programs.WATCHED, *words], look, _HANGS)

    def _say(self, text: str, done: int = 0, total: int = 0) -> None:
        self._check_cancelled()
        self._emit(Stage(self._request.job, text, done, total))

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise JobCancelled("The set-up was cancelled.")


class _Count:
    """Add up changes in bytes, and report each sum."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report, self.done = report, 0

    def __call__(self, change: int) -> None:
        self.done += change
        self._report(self.done)


def _translated(error: BaseException, place: str) -> SDError:
    """Return the error for people, which says what to do."""
    if isinstance(error, SDError):
        return error
    if isinstance(error, OSError) and error.errno in disk.FULL:
        return OutputUnwritable(f"The disk with {place} is full.",
                                "Free some space and start again: it goes on where it stopped.",
                                text_of(error))
    if isinstance(error, PermissionError) and error.filename:
        return locked(error.filename, text_of(error))
    if isinstance(error, OSError):
        return OutputUnwritable(f"The folder {place} cannot be written ({error.strerror or type(error).__name__}).",
                                "Choose another folder for the engine.", text_of(error))
    if isinstance(error, zipfile.BadZipFile):
        return InvalidRequest("One of the wheels is broken.", "Download it again.", text_of(error))
    return SDError("The engine could not be set up.", "The log holds the details.", text_of(error))
