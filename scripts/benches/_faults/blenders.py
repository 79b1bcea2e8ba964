"""Blender itself: killed, ended, asleep, or there twice."""
from __future__ import annotations

import os
import random
import time

import psutil

from .world import Fault, Lost, World, Wrong, pixels_of

_DICE = random.Random(26)
_PAUSE = 35.0  # seconds asleep: longer than a silent engine is borne with (30 s)


def _killed_painting(world: World, turn: int) -> None:
    """Blender is killed while the second of three pictures is painted: the first is in the history of the next Blender.
    """
    blender = world.child(seeds=[turn], count=3, steps=60)
    while blender.says("painting")["picture"] < 2:
        pass
    _sleep(_DICE.uniform(0, 0.3))
    blender.kill()
    _in_history(world, at_least=1)


def _killed_committing(world: World, turn: int) -> None:
    """Blender is killed while it brings the pictures in: all of them are in the history."""
    blender = world.child(seeds=[turn], count=2, end="commit")
    paths = blender.says("committing")["paths"]
    blender.kill()
    if set(paths) - _in_history(world, at_least=2):
        raise Lost(f"not in the history: {paths}")


def _killed_starting(world: World, turn: int) -> None:
    """Blender is killed while its engine starts."""
    blender = world.child(seeds=[turn], end="start")
    blender.says("starting")
    _sleep(_DICE.uniform(0, 2.5))
    blender.kill()


def _leaves(world: World, turn: int) -> None:
    """Blender is quit while a job runs."""
    blender = world.child(seeds=[turn], steps=500, end="exit")
    blender.says("painting")
    world.hit()
    status = blender.end()
    if status != 0:
        raise Wrong(f"Blender ended with {status}")


def _in_history(world: World, at_least: int) -> set[str]:
    found = {entry.path for entry in world.history.history()}
    if len(found) < at_least:
        raise Lost(f"{len(found)} pictures in the history, {at_least} were finished")
    return found


# ---- asleep ----------------------------------------------------------------------------------------------------------


def _asleep(world: World, turn: int) -> None:
    """Two Blenders and their engines stand still for longer than a silent engine is borne with, as in a laptop that is
    closed; in one of them Blender wakes first, in the other the engine does. Both jobs go on with the engines that they
    had."""
    blenders = [world.child(seeds=[turn * 2 + number], steps=150, count=2) for number in range(2)]
    for blender in blenders:
        blender.says("painting")
    pairs = [(psutil.Process(blender.process.pid), psutil.Process(blender.engine)) for blender in blenders]
    for pair in pairs:
        for process in pair:
            process.suspend()
    _sleep(_PAUSE)
    world.hit()
    for number, pair in enumerate(pairs):
        for process in pair if number else reversed(pair):
            process.resume()
            _sleep(0.5)
    for blender in blenders:
        engine, done = blender.engine, blender.says("done")
        if done["states"] != ["finished"] or done["engine"] != engine:
            raise Wrong(f"after the sleep: {done}")
        blender.end()


def _clock(do: str, seconds: float):
    """The clock of both processes is put forward or back while a picture is painted."""

    def inflict(world: World, turn: int) -> None:
        world.runtime.renew_engine()
        world.ready()
        world.plan("step", do, 1)
        job = world.order(turn, steps=20)
        world.struck(job)
        real = time.time
        time.time = lambda: real() + seconds
        try:
            world.ends(job, "finished")
            world.ends(world.order(turn), "finished")
            if len(_in_history(world, at_least=3)) != 3:
                raise Lost("the history is not true")
        finally:
            time.time = real
        world.runtime.renew_engine()

    return inflict


# ---- two at once -----------------------------------------------------------------------------------------------------


def _two(world: World, turn: int) -> None:
    """Two Blenders paint into one folder at once, the same seeds among them; nothing is overwritten or mixed up."""
    blenders = [world.child(seeds=list(range(8)), count=2) for _ in range(2)]
    reports = [blender.says("done") for blender in blenders]
    world.hit()
    for blender in blenders:
        blender.end()
    paths = [[path for job in report["paths"] for path in job] for report in reports]
    both = paths[0] + paths[1]
    if len(set(both)) != 32 or not all(map(os.path.isfile, both)):
        raise Lost(f"{len(set(both))} of 32 pictures")
    if [pixels_of(path) for path in paths[0]] != [pixels_of(path) for path in paths[1]]:
        raise Wrong("the same orders gave other pixels")
    if set(both) - _in_history(world, at_least=32):
        raise Lost("not all are in the history")
    for mine, report in zip(paths, reports, strict=True):
        if set(mine) - set(report["history"]):
            raise Lost("a Blender does not find its own pictures")


def _two_killed(world: World, turn: int) -> None:
    """Two Blenders on one folder, both killed in their second picture."""
    blenders = [world.child(seeds=[turn], count=3, steps=60) for _ in range(2)]
    for blender in blenders:
        while blender.says("painting")["picture"] < 2:
            pass
    for blender in blenders:
        blender.kill()
    _in_history(world, at_least=2)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # the moment itself is what is tried, there is no event to wait for


FAULTS = (
    Fault("Blender killed while painting", 4, _killed_painting),
    Fault("Blender killed while its engine starts", 3, _killed_starting),
    Fault("Blender killed while bringing pictures in", 2, _killed_committing),
    Fault("Blender quit while painting", 1, _leaves),
    Fault("two Blenders on one folder", 1, _two),
    Fault("two Blenders on one folder, both killed", 1, _two_killed),
    Fault("asleep for 35 s (SIGSTOP, SIGCONT)", 1, _asleep),
    Fault("clock put forward by 400 days", 1, _clock("clock ahead", 86_400 * 400)),
    Fault("clock put back by 400 days", 1, _clock("clock back", -86_400 * 400)),
)
