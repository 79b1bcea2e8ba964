"""One declaration of each setting: its label, tip, limits and default. The panel, the checks and the docs read it from here."""
from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidRequest

_HUGE = 2**53  # integers beyond are no longer exact as floats, and far beyond they cannot be made ones
MAX_PARTS = 256  # LoRAs, controls, … of one request; each is made before it is looked at
_NAMED = 8  # unknown settings that a message names
_TYPES: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
_WORDS: Mapping[type, str] = {str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Setting:
    """What a person needs to know of one field."""

    label: str
    tip: str
    low: float | None = None
    high: float | None = None
    soft_high: float | None = None
    choices: tuple[str, ...] = ()


def shown(value: Any) -> str:
    """`value` in at most 40 characters, for messages, whatever it is: nested too deeply to be written, a number of thousands of digits."""
    try:
        return reprlib.repr(value)[:40]
    except (ValueError, RecursionError):
        return type(value).__name__


def setting_field(default: Any, label: str, tip: str, **limits: Any) -> Any:
    """A dataclass field with its `Setting`."""
    return field(default=default, metadata={"setting": Setting(label, tip, **limits)})


def parts_field(part: type, label: str, tip: str) -> Any:
    """A dataclass field that holds a tuple of `part`s (frozen dataclasses with settings of their own), empty by default."""
    return field(default=(), metadata={"setting": Setting(label, tip), "part": part})


def checked(value: Any) -> None:
    """Checks every field of a frozen dataclass against its type and `Setting`, from its `__post_init__`. Whole numbers
    become floats where those are wanted, so that 5 and 5.0 are the same order. Raises InvalidRequest."""
    for spec in dataclasses.fields(value):
        given = getattr(value, spec.name)
        if spec.type == "float" and type(given) is int:
            object.__setattr__(value, spec.name, given := float(given) if abs(given) < _HUGE else math.inf)
        if "part" in spec.metadata:
            if type(given) is not tuple or not all(type(one) is spec.metadata["part"] for one in given):
                raise InvalidRequest(f"{spec.name} must be a tuple of {spec.metadata['part'].__name__}, not {shown(given)}.")
        else:
            _check(spec, given)


def from_dict(cls: type, raw: object) -> Any:
    """`cls` (a dataclass with settings) from a decoded JSON object. Raises InvalidRequest; unknown keys are refused, since
    they would change the picture."""
    if not isinstance(raw, dict):
        raise InvalidRequest("These settings cannot be read.", "The image was not made by this add-on.", shown(raw))
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}
    unknown = raw.keys() - specs.keys()
    if unknown:
        names = ", ".join(sorted(shown(str(name)).strip("'\"") for name in unknown)[:_NAMED])
        raise InvalidRequest(f"Unknown settings: {names}.", "Update the add-on.")
    values = dict(raw)
    for name, value in raw.items():
        part = specs[name].metadata.get("part")
        if part is not None:
            if not isinstance(value, list):
                raise InvalidRequest(f"{name} must be a list.", "The image was not made by this add-on.", shown(value))
            if len(value) > MAX_PARTS:
                raise InvalidRequest(f"{specs[name].metadata['setting'].label}: {len(value)} are given.", f"{MAX_PARTS} are the most.")
            values[name] = tuple(from_dict(part, one) for one in value)
    return cls(**values)


def _check(spec: dataclasses.Field, value: Any) -> None:
    kind = _TYPES[spec.type]
    label = spec.name
    if type(value) is not kind:
        raise InvalidRequest(f"{label} must be {_WORDS.get(kind, 'a number')}, not {shown(value)}.")
    rule: Setting | None = spec.metadata.get("setting")
    if kind is float and not math.isfinite(value):
        raise InvalidRequest(f"{label} must be a finite number.")
    if kind is str and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InvalidRequest(f"{label} holds broken characters.", "Type it anew.")
    if rule is None:
        return
    if rule.choices and value not in rule.choices:
        raise InvalidRequest(f"There is no {label} called '{value:.40}'.", f"Choose one of: {', '.join(rule.choices)}.")
    if rule.low is not None and not rule.low <= value <= rule.high:
        given = f"{value:g}" if abs(value) < _HUGE else "that"
        raise InvalidRequest(f"{rule.label} must be between {rule.low:g} and {rule.high:g}, not {given}.")
