"""Requests that an engine of the test's own carries out, and their results."""
from __future__ import annotations

import numpy as np
from PIL import Image

from blender_sd.protocol.messages import Finished, Generate, Note


def carried_out(made, order, tmp_path):
    events = []
    made.run(Generate("job", order, order.model, str(tmp_path), {}), events.append, lambda: False)
    return events


def picture(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path)).astype(int)


def notes(events):
    return " ".join(event.text for event in events if isinstance(event, Note))
