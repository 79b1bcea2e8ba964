"""The engine killed (-9) at every stage."""
from __future__ import annotations

import random

from .world import Fault, World

_DICE = random.Random(6)
_DIED = ("engine_died",)


def _at_point(point: str, after: int = 0, count: int = 1):
    """The engine kills itself at `point`, in a job of `count` pictures; those that it had written by then must be in
    the history.
    """

    def inflict(world: World, turn: int) -> None:
        world.ready()
        if point == "load":  # a model that is not in memory yet
            world.runtime.renew_engine()
        world.plan(point, "kill", after)
        job = world.order(turn, steps=8, count=count)
        world.struck(job)
        world.kills += 1
        world.ends(job, *_DIED, *(("finished",) if point == "load" else ()))  # one that had not heard of it
        finished = count if job.state == "finished" else count - 1 + (point == "written")
        found = len(world.history.history()) - 1  # but for the one of `ready`
        assert found == finished, f"{found} pictures in the history, {finished} were finished"

    return inflict


def _starting(world: World, turn: int) -> None:
    """Five kills in a row, each somewhere between the start of the process and its first word."""
    world.api.shutdown()
    for number in range(5):
        job = world.order(turn + number)
        world.until(world.engine, "the engine's process starts")
        if number % 2:  # exactly before the engine is made; else at a random moment
            world.plan("start", "kill")
            world.struck(job)
            world.kills += 1
        else:
            world.pause(_DICE.uniform(0, 1.5))
            world.kill(world.engine())
        world.ends(job, *_DIED)


def _any_moment(world: World, turn: int) -> None:
    """A kill from outside, at a random moment of a job of three pictures."""
    world.ready()
    job = world.order(turn, steps=12, count=3)
    world.pause(_DICE.uniform(0, 0.35))
    world.kill(world.engine())
    world.ends(job, *_DIED, "finished")


def _idle(world: World, turn: int) -> None:
    world.ready()
    world.kill(world.engine())


FAULTS = (
    Fault("engine killed while starting", 13, _starting),
    Fault("engine killed while loading a model", 3, _at_point("load")),
    Fault("engine killed at the first step", 3, _at_point("step")),
    Fault("engine killed at a middle step", 3, _at_point("step", 12, 2)),
    Fault("engine killed while decoding", 3, _at_point("decode", 1, 2)),
    Fault("engine killed while writing", 4, _at_point("write", 1, 2)),
    Fault("engine killed after writing, before its report", 4, _at_point("written", 1, 2)),
    Fault("engine killed at any moment", 6, _any_moment),
    Fault("engine killed while idle", 3, _idle),
)
