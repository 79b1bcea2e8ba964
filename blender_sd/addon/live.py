"""Run live mode: watch a 3D View or a texture, restyle it again and again, and draw the newest picture over it.

`session.live.Live` decides; this module captures, sends requests, and shows pictures and state. Only the timer's tick
drives it: nothing is captured in a draw handler, or while nothing changes.
"""
from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from bpy.app.handlers import persistent

from .. import scene
from ..calls import job_queue, live_frames, models, recalling
from ..core.declarations import used_by
from ..core.errors import PictureWithheld, SDError
from ..core.request import Request, round_size
from ..core.settings import LIVE
from ..scene import overlay, screens, surfaces, watching
from ..session.live import CANCEL, CAPTURE, OFF, PAINTING, PAUSED, Live
from . import state

if TYPE_CHECKING:
    from ..session.job import Job
    from ..library.models import ModelInfo

log = logging.getLogger("blender_sd")

GENTLE = 0.03  # seconds that a capture may block Blender; smaller pictures are captured if it takes longer
BEARABLE = 0.5  # seconds; if small captures take longer twice in a row, capturing stops until the shading changes
SMALLEST = 0.5  # least factor of the size if drawing is slow
FADED = 0.35  # factor of the mix for an outdated picture
RIPE = 1.0  # seconds until a shading that Blender refines over time is captured again
SLOW = 0.5  # seconds per picture from which on outdated pictures fade
_STOPPED = 0.5  # seconds until the timer's next tick after live mode ended
_CHANGES = ("depsgraph_update_post", "frame_change_post", "undo_post", "redo_post")


@dataclass(eq=False)
class _Frame:
    """A picture that is being painted, or shown.

    Attributes:
        target: The texture's place; None for the view.
        sight: How often the view had changed when it was captured.
    """

    pixels: np.ndarray
    how: tuple
    target: scene.Target | None
    sight: int
    request: Request | None = None


