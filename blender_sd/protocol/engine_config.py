"""Define how an engine runs. The session sends it in its first message."""
from __future__ import annotations

from dataclasses import dataclass

ATTENTION = ("auto", "flash", "sage", "xformers")  # what computes it: torch itself, or an extra package


@dataclass(frozen=True)
class EngineConfig:
    """Configure an engine.

    What a studio's policy (see `library.policy`) requires takes precedence.

    Attributes:
        device: auto, cpu, cuda, mps or xpu (with ":1" for the second one, and so on).
        precision: auto, fp32, bf16 or fp16.
        threads: CPU threads; 0 for all cores.
        memory_mb: Megabytes of models that stay loaded; 0 for half of the machine's memory.
        memory_use: auto, or the memory mode (see `core.memory_modes`) to begin with.
        preview_px: The longest side of previews in pixels; 0 for none.
        attention: One of ATTENTION.
        compile: Whether torch compiles the model's blocks, which delays the first picture of each size and speeds up
            later ones.
        marking: Whether files say, in ways that other programs read (XMP, content credentials), that a model made them.
        credentials: The folder of the key that signs content credentials; "" for unsigned files.
        certificate, private_key: PEM files to sign with instead.
        safety_filter: The folder of the model that checks every finished picture; "" for none.
        safety_labels: Its unsafe labels, separated by commas; "" for those known by their names.
        safety_threshold: The certainty (above 0, up to 1) from which a label counts.
        blocked_words: A text file of words that prompts must not contain; "" for none.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    memory_mb: int = 0
    memory_use: str = "auto"
    preview_px: int = 256
    attention: str = "auto"
    compile: bool = False
    marking: bool = True
    credentials: str = ""
    certificate: str = ""
    private_key: str = ""
    safety_filter: str = ""
    safety_labels: str = ""
    safety_threshold: float = 0.5
    blocked_words: str = ""
