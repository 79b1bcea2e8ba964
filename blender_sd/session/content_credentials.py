"""Check content credentials in a process of their own (see `workers.content_credentials`)."""
from __future__ import annotations

import logging

from ..core.content_credentials import Proof
from ..core.errors import SDError
from ..protocol.messages import Event, Source, Verified, Verify
from .process import ProcessPipeline
from .transfers import Transfer, Transfers

log = logging.getLogger("blender_sd")


class Verification(Transfer):
    """A check of one picture's content credentials.

    Attributes:
        state: working, finished, cancelled or failed.
        proof: The result, once the check is finished.
    """

    what = "The check of the credentials"
    moving = "working"

    def __init__(self, owner: Verifications) -> None:
        super().__init__(owner, "working")
        self.proof: Proof | None = None

    def __repr__(self) -> str:
        return f"<Verification {self.state} {self.proof.state if self.proof else ''}>"

    def result(self, timeout: float | None = None) -> Proof:  # type: ignore[override]  # other transfers bring a path
        """Pump on this thread until the check has ended, and return its result.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            SDError: The check failed.
            JobCancelled: It was cancelled.
            TimeoutError: It is still running, and goes on.
        """
        super().result(timeout)
        assert self.proof is not None  # since it is finished
        return self.proof

    def on_event(self, event: Event, at: float) -> bool:
        if not isinstance(event, Verified):
            return False
        try:
            self.proof, self.state = Proof.from_json(event.report), "finished"
        except ValueError as error:
            self.state, self.error = "failed", SDError("The credentials could not be checked.", "Restart Blender.",
                                                       repr(error))
        return True


class Verifications(Transfers):
    """Manage the checks of this session."""

    def start(self, pipeline: ProcessPipeline, *, path: str = "", picture: Source | None = None) -> Verification:
        """Start to check the file at `path`, or the file's bytes in `picture`, and return at once."""
        verification = Verification(self)
        self.begin(pipeline, verification, Verify(verification.id, path, picture))
        return verification
