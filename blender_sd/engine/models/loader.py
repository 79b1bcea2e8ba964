"""Load models without delaying a cancel: a thread reads the model, and the job can stop waiting for it."""
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ...core.choices import NOTHING, Choices
from ...core.errors import JobCancelled, SDError
from ..memory import budget
from .cache import Library, Model
from .folders import inspect_folder

_POLL = 0.05  # seconds between looks at `cancelled`


class Loader:
    """Get models from a `Library`, read on a thread of their own.

    Only one model is read at a time: libraries patch torch globally while they build one.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._thread: threading.Thread | None = None
        self._abandoned = threading.Event()

    def get(self, path: str, say: Callable[[str], None], cancelled: Callable[[], bool], base_model: str = "",
            choices: Choices = NOTHING) -> Model:
        """Return a model, loaded if necessary.

        Args:
            path: A real path (`library.model_paths`) of a folder or file.
            say: Receives what is being read.
            cancelled: Returns whether to stop waiting; the reading then ends by itself, at the next part.
            base_model: As in `messages.Generate`.
            choices: The person's choices for this model.

        Raises:
            JobCancelled: `cancelled` became true.
            SDError: What `folders.inspect_folder` and `Library.load` raise.
        """
        self._wait(say, cancelled)
        outcome: list[Model | BaseException] = []
        abandoned = self._abandoned = threading.Event()

        def check() -> None:
            if abandoned.is_set():
                raise JobCancelled("The job was cancelled.")

        def read() -> None:
            try:
                # The first time, this imports what the model's family needs.
                folder = inspect_folder(Path(path), Path(base_model) if base_model else None, choices)
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
        raise result if isinstance(result, SDError) else budget.translated(result) from result

    def close(self) -> None:
        """Cancel what is being read, wait for that, and drop all models."""
        self._abandoned.set()
        if self._thread is not None:
            self._thread.join()
        self.library.clear()

    def _wait(self, say: Callable[[str], None] | None, cancelled: Callable[[], bool]) -> None:
        """Wait until nothing is being read."""
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
