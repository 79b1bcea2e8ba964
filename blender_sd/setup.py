"""The engine's own Python: set up, repaired, removed, or another one used instead; for scripts and operators.

    sd.detect_accelerator().id                        # "cuda", "rocm", "xpu", "mps" or "cpu"
    sd.install_engine().result()                      # downloads it, where Blender may use the internet; waits
    sd.install_engine("cpu", wheels="/media/wheels")  # from a folder of wheels, with no network; returns at once
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import api, config, studio
from .hub import check_online, end_offline
from .protocol import environment
from .protocol.environment import Environment
from .protocol.errors import InvalidRequest, OnlineAccessOff
from .protocol.messages import CHECK, INSTALL
from .session import accelerators
from .session.accelerators import ACCELERATORS, Accelerator, Detected
from .session.installing import Installation, Installations

LOCKS = Path(__file__).resolve().parent / "engine" / "locks"
_all: Installations | None = None
_online: set[str] = set()  # those that use the internet
on_change: list[Callable[[Installation], None]] = []  # called when one has ended


def detect_accelerator() -> Detected:
    """What the engine could paint with on this machine (`id`), and what speaks for it (`found`). Looks at a few files."""
    return accelerators.detect()


def accelerator_choices() -> list[Accelerator]:
    """Every build of the engine that this system can have, with about how large it is."""
    return accelerators.available()


def install_engine(accelerator: str = "auto", *, wheels: str | Path = "", lock: str | Path = "", repair: bool = False) -> Installation:
    """Sets up a virtual environment with torch, diffusers and all else in `engine_place()`, out of process; returns at once.

    `accelerator`: "auto" (what `detect_accelerator` says), cuda, rocm, xpu, mps or cpu. `wheels`: a folder of wheels to take everything
    from, with no network at all. `lock`: another list of pinned packages, in pip's format, than the add-on's own for the accelerator.
    `repair`: anew even if the one there works. What is sound is left as it is; a cancelled or broken set-up goes on where it stopped,
    and until it has ended well the engine that was there before stays in use. `Installation.result()` waits and gives the interpreter.

    Raises PolicyForbids, OnlineAccessOff, InvalidRequest (unknown accelerator, a job or another set-up is running); its own errors,
    ConnectionLost, OutputUnwritable (no space, a locked file) and EngineMissing (no packages for this system) among them, come from
    `result()`.
    """
    names = {one.id for one in accelerators.available()}
    if accelerator == "auto":
        accelerator = detect_accelerator().id
    if accelerator not in names:
        raise InvalidRequest(f"There is no engine for '{accelerator}' on this system.", f"Choose one of: {', '.join(sorted(names))}.")
    if not wheels:
        studio.policy().check_network("to download the engine")
        _check_online()
    if repair:
        _free_engine()
    one = _begin("repair" if repair else "install", lock=str(lock or LOCKS / f"{accelerator}.txt"), wheels=str(wheels))
    if not wheels:
        _online.add(one.id)
    return one


def remove_engine() -> Installation:
    """Deletes what `install_engine` has made, out of process; returns at once. Raises InvalidRequest while a job is running."""
    _free_engine()
    return _begin("remove")


def check_python(python: str | Path) -> Installation:
    """Looks, out of process, whether the interpreter `python` could be the engine's: `result()` gives its path, or raises
    EngineMissing, which names what it lacks. `configure(engine_python=…)` then uses it."""
    return _the_installations().start(config.role_pipeline(CHECK, str(python)), "check")


def engine_place() -> Path:
    """The folder of the engine's environment. It may not exist yet."""
    return config.engine_place()


def engine_environment() -> Environment | None:
    """What is set up there: accelerator, size and so on; None where nothing is. Reads a file."""
    return environment.read(str(engine_place()))


def engine_known() -> bool:
    """Whether there is an interpreter for the engine, of whichever origin. Looks at the disk."""
    return config.knows_interpreter()


def is_outdated(one: Environment) -> bool:
    """Whether the add-on has come to pin other packages since `one` was set up by a lock of its own. Reads files."""
    try:
        return one.accelerator in ACCELERATORS and environment.digest_of(str(LOCKS / f"{one.accelerator}.txt")) != one.digest
    except OSError:
        return False  # the add-on is incomplete; a set-up says so


def installations() -> list[Installation]:
    """Every set-up, repair, removal and check of this session, oldest first."""
    return _all.all if _all else []


def pump() -> bool:
    """Brings in what they report, and ends downloads where Blender may no longer use the internet; whether anything changed. Main
    thread only; the add-on's timer and `Installation.result` call it."""
    if _all is None:
        return False
    end_offline(_all, [one for one in _all.all if one.id in _online], _check_online)
    return _all.pump()


def shutdown() -> None:
    """Ends what is going on; the next call starts afresh."""
    global _all
    gone, _all = _all, None
    if gone:
        gone.shutdown()


def _begin(action: str, **order: Any) -> Installation:
    return _the_installations().start(config.role_pipeline(INSTALL, sys.executable), action, place=str(engine_place()), **order)


def _the_installations() -> Installations:
    global _all
    if _all is None:
        _all = Installations(_told)
    return _all


def _told(one: Installation) -> None:
    if one.action != "check":
        api.renew_engine()
    for call in on_change:
        call(one)


def _free_engine() -> None:
    """The engine ends, if it runs: on Windows nobody could delete its files else."""
    if any(not job.done for job in api.jobs()):
        raise InvalidRequest("The engine is painting.", "Wait until its jobs have finished, or cancel them.")
    api.renew_engine()


def _check_online() -> None:
    try:
        check_online()
    except OnlineAccessOff as error:
        raise OnlineAccessOff(error.message, f"{error.hint.rstrip('.')}, or install from a folder of wheels.") from None
