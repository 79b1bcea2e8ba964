"""Blender properties from the settings that `protocol` declares: label, tip, limits and default are said once, there."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpy.props import IntProperty

from ..protocol.settings import Setting


def declared(kind: Callable[..., Any], cls: type, name: str, **extra: Any) -> Any:
    """The Blender property (`kind`: IntProperty …) of the field `name` of `cls`, a dataclass with settings. `extra` overrides."""
    rule, default = rule_of(cls, name), cls.__dataclass_fields__[name].default
    limits = {}
    if rule.low is not None:
        number = int if kind is IntProperty else float
        limits = {"min": number(rule.low), "max": number(rule.high), "soft_max": number(rule.soft_high or rule.high)}
    return kind(**{"name": rule.label, "description": rule.tip, "default": default, **limits, **extra})


def rule_of(cls: type, name: str) -> Setting:
    """The `Setting` of the field `name` of `cls`."""
    return cls.__dataclass_fields__[name].metadata["setting"]
