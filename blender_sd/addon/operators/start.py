"""What the operators that start a job share: seed, errors, and what the panel must know."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import bpy

from ... import catalogue, studio
from ...protocol.errors import SDError
from ...protocol.request import MAX_SEED
from .. import state, tick

if TYPE_CHECKING:
    from ...session.job import Job


def start(operator: bpy.types.Operator | None, context: bpy.types.Context, order: Callable[[int], Job]) -> set[str]:
    """Calls `order(seed)`, which submits a job. An SDError is reported and shown in the panel, and nothing is changed."""
    settings = context.scene.sd
    seed = random.SystemRandom().randint(0, MAX_SEED) if settings.random_seed else settings.seed
    try:
        order(seed)
    except SDError as error:
        return refuse(operator, error)
    settings.seed = seed
    tick.soon()
    return {"FINISHED"}


def refuse(operator: bpy.types.Operator | None, error: SDError) -> set[str]:
    """Shows `error` in the panel and reports it; `operator` is None where none is running any more."""
    state.show_error(error)
    tick.soon()
    if operator is not None:
        operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


def first_refusal(cls: type[bpy.types.Operator], *checks: Any) -> bool:
    """For `poll`: the first of `checks` (a condition and the words that say what to do) that is not met refuses."""
    for met, words in checks:
        if not met:
            cls.poll_message_set(words)
            return False
    return True


def can_do(cls: type[bpy.types.Operator], context: bpy.types.Context, *tasks: str) -> bool:
    """For `poll`: whether the chosen model's family can do all of `tasks`, and the studio's policy allows it; says so where not."""
    forbidden = studio.refusal(context.scene.sd.model)
    info = catalogue.known_model(context.scene.sd.model)
    refused = next(filter(None, map(info.abilities.refusal, tasks)), "") if info is not None else ""
    return first_refusal(cls, (not forbidden, forbidden.rstrip(".")), (not refused, f"{refused} Choose another model"))


def can_find(cls: type[bpy.types.Operator], find: Callable[[bpy.types.Context], Any], context: bpy.types.Context) -> bool:
    """For `poll`: whether `find` finds what the operator works on; its error's words say what to do."""
    try:
        find(context)
    except SDError as error:
        cls.poll_message_set(str(error))
        return False
    return True
