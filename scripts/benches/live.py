"""Live mode on the starter model in a real window (under Xvfb, drawn by the processor), with the view turned all the
time: pictures per second, and how long the add-on holds up Blender's main thread at most, in its timer or in its
drawing.

A look is one small drawing of the view. Without a graphics card the processor draws it, with Blender's own redrawing
and the engine beside it: so the pace of the main loop is given with and without live mode, and the machine's load
before the bench began.
"""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common

DESCRIPTION = "live mode on the starter model: pictures per second, longest main-thread stall, latency, rest"
TURNED, ALONE = 30, 8  # seconds that the view is turned with live mode, and without it
STEP = 0.03  # seconds between two turns of the view
START = 180  # seconds; torch on a busy machine

_SETUP = """
import sys, time
from bl_ext.user_default import blender_sd as sd
from mathutils import Euler
of = lambda name: sys.modules["bl_ext.user_default.blender_sd." + name]
live, tick, overlay, watching = of("addon.live"), of("addon.tick"), of("scene.overlay"), of("scene.watching")
bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences.engine_python = {python!r}
bpy.context.scene.sd.prompt = "old brick wall"
space = max((a for a in bpy.context.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width).spaces.active
turns, draws, gaps, looks, latencies, waiting = [], [], [], [], [], []

def timed(call, into):
    def timer(*given):
        start = time.perf_counter()
        try:
            return call(*given)
        finally:
            into.append(time.perf_counter() - start)
    return timer

watching.view_pixels = timed(watching.view_pixels, looks)
tick._turn = timed(tick._turn, turns)
overlay._draw_over = timed(overlay._draw_over, draws)
turning, last, seen = [False], [time.perf_counter()], [0]

def turn():
    now = time.perf_counter()
    gaps.append(now - last[0] - {step})
    if turning[0]:
        space.region_3d.view_rotation.rotate(Euler((0.0, 0.0, 0.02)))
    run = live._run
    if run is not None:
        session = of("calls.runtime").runtime.session
        waiting.append(sum(not job.done for job in session._jobs))
        if run.machine.frames > seen[0]:
            seen[0] = run.machine.frames
            latencies.append(run.machine.latency)
    last[0] = time.perf_counter()
    return {step}

bpy.app.timers.register(turn)
sd.start_engine()
"""
_BEGIN = """
for one in (turns, draws, gaps, looks, latencies, waiting):
    one.clear()
turning[0] = {turning}
began = time.perf_counter()
"""
_FIGURES = """
run = live._run
turning[0] = False
result = {"frames": len(latencies), "seconds": time.perf_counter() - began, "turns": turns[:],
          "draws": draws[:], "gaps": gaps[:], "looks": looks[:], "latencies": latencies[:], "waiting": waiting[:],
          "pace": run.machine.pace if run else 0.0}
"""


def run(log: Callable[[str], None]) -> dict:
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from tests.support.window.harness import BlenderWindow

    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        subprocess.run(
            [sys.executable, str(common.ROOT / "scripts" / "build.py"), "--output", folder],
            check=True,
            stdout=sys.stderr,
        )
        with BlenderWindow(
            sys.executable, list(Path(folder).glob("*.zip")), common.ROOT / "out" / "bench" / "live"
        ) as window:
            return _measured(window, log)


def _measured(window, log: Callable[[str], None]) -> dict:
    window.run_script(_SETUP.format(python=sys.executable, step=STEP))
    window.wait_for("sd.engine_status()[0] == 'ready'", START)
    log("the view is turned without live mode …")
    load = os.getloadavg()[0]
    alone = _while_turned(window, ALONE)
    log("live mode is switched on …")
    window.run_script("looks.clear()\nlive.start(space)\ntick.soon()")
    window.wait_for("live._run.machine.frames > 0 and not live._run.machine.behind", START)
    first = window.run_script("result = max(looks)")
    log("the view is turned …")
    turned = _while_turned(window, TURNED)
    window.screenshot("turned")
    window.wait_for("not live._run.machine.behind", START)
    log("nothing changes …")
    window.run_script(_BEGIN.format(turning=False))
    window.wait_for("len(gaps) > 60", 60)
    still = window.run_script(_FIGURES)
    figures = {
        "pictures_per_s": turned["frames"] / turned["seconds"],
        "s_per_picture": turned["pace"],
        "latency_median_s": common.median(turned["latencies"]),
        "latency_longest_s": max(turned["latencies"]),
        "first_look_ms": 1000 * first,
        "look_median_ms": 1000 * common.median(turned["looks"]),
        "longest_look_ms": 1000 * max(turned["looks"]),
        "longest_draw_ms": 1000 * max(turned["draws"]),
        "longest_turn_ms": 1000 * max(turned["turns"]),
        "look_p90_ms": 1000 * common.percentile(turned["looks"], 90),
        "share_of_the_main_thread": (sum(turned["turns"]) + sum(turned["draws"])) / turned["seconds"],
        "loop_gap_p95_ms": 1000 * common.percentile(turned["gaps"], 95),
        "loop_gap_p95_without_ms": 1000 * common.percentile(alone["gaps"], 95),
        "most_frames_waiting": max(turned["waiting"]),
        "looks_while_still": len(still["looks"]),
        "load_before": load,
    }
    bars = {
        "longest look ms": common.bar(figures["longest_look_ms"], "< 50"),
        "longest drawing of the picture ms": common.bar(figures["longest_draw_ms"], "< 50"),
        "frames in flight or waiting": common.bar(figures["most_frames_waiting"], "<= 1"),
        "longest latency in pictures": common.bar(figures["latency_longest_s"] / figures["s_per_picture"], "< 3"),
        "looks while still": common.bar(figures["looks_while_still"], "<= 0"),
    }
    return {"figures": figures, "bars": bars}


def _while_turned(window, seconds: float) -> dict:
    window.run_script(_BEGIN.format(turning=True))
    time.sleep(seconds)
    return window.run_script(_FIGURES)
