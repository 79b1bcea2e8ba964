"""Checks of content credentials, out of process: see `engine.verifying`."""
from __future__ import annotations

import logging

from ..protocol.errors import SDError
from ..protocol.messages import Event, Source, Verified, Verify
from ..protocol.proof import Proof
from .process import ProcessPipeline
from .transfers import Transfer, Transfers

log = logging.getLogger("blender_sd")


class Verification(Transfer):
    """A check on its way. `state`: working, finished, cancelled or failed; `proof`: what was found, once it is finished."""

    what = "The check of the credentials"
    moving = "working"

    def __init__(self, owner: Verifications) -> None:
        super().__init__(owner, "working")
        self.proof: Proof | None = None

    def __repr__(self) -> str:
        return f"<Verification {self.state} {self.proof.state if self.proof else ''}>"

    def result(self, timeout: float | None = None) -> Proof:
        """Pump on this thread until it has ended; what was found. `timeout`: seconds, None = without limit. Raises its error,
        JobCancelled, or TimeoutError (it goes on)."""
        super().result(timeout)
        return self.proof

    def hear(self, event: Event, at: float) -> bool:
        if not isinstance(event, Verified):
            return False
        try:
            self.proof, self.state = Proof.from_json(event.report), "finished"
        except ValueError as error:
            self.state, self.error = "failed", SDError("The credentials could not be checked.", "Restart Blender.", repr(error))
        return True


class Verifications(Transfers):
    """Those of this session."""

    def start(self, pipeline: ProcessPipeline, *, path: str = "", picture: Source | None = None) -> Verification:
        """Begin to check the file at `path`, or the file's bytes in `picture`; returns at once."""
        one = Verification(self)
        self.begin(pipeline, one, Verify(one.id, path, picture))
        return one
