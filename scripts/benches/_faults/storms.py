"""Cancels: a thousand at random moments, in storms, and a shutdown while the engine loads."""
from __future__ import annotations

import random

from .. import cancel
from .world import Fault, Lost, Stuck, World, Wrong

_DICE = random.Random(16)


def _thousand(world: World, turn: int) -> None:
    world.ready()
    figures = cancel.many(world.api, world.model, world.log)
    world.cancels += figures["cancels"]
    world.hit()
    if figures["damaged"]:
        raise Wrong(f"damaged jobs after a cancel: {figures}")
    if figures["partial_files"]:
        raise Lost(f"partial files: {figures}")


def _storm(world: World, turn: int) -> None:
    """20 jobs ordered, all cancelled a moment later."""
    world.ready()
    jobs = [world.order(turn + number, steps=8) for number in range(20)]
    world.pause(_DICE.uniform(0, 0.2))
    world.hit()
    world.api.cancel_all()
    world.cancels += sum(job.cancelling for job in jobs)
    for job in jobs:
        world.ends(job, "cancelled", "finished", patience=10)


def _shutdown(point: str):
    """The add-on is switched off while the engine is at `point`, or about there; nothing is left of it."""

    def inflict(world: World, turn: int) -> None:
        if point == "painting":
            world.ready()
        else:
            world.api.shutdown()
        job = world.order(turn, steps=500)
        if point == "starting":
            world.until(world.engine, "the engine's process starts")
            world.pause(_DICE.uniform(0, 2))
        elif point == "loading":
            world.until(lambda: job.text.startswith("Loading") or job.step, "loading")
        else:
            world.until(lambda: job.step, "the first step")
        world.hit()
        world.api.shutdown()
        if job.state != "cancelled":
            raise Stuck(f"after the shutdown: {job}")

    return inflict


FAULTS = (
    Fault("1000 cancels at random moments", 1, _thousand),
    Fault("20 jobs ordered, all cancelled", 5, _storm),
    Fault("shutdown while the engine starts", 2, _shutdown("starting")),
    Fault("shutdown while a model loads", 1, _shutdown("loading")),
    Fault("shutdown while painting", 2, _shutdown("painting")),
)
