"""Define what all tasks have in common."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .common_settings import MAX_SEED, CommonSettings
from .settings import checked

IMAGE_TO_IMAGE = "image_to_image"


@dataclass(frozen=True, kw_only=True)
class Task:
    """The base of all tasks.

    Attributes:
        name: Its name in files.
        label: Its name in the interface.
        prompt_tip: What its own prompt is about.
        needs: The roles of the input pictures that it needs.
        of_frames: Whether it paints over the frames of a shot, which are no input pictures.
        call: How it calls the model: TEXT_TO_IMAGE, IMAGE_TO_IMAGE or INPAINT.
        doing: What it does, for "This model cannot …".
        of_a_part: Whether its prompt may be about a part of the picture alone.
        regional: Whether regions of its picture can have settings of their own.
        own_prompt: The panel's property for a prompt of its own beside the main one; "" for none.
        sets: The common settings that it sets itself for each picture (`of_picture`), so that no call takes them.
        defaults: The common settings that calls leave open and that neither a style nor the model decides for it.
    """

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    prompt_tip: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ("source",)
    of_frames: ClassVar[bool] = False
    call: ClassVar[str] = IMAGE_TO_IMAGE
    doing: ClassVar[str] = ""
    of_a_part: ClassVar[bool] = False
    regional: ClassVar[bool] = False
    own_prompt: ClassVar[str] = ""
    sets: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        checked(self)

    def of_picture(self, request: CommonSettings, number: int) -> dict[str, Any]:
        """Return the settings in which one of a request's `count` pictures differs from it: the seed, or the variation
        seed if there is a variation.

        A request with these settings and a count of 1 must give itself.

        Args:
            request: The request, whose task this is.
            number: The picture's number, from 0.
        """
        turning = "variation_seed" if request.variation_strength > 0 else "seed"
        return {turning: (getattr(request, turning) + number) % (MAX_SEED + 1)}

    @property
    def prompts(self) -> tuple[str, ...]:
        """The texts of its own that something is painted from, beside the request's prompt."""
        return ()

    def with_prompts(self, prompts: Sequence[str]) -> Task:
        """Return the task with other texts in the places of `prompts`."""
        return self
