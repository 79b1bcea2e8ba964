"""What the tests of the add-on share: the timer by hand, and short names for what they look at."""
from __future__ import annotations

import time

import bpy

import blender_sd as sd
from blender_sd.addon import tick


def drain(until=None, timeout: float = 30.0) -> None:
    """Ticks as the timer would, until no job is left (or `until()`)."""
    deadline = time.monotonic() + timeout
    reached = until or (lambda: all(job.done for job in sd.jobs()))
    tick.tick()
    while not reached():
        assert time.monotonic() < deadline, f"jobs did not end: {sd.jobs()}"
        sd.wait(0.2)
        tick.tick()


def cube() -> bpy.types.Object:
    return bpy.data.objects["Cube"]


def state():
    return bpy.context.window_manager.sd
