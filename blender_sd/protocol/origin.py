"""Where a picture comes from, beyond the request that made it: which model under which licence, when, by which version of the add-on.

The engine writes it as JSON into the PNG (`ORIGIN_KEY`, an iTXt chunk beside the request); Blender keeps it on the image datablock under
the same name. It is what panels, the report and the content credentials speak from. It changes no pixel, so it is no part of the request.
"""
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from .errors import InvalidRequest
from .request import NEEDS, Request

ORIGIN_KEY = "blender_sd_origin"
# IPTC NewsCodes, "Digital Source Type": http://cv.iptc.org/newscodes/digitalsourcetype/
GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
_FORMAT = 1
_MAX_TEXT = 500  # characters of one field; the file may be a stranger's
_MAX_PARTS = 64


@dataclass(frozen=True)
class Part:
    """A net that took part beside the model: `kind` is "LoRA", "ControlNet", "textual inversion", "IP-Adapter" or "upscaler"."""

    kind: str
    name: str
    licence: str = ""


@dataclass(frozen=True)
class Origin:
    """`generator`: this add-on and its version. `made`: UTC, as "2026-11-24T16:10:55Z". `model`, `family`: as people call them; `licence`,
    `link`: of the model, "" where no file says it (`protocol.cards`). `kind`: GENERATED, or COMPOSITE (`kind_of`).
    `parts`: the other nets. `filter`: the safety filter that has looked at the picture, "" for none."""

    generator: str = ""
    made: str = ""
    model: str = ""
    family: str = ""
    licence: str = ""
    link: str = ""
    kind: str = GENERATED
    parts: tuple[Part, ...] = ()
    filter: str = ""

    def to_json(self) -> str:
        """A stable text form, with the format's number in it."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Origin:
        """Reads `to_json`'s form; texts are cut where they are too long, unknown fields of newer versions are left out. Raises
        InvalidRequest for anything else (the text may be a stranger's)."""
        try:
            raw = json.loads(text)
            if raw["format"] < _FORMAT:
                raise ValueError("no such format")
            parts = tuple(Part(*(_line(part.get(name, "")) for name in ("kind", "name", "licence")))
                          for part in raw.get("parts", ())[:_MAX_PARTS])
            texts = {spec.name: _line(raw[spec.name]) for spec in dataclasses.fields(cls) if spec.type == "str" and spec.name in raw}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidRequest("What this picture says of its origin cannot be read.", "It was not made by this add-on.",
                                 repr(error)) from None
        if texts.get("kind", GENERATED) not in (GENERATED, COMPOSITE):
            raise InvalidRequest("What this picture says of its origin cannot be read.", "Update the add-on.", texts["kind"])
        return cls(parts=parts, **texts)


def kind_of(request: Request) -> str:
    """COMPOSITE where the picture is made over another one, whose pixels live on in it; else GENERATED. A control or reference picture
    only steers: as a prompt does, it leaves no pixels behind."""
    return COMPOSITE if "source" in NEEDS[request.task] else GENERATED


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r:.40}")
    value = value.encode("utf-8", "replace").decode("utf-8")  # half of a pair of surrogates
    return " ".join(value.split())[:_MAX_TEXT]
