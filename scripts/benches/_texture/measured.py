"""Time and memory of one case: python -m scripts.benches._texture.measured CASE SIZE, which prints JSON."""
from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from .. import common

STEPS = 12
_SIDES = "front,front right,right,back right,back,back left,left,front left"


def main(case: str, size: int) -> None:
    sys.path.insert(0, str(common.ROOT))
    from blender_sd.engine import Engine

    engine = Engine(device="cpu")
    seconds = single(engine, size) if case == "single" else together(engine, case, size)
    print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def together(engine: Any, case: str, size: int) -> float:
    """Return the seconds between the first step and the last of a job, without the bake."""
    from blender_sd.core.parts import Control
    from blender_sd.engine import object_painter, painter
    from tests.support import meshes, objects

    views = int(case[5:]) if case.startswith("views") else 8
    sides = ",".join(_SIDES.split(",")[:min(views, 8)])
    settings: dict[str, Any] = {"sides": sides, "more_views": max(0, views - 8)}
    if case.startswith("views"):
        settings["batch"] = 2
        object_painter.Stage = _with(object_painter.Stage, views)
    else:
        settings["controls"] = (Control("depth", str(common.ROOT / "blender_sd/models/starter_control")),)
    own, spent = painter.paint_views, []

    def paint(*args: Any) -> Any:
        started = time.monotonic()
        result = own(*args)
        spent.append(time.monotonic() - started)
        return result

    painter.paint_views = paint
    for steps in (2, STEPS) if case == "together" else (STEPS,):  # the first run warms up
        order = objects.order(objects.scenery(meshes.sphere(64, 128), size=256), _starter(), model="starter",
                              width=size, height=size, steps=steps, view_words=False, **settings)
        events: list[Any] = []
        engine.run(order, events.append, lambda: False)
        if type(events[-1]).__name__ != "Finished":
            raise RuntimeError(str(events[-1]))
    return spent[-1]


def _with(stage: type, count: int) -> type:
    """Return a Stage with exactly that many views: more than the object needs."""
    from blender_sd.geometry import cameras

    class Many(stage):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            extra = [cameras.toward(self.surface, direction, self.views[0].width)
                     for direction in cameras.directions(count)]
            self.views = (self.views + extra)[:count]
            self.words = cameras.named(self.views)

    return Many


def single(engine: Any, size: int) -> float:
    """Return the seconds of 8 pictures with a ControlNet, after one that warms up."""
    from PIL import Image

    from blender_sd.core.parts import Control

    control = Control("depth", str(common.ROOT / "blender_sd/models/starter_control"))
    picture = Image.radial_gradient("L").resize((size, size)).convert("RGB")
    spent = 0.0
    for number in range(9):
        started = time.monotonic()
        engine.generate("red brick wall", size=(size, size), steps=STEPS, guidance=3.0, seed=number,
                        model=_starter(), controls=[(control, picture)], scale=0)  # every pixel denoised, as of views
        spent += (time.monotonic() - started) if number else 0.0
    return spent


def _starter() -> str:
    return str(common.ROOT / "blender_sd/models/starter")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
