"""Define what a request may hold several of: LoRAs, textual inversions, controls and grid axes.

Like requests they are frozen, complete, and checked when they are made.
"""
from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property

from .declarations import AXES
from .errors import InvalidRequest
from .settings import checked, setting_field

_MAX_VALUES = 100_000  # characters; csv's limit for one value
CONTROL_KINDS = ("depth", "normal", "lines", "segmentation", "canny", "blur", "image")


@dataclass(frozen=True)
class Lora:
    """A low-rank addition to the model's weights (Hu et al. 2021).

    Attributes:
        file: The path of its file.
        weight: How strongly it counts; 0 switches it off.
        text_weight: How strongly it counts in the text encoders; None for the same.
        tag: If not empty, the LoRA is used only in pictures whose prompt contains a LoRA tag of this name once its
            choices are made; the weights are then the tag's.
    """

    file: str = setting_field("", "File", "The LoRA's .safetensors file")
    weight: float = setting_field(1.0, "Weight", "How strongly the LoRA counts; 0 switches it off", low=-4.0, high=4.0,
                                  soft_high=2.0)
    text_weight: float | None = setting_field(
        None, "Text Weight", "How strongly the LoRA counts in the text encoders, where that differs", low=-4.0,
        high=4.0, soft_high=2.0)
    tag: str = setting_field("", "Tag",
                             "What the prompt's choices call the LoRA; empty where it is on in every picture")

    def __post_init__(self) -> None:
        checked(self)

    @property
    def counts(self) -> bool:
        """Whether it changes anything."""
        return bool(self.weight or self.text_weight)


@dataclass(frozen=True)
class Embedding:
    """A textual inversion (Gal et al. 2022).

    Attributes:
        word: The word in the prompt that stands for it.
        file: The path of its file.
    """

    word: str = setting_field("", "Word", "What stands for it in the prompt")
    file: str = setting_field("", "File", "The textual inversion's .safetensors file")

    def __post_init__(self) -> None:
        checked(self)


@dataclass(frozen=True)
class Control:
    """A ControlNet (Zhang et al. 2023) and its control picture.

    Attributes:
        kind: What the control picture shows; one of CONTROL_KINDS.
        model: The ControlNet's folder or file.
        weight: How strongly it counts.
        start: Share of the steps (0 to 1) after which it begins to count.
        end: Share of the steps (0 to 1) after which it no longer counts.
        image: The picture's digest (`messages.Source.digest`), filled in by the session.
    """

    kind: str = setting_field("depth", "Kind", "What the control picture shows", choices=CONTROL_KINDS)
    model: str = setting_field("", "ControlNet", "The ControlNet that reads the picture")
    weight: float = setting_field(1.0, "Weight", "How closely the result keeps to the control picture", low=0.0,
                                  high=4.0, soft_high=2.0)
    start: float = setting_field(0.0, "Start", "Share of the steps after which the control begins to count", low=0.0,
                                 high=1.0)
    end: float = setting_field(1.0, "End", "Share of the steps after which the control no longer counts", low=0.0,
                               high=1.0)
    image: str = ""

    def __post_init__(self) -> None:
        checked(self)
        if self.start >= self.end:
            raise InvalidRequest(
                f"A control must end after it starts, not start at {self.start:g} and end at {self.end:g}."
            )


@dataclass(frozen=True)
class Axis:
    """One axis of a grid of pictures.

    Attributes:
        setting: The setting of the request that changes along the axis; one of AXES.
        values: Its values, separated by commas ("a, b" in quotes is one value). Samplers are given by id or label. On a
            prompt axis, the first value is a part of the prompt that is replaced by each value in turn.
    """

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
        """The values, split."""
        lines = csv.reader([" ".join(self.values.splitlines())], skipinitialspace=True)
        return [value.strip() for line in lines for value in line if value.strip()]
