"""Declare each setting once, as a field of a frozen dataclass with everything known about it.

Blender's properties, panels, the API's keywords, presets, styles, material lists, grids, other programs' texts, the
details of a picture, live mode's changes and the docs are derived from these declarations (see `core.declarations`).
"""
from __future__ import annotations

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidRequest
from .names import closest, suggestion

_HUGE = 2**53  # integers beyond are not exact as floats, and huge ones cannot be converted
MAX_PARTS = 256  # LoRAs, controls, … of one request, limited before any of them is made
_NAMED = 8  # unknown settings named in a message
_TYPES: Mapping[object, type] = {"int": int, "float": float, "str": str, "bool": bool}
_OR_NONE = " | None"  # of the annotation of a field that may be left open
_WORDS: Mapping[type, str] = {str: "text", bool: "true or false"}


# Who uses a setting: the panel, Blender's presets, styles, material lists, and live mode's frames.
PANEL, PRESET, STYLE, LIST, LIVE = "panel", "preset", "style", "list", "live"
PIXELS, SHARE = "pixels", "share"  # units
FILE, FOLDER, SECRET = "file", "folder", "secret"  # what a text names


@dataclass(frozen=True)
class Setting:
    """Describe a field to people, and who uses it.

    Attributes:
        label: Its name.
        tip: What it does.
        low, high: The limits of a number, both included; None for none.
        soft_high: The upper end of its slider, if lower than `high`.
        choices: The allowed values of a text; empty for any.
        words: The label and tip of each choice; where there are none, the setting makes its own menu.
        unit: PIXELS, SHARE (0 to 1, drawn as a slider), FILE, FOLDER, SECRET, or "".
        step: How far a click on a field's arrow moves it; in hundredths for a decimal.
        digits: Decimals that a field shows; 0 for Blender's own choice.
        placeholder: What an empty text field shows.
        group: The part of the panel that draws it; "" for one that is drawn by hand, or not at all.
        needs: The attribute of `Family` that a model must have for the setting to do anything; "" for any model.
        uses: Of PANEL, PRESET, STYLE, LIST and LIVE.
        prop: The panel's property, if it is not called as the field.
        axis: The number of the setting in the menus of a grid's axes, which files save; None if it cannot be an axis.
        example: The values that such an axis begins with.
        a1111: Its name in the text that A1111's web UI and others write.
        only_with: The setting beside it without which (at its default) it does nothing.
        neutral: Whether its default changes nothing, so that texts leave it out then.
    """

    label: str
    tip: str
    low: float | None = None
    high: float | None = None
    soft_high: float | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    unit: str = ""
    step: int = 0
    digits: int = 0
    placeholder: str = ""
    group: str = ""
    needs: str = ""
    uses: frozenset[str] = frozenset()
    prop: str = ""
    axis: int | None = None
    example: str = ""
    a1111: str = ""
    only_with: str = ""
    neutral: bool = False


def shown(value: Any) -> str:
    """Return any value in at most 40 characters, for messages.

    Values that are nested too deeply or have too many digits to print are no exception.
    """
    try:
        return reprlib.repr(value)[:40]
    except (ValueError, RecursionError):
        return type(value).__name__


