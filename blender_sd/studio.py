"""The studio's policy, for scripts and for what is shown: which models it allows, what it forces, and whether the filter is there.

    sd.policy().network                       # False where downloads are forbidden
    sd.policy().check_model("/mnt/models/x")   # raises PolicyForbids
"""
from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from . import config
from .protocol import blocked, hub
from .protocol import policy as rules
from .protocol.checkpoints import STARTER, STARTER_FOLDER
from .protocol.errors import PolicyForbids, SDError
from .protocol.policy import Policy
from .protocol.request import Request
from .session.folders import read_json
from .session.library import ModelInfo

_verdicts: dict[str, str] = {}  # id of a model -> why it is not allowed, "" where it is; of the policy `_judged_by`
_judged_by: Policy | PolicyForbids | None = None  # as `rules.known` gave it


@dataclass(frozen=True)
class State:
    """What panels show, ready to be drawn. `files`: where the policy is written, none without one; `broken`: why nothing can be painted.
    `filter`: the safety filter's name, "" for none; `filter_file`, `marking_file`: which file sets the filter, or that pictures are
    marked, "" where none does; `lacking`: whether its folder is not there."""

    files: tuple[str, ...] = ()
    contact: str = ""
    broken: str = ""
    hint: str = ""
    marking_file: str = ""
    network: bool = True
    filter: str = ""
    filter_file: str = ""
    lacking: bool = False


state = State()  # as `look` has found it last
_folders: list[str] = []  # of the filters that were there then


def policy() -> Policy:
    """The studio's policy as its files say it now; an empty one, which allows everything, where there is none. Raises PolicyForbids where
    one is broken: nothing can be painted then."""
    return rules.current()


def check_model(info: ModelInfo) -> None:
    """Raises PolicyForbids for a model that may not be used. Reads small files."""
    found = policy()
    for place in filter(None, (info.folder, info.borrowed)):
        found.check_model(place)


def check_order(request: Request, info: ModelInfo) -> None:
    """Raises PolicyForbids, or WordBlocked, for an order that may not be carried out; the engine would refuse it too."""
    policy().check_order(request, info.folder, info.borrowed, blocked.read_list(config.current.blocked_words))


def check_words(prompt: str, negative: str = "") -> None:
    """Raises WordBlocked for prompts that hold a blocked word, before their lists are filled in."""
    words = (*policy().blocked_words, *blocked.read_list(config.current.blocked_words))
    if words:
        blocked.check(words, Request(prompt=prompt, negative=negative))


def marks() -> bool:
    """Whether pictures are marked as made by a model: as the person, or else the policy, has it. Reads nothing."""
    found = rules.known()
    return config.current.marking or isinstance(found, PolicyForbids) or found.marking


def refusal(model: str) -> str:
    """Why the model of that id may not be used, "" where it may, or where it was not looked at yet. Reads nothing: made for drawing."""
    return state.broken or _verdicts.get(model, "")


def download_refusal(model: str) -> str:
    """Why `model` (as `hub.fetch` takes it) may not be downloaded, "" where it may, or is no name of a repository. Reads nothing: made for
    drawing."""
    found = rules.known()
    if isinstance(found, PolicyForbids):
        return str(found)
    try:
        found.check_download(*hub.parse(model))
    except PolicyForbids as error:
        return str(error)
    except SDError:
        return ""
    return ""


def allowed(models: list[ModelInfo]) -> list[ModelInfo]:
    """Those that the policy allows. Reads the licences of those that were not looked at under this policy; never raises."""
    with suppress(PolicyForbids):
        rules.current()
    _forget_of_another()
    for info in models:
        if info.id not in _verdicts:
            try:
                check_model(info)
                _verdicts[info.id] = ""
            except SDError as error:
                _verdicts[info.id] = str(error)
    return [info for info in models if not _verdicts[info.id]]


def look() -> bool:
    """Looks at the policy's files; whether anything is another than before. The filter's folder, which may be far away, is looked at as
    long as it is another or was not there: a job says when it has gone since."""
    global state, _folders
    before = state
    try:
        found = rules.current()
    except PolicyForbids as error:
        state = State(broken=error.message, hint=error.hint)
    else:
        folders = [one.folder for one in found.filters] or list(filter(None, (config.current.safety_filter,)))
        there = folders == _folders or all(os.path.isfile(os.path.join(folder, "config.json")) for folder in folders)
        _folders = folders if there else []
        state = State(
            found.files, " ".join(found.contacts), marking_file=found.source("marking"), network=found.network,
            filter=", ".join(os.path.basename(os.path.normpath(folder)) for folder in folders), filter_file=found.source("filter"),
            lacking=not there)
    return state != before or _forget_of_another()


def forget() -> None:
    """All that was looked at."""
    global state, _folders, _judged_by
    state, _folders, _judged_by = State(), [], None
    _verdicts.clear()


def is_filter(folder: str) -> bool:
    """Whether a safety filter lies in `folder`, as its config says. Reads a file."""
    try:
        return hub.is_classifier(read_json(folder, "config.json"))
    except SDError:
        return False


def filters(model: str) -> bool:
    """Whether a filter would look at pictures of the model of that id: the starter's need none."""
    return bool(state.filter) and model not in (STARTER, STARTER_FOLDER)


def _forget_of_another() -> bool:
    global _judged_by
    now = rules.known()
    if now is _judged_by:
        return False
    _judged_by = now
    _verdicts.clear()
    return True
