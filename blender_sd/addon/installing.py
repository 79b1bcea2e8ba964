"""`WindowManager.sd_setup`: whether there is an engine, what is chosen for one, and how far its set-up is, ready to be drawn.

`refresh` looks at the disk, `update` copies what a running set-up says, as `mirror.py` does for jobs; `draw()` only reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from .. import api, setup
from ..session.accelerators import ACCELERATORS
from ..session.installing import Installation
from .downloads import amount, how_far
from .layout import failure, wrapped
from .mirror import Newest

_ENDINGS = {"install": "The engine is set up", "repair": "The engine is repaired", "remove": "The engine is removed",
            "check": "This Python is used now"}
_newest = Newest()


class SD_PG_setup(bpy.types.PropertyGroup):
    """What the panel Set Up and the preferences choose and show."""

    missing: BoolProperty(name="Missing", description="Whether no Python with torch and diffusers is known")
    accelerator: EnumProperty(name="For", description="What the engine paints with; it decides which build of torch is downloaded", items=[
        (one.id, one.label, f"{one.text}. Downloads about {amount(one.download)}, takes about {amount(one.installed)} on the disk", number)
        for number, one in enumerate(setup.accelerator_choices())])
    found: StringProperty(name="Found", description="What was found on this machine that speaks for the accelerator")
    wheels: StringProperty(name="Wheels", subtype="DIR_PATH", description=(
        "A folder of wheels to set the engine up from, with no network; the guide says how to collect them on another machine. Left empty: "
        "they are downloaded"))
    place: StringProperty(name="Engine Folder", description="Where the engine is set up")
    there: StringProperty(name="Engine", description="What is set up there, in words")
    outdated: BoolProperty(name="Outdated", description="Whether the add-on has come to need other packages since")
    running: BoolProperty(name="Running", description="Whether a set-up, repair, removal or check is going on")
    progress: FloatProperty(name="Progress", description="How much of the present stage is done", subtype="FACTOR", min=0.0, max=1.0)
    text: StringProperty(name="Text", description="What is being done, or how it ended")
    error: StringProperty(name="Error", description="Why the last one failed")
    hint: StringProperty(name="Remedy", description="What to do about it")


def state() -> SD_PG_setup:
    return bpy.context.window_manager.sd_setup


def refresh() -> None:
    """Reads what `draw` and `poll` may not: whether there is an engine, what is set up, and what this machine has."""
    shown = state()
    shown.missing = not setup.engine_known()
    shown.place = str(setup.engine_place())
    one = setup.engine_environment()
    kind = ACCELERATORS.get(one.accelerator) if one else None
    shown.there = f"{kind.label if kind else one.accelerator}, {amount(one.bytes)}, Python {one.version}" if one else ""
    shown.outdated = one is not None and setup.is_outdated(one)
    if not shown.found:
        found = setup.detect_accelerator()
        shown.accelerator, shown.found = found.id, found.found


def update() -> bool:
    """Brings `WindowManager.sd_setup` up to date; whether anything changed."""
    setup.pump()
    one = (setup.installations() or [None])[-1]
    changed, ended = _newest.look(one, progress_text)
    if not changed:
        return False
    shown = state()
    shown.running = one is not None and not one.done
    if one is None:
        return True
    shown.progress, shown.text = one.progress, progress_text(one)
    if shown.running:
        shown.error = shown.hint = ""
    if ended:
        _end(one, shown)
    redraw_preferences()
    return True


def redraw_preferences() -> None:
    """The tab's own redraw does not reach them."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()


def forget() -> None:
    """The window manager is another one now (a file was loaded): write everything at the next update."""
    _newest.forget()
    refresh()


def _end(one: Installation, shown: SD_PG_setup) -> None:
    if one.error is not None:
        shown.error, shown.hint = one.error.message, one.error.hint
    elif one.action == "check" and one.state == "finished":
        use_python(one.path)
    refresh()
    if one.state == "finished" and one.action != "remove" and not shown.missing:
        api.start_engine()


def use_python(path: str) -> None:
    """Makes `path` the engine's interpreter, in the preferences where there are some."""
    from . import preferences

    prefs = preferences.get()
    if prefs is None:
        api.configure(engine_python=path)
    else:
        prefs.engine_python = path


def progress_text(one: Installation) -> str:
    """What stands in the bar: "Downloading: 1.2 GB of 2.9 GB · 4 min left"."""
    if one.done:
        return _ENDINGS[one.action] if one.state == "finished" else "Stopped; it goes on from here when started again"
    if one.cancelling:
        return "Cancelling…"
    if one.stalled and one.stage == "Downloading":
        return "Waiting for the package index…"
    if not one.bytes_total:
        return f"{one.stage}…"
    return f"{one.stage}: {how_far(one)}"


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The bar of what is going on, or how the last one ended."""
    shown = context.window_manager.sd_setup
    if shown.running:
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.progress(factor=shown.progress, text=shown.text)
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


def unregister() -> None:
    _newest.forget()
    setup.shutdown()
    del bpy.types.WindowManager.sd_setup
