"""The timer: pumps the session, keeps the panels true, shows previews, starts the engine when the tab is first seen.

`tick` is a plain function: timers do not run in background mode, and tests call it by hand.
"""
from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Iterator

import bpy
from bpy.app.handlers import persistent

from .. import api, proofs, scene, stylebook
from ..protocol.errors import SDError
from ..scene import overlay, surfaces
from . import downloads, history, installing, live, preferences, presets, properties, safeguards
from .layout import TAB
from .mirror import Mirror, current_job

log = logging.getLogger("blender_sd")

BUSY, STARTING, IDLE = 0.03, 0.1, 0.5  # seconds until the next tick
BUDGET = 0.008  # seconds of the main thread that one pump may take
PREVIEW_EVERY = 0.1  # seconds; a preview costs an upload and a redraw
_AREAS = {"VIEW_3D", "IMAGE_EDITOR", "NODE_EDITOR"}
_PROPERTIES = {"RENDER", "MATERIAL"}

_mirror = Mirror()
_previewed: tuple[str, int] | None = None  # job and serial of the preview that is shown
_preview_at = 0.0
_covered: tuple[str, list[surfaces.Surface]] = ("", [])  # a job, and the faces that its preview is shown on
_engine_wanted = True  # the tab has not been seen yet


def tick() -> float:
    """One turn; the seconds until the next. Never raises: an exception would end the timer for good."""
    try:
        return _turn()
    except Exception:  # whatever it is, the jobs after it still need their timer
        log.exception("the timer met an error")
        return IDLE


def _turn() -> float:
    _start_engine_when_seen()
    api.pump(BUDGET)
    jobs = api.jobs()
    _show_preview(current_job(jobs))
    history.watch(lambda: next(_tabs(), None) is not None)
    _show()
    soonest = live.turn() or IDLE
    if any(not job.done for job in jobs) or history.busy():
        return min(BUSY, soonest)
    if live.running():
        return soonest
    waiting = downloads.state().running or installing.state().running or proofs.running() or api.engine_status()[0] == "starting"
    return STARTING if waiting else IDLE


def soon() -> None:
    """Something was ordered or changed: draw the tabs anew, and let the next tick come without waiting out the idle pause."""
    _update()
    _redraw()
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
        bpy.app.timers.register(tick, first_interval=BUSY, persistent=True)


def _show() -> None:
    if _update():
        _redraw()


def _update() -> bool:
    """Brings what the panels read up to date; whether anything changed."""
    changed = _mirror.update() | proofs.pump() | downloads.update() | installing.update()  # all of them
    return changed | history.update() | safeguards.update()


# ---- windows -------------------------------------------------------------------------------------------------------


def _tabs() -> Iterator[bpy.types.Region]:
    """The sidebars that show our tab now."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in _AREAS and area.spaces.active.show_region_ui:
                for region in area.regions:
                    if region.type == "UI" and region.width > 1 and region.active_panel_category == TAB:
                        yield region


def _start_engine_when_seen() -> None:
    global _engine_wanted
    if _engine_wanted and not bpy.app.background and next(_tabs(), None):
        _engine_wanted = False
        properties.refresh_model_items()
        downloads.refresh()
        stylebook.styles()
        installing.refresh()
        safeguards.refresh()
        presets.make_folder()
        scene.warm_up()
        if api.engine_status()[0] == "off" and not installing.state().missing:
            api.start_engine()


def _properties() -> Iterator[bpy.types.Region]:
    """The Properties editors on a tab that has a panel of ours."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PROPERTIES" and area.spaces.active.context in _PROPERTIES:
                yield from (region for region in area.regions if region.type == "WINDOW")


def _redraw() -> None:
    for region in (*_tabs(), *_properties()):
        region.tag_redraw()
    for window in bpy.context.window_manager.windows:
        # The status bar belongs to no screen; setting its text is what redraws it. A running tool's text stays.
        if not window.modal_operators:
            with bpy.context.temp_override(window=window):
                window.workspace.status_text_set(None)


def _show_preview(job) -> None:
    global _previewed, _preview_at
    if job is None or job.preview is None:
        if _previewed is not None:
            _previewed = None
            scene.clear_preview()
            overlay.hide(overlay.JOB)
        return
    newest = (job.id, job.preview_serial)
    if newest != _previewed and time.monotonic() - _preview_at >= PREVIEW_EVERY:
        _previewed, _preview_at = newest, time.monotonic()
        scene.show_preview(job.preview)
        _show_on_mesh(job)


def _show_on_mesh(job) -> None:
    """The preview on the faces that the picture is for, drawn over them: nothing of the file is changed."""
    global _covered
    prefs = preferences.get()
    if prefs is not None and not prefs.mesh_preview:
        overlay.hide(overlay.JOB)
        return
    if _covered[0] != job.id:
        target, found = api.target_of(job), []
        try:
            found = surfaces.surfaces_of(target, bpy.context) if target is not None else []
        except SDError:
            pass  # what it was for is gone; the commit says so
        _covered = (job.id, found)
    if _covered[1]:
        overlay.show_on(overlay.JOB, _covered[1], job.preview)
    else:
        overlay.hide(overlay.JOB)


# ---- the life of the timer -----------------------------------------------------------------------------------------


@persistent
def _on_load(*_: object) -> None:
    """A file was loaded: the window manager's state is gone or is the file's own."""
    _mirror.forget()
    downloads.forget()
    installing.forget()
    history.forget()
    _show()


@persistent
def _exit(*_: object) -> None:
    api.shutdown()


def _exit_handlers() -> list | None:
    return getattr(bpy.app.handlers, "exit_pre", None)  # from 5.1 on; atexit does for the others


def register() -> None:
    global _engine_wanted, _mirror, _previewed, _covered
    _engine_wanted, _mirror, _previewed, _covered = True, Mirror(), None, ("", [])
    bpy.app.timers.register(tick, first_interval=0.1, persistent=True)
    bpy.app.handlers.load_post.append(_on_load)
    if _exit_handlers() is not None:
        _exit_handlers().append(_exit)
    atexit.register(_exit)


def unregister() -> None:
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    bpy.app.handlers.load_post.remove(_on_load)
    if _exit_handlers() is not None:
        _exit_handlers().remove(_exit)
    atexit.unregister(_exit)
    scene.release()
