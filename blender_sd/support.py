"""What helps when something goes wrong: this run's log, and a text for a bug report.

    print(sd.problem_report())          # versions, device, settings, jobs, last errors; no prompts
"""
from __future__ import annotations

import dataclasses
import os
import platform
from pathlib import Path

import bpy

from . import api, config
from .protocol.version import generator
from .session import logs
from .session.report import report_text

_JOBS = 10  # of the last ones
_PRIVATE = frozenset({"hub_token"})


def log_file() -> Path | None:
    """This run's log: what the add-on, the engine, downloads and set-ups have said. None where they have said nothing."""
    return logs.path()


def problem_report(prompts: bool = False) -> str:
    """A text for a bug report: versions, system, engine, settings, the last jobs and errors. The home folder is written as ~ and tokens
    are struck out. With `prompts` it also holds the prompts; without, they are struck out of errors too, piece by piece."""
    jobs = api.jobs()[-_JOBS:]
    said = [text for job in api.jobs() for text in (job.request.prompt, job.request.negative, job.label)]
    said += [text for scene in bpy.data.scenes if hasattr(scene, "sd") for text in (scene.sd.prompt, scene.sd.negative)]
    parts = {
        "Versions": {"Add-on": generator(), "Blender": f"{bpy.app.version_string} ({_hash()})", "Python": platform.python_version()},
        "System": {"System": platform.platform(), "Processor": f"{platform.machine()}, {os.cpu_count()} cores", "Graphics": _graphics()},
        "Engine": {"State": ": ".join(filter(None, api.engine_status())), **api.engine_versions()},
        "Settings": _settings(),
        "Jobs": [_line(job, prompts) for job in jobs],
        "Last errors": logs.recent(),
    }
    return report_text(parts, () if prompts else said, (os.path.expanduser("~"),))


def _settings() -> dict[str, object]:
    """Those that differ from the defaults."""
    plain = config.Config()
    return {one.name: getattr(config.current, one.name) for one in dataclasses.fields(plain)
            if one.name not in _PRIVATE and getattr(config.current, one.name) != getattr(plain, one.name)}


def _line(job: api.Job, prompts: bool) -> str:
    request = job.request
    line = (f"{request.task}, {os.path.basename(request.model.rstrip('/')) or request.model}, {request.width}x{request.height}, "
            f"{request.steps} steps, {request.sampler}, guidance {request.guidance:g}, seed {request.seed}: {job.state}")
    line += f" ({job.error.kind})" if job.error is not None else ""
    return f"{line}\n  {request.prompt}\n  not: {request.negative}" if prompts else line


def _hash() -> str:
    return bpy.app.build_hash.decode("ascii", "replace")


def _graphics() -> str:
    if bpy.app.background:
        return "no window"
    import gpu

    return f"{gpu.platform.renderer_get()}, {gpu.platform.version_get()}"
