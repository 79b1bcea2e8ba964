"""Kill runs at random moments: python -m scripts.benches._sequence.killed FOLDER KILLS, which prints JSON.

A tiny model with random weights restyles 12 frames. Each run is a child of this process, which has torch imported
already, and is killed with SIGKILL between its start and a little after the usual end. When a run ends by itself, its
frames are compared with the undisturbed run's, and a new round begins in an empty folder.
"""
from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from .. import common

FRAMES = 12


def paint(folder: str, model: str, output: str) -> bool:
    """Restyle the shot; return whether it finished."""
    from blender_sd.engine import Engine
    from blender_sd.protocol.messages import Finished
    from tests.support import shots

    events: list[object] = []
    order = shots.order(folder, model, output, steps=2, key_distance=3)
    Engine(device="cpu", preview_px=0, threads=1).run(order, events.append, lambda: False)
    return isinstance(events[-1], Finished)


def child(folder: str, model: str, output: str, limit: float | None) -> bool:
    """Paint in a child that is killed after `limit` seconds; return whether it finished before."""
    Path(output).mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if paint(folder, model, output) else 1)
    end = time.monotonic() + (limit if limit is not None else 600)
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError("a run failed by itself")
            return True
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def wrong(output: str, wanted: str) -> int:
    """Return how many frames are missing, too many, or other than the undisturbed run's.

    Hidden files that a killed run was writing do not count: the next run deletes them when they are ten minutes old.
    """
    import numpy as np
    from PIL import Image

    names = {path.name for folder in (output, wanted) for path in Path(folder).glob("*.png")}
    count = 0
    for name in names:
        one, other = Path(output, name), Path(wanted, name)
        same = one.is_file() and other.is_file() and np.array_equal(np.asarray(Image.open(one)),
                                                                    np.asarray(Image.open(other)))
        count += not same
    return count


def main(kept: str, kills: int) -> None:
    sys.path.insert(0, str(common.ROOT))
    import torch

    import blender_sd.engine.sequences  # noqa: F401  # what each child would import
    from tests.support import shots

    torch.set_num_threads(1)
    place = Path(kept, "killed")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    model = common.tiny_model(place / "model")
    folder = shots.small(FRAMES).write(str(place / "shot"))
    started = time.monotonic()
    child(folder, model, str(place / "calm"), None)
    usual = time.monotonic() - started
    draw = random.Random(1)
    killed = rounds = bad = 0
    while killed < kills:
        output = str(place / f"round-{rounds}")
        while not child(folder, model, output, draw.uniform(0.0, 0.9 * usual)):
            killed += 1
        bad += wrong(output, str(place / "calm"))
        rounds += 1
        shutil.rmtree(output)
    print(json.dumps({"kills": killed, "rounds": rounds, "wrong": bad, "seconds": usual}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
