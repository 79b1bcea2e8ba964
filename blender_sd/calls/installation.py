"""The engine's own Python: set up, repaired, removed, or another one used instead; for scripts and operators.

    sd.detect_accelerator().id                        # "cuda", "rocm", "xpu", "mps" or "cpu"
    sd.install_engine().result()                      # downloads it, where Blender may use the internet; waits
    sd.install_engine("cpu", wheels="/media/wheels")  # from a folder of wheels, with no network; returns at once
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import EngineMissing, InvalidRequest
from ..core.names import suggestion
from ..library import accelerators, interpreters
from ..library.accelerators import ACCELERATORS, Accelerator, Detected
from ..library.engine_environment import Environment, digest_of, read as read_environment
from ..library.interpreters import Interpreter
from ..protocol.messages import CHECK
from ..session.installations import Installation
from . import policy
from .arguments import checked_call
from .runtime import check_online, runtime

LOCKS = Path(__file__).resolve().parent.parent / "workers" / "locks"


def lock_of(accelerator: str) -> Path:
    """Return the add-on's own lock file for an accelerator."""
    return LOCKS / f"pylock.{accelerator}.toml"


def detect_accelerator() -> Detected:
    """Return what the engine could paint with on this machine (`id`), and what speaks for it (`found`). Looks at a few
    files."""
    return accelerators.detect()


def obstacle() -> EngineMissing | None:
    """Return the error that says why no engine can be set up on this machine, and what it can have instead; None where
    one can be."""
    return accelerators.obstacle()


def accelerator_choices() -> list[Accelerator]:
    """Return the builds of the engine that this machine has the hardware for, the best first, with about how large they
    are.

    `install_engine` takes any other that the system can have too, for a folder that another machine uses. Looks at a
    few files.
    """
    return accelerators.present()


@checked_call
def install_engine(accelerator: str = "auto", *, wheels: str | Path = "", lock: str | Path = "",
                   repair: bool = False) -> Installation:
    """Set up a virtual environment with torch, diffusers and all else in `engine_place()`, out of process; returns at
    once.

    `accelerator`: "auto" (what `detect_accelerator` says), cuda, rocm, xpu, mps or cpu. `wheels`: a folder of wheels to
    take everything from, with no network at all. `lock`: a lock file (PEP 751) with other packages than the add-on's
    own for the accelerator. `repair`: set it up again even if it works. What is sound is left as it is; a cancelled or
    broken set-up goes on where it stopped, and until it has ended well the engine that was there before stays in use.
    `Installation.result()` waits and gives the interpreter.

    Raises EngineMissing (torch has no build for this machine), PolicyForbids, OnlineAccessOff, InvalidRequest (unknown
    accelerator, a job or another set-up is running). Other errors, ConnectionLost, OutputUnwritable (no space, a locked
    file) and EngineMissing (no packages for this system) among them, come from `result()`.
    """
    if not lock and (error := obstacle()) is not None:
        raise error
    names = {accelerator.id for accelerator in accelerators.available()}
    if accelerator == "auto":
        accelerator = detect_accelerator().id
    if accelerator not in names:
        raise InvalidRequest(f"There is no engine for '{accelerator}' on this system.",
                             suggestion(accelerator, ("auto", *sorted(names))))
    if not wheels:
        policy.policy().check_network("to download the engine")
        check_online(Installation.go_online)
    if repair:
        _free_engine()
    return _begin("repair" if repair else "install", lock=str(lock or lock_of(accelerator)), wheels=str(wheels),
                  online=not wheels)


@checked_call
def download_wheels(folder: str | Path, accelerator: str = "auto", *, lock: str | Path = "") -> Installation:
    """Collect in `folder` what `install_engine` would download, for a computer without internet that has the same
    system and Python; returns at once. Arguments and errors as for `install_engine`; `Installation.result()` gives the
    folder."""
    policy.policy().check_network("to download the engine")
    check_online(Installation.go_online)
    lock = lock or lock_of(detect_accelerator().id if accelerator == "auto" else accelerator)
    if not Path(lock).exists():
        raise InvalidRequest(f"There is no engine for '{accelerator}'.",
                             suggestion(accelerator, ("auto", *sorted(ACCELERATORS))))
    return runtime.installations.start(runtime.install_pipeline(), "download", place=str(folder), lock=str(lock),
                                       online=True)


def remove_engine() -> Installation:
    """Delete what `install_engine` has made, out of process; returns at once. Raises InvalidRequest while a job is
    running."""
    _free_engine()
    return _begin("remove")


@checked_call
def check_python(python: str | Path) -> Installation:
    """Check, out of process, whether `python` could be the engine's; returns at once.

    `python`: an interpreter, or the folder of an environment, its bin or Scripts, or of a project that holds one.
    `result()` gives the interpreter's path, or raises EngineMissing, which names what it lacks;
    `configure(engine_python=…)` then uses it. Raises EngineMissing for a folder without an interpreter, InvalidRequest
    while a set-up is running.
    """
    return runtime.installations.start(runtime.role_pipeline(CHECK, interpreters.interpreter_at(str(python))), "check")


@checked_call
def find_pythons(near: str | Path = "") -> list[Interpreter]:
    """Return the environments in the usual places that have torch, diffusers and transformers; those in the folder
    `near` come first.

    Only looks at files, and takes a while where a disk is slow; nothing that it finds is started.
    """
    return interpreters.environments(str(near))


def engine_place() -> Path:
    """Return the folder of the engine's environment. It may not exist yet."""
    return runtime.folders.engine_place()


def engine_environment() -> Environment | None:
    """Return what is set up there: accelerator, size and so on; None where nothing is. Reads a file."""
    return read_environment(str(engine_place()))


def engine_known() -> bool:
    """Return whether there is an interpreter for the engine, of whichever origin. Looks at the disk."""
    return runtime.knows_engine()


def is_outdated(one: Environment) -> bool:
    """Return whether the add-on has come to pin other packages since `one` was set up by a lock of its own. Reads
    files."""
    try:
        return one.accelerator in ACCELERATORS and digest_of(str(lock_of(one.accelerator))) != one.digest
    except (OSError, ValueError):
        return False  # the add-on is incomplete; a set-up says so


def installations() -> list[Installation]:
    """Return every set-up, repair, removal and check of this session, oldest first."""
    return runtime.installations.all


def _begin(action: str, **request: Any) -> Installation:
    return runtime.installations.start(runtime.install_pipeline(), action, place=str(engine_place()), **request)


def _free_engine() -> None:
    """End the engine, if it runs: on Windows nobody could delete its files else. Raises InvalidRequest while it
    paints."""
    if runtime.session is not None and any(not job.done for job in runtime.session.jobs):
        raise InvalidRequest("The engine is painting.", "Wait until its jobs have finished, or cancel them.")
    runtime.renew_engine()
