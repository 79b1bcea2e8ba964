"""What panels show of the studio's policy: made ready when it is looked at, so that drawing reads no file."""
from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..core.errors import PolicyForbids, SDError
from . import policy
from .models import ModelInfo
from .policy import Policy


@dataclass(frozen=True)
class State:
    """What panels show, ready to be drawn. `files`: where the policy is written, none without one; `broken`: why
    nothing can be painted. `filter`: the safety filter's name, "" for none; `filter_file`, `marking_file`: which file
    sets the filter, or that pictures are marked, "" where none does; `lacking`: whether its folder is not there."""

    files: tuple[str, ...] = ()
    contact: str = ""
    broken: str = ""
    hint: str = ""
    marking_file: str = ""
    network: bool = True
    filter: str = ""
    filter_file: str = ""
    lacking: bool = False


def check_model(info: ModelInfo) -> None:
    """Raise PolicyForbids for a model that may not be used. Reads small files."""
    current = policy.current()
    for place in filter(None, (info.folder, info.base_model)):
        current.check_model(place)


class PolicyStatus:
    """The policy as it was last looked at, and which models it allows.

    Args:
        own_filter: Returns the folder of the person's own safety filter, "" for none.
    """

    def __init__(self, own_filter: Callable[[], str]) -> None:
        self._own_filter = own_filter
        self.forget()

    def forget(self) -> None:
        """Forget all that was looked at."""
        self.state = State()
        self._folders: list[str] = []  # of the filters that were there
        self._verdicts: dict[str, str] = {}  # id of a model -> why it is not allowed, "" where it is
        self._judged_by: Policy | PolicyForbids | None = None  # the policy that the verdicts follow

    def refusal(self, model: str) -> str:
        """Return why the model of that id may not be used; "" where it may, or was not looked at yet. Reads nothing."""
        return self.state.broken or self._verdicts.get(model, "")

    def allowed(self, models: list[ModelInfo]) -> list[ModelInfo]:
        """Return the models that the policy allows. Reads the licences of those not looked at under it; never
        raises."""
        with suppress(PolicyForbids):
            policy.current()
        self._forget_other_policy()
        for info in models:
            if info.id not in self._verdicts:
                try:
                    check_model(info)
                    self._verdicts[info.id] = ""
                except SDError as error:
                    self._verdicts[info.id] = str(error)
        return [info for info in models if not self._verdicts[info.id]]

    def look(self) -> bool:
        """Look at the policy's files, and return whether anything changed. The filter's folder, which may be far away,
        is looked at while it is new or missing: a job says when it has gone since."""
        before = self.state
        try:
            current = policy.current()
        except PolicyForbids as error:
            self.state = State(broken=error.message, hint=error.hint)
        else:
            folders = [rule.folder for rule in current.filters] or list(filter(None, (self._own_filter(),)))
            there = folders == self._folders or all(
                os.path.isfile(os.path.join(folder, "config.json")) for folder in folders)
            self._folders = folders if there else []
            self.state = State(current.files, " ".join(current.contacts), marking_file=current.source("marking"),
                               network=current.network,
                               filter=", ".join(os.path.basename(os.path.normpath(folder)) for folder in folders),
                               filter_file=current.source("filter"), lacking=not there)
        return self.state != before or self._forget_other_policy()

    def _forget_other_policy(self) -> bool:
        known = policy.known()
        if known is self._judged_by:
            return False
        self._judged_by = known
        self._verdicts.clear()
        return True
