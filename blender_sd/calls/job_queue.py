"""The jobs of this session: what is going on, in which order, and its end."""
from __future__ import annotations

from ..session.job import Job
from .arguments import scene_call
from .runtime import runtime


def jobs() -> list[Job]:
    """Return every job of this session, oldest first."""
    return runtime.session.jobs if runtime.session is not None else []


@scene_call
def pump(budget: float = 0.008) -> bool:
    """Bring what jobs, downloads, set-ups and checks reported into Blender, and return whether anything changed. Main
    thread only.

    Args:
        budget: Seconds that may be spent on jobs.
    """
    return runtime.pump(budget)


@scene_call
def wait(timeout: float | None = None) -> bool:
    """Block until there is something to pump, and return whether there is; at once where nothing is going on.

    Args:
        timeout: Seconds, None without limit.
    """
    return runtime.wait(timeout)


@scene_call
def move_job(job: Job, offset: int) -> None:
    """Shift a waiting job by `offset` places in the queue (negative: sooner). A job that is running or has ended
    stays."""
    if runtime.session is not None:
        runtime.session.move(job, offset)


def cancel_all() -> None:
    """Cancel the running job and everything queued."""
    if runtime.session is not None:
        runtime.session.cancel_all()


def clear_jobs() -> None:
    """Forget the jobs that have ended. Their pictures stay."""
    if runtime.session is not None:
        runtime.session.clear_finished()


def shutdown() -> None:
    """Cancel everything, downloads and set-ups too, and stop the engine. The next call starts it again."""
    runtime.shutdown()