class _Run:
    """Live mode from its start to its end, in the 3D View whose space has the pointer `space`."""

    def __init__(self, space: int) -> None:
        self.space = space
        self.machine = Live(time.monotonic())
        self.job: Job | None = None
        self.frame: _Frame | None = None  # in flight
        self.shown: _Frame | None = None
        self.withheld: _Frame | None = None  # the newest, if the safety filter withheld its picture
        self.sight = 0
        self.touched = False  # set by a handler: something in the file has changed
        self.reshaped = False  # set by a handler: some shape has changed
        self._how: tuple = ()
        self._sign: tuple = ()
        self._request: tuple[Request, ModelInfo] | None = None
        self._refusal = ""
        self._scale = 1.0
        self._slow: tuple = ()  # the shading or size that takes too long to capture
        self._looks = self._too_long = 0
        self._rate = 0.0  # as shown
        self._again_at: float | None = None  # when to capture again although nothing has changed
        self._image: bpy.types.Image | None = None  # for one turn
        self._target: scene.Target | None = None
        self._surfaces: list[surfaces.Surface] = []
        self._surfaces_of: scene.Target | None = None

    # ---- one turn --------------------------------------------------------------------------------------------------

    def turn(self) -> float:
        """Run one turn; return the seconds until the next."""
        now = time.monotonic()
        view = watching.find_view(self.space)
        self._take_in(now, view)
        if _run is not self:
            return _STOPPED
        hindrance = self._hindrance(view) or self._notice(view, now)
        action = self.machine.turn(now, hindrance)
        if action == CAPTURE:
            self._capture(view)
        elif action == CANCEL:
            self.job.cancel()
        if _run is not self:
            return _STOPPED
        if view is not None:
            if self.reshaped and self._target is not None and not self.machine.behind:
                overlay.set_surfaces(overlay.LIVE, self._faces(view))
            overlay.set_share(self._share(view.window.scene.sd_live))
        self._image = None
        self.tell(now)
        return self.machine.pause(now)

    def _take_in(self, now: float, view: watching.View | None) -> None:
        """Take over the current frame if it is finished."""
        job = self.job
        if job is None or not job.done:
            return
        self.job, frame, self.frame = None, self.frame, None
        withheld = isinstance(job.error, PictureWithheld)
        if job.state == "failed" and not withheld:
            stop()
            state.show_error(job.error)
            return
        self.withheld = frame if withheld else None
        if withheld:  # live mode goes on, since the next picture may pass
            self.machine.ended(now, True)
            self.shown = None
            overlay.hide(overlay.LIVE)
            return
        usable = job.state == "finished" and view is not None and frame.target == self._target
        self.machine.ended(now, usable)
        if usable:
            frame.request = job.results[0].request
            self.shown = frame
            self._show(job.results[0].pixels, view)

    def _show(self, pixels: np.ndarray, view: watching.View) -> None:
        share = self._share(view.window.scene.sd_live)
        faces = self._faces(view) if self._target is not None else []
        if faces:
            overlay.show_on(overlay.LIVE, faces, pixels, share, self.space)
        else:
            overlay.show_over(self.space, pixels, share, corner=self._target is not None)

    def _faces(self, view: watching.View) -> list[surfaces.Surface]:
        """Return the faces that use the watched texture; the same list while nothing about them has changed."""
        if self.reshaped or self._surfaces_of != self._target:
            with _in(view):
                self._surfaces, self._surfaces_of, self.reshaped = _surfaces(self._target), self._target, False
        return self._surfaces

    def _share(self, settings: bpy.types.PropertyGroup) -> float:
        behind = self.shown is not None and self.shown.sight != self.sight and self.machine.pace > SLOW
        return settings.mix * (FADED if settings.fade and behind else 1.0)

    # ---- changes --------------------------------------------------------------------------------------------------

    def _hindrance(self, view: watching.View | None) -> str:
        """Return why nothing can be painted now; "" if it can."""
        if view is None:
            return "its 3D View is not shown"
        if any(not job.done for job in job_queue.jobs()):
            return "the queue comes first"
        if not bpy.app.background and bpy.app.is_job_running("RENDER"):
            return "Blender is rendering"
        if view.window.scene.sd_live.source == "VIEW":
            return watching.obstacle(view)
        return ""

    def _notice(self, view: watching.View, now: float) -> str:
        """Inform the machine of changes. Return what prevents painting."""
        self.machine.idle = view.window.scene.sd_live.idle
        try:
            sign = self._look(view)
        except SDError as error:
            return str(error)
        how = _how(view.window.scene)
        moved = sign != self._sign or self.touched or watching.in_stroke(view)
        ripe = self._again_at is not None and now >= self._again_at
        if moved:
            self.sight += 1
        if moved or ripe or how != self._how:
            self.machine.changed(now)
        if ripe:
            self._again_at = None
        if how != self._how:
            self._request, self._refusal = _frame_request(view.window.scene)
        self._sign, self._how, self.touched = sign, how, False
        if self._slow and self._slow == self._cause(view):
            return "drawing this shading takes too long on this machine, choose Solid"
        return self._refusal

    def _look(self, view: watching.View) -> tuple:
        """Return the state of what is watched. Raise SDError if there is no texture to watch."""
        if view.window.scene.sd_live.source == "VIEW":
            if self._target is not None:
                self._target = None
                overlay.hide(overlay.LIVE)
            return watching.view_sign(view)
        with _in(view):
            self._image, target = scene.active_slot_image(bpy.context)
        if self._target is None or target != self._target:
            self._target = target
            overlay.hide(overlay.LIVE)
        return ("TEXTURE", self._image.session_uid, *self._image.size)

    def _cause(self, view: watching.View) -> tuple:
        settings = view.window.scene.sd_live
        return (settings.source, view.space.shading.type, settings.size)

    # ---- capture ---------------------------------------------------------------------------------------------------

    def _capture(self, view: watching.View) -> None:
        """Capture the view or texture, and request a frame if it differs from the last one."""
        request, info = self._request
        aspect = self._image.size if self._image is not None else (view.region.width, view.region.height)
        longest = view.window.scene.sd_live.size
        size = round_size(*(max(1, round(side * longest / max(aspect))) for side in aspect), info.multiple)
        small = tuple(max(16, round(side * self._scale)) for side in size)
        started = time.perf_counter()
        try:
            pixels = watching.texture_pixels(self._image, small) if self._image is not None else watching.view_pixels(
                view, small)
        except Exception:  # a graphics driver's error would recur at every tick
            log.exception("live mode cannot look")
            stop()
            state.show_error(SDError("Live mode could not draw what it watches.", "The log holds the details."))
            return
        cost = time.perf_counter() - started
        self._adapt(cost, view)
        last = self.frame or self.shown or self.withheld
        differs = last is None or (last.how, last.target) != (self._how,
                                                              self._target) or not np.array_equal(last.pixels, pixels)
        self.machine.looked(time.monotonic(), cost, differs)
        if differs:
            self.frame = _Frame(pixels, self._how, self._target, self.sight)
            self._again_at = time.monotonic() + RIPE if watching.ripens(view) else None
            self.job = live_frames.paint_frame(replace(request, width=size[0], height=size[1]), info, pixels)
        else:
            last.sight = self.sight

    def _adapt(self, cost: float, view: watching.View) -> None:
        """Capture smaller pictures if drawing is slow. The first captures do not count, since they compile shaders."""
        self._looks += 1
        if self._looks < 3:
            return
        if cost > GENTLE:
            self._scale = max(SMALLEST, self._scale * (GENTLE / cost) ** 0.5)
        self._too_long = self._too_long + 1 if cost > BEARABLE else 0
        if self._too_long == 2:
            self._slow = self._cause(view)
            self._looks = self._too_long = 0

    # ---- state ----------------------------------------------------------------------------------------------------

    def tell(self, now: float) -> None:
        """Update `WindowManager.sd_live` if it has changed."""
        machine = self.machine
        kind = machine.state(now)
        if abs(machine.rate - self._rate) > 0.1 * self._rate:  # small changes are not shown
            self._rate = machine.rate
        speed = f" · {self._rate:.1f} pictures/s" if machine.frames else ""
        if kind == PAUSED:
            text = f"Paused: {machine.hindrance or 'nothing has changed for a while'}"
        elif kind == PAINTING and self.job is not None and self.job.state == "loading" and not machine.frames:
            text = self.job.text
        elif self.withheld is not None and kind != PAINTING:
            text = "The safety filter has kept this picture back"
        else:
            text = ("Painting" if kind == PAINTING else "Up to date") + speed
        _write(True, kind, text, self.shown is not None)


