"""Runs of the bench "sequence" in processes of their own: python -m scripts.benches._sequence.measured WHAT …, which
prints JSON."""
from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from .. import common

STEPS, STRENGTH, GUIDANCE, SEED = 8, 0.7, 3.0, 7
PROMPT, MATERIAL = "red brick wall", "brick"


def starter() -> str:
    return str(common.ROOT / "blender_sd/models/starter")


def restyled(folder: str, output: str, **settings: Any) -> dict[str, float]:
    """Restyle a shot into a folder; return the seconds of the whole, and those until the first frame."""
    from blender_sd.engine import Engine
    from blender_sd.protocol.messages import Finished, FrameDone
    from tests.support import shots

    engine = Engine(device="cpu")
    engine.restyle(_grey(64), PROMPT, model=starter(), steps=1, strength=1.0)  # loads the model
    given = {"steps": STEPS, "strength": STRENGTH, "guidance": GUIDANCE, "seed": SEED, "prompt": PROMPT, "size": 256,
             **settings}
    events: list[Any] = []
    started, worked = time.monotonic(), time.process_time()
    engine.run(shots.order(folder, starter(), output, named="starter", **given), events.append, lambda: False)
    if not isinstance(events[-1], Finished):
        raise RuntimeError(str(events[-1]))
    done = [event for event in events if isinstance(event, FrameDone)]
    return {"seconds": time.monotonic() - started, "worked": time.process_time() - worked, "frames": len(done),
            "keys": sum(event.key for event in done),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _grey(size: int) -> Any:
    import numpy as np

    return np.full((size, size, 3), 128, np.uint8)


def long(folder: str, output: str, frames: int) -> dict[str, float]:
    """Restyle the first frames of a long shot with small pictures; for the peak of memory."""
    from tests.support import shots

    scene = shots.small(frames, 128, step=0.004)
    if not Path(folder).is_dir():
        scene.write(folder)
    return restyled(folder, output, size=128, steps=4, key_distance=12)


def main(what: str, *rest: str) -> None:
    sys.path.insert(0, str(common.ROOT))
    if what == "long":
        result = long(rest[0], rest[1], int(rest[2]))
    else:
        os.makedirs(rest[1], exist_ok=True)
        result = restyled(rest[0], rest[1], **json.loads(rest[2]))
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
