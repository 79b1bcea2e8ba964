"""Cause every fault that can be caused on purpose, with a real engine process and real bpy; check what is lost and what
works after.

SD_FAULTS=word runs only the kinds with that word in their name (the bars on counts then fail).
"""
from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable

from . import common

DESCRIPTION = (
    "engine and Blender killed, hung, out of memory, disks full or gone, files reloaded …: nothing lost, work continues"
)


def run(log: Callable[[str], None]) -> dict:
    from ._faults import blenders, documents, hung, killed, short, storms, world as ground

    groups = (killed, blenders, short, documents, hung, storms)
    faults = [fault for group in groups for fault in group.FAULTS if os.environ.get("SD_FAULTS", "") in fault.name]
    failures: Counter[str] = Counter()
    rows = []
    with ground.made(log) as world:
        for fault in faults:
            rows.append(_tried(world, fault, failures, log))
    print(_table(rows), file=sys.stderr)
    for remark in sorted(world.remarks):
        print(remark, file=sys.stderr)
    figures = {
        "kinds": len(rows),
        "tried": sum(row[1] for row in rows),
        "survived": sum(row[2] for row in rows),
        "kills": world.kills,
        "cancels": world.cancels,
        "lost": failures["Lost"],
        "orphans": failures["Orphan"],
        "stuck": failures["Stuck"],
        "engine_ends_after_blender_s": world.engine_end,
        "recover_s": common.median([row[3] for row in rows]),
        "longest_recover_s": max(row[4] for row in rows),
    }
    bars = {
        "kinds": common.bar(figures["kinds"], ">= 20"),
        "kills": common.bar(figures["kills"], ">= 100"),
        "cancels": common.bar(figures["cancels"], ">= 1000"),
        "not survived": common.bar(figures["tried"] - figures["survived"], "== 0"),
        "lost": common.bar(figures["lost"], "== 0"),
        "orphans": common.bar(figures["orphans"], "== 0"),
        "stuck": common.bar(figures["stuck"], "== 0"),
        "engine ends after Blender s": common.bar(figures["engine_ends_after_blender_s"], "<= 5"),
    }
    return {"figures": figures, "bars": bars}


def _tried(world, fault, failures: Counter, log) -> tuple[str, int, int, float, float]:
    """Return (name, tries, times survived, median and longest seconds to recover)."""
    seconds, survived = [], 0
    for turn in range(fault.turns):
        world.begin()
        try:
            fault.inflict(world, turn)
            seconds.append(world.check())
            survived += 1
        except Exception as error:  # the next fault is tried all the same, on an engine that starts afresh
            failures[type(error).__name__] += 1
            log(f"FAILED {fault.name}, turn {turn}: {type(error).__name__}: {error}")
            traceback.print_exc()
            world.api.shutdown()
    log(f"{fault.name}: {survived} of {fault.turns}, {common.median(seconds or [0.0]):.1f} s")
    return fault.name, fault.turns, survived, common.median(seconds or [0.0]), max(seconds, default=0.0)


def _table(rows: list[tuple[str, int, int, float, float]]) -> str:
    width = max(len(row[0]) for row in rows)
    head = f"{'fault':{width}}  tried  survived  recovers s  longest s"
    return "\n".join([head, *(f"{name:{width}}  {tried:5}  {survived:8}  {median:10.1f}  {longest:9.1f}"
                              for name, tried, survived, median, longest in rows)])
