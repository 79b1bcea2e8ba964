"""The engine there, but not itself: stopped, stuck, talking nonsense, or gone without a word."""
from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from .world import Fault, World

_DIED = "engine_died"


@contextlib.contextmanager
def _patience(world: World, **limits: float) -> Iterator[None]:
    """Engines that are started within wait no longer than `limits`: the real patience at a start is three minutes."""
    from blender_sd.calls import runtime

    own = runtime.ProcessPipeline
    runtime.ProcessPipeline = partial(own, limits=replace(own.__init__.__kwdefaults__["limits"], **limits))
    try:
        yield
    finally:
        runtime.ProcessPipeline = own


def _while_starting(world: World, turn: int) -> None:
    with _patience(world, start=8.0):
        world.runtime.renew_engine()
        world.plan("start", "stop")
        job = world.order(turn)
        world.struck(job)
        world.ends(job, _DIED)
    world.runtime.renew_engine()
    world.remarks.add("engine hung while starting: patience shortened from 180 s to 8 s")


def _while_painting(world: World, turn: int) -> None:
    world.ready()
    world.plan("step", "stop", 3)
    job = world.order(turn, steps=8)
    world.struck(job)
    world.ends(job, _DIED)


def _while_idle(world: World, turn: int) -> None:
    world.ready()
    os.kill(world.engine(), signal.SIGSTOP)
    world.hit()
    world.ends(world.order(turn), "finished")  # by another engine


def _cancelled(world: World, turn: int) -> None:
    world.ready()
    world.plan("step", "stop", 3)
    job = world.order(turn, steps=8)
    world.struck(job)
    world.cancels += 1
    job.cancel()
    world.ends(job, "cancelled")


def _stuck(world: World, turn: int) -> None:
    """The thread that paints hangs while the heart beats on: a person's cancel ends it."""
    with _patience(world, cancel=6.0):
        world.runtime.renew_engine()
        world.ready()
        world.plan("step", "deaf", 3)
        job = world.order(turn, steps=8)
        world.struck(job)
        world.cancels += 1
        job.cancel()
        world.ends(job, "cancelled")
    world.runtime.renew_engine()
    world.remarks.add("engine stuck in a step, cancelled: patience shortened from 120 s to 6 s")


def _says(what: str, *ends: str):
    def inflict(world: World, turn: int) -> None:
        world.ready()
        world.plan("step", what, 3)
        job = world.order(turn, steps=8)
        world.struck(job)
        world.ends(job, *ends)

    return inflict


def _floods_for_ever(world: World, turn: int) -> None:
    with _patience(world, cancel=6.0):
        world.runtime.renew_engine()
        world.ready()
        world.plan("step", "flood for ever", 3)
        job = world.order(turn, steps=8)
        world.struck(job)
        world.pause(1.0)
        world.cancels += 1
        job.cancel()
        world.ends(job, "cancelled")
    world.runtime.renew_engine()


def _mute_at_once(world: World, turn: int) -> None:
    """End the engine with status 0 before its first message, three times in a row."""
    world.runtime.renew_engine()
    for _ in range(3):
        world.plan("start", "exit")
        job = world.order(turn)
        world.struck(job)
        world.ends(job, _DIED, "engine_missing")


FAULTS = (
    Fault("engine hung while starting", 1, _while_starting),
    Fault("engine hung while painting", 1, _while_painting),
    Fault("engine hung while idle", 1, _while_idle),
    Fault("engine hung, then cancelled", 1, _cancelled),
    Fault("engine stuck in a step, then cancelled", 1, _stuck),
    Fault("engine sends garbage", 2, _says("garbage", _DIED)),
    Fault("engine floods with 20,000 messages", 2, _says("flood", "finished")),
    Fault("engine floods for ever, then cancelled", 1, _floods_for_ever),
    Fault("engine exits with 0 in a job", 2, _says("exit", _DIED)),
    Fault("engine exits with 0 at its start", 1, _mute_at_once),
)
