"""Blender's handlers and threads: whether a call comes from inside a render, and renders of our own that no handler
notices.
"""
from __future__ import annotations

import atexit
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import CodeType

import bpy
from bpy.app.handlers import persistent

from ..core.errors import InvalidRequest, JobCancelled, SDError, SourceUnusable
from ..protocol.messages import Source

_RENDER = ("render_init", "render_pre", "render_post", "render_stats", "render_write", "render_complete",
           "render_cancel")
_FRAME = ("frame_change_pre", "frame_change_post")

_waiting: list[Later] = []
_rendering = False  # whether Blender renders, as far as handlers know


def in_render() -> bool:
    """Return whether this call comes from a render handler, or from a frame handler during a render.

    Another render can start only after it; otherwise Blender crashes.
    """
    if not bpy.app.background and bpy.app.is_job_running("RENDER"):
        return True
    return bool(_on_stack(_RENDER)) or (bool(_on_stack(_FRAME)) and (_rendering or _in_frame_of_render()))


def check_render() -> None:
    """Raise SourceUnusable if no render can start now."""
    if in_render():
        raise SourceUnusable("A picture of the scene cannot be rendered inside a render handler.",
                             "Call this after the render has ended, or use \"RENDER\" and images.")


class Later:
    """A picture that is rendered on the main thread right after the render handler that asked for it.

    The handlers in `asking` are not called for that render, or they would ask again. Calling the object on the
    background thread waits for the picture.
    """

    def __init__(self, make: Callable[[], Source | Callable[[], Source]], asking: set[CodeType]) -> None:
        self._make, self._asking, self._done = make, asking, threading.Event()
        self._made: Source | Callable[[], Source] | None = None
        self._error: SDError | None = None

    def __call__(self) -> Source:
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._made() if callable(self._made) else self._made

    def run(self) -> None:
        """Render now."""
        try:
            with _without(self._asking):
                self._made = self._make()
        except SDError as error:
            self._error = error
        except ReferenceError:  # another file was opened meanwhile
            self._error = SourceUnusable("The scene that was to be rendered is gone.", "Open its file and try again.")
        finally:
            self._done.set()

    def give_up(self) -> None:
        """Cancel."""
        self._error = JobCancelled("The job was cancelled.")
        self._done.set()


def after_render(scene: bpy.types.Scene,
                 make: Callable[[], Source | Callable[[], Source]]) -> Source | Callable[[], Source]:
    """Return what `make`, which renders `scene`, returns; inside a render handler, a function that does so later.

    The later picture is of the frame that is current now.

    Raises:
        SourceUnusable: In a render handler in background mode, where nothing runs after the handler.
    """
    if not in_render():
        return make()
    if not _has_after():
        check_render()
    frame, subframe = scene.frame_current, scene.frame_subframe

    def of_this_frame() -> Source | Callable[[], Source]:
        now, sub = scene.frame_current, scene.frame_subframe
        if (now, sub) != (frame, subframe):
            scene.frame_set(frame, subframe=subframe)
        try:
            return make()
        finally:
            if (now, sub) != (frame, subframe):
                scene.frame_set(now, subframe=sub)

    _waiting.append(Later(of_this_frame, _on_stack()))
    return _waiting[-1]


def catch_up() -> None:
    """Render what render handlers have asked for, once none of them is running."""
    while _waiting and not in_render():
        _waiting.pop(0).run()


def give_up() -> None:
    """Cancel everything that is still waiting, for the end of a session."""
    while _waiting:
        _waiting.pop().give_up()


def check_turn(waiting: bool) -> None:
    """Catch up before jobs are updated.

    Args:
        waiting: Whether the caller waits for a job to end.

    Raises:
        InvalidRequest: On another thread, or `waiting` in a render handler for something that can only be rendered
            after it.
    """
    check_thread()
    catch_up()
    if waiting and _waiting:
        raise InvalidRequest("A job cannot be waited for inside a render handler while its picture of the scene is "
                             "still to be rendered.",
                             "Look at the job after the render has ended.")


def check_thread() -> None:
    """Raise InvalidRequest on another thread than Blender's main one. A render calls handlers on a thread of its own.

    Also keep track of renders from here on: a script may use the calls after the add-on was disabled.
    """
    watch()
    if threading.current_thread() is not threading.main_thread() and not _on_stack():
        raise InvalidRequest("Blender's data can be used from its main thread only, and this call came from another "
                             "one.",
                             "Call it from a timer (bpy.app.timers).")


def unheard_by_callers() -> AbstractContextManager[None]:
    """Return a context in which the handlers that this call comes from are not called: they would ask without end."""
    return _without(_on_stack())


@contextmanager
def quiet() -> Iterator[None]:
    """Return a context in which no handler is called for renders and frames: they are ours, not the artist's."""
    with _keeping(lambda handler: False):
        yield


@persistent
def _begins(*_: object) -> None:
    global _rendering
    _rendering = True


@persistent
def _ends(*_: object) -> None:
    global _rendering
    _rendering = False


_NOTES = {"render_init": _begins, "render_complete": _ends, "render_cancel": _ends}


def watch() -> None:
    """Keep track of whether Blender renders, which it does not tell in background mode. Idempotent."""
    for name, handler in _NOTES.items():
        if handler not in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).append(handler)


def unwatch() -> None:
    """Undo `watch`."""
    for name, handler in _NOTES.items():
        if handler in getattr(bpy.app.handlers, name):
            getattr(bpy.app.handlers, name).remove(handler)


def _has_after() -> bool:
    """Return whether anything runs after a handler that can start a render: the timer that pumps."""
    return not bpy.app.background


def _on_stack(names: tuple[str, ...] = (*_RENDER, *_FRAME)) -> set[CodeType]:
    """Return the code of the handlers of those `names` that this call comes from."""
    codes = {code for name in names for handler in getattr(bpy.app.handlers, name)
             if (code := _code(handler)) is not None}
    running = set()
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code in codes:
            running.add(frame.f_code)
        frame = frame.f_back
    return running


def _in_frame_of_render() -> bool:
    """Return whether a handler that this call comes from was given the dependency graph of a render."""
    frame, codes = sys._getframe(), _on_stack(_FRAME)
    while frame is not None:
        if frame.f_code in codes:
            given = [part for value in frame.f_locals.values()
                     for part in (value if isinstance(value, tuple) else (value,))]
            if any(isinstance(part, bpy.types.Depsgraph) and part.mode == "RENDER" for part in given):
                return True
        frame = frame.f_back
    return False


def _without(codes: set[CodeType]) -> AbstractContextManager[None]:
    return _keeping(lambda handler: _code(handler) not in codes)


@contextmanager
def _keeping(wanted: Callable[[Callable], bool]) -> Iterator[None]:
    """Return a context in which only the handlers of renders and frames that are `wanted` are called."""
    lists = [getattr(bpy.app.handlers, name) for name in (*_RENDER, *_FRAME)]
    before = [list(handlers) for handlers in lists]
    try:
        for handlers, all_of_them in zip(lists, before, strict=True):
            handlers[:] = filter(wanted, all_of_them)
        yield
    finally:
        for handlers, all_of_them in zip(lists, before, strict=True):
            handlers[:] = all_of_them


def _code(handler: Callable) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    handler = getattr(handler, "__func__", handler)
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)


watch()  # scripts that register no add-on need it as well
atexit.register(unwatch)  # bpy 4.2 crashes at exit after an animation if a handler is left
