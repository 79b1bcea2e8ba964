"""Make Blender properties of the settings that `core` declares, so that labels, tips, limits and defaults agree."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpy.props import IntProperty

from ..core.request import PANEL_SEED
from ..core.settings import Setting


def declared(kind: Callable[..., Any], cls: type, name: str, **extra: Any) -> Any:
    """Return a Blender property for the field `name` of `cls`, a dataclass with settings.

    Args:
        kind: The function that makes the property, such as IntProperty.
        extra: Arguments that override the declared ones.
    """
    rule, default = rule_of(cls, name), cls.__dataclass_fields__[name].default
    limits = {}
    if rule.low is not None:
        number = int if kind is IntProperty else float
        high = min(rule.high, PANEL_SEED) if kind is IntProperty else rule.high  # Blender's are 32-bit signed
        limits = {"min": number(rule.low), "max": number(high), "soft_max": number(rule.soft_high or high)}
    return kind(**{"name": rule.label, "description": rule.tip, "default": default, **limits, **extra})


def rule_of(cls: type, name: str) -> Setting:
    """Return the `Setting` of the field `name` of `cls`."""
    return cls.__dataclass_fields__[name].metadata["setting"]
