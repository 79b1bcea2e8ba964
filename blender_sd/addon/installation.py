"""Define `WindowManager.sd_setup`: whether there is an engine, the settings of its installation, and its progress.

`refresh` reads the disk, `update` copies the state of a running installation, as `mirror.py` does for jobs; `draw()`
only reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import os
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from ..calls import engine_control, installation
from ..calls.runtime import runtime
from ..core.errors import InvalidRequest
from ..library.accelerators import ACCELERATORS
from ..session.installations import Installation
from .downloads import amount, how_far
from .layout import failure, wrapped
from .mirror import Newest
from .translations.words import translated

_ENDINGS = {"install": "The engine is set up", "repair": "The engine is repaired", "remove": "The engine is removed",
            "check": "This Python is used now", "download": "The wheels are there"}
_newest = Newest()


class SD_PG_setup(bpy.types.PropertyGroup):
    """What the panel Set Up and the preferences choose and show."""

    missing: BoolProperty(name="Missing", description="Whether no Python with torch and diffusers is known")
    accelerator: EnumProperty(
        name="For",
        description="What the engine paints with; it decides which build of torch is downloaded",
        items=[
            (choice.id, choice.label, choice.text, number)  # the most suitable first
            for number, choice in enumerate(installation.accelerator_choices())])
    reason: StringProperty(name="Found", description="What was found on this machine that speaks for the accelerator")
    wheels: StringProperty(name="Wheels", subtype="DIR_PATH", description=(
        "A folder of wheels to set the engine up from, with no network; the guide says how to collect them on another "
        "machine. Left empty: they are downloaded"))
    base: StringProperty(name="Folder", subtype="DIR_PATH", description=(
        "Where the engine, models, pictures and your styles go, each into a folder of its own. Setting up the engine "
        "confirms it. Uninstalling the extension deletes nothing in it"))
    base_offered: StringProperty(name="Offered Folder", description="What was filled in as the folder",
                                 options={"HIDDEN"})
    obstacle: StringProperty(name="Obstacle",
                             description="Why this machine can have no engine, and what it can have instead")
    place: StringProperty(name="Engine Folder", description="Where the engine is set up")
    pictures: StringProperty(name="Pictures", description="Where finished pictures go")
    models: StringProperty(name="Models", description="Where models from the hub go")
    styles: StringProperty(name="Styles", description="Where styles of your own go")
    deleted: StringProperty(name="Deleted",
                            description="What lies in the extension's folder, which is deleted when it is uninstalled")
    there: StringProperty(name="Engine", description="What is set up there, in words")
    outdated: BoolProperty(name="Outdated", description="Whether the add-on has come to need other packages since")
    running: BoolProperty(name="Running", description="Whether a set-up, repair, removal or check is going on")
    progress: FloatProperty(name="Progress", description="How much of the present stage is done", subtype="FACTOR",
                            min=0.0, max=1.0)
    text: StringProperty(name="Text", description="What is being done, or how it ended")
    error: StringProperty(name="Error", description="Why the last one failed")
    hint: StringProperty(name="Remedy", description="What to do about it")


def state() -> SD_PG_setup:
    return bpy.context.window_manager.sd_setup


def refresh() -> None:
    """Read what `draw` and `poll` must not read: whether there is an engine, what is installed, and the hardware."""
    shown = state()
    shown.missing = not installation.engine_known()
    _refresh_folders(shown)
    environment = installation.engine_environment()
    kind = ACCELERATORS.get(environment.accelerator) if environment else None
    shown.there = ""
    if environment:
        label = kind.label if kind else environment.accelerator
        shown.there = f"{label}, {amount(environment.bytes)}, Python {environment.version}"
    shown.outdated = environment is not None and installation.is_outdated(environment)
    shown.reason = shown.reason or installation.detect_accelerator().reason


def _refresh_once() -> None:
    """Refresh from a timer: after the add-on was enabled, the preferences are open already and the tab is not."""
    refresh()
    redraw_preferences()


def _refresh_folders(shown: SD_PG_setup) -> None:
    base = str(runtime.folders.base_folder())
    if shown.base in ("", shown.base_offered):  # otherwise the artist is choosing another one
        shown.base = shown.base_offered = base
    shown.place, shown.pictures, shown.models, shown.styles = map(
        str, (runtime.folders.engine_place(), runtime.folders.output_path(), runtime.folders.download_folder(),
              runtime.folders.style_folder()))
    kept = {"the engine": shown.place, "pictures": shown.pictures, "models": shown.models, "styles": shown.styles}
    shown.deleted = ", ".join(name for name, folder in kept.items()
                              if Path(folder).is_relative_to(runtime.folders.own_folder("")))
    error = installation.obstacle()
    shown.obstacle = str(error) if error is not None else ""


def confirm_base() -> None:
    """Keep the folder that is shown, which the button below it confirms. Variables (%USERPROFILE%) and ~ are expanded.

    Raises:
        InvalidRequest: The path is not absolute; Windows would take it as relative to Blender's program.
    """
    from . import preference_access

    base, prefs = os.path.expandvars(os.path.expanduser(bpy.path.abspath(
        state().base.strip()))), preference_access.get()
    if not base:
        raise InvalidRequest("There is no folder for the engine, models and pictures.", "Choose one above the button.")
    if not os.path.isabs(base):
        raise InvalidRequest(f"The folder {base} is no whole path.", "Choose one that begins with a drive, or with /.")
    if prefs is None:
        engine_control.configure(base=base)
    elif prefs.base != base:
        prefs.base = base


def update() -> bool:
    """Update `WindowManager.sd_setup`; return whether anything changed."""
    newest = (installation.installations() or [None])[-1]
    shown = state()
    changed, ended = _newest.show(newest, shown, progress_text)
    if ended:
        _end(newest, shown)
    if changed and newest is not None:
        redraw_preferences()
    return changed


def redraw_preferences() -> None:
    """Redraw the preferences, which the tab's own redraw does not include."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


