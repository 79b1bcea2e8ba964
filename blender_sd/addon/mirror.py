"""Copy the session's state to `WindowManager.sd`, as text, and only when it has changed."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy

from ..calls import engine_control, job_queue
from . import lora_notes, outcome, state

if TYPE_CHECKING:
    from ..session.job import Job
    from ..session.transfers import Transfer

_ENDINGS = {"finished": "Finished", "cancelled": "Cancelled", "failed": "Failed"}
_TURNS = {"queued": 1, "paused": 2}  # which of them comes first; 0 for those that run


@dataclass(frozen=True)
class _Row:
    """One line of the queue, as drawn."""

    id: str
    label: str
    state: str
    text: str
    progress: float
    pausable: bool


class Mirror:
    """The last state that was copied to `WindowManager.sd`, to be compared with the current one."""

    def __init__(self) -> None:
        self._shown: tuple | None = None
        self._states: dict[str, str] = {}  # of every job, as last seen

    def forget(self) -> None:
        """Write everything at the next update, because a file was loaded and the window manager may be another one."""
        self._shown = None

    def update(self) -> bool:
        """Update `WindowManager.sd`; return whether anything changed."""
        jobs = job_queue.jobs()
        self._announce(jobs)
        rows = [_row(job) for job in _in_turn(jobs)]
        current = current_job(jobs)
        notes = "\n".join(jobs[-1].notes) if jobs else ""
        result = next((outcome.sentence(placed) for job in reversed(jobs) if (placed := job.placement) is not None), "")
        now = (rows, current and current.id, current and (current.progress, progress_text(current)), notes, result,
               engine_control.engine_status())
        if now == self._shown:
            return False
        self._shown = now
        self._write(rows, current, notes, result)
        return True

    def _announce(self, jobs: list[Job]) -> None:
        """Clear the last error for a new job; show the error of a job that has just failed."""
        for job in jobs:
            before = self._states.get(job.id)
            if before is None:
                state.clear_error()
            if job.state == "failed" and before != "failed" and job.error:
                state.show_error(job.error)
            if job.done and before != job.state:
                lora_notes.learn(job)
        self._states = {job.id: job.state for job in jobs}

    def _write(self, rows: list[_Row], current: Job | None, notes: str, result: str) -> None:
        shown = bpy.context.window_manager.sd
        shown.engine, shown.engine_text = engine_control.engine_status()
        selected = shown.jobs[shown.job_index].job_id if 0 <= shown.job_index < len(shown.jobs) else ""
        while len(shown.jobs) > len(rows):
            shown.jobs.remove(len(shown.jobs) - 1)
        while len(shown.jobs) < len(rows):
            shown.jobs.add()
        for item, row in zip(shown.jobs, rows, strict=True):
            item.job_id, item.name, item.state = row.id, row.label, row.state
            item.text, item.progress, item.pausable = row.text, row.progress, row.pausable
        shown.job_index = next((place for place, row in enumerate(rows) if row.id == selected), 0)
        shown.active = current is not None
        shown.waiting = sum(row.state == "queued" for row in rows if row.id != current.id) if current else 0
        shown.progress = current.progress if current else 0.0
        shown.progress_text = progress_text(current) if current else ""
        shown.notes, shown.outcome = notes, result


class Newest:
    """What was last shown of the newest of some transfers, to be compared with its current state."""

    def __init__(self) -> None:
        self._shown: tuple | None = None

    def forget(self) -> None:
        """Forget what was shown, as `Mirror.forget` does."""
        self._shown = None

    def show(self, transfer: Transfer | None, shown: Any, text: Callable[[Any], str]) -> tuple[bool, bool]:
        """Write the state of `transfer` into `shown`, the panel's properties for it, if it has changed.

        Returns:
            Whether it has changed, and whether it has ended since.
        """
        now, before = transfer and (transfer.id, transfer.state, transfer.progress, text(transfer)), self._shown
        self._shown = now
        ended = transfer is not None and transfer.done and (before is None or before[:2] != now[:2])
        if now != before:
            shown.running = transfer is not None and not transfer.done
            if transfer is not None:
                shown.progress, shown.text = transfer.progress, text(transfer)
            if shown.running:
                shown.error = shown.hint = ""
        return now != before, ended


def current_job(jobs: list[Job]) -> Job | None:
    """Return the job that Cancel and the progress bar apply to: the running one, or else the first that waits, or else
    the first that is paused."""
    waiting = sorted((job for job in jobs if not job.done), key=lambda job: _TURNS.get(job.state, 0))
    return waiting[0] if waiting else None


def _in_turn(jobs: list[Job]) -> list[Job]:
    """Return the running job, then the waiting ones in the order of their turns, then the ended ones, newest first."""
    current = current_job(jobs)
    waiting = [job for job in jobs if not job.done and job is not current]
    return [*([current] if current else []), *waiting, *reversed([job for job in jobs if job.done])]


def progress_text(job: Job) -> str:
    """Return the text of the progress bar, such as "7/20 · 4 s left", with the image's number if there are several."""
    if job.cancelling:
        return "Cancelling…"
    if job.state != "running":
        return job.text
    if job.pausing:
        return "Pausing…"
    if job.frames:
        left = f" · {duration(job.eta)} left" if job.eta is not None else ""
        return f"Frame {min(job.frames_done + 1, job.frames)}/{job.frames}{left}"
    which = f"Image {job.image}/{job.images} · " if job.images > 1 else ""
    left = f" · {duration(job.eta)} left" if job.eta is not None else ""
    return f"{which}{job.step}/{job.steps}{left}"


def duration(seconds: float) -> str:
    """Return a duration such as "4 s", "2 min" or "1.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _row(job: Job) -> _Row:
    text = _ENDINGS.get(job.state) or ("Waiting" if job.state == "queued" else progress_text(job))
    return _Row(job.id, " ".join(job.label.split())[:60] or "Untitled", job.state, text, round(job.progress, 3),
                bool(job.folder) and not job.done)
