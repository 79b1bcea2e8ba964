"""Install, repair and remove the engine, and check interpreters.

The work itself is in `workers.installation` and `workers.interpreter_check`.
"""
from __future__ import annotations

import os

from ..core.errors import InvalidRequest
from ..protocol.messages import Check, Event, Install, Stage
from .process import ProcessPipeline
from .transfers import Transfer, Transfers

ACTIONS = {"install": "The set-up", "repair": "The repair", "remove": "The removal", "check": "The check",
           "download": "The download"}


class Installation(Transfer):
    """An installation of the engine, or another of ACTIONS.

    Attributes:
        action: One of ACTIONS.
        state: working, finished, cancelled or failed.
        stage: What is being done, in words.
        bytes_done, bytes_total: The bytes of this stage; 0 if it is not counted in bytes.
        path: The engine's interpreter; "" after removing it.
    """

    moving = "working"
    go_online = ("Switch on Preferences › System › Network › Allow Online Access (for blender -b: --online-mode), or "
                 "install from a folder of wheels.")

    def __init__(self, action: str, owner: Installations) -> None:
        super().__init__(owner, "working")
        self.action, self.what = action, ACTIONS[action]
        self.stage = "Starting"

    def __repr__(self) -> str:
        return f"<Installation {self.action} {self.state} {self.stage!r} {self.progress:.0%}>"

    @property
    def stalled(self) -> bool:
        """Whether bytes should come but have not come for a while; the process then retries by itself."""
        return self.bytes_total > 0 and super().stalled

    def on_event(self, event: Event, at: float) -> bool:
        if not isinstance(event, Stage):
            return False
        self.stage, self.bytes_total = event.text, event.total
        self.mark(at, event.done)
        return True


class Installations(Transfers):
    """Manage the installations of this session; one at a time."""

    def start(self, pipeline: ProcessPipeline, action: str, *, place: str = "", lock: str = "",
              wheels: str = "", online: bool = False) -> Installation:
        """Start an action and return at once.

        Args:
            pipeline: The process that does it.
            action: One of ACTIONS.
            place, lock, wheels: See `messages.Install`.
            online: Whether it uses the internet.

        Raises:
            InvalidRequest: Another action is running.
        """
        busy = next((running for running in self._all if not running.done), None)
        if busy is not None:
            raise InvalidRequest(f"{busy.what} of the engine is going on.", "Wait until it has finished, or cancel it.")
        installation = Installation(action, self)
        installation.online = online
        request = Check(installation.id) if action == "check" else Install(
            installation.id, action, os.path.abspath(place), lock, os.path.abspath(wheels) if wheels else "")
        self.begin(pipeline, installation, request)
        return installation
