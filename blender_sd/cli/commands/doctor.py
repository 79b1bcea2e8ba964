"""Look at everything that painting needs on this machine."""
from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Callable

from ...core.errors import EngineMissing, ModelNotFound, OutputUnwritable, SDError
from ...core.version import version
from .. import exits
from ..options import add_machine, configure
from ..reporting import record

HELP = "check versions, device, engine, models, policy, disk and memory, each with its remedy"
_LITTLE_DISK = 2 << 30  # bytes; below, a job may not end
_LITTLE_MEMORY = 2 << 30  # bytes; below, only the starter model fits
_PATIENCE = 300.0  # seconds for the engine to start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FOLDER", help="where pictures would go")
    add_machine(parser)


def run(asked: argparse.Namespace) -> int:
    configure(asked)
    status = exits.DONE
    try:
        for name, check in _CHECKS.items():
            try:
                value, error = check(), None
            except SDError as problem:
                value, error = problem.message, problem
                status = status or exits.status_of(problem)
            _show(asked, name, value, error)
    finally:
        from ...calls.runtime import runtime

        runtime.shutdown()
    return status


def _show(asked: argparse.Namespace, name: str, value: str, error: SDError | None) -> None:
    if asked.json:
        record("check", name=name, ok=error is None, value=value, remedy=error.hint if error else "")
    else:
        print(f"{'ok ' if error is None else 'NO '} {name}: {value}")
        if error is not None and error.hint:
            print(f"    {error.hint}")


def _versions() -> str:
    from ...calls.scene_access import has_blender

    if not has_blender():
        return f"add-on {version()}, Python {platform.python_version()}, without Blender"
    import bpy

    return f"add-on {version()}, Blender {bpy.app.version_string}, Python {platform.python_version()}"


def _interpreter() -> str:
    from ..painting import checked_engine

    return checked_engine() or "inside Blender"


def _device() -> str:
    """Start the engine and return what it paints with. Raises SDError."""
    from ...calls.runtime import runtime

    runtime.engine_python()
    session = runtime.the_session()
    session.warm()
    waited = 0.0
    while session.status in ("off", "starting"):
        session.pump(None)
        session.wait(0.2)
        if (waited := waited + 0.2) > _PATIENCE:
            raise EngineMissing("The engine does not start.", "Repair it in the add-on's preferences.")
    if session.engine_error is not None or session.engine_info is None:
        raise session.engine_error or EngineMissing("The engine does not start.")
    info = session.engine_info
    versions = ", ".join(f"{name} {info.versions[name]}" for name in ("torch", "diffusers") if name in info.versions)
    return f"{info.card or info.device}, {info.precision}, {versions}"


def _models() -> str:
    from ...calls import models

    listed, broken = models.refresh_models(), models.known_unusable()
    if not listed:
        raise ModelNotFound("There is no model that can be used.", "See 'sd models' for the reasons.")
    names = ", ".join(info.name for info in listed[:5])
    return f"{len(listed)} ({names}{', …' if len(listed) > 5 else ''})" + (
        f"; {len(broken)} cannot be used, see 'sd models'" if broken else "")


def _policy() -> str:
    from ...calls.policy import policy

    known = policy()
    return ", ".join(map(str, known.files)) or "none, everything is allowed"


def _disk() -> str:
    from ...calls.runtime import runtime

    folder = runtime.folders.output_folder()
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_DISK:
        raise OutputUnwritable(f"{folder} has only {free / 1e9:.1f} GB left.", "Free some space, or give --output.")
    return f"{folder}, {free / 1e9:.1f} GB free"


def _memory() -> str:
    from ...core.errors import OutOfMemory
    from ...library import control_groups

    total = _installed()
    limit = control_groups.memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = control_groups.processors()
    usable = min(total, limit[0]) if limit and total else limit[0] if limit else total
    if usable and usable < _LITTLE_MEMORY:
        raise OutOfMemory(f"The engine may use only {usable / 1e9:.1f} GB of memory.",
                          "Give the container or the job more, or use the starter model alone.")
    amount = f"{usable / 1e9:.1f} GB" if usable else "unknown"
    note = " (limited by a control group)" if limit and limit[0] < (total or limit[0] + 1) else ""
    few = " (limited by a control group)" if granted and granted < cores else ""
    return f"{amount}{note}, {min(cores, granted or cores)} processor cores{few}"


def _installed() -> int:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


_CHECKS: dict[str, Callable[[], str]] = {
    "versions": _versions, "policy": _policy, "engine": _interpreter, "device": _device, "models": _models,
    "disk": _disk, "memory": _memory}
