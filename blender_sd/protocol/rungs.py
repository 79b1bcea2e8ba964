"""The ladder of memory: what is done, rung by rung, so that a model and its pictures fit. Each rung includes those above it."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """One rung. `text`: what an artist reads when it is in use."""

    id: str
    label: str
    text: str


FULL, TILES, OFFLOAD, STREAM, FP8 = "full", "tiles", "offload", "stream", "fp8"
RUNGS = {rung.id: rung for rung in (
    Rung(FULL, "Full", "The whole model is on the device; the fastest"),
    Rung(TILES, "VAE in Tiles", "Pictures are decoded in tiles"),
    Rung(OFFLOAD, "Offload Parts", "The model waits in RAM, and each of its parts goes to the device when it works"),
    Rung(STREAM, "Stream Layers", "The model waits in RAM, and each layer goes to the device when it works; slow"),
    Rung(FP8, "8-Bit Weights", "The model's weights are kept in 8 bits (fp8), which changes pictures a little"),
)}
