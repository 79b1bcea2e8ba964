"""Models from the Hugging Face hub, for scripts and operators. Only where Blender may use the internet.

    download = sd.fetch("stabilityai/sdxl-turbo", accept_licence=True)     # returns at once; progress, eta, cancel()
    sd.generate("red brick wall", model=download.result())                 # waits
"""
from __future__ import annotations

from pathlib import Path

from ..core import hub
from ..core.errors import InvalidRequest, OutputUnwritable
from ..core.hub import HubModel
from ..library import files
from ..protocol.messages import text_of
from ..session import downloads as session_downloads
from ..session.downloads import Download
from . import policy
from .arguments import checked_call
from .runtime import check_online, runtime


def hub_models() -> tuple[HubModel, ...]:
    """Models that artists use, with their licences; `fetch` takes their `id`, and any other repository's."""
    return hub.MODELS


@checked_call
def fetch(model: str, *, accept_licence: bool = False) -> Download:
    """Download a model, ControlNet, LoRA or IP-Adapter into `models_folder()`; returns at once.

    `model`: owner/name on the hub, owner/name/file.safetensors for one file of it, or its page's address. What
    diffusers needs is taken, in half precision where there is that; never pickles. What is there already is not
    downloaded again, and a broken or cancelled download goes on where it stopped. `accept_licence`: that you have read
    the model's licence and accept it; asked for once per model. `Download.result()` waits and gives the path, which
    `model=` and the other calls take.

    Raises PolicyForbids, OnlineAccessOff, InvalidRequest (no repository's name; being downloaded already),
    OutputUnwritable, EngineMissing; the download's own errors, LicenceNotAccepted, HubRefused, ModelNotFound and
    ConnectionLost among them, come from `result()`.
    """
    repo, file = hub.parse(model)
    policy.policy().check_download(repo, file)
    check_online()
    return runtime.downloads.start(runtime.fetch_pipeline(), repo, file, folder=str(models_folder()),
                                   accepted=bool(accept_licence) or licence_accepted(repo),
                                   token=runtime.config.hub_token)


def downloads() -> list[Download]:
    """Return every download of this session, oldest first."""
    return runtime.downloads.all


def models_folder() -> Path:
    """Return where `fetch` puts models. Made on first use; raises OutputUnwritable where that fails."""
    folder = runtime.folders.download_folder()
    try:
        files.make_folders(str(folder))
    except OSError as error:
        raise OutputUnwritable(f"The folder for models {folder} cannot be made.", "Choose another in the preferences.",
                               text_of(error)) from error
    return folder


def licence_accepted(model: str) -> bool:
    """Return whether the licence of the model (as `fetch` takes it) was accepted before. Reads a file the first
    time."""
    return hub.parse(model)[0] in runtime.licences


def clear_unfinished() -> int:
    """Delete what cancelled and broken downloads left behind; how many bytes that were. Raises InvalidRequest while one
    runs."""
    if any(not download.done for download in downloads()):
        raise InvalidRequest("A download is running.", "Cancel it first.")
    folder = str(runtime.folders.download_folder())
    count = session_downloads.unfinished_bytes(folder)
    try:
        session_downloads.clear_unfinished(folder)
    except OSError as error:
        raise OutputUnwritable(f"The unfinished downloads in {folder} cannot be deleted.", "Look who may write there.",
                               text_of(error)) from error
    return count
