"""The studio's policy, for scripts and for what is shown: which models it allows, what it forces, and whether the
filter is there.

    sd.policy().network                       # False where downloads are forbidden
    sd.policy().check_model("/mnt/models/x")   # raises PolicyForbids
"""
from __future__ import annotations

from ..core import blocked_words, hub
from ..core.errors import PolicyForbids, SDError
from ..core.request import Request
from ..library import policy as rules
from ..core.nets import STARTER
from ..library.checkpoints import STARTER_FOLDER
from ..library.model_folders import read_json
from ..library.models import ModelInfo
from ..library.policy import Policy
from .runtime import runtime


def policy() -> Policy:
    """Return the studio's policy as its files say it now; an empty one, which allows everything, where there is none.
    Raises PolicyForbids where one is broken: nothing can be painted then."""
    return rules.current()


def check_request(request: Request, info: ModelInfo) -> None:
    """Raise PolicyForbids, or WordBlocked, for a request that may not be carried out; the engine would refuse it
    too."""
    policy().check_request(request, info.folder, info.base_model, blocked_words.read_list(runtime.config.blocked_words))


def download_refusal(model: str) -> str:
    """Return why `model` (as `fetch` takes it) may not be downloaded, "" where it may, or is no name of a repository.
    Reads nothing: made for drawing."""
    known = rules.known()
    if isinstance(known, PolicyForbids):
        return str(known)
    try:
        known.check_download(*hub.parse(model))
    except PolicyForbids as error:
        return str(error)
    except SDError:
        return ""
    return ""


def is_filter(folder: str) -> bool:
    """Return whether a safety filter lies in `folder`, as its config says. Reads a file."""
    try:
        return hub.is_classifier(read_json(folder, "config.json"))
    except SDError:
        return False


def filters(model: str) -> bool:
    """Return whether a filter would look at pictures of the model of that id: the starter's need none."""
    return bool(runtime.policy.state.filter) and model not in (STARTER, STARTER_FOLDER)
