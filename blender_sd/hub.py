"""Models from the Hugging Face hub, for scripts and operators. Only where Blender may use the internet.

    download = sd.fetch("stabilityai/sdxl-turbo", accept_licence=True)     # returns at once; progress, eta, cancel()
    sd.generate("red brick wall", model=download.result())                 # waits
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from . import config, studio
from .protocol import hub
from .protocol.errors import InvalidRequest, OnlineAccessOff, OutputUnwritable
from .protocol.hub import HubModel
from .protocol.messages import text_of
from .session import downloads as session
from .session.downloads import Download, Downloads
from .session.licences import Licences
from .session.transfers import Transfer, Transfers

_downloads: Downloads | None = None
_licences: Licences | None = None
on_installed: list[Callable[[], None]] = []  # called when a model has come


def check_online() -> None:
    """Raises OnlineAccessOff where Blender may not use the internet."""
    import bpy

    if not bpy.app.online_access:
        raise OnlineAccessOff("Blender is not allowed to use the internet.",
                              "Switch on Preferences › System › Network › Allow Online Access (for blender -b: --online-mode).")


def hub_models() -> tuple[HubModel, ...]:
    """Models that artists use, with their licences; `fetch` takes their `id`, and any other repository's."""
    return hub.MODELS


def fetch(model: str, *, accept_licence: bool = False) -> Download:
    """Downloads a model, ControlNet, LoRA or IP-Adapter into `models_folder()`; returns at once.

    `model`: owner/name on the hub, owner/name/file.safetensors for one file of it, or its page's address. What diffusers
    needs is taken, in half precision where there is that; never pickles. What is there already is not downloaded again, and a
    broken or cancelled download goes on where it stopped. `accept_licence`: that you have read the model's licence and accept it;
    asked for once per model. `Download.result()` waits and gives the path, which `model=` and the other calls take.

    Raises PolicyForbids, OnlineAccessOff, InvalidRequest (no repository's name; being downloaded already), OutputUnwritable, EngineMissing;
    the download's own errors, LicenceNotAccepted, HubRefused, ModelNotFound and ConnectionLost among them, come from `result()`.
    """
    global _downloads
    repo, file = hub.parse(model)
    studio.policy().check_download(repo, file)
    check_online()
    if _downloads is None:
        _downloads = Downloads(_told)
    return _downloads.start(config.fetch_pipeline(), repo, file, folder=str(models_folder()),
                            accepted=bool(accept_licence) or licence_accepted(repo), token=config.current.hub_token)


def downloads() -> list[Download]:
    """Every download of this session, oldest first."""
    return _downloads.all if _downloads else []


def models_folder() -> Path:
    """Where `fetch` puts models. Made on first use; raises OutputUnwritable where that fails."""
    folder = config.download_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputUnwritable(f"The folder for models {folder} cannot be made.", "Choose another in the preferences.",
                               text_of(error)) from error
    return folder


def licence_accepted(model: str) -> bool:
    """Whether the licence of the model (as `fetch` takes it) was accepted before. Reads a file the first time."""
    global _licences
    if _licences is None:
        _licences = Licences(str(config.own_folder("licences.json")))
    return hub.parse(model)[0] in _licences


def clear_unfinished() -> int:
    """Deletes what cancelled and broken downloads left behind; how many bytes that were. Raises InvalidRequest while one runs."""
    if any(not one.done for one in downloads()):
        raise InvalidRequest("A download is running.", "Cancel it first.")
    folder = str(config.download_folder())
    count = session.unfinished_bytes(folder)
    try:
        session.clear_unfinished(folder)
    except OSError as error:
        raise OutputUnwritable(f"The unfinished downloads in {folder} cannot be deleted.", "Look who may write there.",
                               text_of(error)) from error
    return count


def pump() -> bool:
    """Brings in what the downloads report, and ends them where Blender may no longer use the internet; whether anything
    changed. Main thread only; `api.pump` calls it."""
    if _downloads is None:
        return False
    end_offline(_downloads, _downloads.all)
    return _downloads.pump()


def end_offline(transfers: Transfers, ones: Iterable[Transfer], check: Callable[[], None] = check_online) -> None:
    """Ends those of `ones` that still go on, where `check` says that Blender may no longer use the internet."""
    for one in ones:
        if not one.done:
            try:
                check()
            except OnlineAccessOff as error:
                transfers.cancel(one, error)


def shutdown() -> None:
    """Ends the downloads; the next call starts afresh. `api.shutdown` calls it."""
    global _downloads
    gone, _downloads = _downloads, None
    if gone:
        gone.shutdown()


def _told(one: Download) -> None:
    if one.accepted and one.bytes_total and not licence_accepted(one.repo):
        _licences.accept(one.repo, one.licence)
    if one.state == "finished":
        for call in on_installed:
            call()
