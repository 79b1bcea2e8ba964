"""Requests of each task for the tiny models of the families, and their results."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.core.errors import InvalidRequest
from blender_sd.core.tasks import MAKE_SEAMLESS, OUTPAINT, TASKS, TEXT_TO_IMAGE, UPSCALE
from blender_sd.protocol.messages import Failed, Finished, Source, Step
from tests.support.engine import small

SIZES = {**dict.fromkeys(TASKS, (77, 70)), TEXT_TO_IMAGE: (64, 96), UPSCALE: (96, 80), OUTPAINT: (109, 70)}


def pixels(width=77, height=70):
    return np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8) | np.uint8([0, 0, 0, 255])


def hole():
    mask = np.zeros((70, 77, 4), np.uint8)
    mask[..., 3] = 255
    mask[20:60, 10:50] = 255
    return Source(pixels=mask)


@pytest.fixture
def order(run, families):
    """Runs one order of `task` on the tiny model `name`; returns its events."""

    def order(name, task, **changes):
        width, height = SIZES[task]
        settings = {
            "task": task, "width": width, "height": height, "steps": 2, "guidance": 4.0, "strength": 0.9, "tile": 64,
            "right": 32 if task == OUTPAINT else 0, "tiling": "x" if task == MAKE_SEAMLESS else "none",
            "feather": 0, "overlap": 0, "sampler": "euler", **changes}
        on_event = settings.pop("on_event", None)
        cancelled = settings.pop("cancelled", lambda: False)
        return run(small(families(name), **settings), inputs={"source": Source(pixels=pixels()), "mask": hole()},
                   on_event=on_event, cancelled=cancelled)

    return order


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    with Image.open(events[-1].results[0].path) as picture:
        return np.asarray(picture)


def refused(events, kind=InvalidRequest):
    assert isinstance(events[-1], Failed) and events[-1].kind == kind.kind, events[-1]
    assert not [event for event in events if isinstance(event, Step)]
    return events[-1].message
