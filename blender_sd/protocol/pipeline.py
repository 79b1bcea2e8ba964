"""The interface of whatever runs requests: an engine process, an engine inside the thread, or another child process."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from .messages import Event, Ready, WorkRequest

_Work = TypeVar("_Work", bound=WorkRequest, contravariant=True)


class Pipeline(Protocol[_Work]):
    """Run requests of the type `_Work`: in an engine process, in an engine inside the thread, or in another child
    process."""

    def warm(self) -> Ready:
        """Prepare to take requests (start the process, import the libraries). May be called repeatedly; raises SDError.
        """

    def run(self, request: _Work, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Run one request.

        Args:
            request: The request.
            emit: Takes its events; the last one is exactly one of ENDINGS, also for the request's own failures.
            cancelled: Returns whether to stop; may be called from any thread.
        """

    def close(self) -> None:
        """Free everything. May be called repeatedly."""
