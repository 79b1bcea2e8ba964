"""Bring the JSON of requests that earlier versions wrote to today's format.

Format 2 holds the task's settings in an object of their own, under the names that the API has. Format 1 had the
settings of all tasks beside each other. A picture of either format gives the same pixels again.
"""
from __future__ import annotations

from typing import Any

from .errors import InvalidRequest
from .tasks import INPAINT, KNOWN, MAKE_SEAMLESS, OUTPAINT, TEXT_TO_IMAGE, task_fields

FORMAT = 2
# Format 1: names of the settings that tasks have today by another one.
_RENAMED = {
    INPAINT: {"grow": "mask_grow", "feather": "mask_feather", "full_res": "mask_full_res", "context": "mask_context"},
    OUTPAINT: {"left": "expand_left", "right": "expand_right", "top": "expand_top", "bottom": "expand_bottom",
               "overlap": "mask_grow"},
    MAKE_SEAMLESS: {"feather": "mask_feather"}}
_DEFAULTS = {"strength": 0.5, "mask_grow": 0}  # of format 1, where they differ from today's
_OF_TASKS = frozenset((
    "strength", "tile", "refine_scale", "refine_strength", "upscaler", "upscaler_noise", "mask_kind", "mask_grow",
    "mask_feather", "mask_full_res", "mask_context", "expand_left", "expand_right", "expand_top", "expand_bottom",
    "band"))


def upgraded(raw: object) -> dict[str, Any]:
    """Return the decoded JSON object of a request in today's format, without the format's number.

    Raises:
        InvalidRequest: It is no object, or of a format that this version does not know.
    """
    if isinstance(raw, dict) and raw.get("format") == FORMAT:
        return {key: value for key, value in raw.items() if key != "format"}
    if isinstance(raw, dict) and raw.get("format") == 1:
        return _from_1({key: value for key, value in raw.items() if key != "format"})
    raise InvalidRequest("These settings are of a format that this version does not know.", "Update the add-on.")


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    task = raw.get("task", TEXT_TO_IMAGE)
    if not isinstance(task, str) or task not in KNOWN:
        return {**raw, "task": {"name": task}}  # refused by its name
    renamed = _RENAMED.get(task, {})
    given = {**_DEFAULTS, **raw}
    own = {name: given[old] for name in task_fields(task) if (old := renamed.get(name, name)) in given}
    rest = {name: value for name, value in raw.items() if name not in _OF_TASKS and name != "task"}
    return {**rest, "task": {"name": task, **own}}
