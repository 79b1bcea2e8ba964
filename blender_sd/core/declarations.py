"""List the declared settings, for everything that is derived from them."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .common_settings import CommonSettings
from .settings import Setting
from .tasks import KNOWN, Task

# Settings that every description of a picture has a place for.
MAIN = frozenset(("prompt", "negative", "model", "width", "height", "sampler", "steps", "guidance", "seed", "style",
                  "count", "ip_adapter", "vae", "mask_kind", "upscaler", "parts"))
COMMON = ""  # the task of a setting that all tasks share


class WithTask(Protocol):
    """What values of settings are read from; `core.request.Request` in fact."""

    @property
    def task(self) -> Task: ...


@dataclass(frozen=True)
class Declared:
    """One setting.

    Attributes:
        task: The name of the task that has it; COMMON for all.
        name: Its name in requests and in the API.
        kind: Its type: int, float, str or bool.
        default: Its default.
        setting: What is known about it.
    """

    task: str
    name: str
    kind: str
    default: Any
    setting: Setting

    @property
    def prop(self) -> str:
        """The name of the panel's property. Tasks with the same property share it."""
        return self.setting.prop or (f"{self.task}_{self.name}" if self.task else self.name)

    def of(self, request: WithTask) -> Any:
        """Return its value in a request of its task."""
        return getattr(request.task if self.task else request, self.name)

    def is_default(self, request: WithTask) -> bool:
        """Return whether it has its default in a request of its task."""
        return self.of(request) == self.default

    def text(self, value: Any) -> str:
        """Return `value` as people read it."""
        if value in self.setting.words:
            return self.setting.words[value][0]
        if isinstance(value, bool):
            return "Yes" if value else "No"
        return f"{value:g}" if isinstance(value, float) else str(value)


def _of(task: str, cls: type) -> Iterator[Declared]:
    for spec in dataclasses.fields(cls):
        if rule := spec.metadata.get("setting"):
            yield Declared(task, spec.name, str(spec.type), spec.default, rule)


SETTINGS: tuple[Declared, ...] = (
    *_of(COMMON, CommonSettings), *(declared for name, cls in KNOWN.items() for declared in _of(name, cls)))
_BY_NAME = {declared.name: declared for declared in reversed(SETTINGS)}


def used_by(use: str, task: str | None = None) -> tuple[Declared, ...]:
    """Return the settings with that use (`settings.PANEL` and so on), each property once.

    Args:
        use: The use.
        task: Only those of this task (COMMON: of all tasks); None for every setting.
    """
    chosen = (declared for declared in SETTINGS if use in declared.setting.uses and task in (None, declared.task))
    return tuple({declared.prop: declared for declared in chosen}.values())


def settings_of(request: WithTask) -> list[Declared]:
    """Return the settings that take part in a request: not those that another one has switched off."""
    own = [declared for declared in SETTINGS if declared.task in (COMMON, request.task.name)]
    by_name = {declared.name: declared for declared in own}
    return [declared for declared in own if not declared.setting.only_with
            or not by_name[declared.setting.only_with].is_default(request)]


def unusual(request: WithTask) -> list[tuple[str, str]]:
    """Return label and value, as people read them, of the settings that differ from their defaults, without `MAIN`
    ones; a strength in any case."""
    return [(declared.setting.label, declared.text(declared.of(request))) for declared in settings_of(request)
            if declared.name == "strength" or declared.name not in MAIN and not declared.is_default(request)]


def in_group(group: str) -> tuple[Declared, ...]:
    """Return the settings that the panel draws in `group`, in their order."""
    return tuple({declared.prop: declared for declared in SETTINGS if declared.setting.group == group}.values())


def find(name: str) -> Declared:
    """Return the setting of that name: a common one, or else the first task's that has it."""
    return _BY_NAME[name]


_AXES = {declared.setting.axis: declared.name for declared in SETTINGS if declared.setting.axis is not None}
AXES: tuple[str, ...] = tuple(_AXES[number] for number in sorted(_AXES))  # what may change along a grid's axis
