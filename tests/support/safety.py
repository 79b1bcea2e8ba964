"""Requests whose picture a tiny filter flags, or not."""
from __future__ import annotations

import numpy as np

from blender_sd.core.tasks import IMAGE_TO_IMAGE
from blender_sd.protocol.messages import Source
from tests.support.engine import small
from tests.support.tiny_filters import picture


def restyled(model, colour, **changes):
    """An order that gives back its source, all of one colour, as it is."""
    source = Source(pixels=np.asarray(picture(colour).convert("RGBA")))
    return small(model, task=IMAGE_TO_IMAGE, strength=0.0, source=source.digest(), **changes), source
