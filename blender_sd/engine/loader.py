"""Loading that does not hold up a cancel: a thread reads the model, the order waits for it and may stop waiting."""
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ..protocol.errors import JobCancelled, SDError
from . import memory
from .folders import inspect_folder
from .models import Library, Model

_POLL = 0.05  # seconds between looks at `cancelled`


class Loader:
    """Gets models out of a `Library`, reading them on a thread of its own. One reading at a time: libraries patch
    torch globally while they build a model, so nothing else may go on beside it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._thread: threading.Thread | None = None
        self._abandoned = threading.Event()

    def get(self, path: str, say: Callable[[str], None], cancelled: Callable[[], bool], borrowed: str = "") -> Model:
        """The model in the folder or file `path` (`borrowed`: as in `messages.Generate`), loaded if need be; `say` hears what is
        being read. Raises JobCancelled soon after `cancelled()` turns true (the reading then ends by itself, at the next part), or
        what `folders.inspect_folder` and `Library.load` raise."""
        self._wait(say, cancelled)
        outcome: list[Model | BaseException] = []
        abandoned = self._abandoned = threading.Event()

        def check() -> None:
            if abandoned.is_set():
                raise JobCancelled("The job was cancelled.")

        def read() -> None:
            try:
                # The first time, this imports what the model's family needs.
                folder = inspect_folder(Path(path), Path(borrowed) if borrowed else None)
                model = self.library.find(folder)
                if model is None:
                    model = self.library.load(folder, lambda text: None if abandoned.is_set() else say(text), check)
                outcome.append(model)
            except BaseException as error:  # handed to the waiting thread, which raises it
                outcome.append(error)

        self._thread = threading.Thread(target=read, name="load model", daemon=True)
        self._thread.start()
        self._wait(None, cancelled)
        result = outcome[0]
        if isinstance(result, Model):
            return result
        raise result if isinstance(result, SDError) else memory.translated(result) from result

    def close(self) -> None:
        """Breaks off what is being read, waits for it, and forgets all models."""
        self._abandoned.set()
        if self._thread is not None:
            self._thread.join()
        self.library.clear()

    def _wait(self, say: Callable[[str], None] | None, cancelled: Callable[[], bool]) -> None:
        """Until nothing is being read."""
        if self._thread is None:
            return
        if say is not None and self._thread.is_alive():
            say("Waiting for the model that was being loaded")
        while self._thread.is_alive():
            self._thread.join(_POLL)
            if self._thread.is_alive() and cancelled():
                self._abandoned.set()
                raise JobCancelled("The job was cancelled.")
        self._thread = None
