"""What helps when something goes wrong: this run's log, and a text for a bug report.

    print(sd.problem_report())          # versions, device, settings, jobs, last errors; no prompts
"""
from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.version import generator
from ..library import logs
from ..library.bug_report import report_text
from ..session.job import Job
from . import engine_control, job_queue
from .arguments import checked_call
from .config import Config
from .runtime import runtime

_JOBS = 10  # of the last ones
_PRIVATE = frozenset({"hub_token"})


def log_file() -> Path | None:
    """Return this run's log: what the add-on, the engine, downloads and set-ups have reported. None where they have
    reported nothing."""
    return logs.path()


@checked_call
def problem_report(prompts: bool = False) -> str:
    """Return a text for a bug report: versions, system, engine, settings, the last jobs and errors. The home folder is
    written as ~ and tokens are struck out. With `prompts` it also holds the prompts; without, they are struck out of
    errors too, piece by piece."""
    import bpy

    jobs = job_queue.jobs()[-_JOBS:]
    texts = [text for job in job_queue.jobs() for text in (*job.request.prompts, job.label)]
    texts += [text for scene in bpy.data.scenes if hasattr(scene, "sd") for text in (
        scene.sd.prompt, scene.sd.negative, *(region.prompt for region in scene.sd.regions))]
    parts: dict[str, Mapping[str, object] | Sequence[str]] = {
        "Versions": {
            "Add-on": generator(), "Blender": f"{bpy.app.version_string} ({_hash()})",
            "Python": platform.python_version()},
        "System": {
            "System": platform.platform(), "Processor": f"{platform.machine()}, {os.cpu_count()} cores",
            "Graphics": _graphics()},
        "Engine": {
            "State": ": ".join(filter(None, engine_control.engine_status())), **engine_control.engine_versions()},
        "Settings": _settings(),
        "Jobs": [_line(job, prompts) for job in jobs],
        "Last errors": logs.recent(),}
    return report_text(parts, () if prompts else texts, (os.path.expanduser("~"),))


def _settings() -> dict[str, object]:
    """Return those that differ from the defaults."""
    plain = Config()
    return {setting.name: getattr(runtime.config, setting.name) for setting in dataclasses.fields(plain)
            if setting.name not in _PRIVATE and getattr(runtime.config, setting.name) != getattr(plain, setting.name)}


def _line(job: Job, prompts: bool) -> str:
    request = job.request
    line = (f"{request.task.name}, {os.path.basename(request.model.rstrip('/')) or request.model}, "
            f"{request.width}x{request.height}, {request.steps} steps, {request.sampler}, guidance "
            f"{request.guidance:g}, seed {request.seed}: {job.state}")
    line += f" ({job.error.kind})" if job.error is not None else ""
    return f"{line}\n  {request.prompt}\n  not: {request.negative}" if prompts else line


def _hash() -> str:
    import bpy

    return bpy.app.build_hash.decode("ascii", "replace")


def _graphics() -> str:
    import bpy

    if bpy.app.background:
        return "no window"
    import gpu

    return f"{gpu.platform.renderer_get()}, {gpu.platform.version_get()}"