def plain(value: Any) -> Any:
    """Return a number of numpy's as Python's; anything else as it is."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () else value


def setting_field(default: Any, label: str, tip: str, uses: tuple[str, ...] = (), **known: Any) -> Any:
    """Return a dataclass field with its `Setting`; `known` holds the rest of that."""
    return field(default=default, metadata={"setting": Setting(label, tip, uses=frozenset(uses), **known)})


def parts_field(part: type, label: str, tip: str) -> Any:
    """Return a dataclass field for a tuple of `part`s, empty by default.

    Args:
        part: A frozen dataclass with settings of its own.
        label: Its name.
        tip: What it does.
    """
    return field(default=(), metadata={"setting": Setting(label, tip), "part": part})


def object_field(default: Any, cls: type) -> Any:
    """Return a dataclass field for an object of `cls`, which checks itself."""
    return field(default=default, metadata={"class": cls})


def checked(value: Any, any_text: bool = False) -> None:
    """Check every field of a frozen dataclass against its type and `Setting`; to be called in `__post_init__`.

    Integers become floats in float fields, so that 5 and 5.0 make equal requests.

    Args:
        value: The object.
        any_text: Whether texts may hold what is no character, as paths of Linux do.

    Raises:
        InvalidRequest: A field has the wrong type or is out of range.
    """
    for spec in dataclasses.fields(value):
        given = getattr(value, spec.name)
        if (number := plain(given)) is not given:
            object.__setattr__(value, spec.name, given := number)
        if given is None and str(spec.type).endswith(_OR_NONE):
            continue
        if str(spec.type).removesuffix(_OR_NONE) == "float" and type(given) is int:
            object.__setattr__(value, spec.name, given := float(given) if abs(given) < _HUGE else math.inf)
        if "class" in spec.metadata:
            if not isinstance(given, spec.metadata["class"]):
                raise InvalidRequest(f"{spec.name} must be a {spec.metadata['class'].__name__}, not {shown(given)}.")
        elif "part" in spec.metadata:
            if type(given) is not tuple or not all(type(part) is spec.metadata["part"] for part in given):
                raise InvalidRequest(
                    f"{spec.name} must be a tuple of {spec.metadata['part'].__name__}, not {shown(given)}."
                )
        elif str(spec.type).removesuffix(_OR_NONE) in _TYPES:
            _check(spec, given, any_text)


def from_dict(cls: type, raw: object) -> Any:
    """Build `cls`, a dataclass with settings, from a decoded JSON object.

    Raises:
        InvalidRequest: `raw` is no object, has an unknown key (which might change the picture) or a wrong value.
    """
    if not isinstance(raw, dict):
        raise InvalidRequest("These settings cannot be read.", "The image was not made by this add-on.", shown(raw))
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}
    unknown = raw.keys() - specs.keys()
    if unknown:
        names = sorted(shown(str(name)).strip("'\"") for name in unknown)[:_NAMED]
        raise InvalidRequest(f"Unknown settings: {', '.join(names)}.",
                             suggestion(names[0], closest(names[0], specs), "Update the add-on."))
    values = dict(raw)
    for name, value in raw.items():
        part = specs[name].metadata.get("part")
        if part is not None:
            if not isinstance(value, list):
                raise InvalidRequest(f"{name} must be a list.", "The image was not made by this add-on.", shown(value))
            if len(value) > MAX_PARTS:
                raise InvalidRequest(f"{specs[name].metadata['setting'].label}: {len(value)} are given.",
                                     f"{MAX_PARTS} are the most.")
            values[name] = tuple(from_dict(part, item) for item in value)
    return cls(**values)


def _check(spec: dataclasses.Field, value: Any, any_text: bool) -> None:
    kind: Any = _TYPES[str(spec.type).removesuffix(_OR_NONE)]
    label = spec.name
    if type(value) is not kind:
        raise InvalidRequest(f"{label} must be {_WORDS.get(kind, 'a number')}, not {shown(value)}.")
    rule: Setting | None = spec.metadata.get("setting")
    if kind is float and not math.isfinite(value):
        raise InvalidRequest(f"{label} must be a finite number.")
    if kind is str and not any_text and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InvalidRequest(f"{label} holds broken characters.", "Type it again.")
    if rule is None:
        return
    if rule.choices and value not in rule.choices:
        raise InvalidRequest(f"There is no {label} called '{value:.40}'.", suggestion(value, rule.choices))
    if rule.low is not None and rule.high is not None and not rule.low <= value <= rule.high:
        given = f"{value:g}" if abs(value) < _HUGE else "that"
        high = f"{rule.high:g}" if rule.high < _HUGE else f"{rule.high}"
        raise InvalidRequest(f"{rule.label} must be between {rule.low:g} and {high}, not {given}.")