_run: _Run | None = None


def running() -> bool:
    return _run is not None


def start(space: bpy.types.SpaceView3D) -> None:
    """Switch live mode on in that 3D View, and off in any other."""
    global _run
    stop()
    _run = _Run(space.as_pointer())
    for name in _CHANGES:
        getattr(bpy.app.handlers, name).append(_touched)
    _run.tell(time.monotonic())


def stop() -> None:
    """Switch live mode off and remove its picture. Do nothing if it is off."""
    global _run
    if _run is None:
        return
    if _run.job is not None:
        _run.job.cancel()
    _run = None
    for name in _CHANGES:
        handlers = getattr(bpy.app.handlers, name)
        if _touched in handlers:
            handlers.remove(_touched)
    overlay.hide(overlay.LIVE)
    _write(False, OFF, "", False)


def turn() -> float | None:
    """One turn, from the timer; seconds until the next, None where live mode is off."""
    return _run.turn() if _run is not None else None


def keep() -> Job:
    """Submit the shown picture as an ordinary request: the same pixels and settings, saved and as a new image.

    Raises:
        SDError: There is no picture, or it cannot be painted again.
    """
    if _run is None or _run.shown is None:
        raise SDError("There is no live picture yet.", "Wait until the first one is shown.")
    shown = _run.shown
    return recalling.run(shown.request, shown.pixels, label=shown.request.prompt or "Live picture")


# ---- inside --------------------------------------------------------------------------------------------------------


@contextmanager
def _in(view: watching.View):
    """Provide the view's own context for look-ups; no operator may be called in it (see `scene.compat.in_window`)."""
    with bpy.context.temp_override(window=view.window, area=view.area, region=view.region):
        yield


def _surfaces(target: scene.Target) -> list[surfaces.Surface]:
    try:
        return surfaces.surfaces_of(target, bpy.context)
    except SDError:
        return []  # the object was deleted: the picture is shown in the corner


def _how(owner: bpy.types.Scene) -> tuple:
    """Return all settings that change the picture of the same view."""
    live, info = owner.sd_live, models.known_model(owner.sd.model)
    choices = None if info is None else info.choices  # kept beside the model, not in the scene
    return (*_keywords(owner).items(), owner.sd.words(), choices, live.source, live.size, live.steps)


def _keywords(owner: bpy.types.Scene) -> dict[str, Any]:
    """Return the settings of the frames' request, those of the panel and live mode's own."""
    settings, live = owner.sd, owner.sd_live
    return {**{item.name: getattr(settings, item.prop) for item in used_by(LIVE)},
            "tiling": settings.tiling if live.source == "TEXTURE" else "none",
            "strength": live.strength, "seed": live.seed}


def _frame_request(owner: bpy.types.Scene) -> tuple[tuple[Request, ModelInfo] | None, str]:
    """Return the request for frames, or None and why there is none."""
    try:
        return live_frames.live_request(owner.sd.words(), steps=owner.sd_live.steps, **_keywords(owner)), ""
    except SDError as error:
        return None, str(error)


def _touched(*arguments: object) -> None:
    if _run is None:
        return
    _run.touched = True
    graph = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], bpy.types.Depsgraph) else None
    if graph is not None and any(update.is_updated_geometry for update in graph.updates):
        _run.reshaped = True


@persistent
def _before_load(*_: object) -> None:
    stop()


@persistent
def _after_load(*_: object) -> None:
    _write(False, OFF, "", False)  # a file that was saved in live mode has another state


def _write(on: bool, kind: str, text: str, picture: bool) -> None:
    shown = bpy.context.window_manager.sd_live
    if (shown.running, shown.state, shown.text, shown.picture) == (on, kind, text, picture):
        return
    shown.running, shown.state, shown.text, shown.picture = on, kind, text, picture
    screens.redraw("VIEW_3D")


def register() -> None:
    bpy.app.handlers.load_pre.append(_before_load)
    bpy.app.handlers.load_post.append(_after_load)


def unregister() -> None:
    stop()
    bpy.app.handlers.load_pre.remove(_before_load)
    bpy.app.handlers.load_post.remove(_after_load)
    overlay.clear()