def forget() -> None:
    """Write everything at the next update, because a file was loaded and the window manager may be another one."""
    _newest.forget()
    refresh()


def _end(run: Installation, shown: SD_PG_setup) -> None:
    if run.error is not None:
        shown.error, shown.hint = run.error.message, run.error.hint
    elif run.action == "check" and run.state == "finished":
        try:
            confirm_base()
        except InvalidRequest as error:
            shown.error, shown.hint = error.message, error.hint
        else:
            use_python(run.path)
    refresh()
    if run.state == "finished" and run.action != "remove" and not shown.missing:
        engine_control.start_engine()


def use_python(path: str) -> None:
    """Make `path` the engine's interpreter, in the preferences if there are any."""
    from . import preference_access

    prefs = preference_access.get()
    if prefs is None:
        engine_control.configure(engine_python=path)
    else:
        prefs.engine_python = path


def progress_text(run: Installation) -> str:
    """Return the text of the progress bar, such as "Downloading: 1.2 GB of 2.9 GB · 4 min left"."""
    if run.done:
        return _ENDINGS[run.action] if run.state == "finished" else "Stopped; it goes on from here when started again"
    if run.cancelling:
        return "Cancelling…"
    if run.stalled and run.stage == "Downloading":
        return "Waiting for the package index…"
    if not run.bytes_total:
        return f"{run.stage}…"
    return f"{run.stage}: {how_far(run)}"


def draw_choice(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the accelerator, the reason for it, and its size, in the panel and in the preferences alike."""
    shown = context.window_manager.sd_setup
    choice = ACCELERATORS[shown.accelerator]
    layout.prop(shown, "accelerator", text="")
    if shown.reason:
        wrapped(layout, context, f"Found: {shown.reason}.")
    verb = "Unpacks from the folder of wheels" if shown.wheels else f"Downloads about {amount(choice.download)}"
    wrapped(layout, context, f"{verb}, and takes about {amount(choice.installed)} on the disk.", "IMPORT")


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the progress of the current installation, or how the last one ended."""
    shown = context.window_manager.sd_setup
    if shown.running:
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.progress(factor=shown.progress, text=translated(shown.text))
        row.operator("sd.cancel_setup", text="", icon="X")
    elif shown.error:
        box = failure(layout, context, shown.error, shown.hint)
        row = box.row(align=True)
        row.operator("sd.open_log", text="Open the Log", icon="TEXT")
        row.operator("sd.copy_report", text="Copy Report", icon="COPYDOWN")
    elif shown.text:
        wrapped(layout, context, f"{shown.text}.", "INFO")


CLASSES = (SD_PG_setup,)


def register() -> None:
    bpy.types.WindowManager.sd_setup = PointerProperty(type=SD_PG_setup, name="Engine Set-Up", description=(
        "What the panel Set Up chooses and shows"))
    bpy.app.timers.register(_refresh_once)


def unregister() -> None:
    if bpy.app.timers.is_registered(_refresh_once):
        bpy.app.timers.unregister(_refresh_once)
    _newest.forget()
    del bpy.types.WindowManager.sd_setup
