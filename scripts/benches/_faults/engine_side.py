"""The engine's interpreter in the bench of faults: runs boot.py as ever, and does what the plan says where the plan
says it.

    python engine_side.py BOOT [ROLE]        # SD_FAULT_PLAN: the plan's file

A plan is JSON: {"at": a point, "do": an action, "after": how often the point is passed first}. It is carried out once.
Points: start (before the engine is made), load, step, decode, write (the picture is whole under its temporary name),
written (renamed, not reported).
"""
from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import sys
import time

_passed: dict[str, int] = {}
_line: list = []  # the way to the session, once it is there


def reach(point: str) -> None:
    """Carries out the plan if it is for here and now."""
    path = os.environ["SD_FAULT_PLAN"]
    try:
        with open(path, encoding="utf-8") as file:
            plan = json.load(file)
    except FileNotFoundError:
        _passed.clear()
        return
    if plan["at"] != point:
        return
    _passed[point] = _passed.get(point, 0) + 1
    if _passed[point] > plan.get("after", 0):
        _passed.clear()
        os.unlink(path)
        _ACTIONS[plan["do"]]()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _exit() -> None:
    os._exit(0)


def _deaf() -> None:
    """The thread that paints is stuck for good; the heart goes on beating."""
    time.sleep(3600)


def _memory() -> None:
    raise MemoryError


def _garbage() -> None:
    writer = _line[0]._writer
    with _line[0]._lock:
        writer.write(os.urandom(5000))
        writer.flush()
    time.sleep(3600)


def _flood() -> None:
    """20,000 messages as fast as the pipe takes them; then the work goes on."""
    from blender_sd.protocol.messages import Note, Step

    for number in range(10_000):
        _line[0].send(Step("a job that nobody knows", number, 10_000, 1, 1))
        _line[0].send(Note("a job that nobody knows", f"note {number}"))


def _flood_for_ever() -> None:
    from blender_sd.protocol.messages import Step

    while True:
        _line[0].send(Step("a job that nobody knows", 1, 1, 1, 1))


def _clock(seconds: float) -> None:
    real = time.time
    time.time = lambda: real() + seconds


_ACTIONS = {
    "kill": _kill,
    "stop": _stop,
    "exit": _exit,
    "deaf": _deaf,
    "memory": _memory,
    "garbage": _garbage,
    "flood": _flood,
    "flood for ever": _flood_for_ever,
    "clock ahead": lambda: _clock(86_400 * 400),
    "clock back": lambda: _clock(-86_400 * 400),
}


# ---- the points ------------------------------------------------------------------------------------------------------


def arm() -> None:
    """Puts the points into the engine's modules, which are importable from here on."""
    process = importlib.import_module("blender_sd.protocol.serving")
    own_line, own_serve = process.EventWriter.__init__, process.serve

    def line(self, writer) -> None:
        own_line(self, writer)
        _line[:] = [self]

    def serve(reader, writer, own_make):
        def make(config):
            reach("start")
            engine = own_make(config)
            run = engine.run
            engine.run = lambda request, emit, cancelled: run(request, lambda event: _emitted(emit, event), cancelled)
            return engine

        return own_serve(reader, writer, make)

    process.EventWriter.__init__ = line
    process.serve = serve
    replace = os.replace

    def replaced(source, target, **options) -> None:
        picture = os.path.basename(target).endswith(".png") and os.path.basename(os.path.dirname(target)) != "sources"
        if picture:
            reach("write")
        replace(source, target, **options)
        if picture:
            reach("written")

    os.replace = replaced


def _emitted(emit, event) -> None:
    kind = type(event).__name__
    if kind == "Loading":
        reach("load")
    if kind == "Step":
        _arm_decoder()
        if event.step:
            reach("step")
    emit(event)


def _arm_decoder() -> None:
    from diffusers import AutoencoderKL

    if not getattr(AutoencoderKL, "armed", False):
        decode = AutoencoderKL.decode

        def decoded(self, *args, **options):
            reach("decode")
            return decode(self, *args, **options)

        AutoencoderKL.decode, AutoencoderKL.armed = decoded, True


def main() -> int:
    sys.argv = sys.argv[1:]
    spec = importlib.util.spec_from_file_location("boot", sys.argv[0])
    boot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(boot)
    mount = boot.mount_package

    def mounted() -> None:
        mount()
        arm()

    boot.mount_package = mounted
    return boot.main()


if __name__ == "__main__":
    sys.exit(main())
