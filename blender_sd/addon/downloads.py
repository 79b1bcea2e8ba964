"""`WindowManager.sd_hub`: which model is to be downloaded, and how far the newest download is, ready to be drawn.

`update` copies it from the API, as `mirror.py` does for jobs; `draw()` only reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from .. import api, catalogue, config, hub, studio
from ..protocol.errors import LicenceNotAccepted, SDError
from ..protocol.hub import MODELS, HubModel, known, parse
from ..session.downloads import Download
from ..session.transfers import Transfer
from . import properties
from .mirror import Newest, duration

OTHER = "OTHER"
_ITEMS = (*((model.id, f"{model.name} ({model.family})", f"{model.text}. About {model.gigabytes:g} GB. {model.licence}", number)
            for number, model in enumerate(MODELS)),
          (OTHER, "Other Repository", "Any other model in diffusers format, ControlNet, LoRA or IP-Adapter on the hub", len(MODELS)))
_scenes: dict[str, str] = {}  # download -> the scene whose panel asked for it
_newest = Newest()


class SD_PG_hub(bpy.types.PropertyGroup):
    """What the panel Get Models chooses and shows."""

    choice: EnumProperty(name="Model", description="The model to download", items=_ITEMS)
    repo: StringProperty(name="Repository", description=(
        "A repository on the Hugging Face hub, as owner/name; for one file of it owner/name/file.safetensors; or its page's address"))
    running: BoolProperty(name="Running", description="Whether a download is running")
    progress: FloatProperty(name="Progress", description="How much of the model is here", subtype="FACTOR", min=0.0, max=1.0)
    text: StringProperty(name="Text", description="How far the download is, or how it ended")
    found: StringProperty(name="Found", description="The repository whose licence is shown below and not accepted yet")
    licence: StringProperty(name="Licence", description="The licence that the repository names")
    link: StringProperty(name="Link", description="Where the licence can be read")
    error: StringProperty(name="Error", description="Why the newest download failed")
    hint: StringProperty(name="Remedy", description="What to do about it")
    error_kind: StringProperty(name="Kind of Error", description="Which buttons help against it")
    unfinished: BoolProperty(name="Unfinished", description="Whether a download left something behind")
    folder: StringProperty(name="Folder", description="Where models are downloaded to")

    def wanted(self) -> str:
        """What is chosen, as `hub.fetch` takes it: owner/name or owner/name/file, where it is one."""
        if self.choice != OTHER:
            return self.choice
        try:
            return "/".join(filter(None, parse(self.repo)))
        except SDError:
            return self.repo.strip()

    def listed(self) -> HubModel | None:
        """The chosen model of the list; None for others."""
        return known(self.wanted())

    def may_accept(self) -> bool:
        """Whether the licence of the chosen model is on display, so that a click can accept it."""
        return self.listed() is not None or self.found != "" and self.found == self.wanted()

    def show_error(self, error: SDError) -> None:
        """Shows `error` in the panel until the next download starts."""
        self.error, self.hint, self.error_kind = error.message, error.hint, error.kind

    def accepted(self) -> bool:
        """Whether the licence of the chosen model was accepted before."""
        try:
            return hub.licence_accepted(self.wanted())
        except SDError:
            return False


def state() -> SD_PG_hub:
    return bpy.context.window_manager.sd_hub


def refresh() -> None:
    """Reads what `draw` and `poll` may not: the folder for downloads, and which licences were accepted."""
    state().folder = str(config.download_folder())
    hub.licence_accepted(MODELS[0].id)


def started(one: Download, scene: bpy.types.Scene) -> None:
    """`one` was asked for in the panel: once it is here, `scene` uses it."""
    _scenes[one.id] = scene.name


def update() -> bool:
    """Brings `WindowManager.sd_hub` up to date; whether anything changed."""
    one = (hub.downloads() or [None])[-1]
    changed, ended = _newest.look(one, progress_text)
    if not changed:
        return False
    shown = state()
    shown.running = one is not None and not one.done
    if one is None:
        return True
    shown.progress, shown.text = one.progress, progress_text(one)
    if shown.running:
        shown.error = shown.hint = shown.error_kind = shown.found = ""
    if ended:
        _end(one, shown)
    return True


def forget() -> None:
    """The window manager is another one now (a file was loaded): write everything at the next update."""
    _newest.forget()
    refresh()


def _end(one: Download, shown: SD_PG_hub) -> None:
    shown.unfinished = one.state != "finished" and one.bytes_done > 0
    if isinstance(one.error, LicenceNotAccepted):
        shown.found, shown.licence, shown.link = one.name, one.licence or "None is named: all rights are its owner's", one.link
        shown.text = amount(one.bytes_total)
    elif one.error is not None:
        shown.show_error(one.error)
    elif one.state == "finished":
        properties.refresh_model_items()
        scene = bpy.data.scenes.get(_scenes.pop(one.id, ""))
        if scene is not None:
            _choose(scene.sd, one.path)


def _choose(settings: bpy.types.PropertyGroup, path: str) -> None:
    """Makes what has come the chosen model, ControlNet, IP-Adapter or safety filter; a LoRA is left for the prompt."""
    try:
        settings.model = catalogue.find_model(path).id
        settings.suit_model()
    except SDError:
        nets = [net for net in catalogue.controlnets() if net.folder == path]
        adapters = [one for one in catalogue.ip_adapters() if one.file == path]
        if nets:
            _choose_net(settings, nets[0].name)
        elif adapters:
            settings.ip_adapter = adapters[0].name
        elif studio.is_filter(path):
            _choose_filter(path)


def _choose_net(settings: bpy.types.PropertyGroup, name: str) -> None:
    """For the selected control; where there is none, for a new one, which is off until the person wants it."""
    control = settings.active_control()
    if control is None:
        control = settings.controls.add()
        control.enabled = False
        settings.control_index = len(settings.controls) - 1
    control.model = name


def _choose_filter(folder: str) -> None:
    """For the preferences, where none is chosen yet: whoever downloads one wants it."""
    from . import preferences

    prefs = preferences.get()
    if config.current.safety_filter:
        return
    if prefs is None:
        api.configure(safety_filter=folder)
    else:
        prefs.safety_filter = folder


def progress_text(one: Download) -> str:
    """What stands in the bar: "1.2 GB of 6.9 GB · 4 min left"."""
    if one.state == "finished":
        return f"{one.name} is here"
    if one.done:
        return f"Stopped at {amount(one.bytes_done)} of {amount(one.bytes_total)}" if one.bytes_done else "Stopped"
    if one.cancelling:
        return "Cancelling…"
    if one.state == "looking":
        return "Asking the hub…"
    if one.stalled:
        return "Waiting for the hub…"
    return how_far(one)


def how_far(one: Transfer) -> str:
    """"1.2 GB of 6.9 GB · 4 min left"; without the time while it is unknown."""
    left = f" · {duration(one.eta)} left" if one.eta is not None else ""
    return f"{amount(one.bytes_done)} of {amount(one.bytes_total)}{left}"


def amount(count: int) -> str:
    """`count` bytes as "6.9 GB" (10⁹ bytes), "350 MB" or "80 kB"."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 or not count else f"{count / 1e3:.0f} kB"


CLASSES = (SD_PG_hub,)


def register() -> None:
    bpy.types.WindowManager.sd_hub = PointerProperty(type=SD_PG_hub, name="Models from the Hub", description=(
        "What the panel Get Models chooses and shows"))


def unregister() -> None:
    _newest.forget()
    _scenes.clear()
    del bpy.types.WindowManager.sd_hub
