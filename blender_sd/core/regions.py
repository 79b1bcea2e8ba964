"""Define a region of a picture: a thing of the scene, or a mask, with settings of its own.

Where regions overlap, the more specific one counts: a mask, then selected faces, an object, a material, a collection;
of two alike, the one that is listed first.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import InvalidRequest
from .names import suggestion
from .settings import PIXELS, SHARE, checked, setting_field, shown

MASK, FACES, OBJECT, MATERIAL, COLLECTION = "mask", "faces", "object", "material", "collection"
REGION_KINDS = (MASK, FACES, OBJECT, MATERIAL, COLLECTION)  # the most specific first
NAMED = (OBJECT, MATERIAL, COLLECTION)  # those of Blender's data, which a name finds
_LABELS = {MASK: "the mask", FACES: "the selected faces"}


@dataclass(frozen=True)
class Region:
    """A part of the picture.

    Attributes:
        kind: What it is the area of; one of REGION_KINDS.
        name: The object's, material's or collection's name; "" for the others.
        keep: Whether its pixels stay those of the source, bit for bit where it covers them fully.
        prompt: What it should show in place of the request's prompt; "" for that.
        strength: How far it may depart from the source, 0 to 1; None for the task's strength.
        control: How strongly controls count in it, as a factor of their own weight.
        feather: Pixels round a kept region over which the source fades into the new picture, for contact shadows.
        mask: The digest (`messages.Source.digest`) of the picture of its coverage, white where it lies; filled in by
            the session.
    """

    kind: str = setting_field(OBJECT, "Kind", "What the region is the area of", choices=REGION_KINDS)
    name: str = setting_field("", "Name", "The name of the object, material or collection")
    keep: bool = setting_field(False, "Keep", "Keep the region exactly as it is in the source")
    prompt: str = setting_field("", "Prompt", "What the region should show in place of the main prompt")
    strength: float | None = setting_field(
        None, "Strength", "How far the region may depart from the source, where that differs", low=0.0, high=1.0,
        unit=SHARE)
    control: float = setting_field(1.0, "Control", "How strongly controls count here, as a factor of their weight",
                                   low=0.0, high=2.0)
    feather: int = setting_field(
        0, "Feather", "Pixels round a kept region over which the source fades into the new picture, so that contact "
                      "shadows stay", low=0, high=512, unit=PIXELS)
    mask: str = ""

    def __post_init__(self) -> None:
        checked(self)
        if (self.kind in NAMED) != bool(self.name):
            raise InvalidRequest(f"A region by {self.kind} needs a name." if self.kind in NAMED else
                                 f"A region by {self.kind} has no name.", "Name what the region is the area of.")
        if self.keep and (self.prompt or self.strength is not None):
            raise InvalidRequest(f"{self.label[:1].upper()}{self.label[1:]} is kept as it is and cannot be painted "
                                 "after a prompt too.", "Leave out `keep`, or the prompt and the strength.")

    @property
    def label(self) -> str:
        """What messages call it."""
        return _LABELS.get(self.kind) or f"the {self.kind} '{self.name}'"


_OWN = ("keep", "prompt", "strength", "control", "feather")
FIELDS = (OBJECT, MATERIAL, COLLECTION, MASK, FACES, *_OWN)  # of a region in a file


def from_fields(raw: object) -> tuple[Region, Any]:
    """Return the region that a file describes, such as {"material": "Wood", "prompt": "carved oak"}, and what its mask
    is taken from (None for all but masks).

    Raises:
        InvalidRequest: It is no region; the message names the field.
    """
    if not isinstance(raw, Mapping):
        raise InvalidRequest(f"A region must name what it is of and what to do there, not {shown(raw)}.",
                             'Write, for example, {"object": "Bottle", "keep": true}.')
    for name in raw:
        if name not in FIELDS:
            raise InvalidRequest(f"A region has no field called '{name!s:.40}'.", suggestion(str(name), FIELDS))
    kinds = [kind for kind in REGION_KINDS if raw.get(kind)]
    if len(kinds) != 1:
        raise InvalidRequest("A region is of one thing: an object, a material, a collection, a mask or selected faces.",
                             "Name one of them.")
    kind, = kinds
    own = {name: raw[name] for name in _OWN if raw.get(name) is not None}
    return Region(kind, raw[kind] if kind in NAMED else "", **own), raw[kind] if kind == MASK else None


def as_fields(region: Region) -> dict[str, Any]:
    """Return what `from_fields` reads, for a region without a mask."""
    own = {name: value for name in _OWN if (value := getattr(region, name)) != getattr(Region, name)}
    return {region.kind: region.name or True, **own}


def by_precedence(regions: Sequence[Region]) -> list[int]:
    """Return the numbers of `regions`, those that count where they overlap others first."""
    return sorted(range(len(regions)), key=lambda number: (REGION_KINDS.index(regions[number].kind), number))
