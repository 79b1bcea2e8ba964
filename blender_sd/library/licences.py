"""Find the licence of a model in the files beside it, without loading the model or using the network.

The sources, in this order: `modelspec.license` in the header of a safetensors file
(https://github.com/Stability-AI/ModelSpec); `blender_sd.json` ({"licence": …, "link": …}, which our downloads write
together with "repo" for everything below it); the front matter of `README.md` (the hub's model card:
https://huggingface.co/docs/hub/model-cards#model-card-metadata).
"""
from __future__ import annotations

import json
import os
import re

from ..core import texts
from ..core.licences import Licence
from . import own_files
from .checkpoints import SUFFIX, read_metadata

OWN = "blender_sd.json"
CARD = "README.md"
_DEEP = 4  # levels that a file may be below the folder of its download
_MAX_TEXT = 300  # characters of a name or link
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^---[ \t]*$", re.S | re.M)
_LINE = re.compile(r"^(license|license_name|license_link)[ \t]*:(.*)$", re.M)


def licence_of(place: str) -> Licence:
    """Return the licence of the model or other net in the folder or file `place`; an empty one if no file tells it.

    Small files are read. Errors are never raised.
    """
    try:
        folder = place if os.path.isdir(place) else os.path.dirname(place)
        if (
            folder != place
            and place.lower().endswith(SUFFIX)
            and (name := _text(read_metadata(place).get("modelspec.license")))
        ):
            return Licence(name)
    except (OSError, ValueError):
        pass  # an unreadable file tells nothing
    fetched = _fetched(folder)
    if fetched or folder != place and not _is_alone(folder, place):
        return fetched or Licence()  # the card of a folder with many files is not about this one
    return _own(folder) or _card(folder) or Licence()


def _fetched(folder: str) -> Licence | None:
    """Return the licence that our download recorded for `folder` and everything else of its repository."""
    for _ in range(_DEEP):
        if licence := _own(folder, fetched=True):
            return licence
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            break
    return None


def _is_alone(folder: str, file: str) -> bool:
    """Return whether `file` is the only one of its kind in `folder`, so that the card there is about it."""
    try:
        kind = os.path.splitext(file)[1].lower()
        return [name for name in os.listdir(folder) if name.lower().endswith(kind)] == [os.path.basename(file)]
    except OSError:
        return False


def _own(folder: str, fetched: bool = False) -> Licence | None:
    try:
        raw = json.loads(_read(os.path.join(folder, OWN)))
        if fetched and not raw.get("repo"):
            return None
        licence = Licence(_text(raw.get("licence")), _link(raw.get("link")))
    except (OSError, ValueError, RecursionError, AttributeError):
        return None
    return licence if licence.name else None


def _card(folder: str) -> Licence | None:
    try:
        front = _FRONT.match(_read(os.path.join(folder, CARD)))
    except (OSError, ValueError):
        return None
    if front is None:
        return None
    fields = {key: _text(_unquoted(value)) for key, value in reversed(_LINE.findall(front[1]))}
    name = fields.get("license", "")
    if not fields:
        return None
    name = fields.get("license_name", name) if name in ("other", "") else name
    return Licence(name, _link(fields.get("license_link")))


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[value[:1] in ("'", '"'):len(value) - (value[-1:] in ("'", '"'))]


def _read(path: str) -> str:
    data = own_files.read(*os.path.split(path))
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _link(value: object) -> str:
    """Return an address that a button may open, or "": the model's maker wrote it."""
    return texts.web(_text(value))


def _text(value: object) -> str:
    return texts.line(value)[:_MAX_TEXT] if isinstance(value, str) else ""
