"""The request: a frozen, complete order. The same request gives the same pixels, wherever it comes from."""
from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidRequest
from .samplers import DEFAULT_SAMPLER, SAMPLERS

TEXT_TO_IMAGE = "text_to_image"
IMAGE_TO_IMAGE = "image_to_image"
TASKS = (TEXT_TO_IMAGE, IMAGE_TO_IMAGE)
TILING = ("none", "x", "y", "xy")
MAX_SEED = 2**31 - 1  # Blender's IntProperty is 32-bit signed
MIN_SIDE, MAX_SIDE = 16, 8192  # pixels
FORMAT = 1
_HUGE = 2**53  # integers beyond are no longer exact as floats, and far beyond they cannot be made ones


@dataclass(frozen=True)
class Setting:
    """What a person needs to know of one request field. The panel, the checks and the docs all read it from here."""

    label: str
    tip: str
    low: float | None = None
    high: float | None = None
    soft_high: float | None = None
    choices: tuple[str, ...] = ()


def _field(default: Any, label: str, tip: str, **limits: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(label, tip, **limits)})


@dataclass(frozen=True)
class Request:
    """One order. `count` pictures are made with seeds `seed`, `seed + 1`, …; each is the same picture that
    `replace(request, seed=seed + i, count=1)` gives alone.

    `model` is "starter" or the path of a model folder. `source` is "" or "sha256:…" of the source's bytes, which
    travel beside the request (`messages.Source`).
    """

    task: str = _field(TEXT_TO_IMAGE, "Task", "What is made from what", choices=TASKS)
    prompt: str = _field("", "Prompt", "What the picture should show")
    negative: str = _field("", "Negative Prompt", "What the picture should not show")
    model: str = _field("starter", "Model", "The Stable Diffusion model that paints: the built-in starter model or a folder in diffusers format")
    width: int = _field(512, "Width", "Width of the picture in pixels; rounded to what the model can paint", low=MIN_SIDE, high=MAX_SIDE, soft_high=2048)
    height: int = _field(512, "Height", "Height of the picture in pixels; rounded to what the model can paint", low=MIN_SIDE, high=MAX_SIDE, soft_high=2048)
    steps: int = _field(20, "Steps", "How many times the picture is denoised; more is slower and finer", low=1, high=500, soft_high=60)
    guidance: float = _field(5.0, "Guidance", "How closely the picture follows the prompt (CFG scale); 1 turns guidance off", low=0.0, high=100.0, soft_high=15.0)
    sampler: str = _field(DEFAULT_SAMPLER, "Sampler", "The method that walks from noise to picture", choices=tuple(SAMPLERS))
    seed: int = _field(0, "Seed", "Where the noise starts; the same seed and settings give the same picture", low=0, high=MAX_SEED)
    count: int = _field(1, "Images", "How many pictures to make, each with the next seed", low=1, high=64, soft_high=8)
    tiling: str = _field("none", "Tiling", "Axes along which the picture repeats without a seam", choices=TILING)
    strength: float = _field(0.5, "Strength", "How far to depart from the source: 0 returns it unchanged, 1 ignores it", low=0.0, high=1.0)
    source: str = ""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if spec.type == "float" and type(value) is int:  # 5 and 5.0 are the same order, and must read the same
                object.__setattr__(self, spec.name, value := float(value) if abs(value) < _HUGE else math.inf)
            _check(spec, value)

    def single(self, index: int) -> Request:
        """The request of the `index`-th picture alone: what is written into its PNG."""
        return dataclasses.replace(self, seed=(self.seed + index) % (MAX_SEED + 1), count=1)

    def to_json(self) -> str:
        """A stable text form, with the format's number in it."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Reads `to_json`'s form; raises InvalidRequest for anything that is not one (the text may be a stranger's)."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("These settings cannot be read.", "The image was not made by this add-on.", repr(error)) from None
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: object) -> Request:
        """The request in a decoded JSON object; unknown keys are refused, since they would change the picture."""
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise InvalidRequest("These settings are of a format that this version does not know.", "Update the add-on.")
        fields = {key: value for key, value in raw.items() if key != "format"}
        unknown = fields.keys() - {spec.name for spec in dataclasses.fields(cls)}
        if unknown:
            raise InvalidRequest(f"Unknown settings: {', '.join(sorted(map(str, unknown)))}.", "Update the add-on.")
        return cls(**fields)


def setting(name: str) -> Setting:
    """The `Setting` of the request field `name`."""
    return Request.__dataclass_fields__[name].metadata["setting"]


def default(name: str) -> Any:
    """The default of the request field `name`."""
    return Request.__dataclass_fields__[name].default


def round_size(width: int, height: int, multiple: int) -> tuple[int, int]:
    """The nearest size of which both sides are a positive multiple of `multiple` pixels."""
    return tuple(max(multiple, (side + multiple // 2) // multiple * multiple) for side in (width, height))


_TYPES: Mapping[str, type] = {"int": int, "float": float, "str": str}


def _check(spec: dataclasses.Field, value: Any) -> None:
    kind = _TYPES[spec.type]
    label = spec.name
    if type(value) is not kind:
        raise InvalidRequest(f"{label} must be {'a number' if kind is not str else 'text'}, not {value!r:.40}.")
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
        shown = f"{value:g}" if abs(value) < _HUGE else "that"
        raise InvalidRequest(f"{rule.label} must be between {rule.low:g} and {rule.high:g}, not {shown}.")
