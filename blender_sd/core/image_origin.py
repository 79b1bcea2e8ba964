"""Describe where a picture comes from: the model and its licence, the time, and the version of the add-on that made it.

The engine writes it as JSON into the PNG (`ORIGIN_KEY`, an iTXt chunk beside the request); Blender keeps it on the
image datablock under the same name. Panels, the report and the content credentials read it. It changes no pixel, so it
is not part of the request.
"""
from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from .errors import InvalidRequest
from .request import Request

ORIGIN_KEY = "blender_sd_origin"
# IPTC NewsCodes, "Digital Source Type": http://cv.iptc.org/newscodes/digitalsourcetype/
GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
_FORMAT = 1
_MAX_TEXT = 500  # characters of one field; the file may come from anybody
_MAX_PARTS = 64
_MAX_JSON = 1 << 18  # characters of the whole; 64 parts with the longest texts take half of it


@dataclass(frozen=True)
class Part:
    """Describe a net that took part beside the model.

    Attributes:
        kind: "LoRA", "ControlNet", "textual inversion", "IP-Adapter", "upscaler" or "map estimator".
        name: What people call it.
        licence: The name of its licence, "" if unknown.
    """

    kind: str
    name: str
    licence: str = ""


@dataclass(frozen=True)
class Origin:
    """Describe the origin of one picture.

    Attributes:
        generator: This add-on and its version.
        made: The time in UTC, such as "2026-11-24T16:10:55Z".
        model: What people call the model.
        family: The name of its family.
        licence: The name of the model's licence, "" if no file tells it (see `library.licences`).
        link: Where the licence can be read, "" if unknown.
        kind: GENERATED or COMPOSITE (see `kind_of`).
        parts: The other nets.
        filter: The safety filter that checked the picture, "" for none.
    """

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
        """Return a stable text form that includes the format's number."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Origin:
        """Read the text that `to_json` wrote, possibly in a file from somebody else.

        Texts that are too long are cut; unknown fields of newer versions are ignored.

        Raises:
            InvalidRequest: `text` is anything else.
        """
        try:
            if len(text) > _MAX_JSON:
                raise ValueError(f"{len(text)} characters")
            raw = json.loads(text)
            if raw["format"] < _FORMAT:
                raise ValueError("no such format")
            parts = tuple(Part(*(_line(part.get(name, "")) for name in ("kind", "name", "licence")))
                          for part in raw.get("parts", ())[:_MAX_PARTS])
            texts = {spec.name: _line(raw[spec.name]) for spec in dataclasses.fields(cls)
                     if spec.type == "str" and spec.name in raw}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidRequest("What this picture says of its origin cannot be read.",
                                 "It was not made by this add-on.",
                                 repr(error)) from None
        if texts.get("kind", GENERATED) not in (GENERATED, COMPOSITE):
            raise InvalidRequest("What this picture says of its origin cannot be read.", "Update the add-on.",
                                 texts["kind"])
        return cls(parts=parts, **texts)


def kind_of(request: Request) -> str:
    """Return COMPOSITE if the picture is made over another one, whose pixels live on in it; otherwise GENERATED.

    A control or reference picture only steers, as a prompt does, and leaves no pixels behind.
    """
    return COMPOSITE if "source" in request.task.needs else GENERATED


def _line(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r:.40}")
    value = value.encode("utf-8", "replace").decode("utf-8")  # replaces lone surrogates
    return " ".join(value.split())[:_MAX_TEXT]
