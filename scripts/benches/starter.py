"""Measure the gates of the embedded starter model on the exported folder with held-out prompts and seeds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

DESCRIPTION = "the embedded model: autoencoder, materials, colours, seams, diversity, few steps, restyled scenes, speed"


def run(log: Callable[[str], None]) -> dict:
    """Measure and return ``{"figures": {name: number}, "bars": {name: {"value", "bar", "holds"}}}``."""
    scripts = Path(__file__).resolve().parents[1]
    if str(scripts) not in sys.path:
        sys.path.insert(0, str(scripts))
    from starter import evaluate
    from starter.common import CONTROL, MODEL

    return evaluate.gates(MODEL, CONTROL, log)
