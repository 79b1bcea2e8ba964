"""List the memory modes, from fastest to smallest. Each mode includes the savings of those before it."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryMode:
    """Describe a memory mode.

    Attributes:
        id: Its name in settings and messages, which never changes.
        label: Its name in menus.
        text: What an artist reads while it is in use.
    """

    id: str
    label: str
    text: str


FULL, TILES, OFFLOAD, STREAM, FP8 = "full", "tiles", "offload", "stream", "fp8"
# Apple's GPUs share the processor's RAM, so offloading a part saves nothing, and they have no 8-bit floats.
ON_APPLE = (FULL, TILES)
MEMORY_MODES = {mode.id: mode for mode in (
    MemoryMode(FULL, "Full", "The whole model is on the device; the fastest"),
    MemoryMode(TILES, "VAE in Tiles", "Pictures are decoded in tiles"),
    MemoryMode(OFFLOAD, "Offload Parts",
               "The model waits in RAM, and each of its parts goes to the device when it works"),
    MemoryMode(STREAM, "Stream Layers",
               "The model waits in RAM, and each layer goes to the device when it works; slow"),
    MemoryMode(FP8, "8-Bit Weights", "The model's weights are kept in 8 bits (fp8), which changes pictures a little"),
)}
