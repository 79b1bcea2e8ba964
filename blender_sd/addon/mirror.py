"""Copies what the session says into `WindowManager.sd`, in words, and only when it has changed."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy

from .. import api
from . import state

if TYPE_CHECKING:
    from ..session.job import Job
    from ..session.transfers import Transfer

_ENDINGS = {"finished": "Finished", "cancelled": "Cancelled", "failed": "Failed"}


@dataclass(frozen=True)
class _Row:
    """One line of the queue, as drawn."""

    id: str
    label: str
    state: str
    text: str
    progress: float


class Mirror:
    """What `WindowManager.sd` last said, to be compared with what it should say."""

    def __init__(self) -> None:
        self._shown: tuple | None = None
        self._states: dict[str, str] = {}  # of every job, as last seen

    def forget(self) -> None:
        """The window manager is another one now (a file was loaded): write everything at the next update."""
        self._shown = None

    def update(self) -> bool:
        """Brings `WindowManager.sd` up to date; whether anything changed."""
        jobs = api.jobs()
        self._announce(jobs)
        rows = [_row(job) for job in jobs]
        current = current_job(jobs)
        notes = "\n".join(jobs[-1].notes) if jobs else ""
        now = (rows, current and current.id, current and (current.progress, progress_text(current)), notes, api.engine_status())
        if now == self._shown:
            return False
        self._shown = now
        self._write(rows, current, notes)
        return True

    def _announce(self, jobs: list[Job]) -> None:
        """A new job clears the last error; a job that has just failed shows its own."""
        for job in jobs:
            before = self._states.get(job.id)
            if before is None:
                state.clear_error()
            if job.state == "failed" and before != "failed" and job.error:
                state.show_error(job.error)
        self._states = {job.id: job.state for job in jobs}

    def _write(self, rows: list[_Row], current: Job | None, notes: str) -> None:
        shown = bpy.context.window_manager.sd
        shown.engine, shown.engine_text = api.engine_status()
        while len(shown.jobs) > len(rows):
            shown.jobs.remove(len(shown.jobs) - 1)
        while len(shown.jobs) < len(rows):
            shown.jobs.add()
        for item, row in zip(shown.jobs, rows, strict=True):
            item.job_id, item.name, item.state, item.text, item.progress = row.id, row.label, row.state, row.text, row.progress
        shown.job_index = max(0, min(shown.job_index, len(rows) - 1))
        shown.active = current is not None
        shown.progress = current.progress if current else 0.0
        shown.progress_text = progress_text(current) if current else ""
        shown.notes = notes


class Newest:
    """What was last shown of the newest of some transfers, to be compared with how it stands."""

    def __init__(self) -> None:
        self._shown: tuple | None = None

    def forget(self) -> None:
        """As `Mirror.forget`."""
        self._shown = None

    def look(self, one: Transfer | None, text: Callable[[Any], str]) -> tuple[bool, bool]:
        """(whether `one`, or its `text`, is another than was shown; whether it has ended since)."""
        now, before = one and (one.id, one.state, one.progress, text(one)), self._shown
        self._shown = now
        ended = one is not None and one.done and (before is None or before[:2] != now[:2])
        return now != before, ended


def current_job(jobs: list[Job]) -> Job | None:
    """The job that Cancel and the bar mean: the one at work, else the first that waits."""
    waiting = [job for job in jobs if not job.done]
    return next((job for job in waiting if job.state != "queued"), waiting[0] if waiting else None)


def progress_text(job: Job) -> str:
    """What stands in the bar: "7/20 · 4 s left", with the picture's number where there are several."""
    if job.cancelling:
        return "Cancelling…"
    if job.state != "running":
        return job.text
    which = f"Image {job.image}/{job.images} · " if job.images > 1 else ""
    left = f" · {duration(job.eta)} left" if job.eta is not None else ""
    return f"{which}{job.step}/{job.steps}{left}"


def duration(seconds: float) -> str:
    """"4 s", "2 min", "1.5 h": as exact as a person cares for."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _row(job: Job) -> _Row:
    text = _ENDINGS.get(job.state) or ("Waiting" if job.state == "queued" else progress_text(job))
    return _Row(job.id, " ".join(job.label.split())[:60] or "Untitled", job.state, text, round(job.progress, 3))
