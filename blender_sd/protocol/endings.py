"""End each request with exactly one ending, whatever is raised.

So nobody waits for ever, and the next request can run. Not every failure is an `Exception`: a panic in a Rust library
(tokenizers) is a `BaseException`, and so is `exit()`.
"""
from __future__ import annotations

import logging
from collections.abc import Callable

from ..core.errors import JobCancelled, SDError
from .messages import Cancelled, Ending, Event, Failed, WorkRequest, text_of
from .pipeline import Pipeline

log = logging.getLogger("blender_sd")
Emit = Callable[[Event], None]
_PANIC = "PanicException"  # PyO3's name for it in every library


def finish(job: str, work: Callable[[], Event], emit: Emit,
           explained: Callable[[BaseException], SDError] | None = None) -> None:
    """Emit the ending that `work` returns, or the one that describes what it raised. Never raise.

    Args:
        job: The job's id.
        work: Does the work and returns its ending.
        emit: Takes the ending.
        explained: Turns an exception into an error for people. If it fails, or the ending cannot be sent, the error is
            a general one.
    """
    try:
        ending = work()
    except JobCancelled:
        ending = Cancelled(job)
    except BaseException as error:
        ending = Failed.of(job, _described(error, explained or unexpected))
    try:
        emit(ending)
    except BaseException as error:
        log.error("the ending of job %s could not be sent: %s", job, type(error).__name__)
        emit(Failed.of(job, _described(error, unexpected)))


def run(pipeline: Pipeline, request: WorkRequest, emit: Emit, cancelled: Callable[[], bool]) -> None:
    """Run a request in a pipeline, and guarantee exactly one ending, even if the pipeline raises or emits none.

    Never raise.

    Args:
        pipeline: The pipeline.
        request: The request.
        emit: Takes the events, then the ending.
        cancelled: Returns whether the request was cancelled.
    """
    ending: Event | None = None

    def forward(event: Event) -> None:
        nonlocal ending
        if ending is not None:
            log.debug("dropped a %s after the ending", type(event).__name__)
        elif isinstance(event, Ending) and event.job == request.job:
            ending = event
        else:
            emit(event)

    def work() -> Event:
        try:
            pipeline.run(request, forward, cancelled)
        except BaseException:
            if ending is None:
                raise
            log.exception("the pipeline failed after the ending")
        return ending or Failed(request.job, SDError.kind, "The engine stopped without a word.",
                                "Try again; the log may say more.")

    finish(request.job, work, emit)


def is_panic(error: BaseException) -> bool:
    """Return whether a Rust library panicked; the file that it was reading is to blame."""
    return type(error).__name__ == _PANIC


def unexpected(error: BaseException, message: str = "The engine met an unexpected error.") -> SDError:
    """Return the error with which people see an exception that nobody foresaw.

    Args:
        error: The exception. An SDError is returned as it is.
        message: What happened, in general.
    """
    if isinstance(error, SDError):
        return error
    return SDError(message, "The log holds the details.", text_of(error))


def _described(error: BaseException, explained: Callable[[BaseException], SDError]) -> SDError:
    for describe in (explained, unexpected):
        try:
            return describe(error)
        except BaseException as another:  # such as an error whose text cannot be made
            log.error("%s could not be described: %s", type(error).__name__, type(another).__name__)
    return SDError("The engine met an unexpected error.", "The log holds the details.", type(error).__name__)
