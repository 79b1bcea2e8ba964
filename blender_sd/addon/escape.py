"""Let Esc cancel the running job only if it stops nothing else.

Some things that Esc stops, such as playback, pass the key on to later handlers, and ours is the last. So the timer
remembers what was running at its last turn; if one of these has ended when Esc arrives, Esc was meant for that.
"""
from __future__ import annotations

import bpy

_running: frozenset[int] = frozenset()  # what Esc might stop, at the timer's last turn


def look() -> None:
    """Remember what Esc could stop now. The timer calls this at each turn."""
    global _running
    _running = _what_runs()


def taken() -> bool:
    """Return whether the current Esc has stopped something else, or will stop the playback."""
    return any(screen.is_animation_playing for screen in _screens()) or bool(_running - _what_runs())


def _what_runs() -> frozenset[int]:
    """Return the addresses of all modal operators, and of the screens whose animation plays."""
    operators = (operator for window in bpy.context.window_manager.windows for operator in window.modal_operators)
    playing = (screen for screen in _screens() if screen.is_animation_playing)
    return frozenset(item.as_pointer() for item in (*operators, *playing))


def _screens() -> list[bpy.types.Screen]:
    return [window.screen for window in bpy.context.window_manager.windows]
