"""Run the timer: pump the session, update panels, show previews, start the engine when the tab is first seen.

`tick` is a plain function, since timers do not run in background mode and tests call it themselves.
"""
from __future__ import annotations

import atexit
import logging
from collections.abc import Iterator

import bpy
from bpy.app.handlers import persistent

from .. import scene
from ..calls import content_credentials, engine_control, job_queue, styles
from . import (
    animation, downloads, escape, history, image_origin, installation, live, map_exporting, mask_painting, opening,
    policy, presets, properties, render_restyling, state, status_bar, style_icons, task_prompts, view_strip, visible,
)
from .job_preview import JobPreview
from .layout import tab_is_open, tabs
from .mirror import Mirror, current_job

log = logging.getLogger("blender_sd")

BUSY, STARTING, IDLE = 0.03, 0.1, 0.5  # seconds until the next tick
BUDGET = 0.008  # seconds of the main thread that one pump may take
_PROPERTIES = {"RENDER", "MATERIAL"}

_mirror = Mirror()
_preview = JobPreview()
_engine_wanted = True  # until the tab is first seen


def tick() -> float:
    """Run one turn; return the seconds until the next. Never raises: an exception would end the timer for good."""
    try:
        return _turn()
    except Exception:  # any error: later jobs still need their timer
        log.exception("the timer met an error")
        return IDLE


def _turn() -> float:
    escape.look()
    render_restyling.turn()
    status_bar.keep()
    _start_engine_when_seen()
    checking = content_credentials.running()
    came = job_queue.pump(BUDGET)
    jobs = job_queue.jobs()
    _preview.update(current_job(jobs))
    opening_waits = opening.turn()
    history.watch(tab_is_open)
    _show(checking and came)
    soonest = live.turn() or IDLE
    going = any(not job.done and job.state != "paused" for job in jobs)
    if (going or history.busy() or image_origin.busy() or task_prompts.busy() or view_strip.busy()
            or map_exporting.running()):
        return min(BUSY, soonest)
    if live.running():
        return soonest
    waiting = (downloads.state().running or installation.state().running or content_credentials.running()
               or engine_control.engine_status()[0] == "starting")
    return STARTING if waiting or opening_waits else IDLE


def soon() -> None:
    """Draw the tabs again after a change, and let the next tick come without waiting for the idle pause."""
    _update()
    _redraw()
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
        bpy.app.timers.register(tick, first_interval=BUSY, persistent=True)


def _show(changed: bool = False) -> None:
    if _update() or changed:
        _redraw()


def _update() -> bool:
    """Update what the panels read; return whether anything changed."""
    parts = (_mirror.update, state.update, downloads.update, installation.update, history.update,
             image_origin.update, policy.update, visible.update, task_prompts.update, mask_painting.update,
             style_icons.update, animation.update, view_strip.update, map_exporting.turn)
    changed = [part() for part in parts]  # a list, so that all parts are updated
    return any(changed)


# ---- windows -------------------------------------------------------------------------------------------------------


def _start_engine_when_seen() -> None:
    global _engine_wanted
    if _engine_wanted and not bpy.app.background and tab_is_open():
        _engine_wanted = False
        properties.refresh_model_items()
        downloads.refresh()
        styles.styles()
        installation.refresh()
        policy.refresh()
        presets.make_folder()
        scene.warm_up()
        if engine_control.engine_status()[0] == "off" and not installation.state().missing:
            engine_control.start_engine()


def _properties() -> Iterator[bpy.types.Region]:
    """Yield the Properties editors on a tab that has a panel of ours."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PROPERTIES" and area.spaces.active.context in _PROPERTIES:
                yield from (region for region in area.regions if region.type == "WINDOW")


def _redraw() -> None:
    for region in (*tabs(), *_properties()):
        region.tag_redraw()
    status_bar.redraw()


# ---- the life of the timer -----------------------------------------------------------------------------------------


@persistent
def _on_load(*_: object) -> None:
    """Reset everything after a file was loaded: the window manager's state is lost or that of the file."""
    _mirror.forget()
    state.clear_error()  # an error that was saved with the file
    downloads.forget()
    installation.forget()
    history.forget()
    visible.forget()
    opening.forget()
    image_origin.forget()
    map_exporting.forget()
    _show()


@persistent
def _exit(*_: object) -> None:
    job_queue.shutdown()


def _exit_handlers() -> list | None:
    return getattr(bpy.app.handlers, "exit_pre", None)  # exists from 5.1 on; atexit serves older versions


def register() -> None:
    global _engine_wanted, _mirror, _preview
    _engine_wanted, _mirror, _preview = True, Mirror(), JobPreview()
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
    visible.forget()
    scene.clear_preview()
    opening.forget()
    scene.release()
