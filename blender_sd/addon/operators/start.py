"""Start jobs from operators: choose the seed, report errors, and inform the panel."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bpy
from bpy.props import StringProperty

from ...calls import models
from ...calls.runtime import runtime
from ...core.errors import SDError
from ...core.request import PANEL_SEED
from ...core.tasks import IMAGE_TO_IMAGE, INPAINT
from .. import opening, state, tick
from ..layout import tab_is_open
from ..task_prompts import Words, words_of
from ..translations.words import translated

if TYPE_CHECKING:
    from ...session.job import Job


class Prompted:
    """Base of the operators that paint on an image and have a prompt of their own.

    Attributes:
        sd_task: The request's task.
    """

    sd_task: str
    prompt: StringProperty(name="Prompt", options={"SKIP_SAVE"}, description=(
        "What is painted; empty for the words in the panel, or else the prompt that made the image"))

    def words(self, context: bpy.types.Context, image: bpy.types.Image) -> Words:
        """Return the words to paint on `image`."""
        return words_of(context.scene.sd, self.sd_task, image, self.prompt)


def start(operator: bpy.types.Operator | None, context: bpy.types.Context, submit: Callable[[int], Job]) -> set[str]:
    """Submit a job and have its result shown when it is finished.

    An SDError is reported and shown in the panel, and changes nothing.

    Args:
        submit: Called with the seed; submits the job and returns it.
    """
    settings = context.scene.sd
    try:
        seed = random.SystemRandom().randint(0, PANEL_SEED) if settings.random_seed else settings.chosen_seed()
        opening.expect(submit(seed))
    except SDError as error:
        return refuse(operator, error)
    settings.take_seed(seed)
    tick.soon()
    return {"FINISHED"}


def without_grid(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a call that makes no grids."""
    return {name: value for name, value in keywords.items() if name != "axes"}


def refuse(operator: bpy.types.Operator | None, error: SDError) -> set[str]:
    """Show `error` in the panel and report it.

    Args:
        operator: Reports the error; None if no operator is running any more.
    """
    state.show_error(error)
    tick.soon()
    if operator is not None:
        tell(operator, error)
    return {"CANCELLED"}


def tell(operator: bpy.types.Operator, error: SDError) -> None:
    """Report `error` where the panel does not show it: while the tab is closed, and to scripts."""
    if not (operator.options.is_invoke and tab_is_open()):
        operator.report({"ERROR"}, translated(str(error)))


def first_refusal(cls: type[bpy.types.Operator], *checks: Any) -> bool:
    """Return, for `poll`, whether all of `checks` are met; otherwise give the reason of the first that is not.

    Args:
        checks: Pairs of a condition and what to do if it is not met.
    """
    for met, words in checks:
        if not met:
            cls.poll_message_set(translated(words))
            return False
    return True


def can_do(cls: type[bpy.types.Operator], context: bpy.types.Context, *tasks: str) -> bool:
    """Return, for `poll`, whether the model can do all of `tasks` and the policy allows it, or say why not."""
    forbidden = runtime.policy.refusal(context.scene.sd.model)
    info = models.known_model(context.scene.sd.model)
    refused = next(filter(None, map(info.abilities.refusal, tasks)), "") if info is not None else ""
    return first_refusal(cls, (not forbidden, forbidden.rstrip(".")), (not refused, f"{refused} Choose another model"))


def can_restyle(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Return, for `poll`, whether the model can paint over a picture, or say why not. One that can only inpaint does so
    round regions that are kept."""
    settings = context.scene.sd
    info = models.known_model(settings.model)
    keeps = any(region.enabled and region.keep for region in settings.regions)
    only_inpaints = info is not None and bool(info.abilities.refusal(IMAGE_TO_IMAGE))
    return can_do(cls, context, INPAINT if keeps and only_inpaints else IMAGE_TO_IMAGE)


def can_find(cls: type[bpy.types.Operator], find: Callable[[bpy.types.Context], Any],
             context: bpy.types.Context) -> bool:
    """Return, for `poll`, whether `find` returns what the operator works on; otherwise show its error's text."""
    try:
        find(context)
    except SDError as error:
        cls.poll_message_set(translated(str(error)))
        return False
    return True
