"""What a request may hold several of: LoRAs, textual inversions, controls and a grid's axes. Like requests they are frozen,
complete and checked when made."""
from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property

from .errors import InvalidRequest
from .settings import checked, setting_field

_MAX_VALUES = 100_000  # characters; csv takes no more in one value either
AXES = ("steps", "guidance", "sampler", "strength", "seed", "variation_strength", "refine_strength", "prompt")
CONTROL_KINDS = ("depth", "normal", "lines", "segmentation", "canny", "blur", "image")


@dataclass(frozen=True)
class Lora:
    """A low-rank addition to the model's weights (Hu et al. 2021): `file` is its path, `weight` how strongly it counts."""

    file: str = setting_field("", "File", "The LoRA's .safetensors file")
    weight: float = setting_field(1.0, "Weight", "How strongly the LoRA counts; 0 switches it off", low=-4.0, high=4.0, soft_high=2.0)

    def __post_init__(self) -> None:
        checked(self)


@dataclass(frozen=True)
class Embedding:
    """A textual inversion (Gal et al. 2022): `word` is how the prompt names it, `file` its path."""

    word: str = setting_field("", "Word", "What stands for it in the prompt")
    file: str = setting_field("", "File", "The textual inversion's .safetensors file")

    def __post_init__(self) -> None:
        checked(self)


@dataclass(frozen=True)
class Control:
    """One ControlNet (Zhang et al. 2023) and its picture. `kind` says what the picture shows; `model` is the ControlNet's
    folder or file; `image` is the picture's digest (`messages.Source.digest`), filled in by the session. The picture
    counts with `weight` from `start` to `end` of the steps (0 to 1)."""

    kind: str = setting_field("depth", "Kind", "What the control picture shows", choices=CONTROL_KINDS)
    model: str = setting_field("", "ControlNet", "The ControlNet that reads the picture")
    weight: float = setting_field(1.0, "Weight", "How closely the result keeps to the control picture", low=0.0, high=4.0, soft_high=2.0)
    start: float = setting_field(0.0, "Start", "Share of the steps after which the control begins to count", low=0.0, high=1.0)
    end: float = setting_field(1.0, "End", "Share of the steps after which the control no longer counts", low=0.0, high=1.0)
    image: str = ""

    def __post_init__(self) -> None:
        checked(self)
        if self.start >= self.end:
            raise InvalidRequest(f"A control must end after it starts, not start at {self.start:g} and end at {self.end:g}.")


@dataclass(frozen=True)
class Axis:
    """One axis of a grid of pictures: the `setting` of the request that changes along it, and its `values`, separated by
    commas ("a, b" in quotes is one value). Along a prompt axis the first value, a part of the prompt, is replaced by each; samplers
    are called by their ids or labels."""

    setting: str = setting_field("steps", "Setting", "What changes along the axis", choices=AXES)
    values: str = setting_field("", "Values", (
        "What it changes to, separated by commas; for the prompt: a part of it, then what takes its place"))

    def __post_init__(self) -> None:
        checked(self)
        if len(self.values) > _MAX_VALUES:
            raise InvalidRequest(f"The values of the grid's axis '{self.setting}' are too long.", "Take some out.")
        if not self.options:
            raise InvalidRequest(f"The grid's axis '{self.setting}' has no values.", "Write some, separated by commas.")

    @cached_property
    def options(self) -> list[str]:
        """The values, one by one."""
        lines = csv.reader([" ".join(self.values.splitlines())], skipinitialspace=True)
        return [value.strip() for line in lines for value in line if value.strip()]
