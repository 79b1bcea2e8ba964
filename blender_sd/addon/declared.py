"""Make Blender properties of the settings that `core` declares, so that labels, tips, limits and defaults agree."""
from __future__ import annotations

import dataclasses
import json
from typing import Any

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..core.declarations import Declared, find
from ..core.request import PANEL_SEED
from ..core.settings import FILE, FOLDER, PIXELS, SECRET, SHARE, Setting

_KINDS = {"int": IntProperty, "float": FloatProperty, "bool": BoolProperty, "str": StringProperty}
_SUBTYPES = {PIXELS: "PIXEL", SHARE: "FACTOR", FILE: "FILE_PATH", FOLDER: "DIR_PATH", SECRET: "PASSWORD"}


def declared(setting: str | Declared, **extra: Any) -> Any:
    """Return a Blender property for a declared setting.

    Args:
        setting: It, or its name.
        extra: Arguments that override what follows from the declaration.
    """
    item = find(setting) if isinstance(setting, str) else setting
    return _property(item.kind, item.default, item.setting, extra)


def declared_field(cls: type, name: str, **extra: Any) -> Any:
    """Return a Blender property for the field `name` of `cls`, a dataclass with settings; `extra` as for `declared`."""
    spec = next(spec for spec in dataclasses.fields(cls) if spec.name == name)
    return _property(str(spec.type).removesuffix(" | None"), spec.default, spec.metadata["setting"], extra)


def rule_of(cls: type, name: str) -> Setting:
    """Return the `Setting` of the field `name` of `cls`."""
    return cls.__dataclass_fields__[name].metadata["setting"]


def exact_values() -> Any:
    """Return the Blender property `exact`, which a group needs for `fill` and `exact`."""
    return StringProperty(name="Exact Values", options={"HIDDEN"}, description=(
        "The numbers that were recalled, with the digits that Blender's 32-bit numbers lack"))


def fill(group: bpy.types.PropertyGroup, name: str, value: Any) -> None:
    """Set the property `name` of a group to a request's value, so that `exact` returns that."""
    setattr(group, name, min(value, PANEL_SEED) if type(value) is int else value)
    if type(value) in (int, float):
        group.exact = json.dumps({**_recalled(group), name: value})


def exact(group: bpy.types.PropertyGroup, name: str) -> Any:
    """Return the value of the property `name`: where it is still the one that `fill` has set, with all its digits. A
    last digit may decide how many steps a strength amounts to."""
    value = getattr(group, name)
    recalled = _recalled(group).get(name)
    if type(value) is float and type(recalled) is float and np.float32(recalled) == np.float32(value):
        return recalled
    return recalled if type(value) is type(recalled) is int and min(recalled, PANEL_SEED) == value else value


def _recalled(group: bpy.types.PropertyGroup) -> dict[str, Any]:
    try:
        values = json.loads(group.exact)
    except (ValueError, RecursionError):  # the file may come from anybody
        return {}
    return values if isinstance(values, dict) else {}


def _property(kind: str, default: Any, rule: Setting, extra: dict[str, Any]) -> Any:
    make, known = _KINDS[kind], {}
    if rule.low is not None:
        number = int if kind == "int" else float
        high = min(rule.high, PANEL_SEED) if kind == "int" else rule.high  # Blender's are 32-bit signed
        known = {"min": number(rule.low), "max": number(high), "soft_max": number(rule.soft_high or high)}
    if rule.words or "items" in extra:
        make = EnumProperty
        known["items"] = [(key, *words, number) for number, (key, words) in enumerate(rule.words.items())]
    known |= {name: value for name, value in (
        ("subtype", _SUBTYPES.get(rule.unit)), ("step", rule.step), ("precision", rule.digits)) if value}
    return make(**{"name": rule.label, "description": rule.tip, "default": default, **known, **extra})
