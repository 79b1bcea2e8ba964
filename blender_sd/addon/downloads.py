"""Define `WindowManager.sd_hub`: the model to download, and the newest download's progress, for drawing.

`update` copies it from the API, as `mirror.py` does for jobs; `draw()` only reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from ..calls import downloads, engine_control, models, policy
from ..calls.runtime import runtime
from ..core.errors import LicenceNotAccepted, SDError
from ..core.hub import MODELS, HubModel, known, parse
from ..session.downloads import Download
from ..session.transfers import Transfer
from . import properties
from .mirror import Newest, duration

OTHER = "OTHER"
_ITEMS = (*((model.id, f"{model.name} ({model.family})", f"{model.text}. About {model.gigabytes:g} GB. {model.licence}",
             number) for number, model in enumerate(MODELS)),
          (OTHER, "Other Repository", "Any other model in diffusers format, ControlNet, LoRA or IP-Adapter on the hub",
           len(MODELS)))
_scenes: dict[str, str] = {}  # download -> the scene whose panel asked for it
_newest = Newest()


class SD_PG_hub(bpy.types.PropertyGroup):
    """What Get Models chooses and shows."""

    choice: EnumProperty(name="Model", description="The model to download", items=_ITEMS)
    repo: StringProperty(
        name="Repository", description=(
            "A repository on the Hugging Face hub, as owner/name; for one file of it owner/name/file.safetensors; or "
            "its page's address"
        ))
    running: BoolProperty(name="Running", description="Whether a download is running")
    progress: FloatProperty(name="Progress", description="How much of the model is here", subtype="FACTOR", min=0.0,
                            max=1.0)
    text: StringProperty(name="Text", description="How far the download is, or how it ended")
    unaccepted: StringProperty(name="Found", description=(
        "The repository whose licence is shown below and not accepted yet"))
    licence: StringProperty(name="Licence", description="The licence that the repository names")
    link: StringProperty(name="Link", description="Where the licence can be read")
    error: StringProperty(name="Error", description="Why the newest download failed")
    hint: StringProperty(name="Remedy", description="What to do about it")
    error_kind: StringProperty(name="Kind of Error", description="Which buttons help against it")
    unfinished: BoolProperty(name="Unfinished", description="Whether a download left something behind")
    folder: StringProperty(name="Folder", description="Where models are downloaded to")

    def wanted(self) -> str:
        """Return the chosen name as `fetch` takes it (owner/name or owner/name/file), otherwise the text as it is."""
        if self.choice != OTHER:
            return self.choice
        try:
            return "/".join(filter(None, parse(self.repo)))
        except SDError:
            return self.repo.strip()

    def listed(self) -> HubModel | None:
        """Return the chosen model of the list; None if it is another one."""
        return known(self.wanted())

    def may_accept(self) -> bool:
        """Return whether the licence of the chosen model is shown, so that a click can accept it."""
        return self.listed() is not None or self.unaccepted != "" and self.unaccepted == self.wanted()

    def show_error(self, error: SDError) -> None:
        """Show `error` in the panel until the next download starts."""
        self.error, self.hint, self.error_kind = error.message, error.hint, error.kind

    def accepted(self) -> bool:
        """Return whether the licence of the chosen model was accepted before."""
        try:
            return downloads.licence_accepted(self.wanted())
        except SDError:
            return False


def state() -> SD_PG_hub:
    return bpy.context.window_manager.sd_hub


def refresh() -> None:
    """Read what `draw` and `poll` must not read: the folder for downloads, and which licences were accepted."""
    state().folder = str(runtime.folders.download_folder())
    downloads.licence_accepted(MODELS[0].id)


def started(download: Download, scene: bpy.types.Scene) -> None:
    """Remember that the panel of `scene` started `download`; the scene uses its model when it is finished."""
    _scenes[download.id] = scene.name


def update() -> bool:
    """Update `WindowManager.sd_hub`; return whether anything changed."""
    newest = (downloads.downloads() or [None])[-1]
    shown = state()
    changed, ended = _newest.show(newest, shown, progress_text)
    if changed and shown.running:
        shown.error_kind = shown.unaccepted = ""
    if ended:
        _end(newest, shown)
    return changed


def forget() -> None:
    """Write everything at the next update, because a file was loaded and the window manager may be another one."""
    _newest.forget()
    refresh()


def _end(download: Download, shown: SD_PG_hub) -> None:
    shown.unfinished = download.state != "finished" and download.bytes_done > 0
    if isinstance(download.error, LicenceNotAccepted):
        shown.unaccepted, shown.link = download.name, download.link
        shown.licence = download.licence or "None is named: all rights are its owner's"
        shown.text = amount(download.bytes_total)
    elif download.error is not None:
        shown.show_error(download.error)
    elif download.state == "finished":
        properties.refresh_model_items()
        scene = bpy.data.scenes.get(_scenes.pop(download.id, ""))
        if scene is not None:
            _choose(scene.sd, download.path)


def _choose(settings: bpy.types.PropertyGroup, path: str) -> None:
    """Choose the downloaded model, ControlNet, IP-Adapter or safety filter; a LoRA is left for the prompt."""
    try:
        settings.model = models.find_model(path).id
        settings.suit_model()
    except SDError:
        nets = [net for net in models.controlnets() if net.folder == path]
        adapters = [adapter for adapter in models.ip_adapters() if adapter.file == path]
        if nets:
            _choose_net(settings, nets[0].name)
        elif adapters:
            settings.ip_adapter = adapters[0].name
        elif policy.is_filter(path):
            _choose_filter(path)


def _choose_net(settings: bpy.types.PropertyGroup, name: str) -> None:
    """Choose the ControlNet for the selected control, or else for a new one, which is off at first."""
    control = settings.active_control()
    if control is None:
        control = settings.controls.add()
        control.enabled = False
        settings.control_index = len(settings.controls) - 1
    control.model = name


def _choose_filter(folder: str) -> None:
    """Set the safety filter in the preferences if none is set: downloading one shows that it is wanted."""
    from . import preference_access

    prefs = preference_access.get()
    if runtime.config.safety_filter:
        return
    if prefs is None:
        engine_control.configure(safety_filter=folder)
    else:
        prefs.safety_filter = folder


def progress_text(download: Download) -> str:
    """Return the text of the progress bar, such as "1.2 GB of 6.9 GB · 4 min left"."""
    if download.state == "finished":
        return f"{download.name} is here"
    if download.done:
        if not download.bytes_done:
            return "Stopped"
        return f"Stopped at {amount(download.bytes_done)} of {amount(download.bytes_total)}"
    if download.cancelling:
        return "Cancelling…"
    if download.state == "looking":
        return "Asking the hub…"
    if download.stalled:
        return "Waiting for the hub…"
    return how_far(download)


def how_far(transfer: Transfer) -> str:
    """Return the progress, such as "1.2 GB of 6.9 GB · 4 min left"; without the time while it is unknown."""
    left = f" · {duration(transfer.eta)} left" if transfer.eta is not None else ""
    return f"{amount(transfer.bytes_done)} of {amount(transfer.bytes_total)}{left}"


def amount(count: int) -> str:
    """Return `count` bytes as "6.9 GB" (10⁹ bytes), "350 MB" or "80 kB"."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 or not count else f"{count / 1e3:.0f} kB"


CLASSES = (SD_PG_hub,)


def register() -> None:
    bpy.types.WindowManager.sd_hub = PointerProperty(type=SD_PG_hub, name="Models from the Hub", description=(
        "What Get Models chooses and shows"))


def unregister() -> None:
    _newest.forget()
    _scenes.clear()
    del bpy.types.WindowManager.sd_hub
