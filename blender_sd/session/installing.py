"""The set-up of the engine, its repair and removal, and the check of an interpreter: see `engine.installing` and `engine.checking`."""
from __future__ import annotations

import os

from ..protocol.errors import InvalidRequest
from ..protocol.messages import Check, Event, Install, Stage
from .process import ProcessPipeline
from .transfers import Transfer, Transfers

ACTIONS = {"install": "The set-up", "repair": "The repair", "remove": "The removal", "check": "The check"}


class Installation(Transfer):
    """A set-up of the engine on its way, or another of ACTIONS.

    `state`: working, finished, cancelled or failed; `stage` says in words what is being done now. `bytes_done` of `bytes_total` are
    those of that stage, 0 where it is not counted in bytes. `path`: the engine's interpreter ("" once it is removed).
    """

    moving = "working"

    def __init__(self, action: str, owner: Installations) -> None:
        super().__init__(owner, "working")
        self.action, self.what = action, ACTIONS[action]
        self.stage = "Starting"

    def __repr__(self) -> str:
        return f"<Installation {self.action} {self.state} {self.stage!r} {self.progress:.0%}>"

    @property
    def stalled(self) -> bool:
        """Whether bytes should come, and none has come for a while; the process then tries again by itself."""
        return self.bytes_total > 0 and super().stalled

    def hear(self, event: Event, at: float) -> bool:
        if not isinstance(event, Stage):
            return False
        self.stage, self.bytes_total = event.text, event.total
        self.mark(at, event.done)
        return True


class Installations(Transfers):
    """Those of this session; one at a time."""

    def start(self, pipeline: ProcessPipeline, action: str, *, place: str = "", lock: str = "", wheels: str = "") -> Installation:
        """Begin `action`, see `messages.Install` and `messages.Check`; returns at once. Raises InvalidRequest while another runs."""
        busy = next((one for one in self._all if not one.done), None)
        if busy is not None:
            raise InvalidRequest(f"{busy.what} of the engine is going on.", "Wait until it has finished, or cancel it.")
        one = Installation(action, self)
        order = Check(one.id) if action == "check" else Install(one.id, action, os.path.abspath(place), lock,
                                                                os.path.abspath(wheels) if wheels else "")
        self.begin(pipeline, one, order)
        return one
