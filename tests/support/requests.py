"""Requests for tests that run several tasks with the same settings."""
from __future__ import annotations

from typing import Any

from blender_sd.core.declarations import SETTINGS
from blender_sd.core.request import Request
from blender_sd.core.tasks import TEXT_TO_IMAGE, task_fields

_OF_TASKS = {declared.name for declared in SETTINGS if declared.task}


def fitting(task: str = TEXT_TO_IMAGE, **settings: Any) -> Request:
    """Return the request of `task`; settings that only other tasks have are left out."""
    own = task_fields(task)
    return Request.of(task, **{name: value for name, value in settings.items() if name in own or name not in _OF_TASKS})


def as_sent(request: Request) -> Request:
    """Return the request of a finished picture without what the engine added: the model's name and digest."""
    return request.changed(model_name="", model_digest="")
