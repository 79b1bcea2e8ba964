"""The licence of a model, as the files beside it say: nothing is loaded, nothing is asked on the network.

In this order: `modelspec.license` in the header of a safetensors file (https://github.com/Stability-AI/ModelSpec); `blender_sd.json`
({"licence": …, "link": …}, where our own downloads wrote it together with the "repo", for all that lies below); the front matter of
`README.md` (the hub's model card: https://huggingface.co/docs/hub/model-cards#model-card-metadata).
"""
from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

from .checkpoints import SUFFIX, read_metadata

OWN = "blender_sd.json"
CARD = "README.md"
_MAX_BYTES = 1 << 20  # of a card or a JSON file that are read; a stranger's may be of any size
_DEEP = 4  # folders that a file lies below what was fetched, at most
_MAX_TEXT = 300  # characters of a name or link
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)^---[ \t]*$", re.S | re.M)
_LINE = re.compile(r"""^(license|license_name|license_link)[ \t]*:[ \t]*["']?(.*?)["']?[ \t]*$""", re.M)


@dataclass(frozen=True)
class Licence:
    """`name`: as its owner calls it, such as "CC0-1.0" or "creativeml-openrail-m"; "" where none is known. `link`: where it can be read."""

    name: str = ""
    link: str = ""

    @property
    def key(self) -> str:
        """What names of licences are compared by: without case, spaces, underscores and "SPDX:"."""
        return re.sub(r"[\s_]+", "-", self.name.strip().casefold().removeprefix("spdx:"))


def licence_of(place: str) -> Licence:
    """The licence of the model, LoRA or other net in the folder or file `place`; an empty one where nothing says it. Reads small files;
    never raises."""
    try:
        folder = place if os.path.isdir(place) else os.path.dirname(place)
        if folder != place and place.lower().endswith(SUFFIX) and (name := _text(read_metadata(place).get("modelspec.license"))):
            return Licence(name)
    except (OSError, ValueError):
        pass  # what cannot be read says nothing
    fetched = _fetched(folder)
    if fetched or folder != place and not _is_alone(folder, place):
        return fetched or Licence()  # a card in a folder of many files is not this one's
    return _own(folder) or _card(folder) or Licence()


def _fetched(folder: str) -> Licence | None:
    """What our own download wrote down for `folder` and all else of its repository."""
    for _ in range(_DEEP):
        if found := _own(folder, fetched=True):
            return found
        folder, before = os.path.dirname(folder), folder
        if folder == before:
            break
    return None


def _is_alone(folder: str, file: str) -> bool:
    """Whether `file` is the only one of its kind in `folder`, so that the card there speaks of it."""
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
        found = Licence(_text(raw.get("licence")), _text(raw.get("link")))
    except (OSError, ValueError, RecursionError, AttributeError):
        return None
    return found if found.name else None


def _card(folder: str) -> Licence | None:
    try:
        front = _FRONT.match(_read(os.path.join(folder, CARD)))
    except OSError:
        return None
    if front is None:
        return None
    said = {key: _text(value) for key, value in reversed(_LINE.findall(front[1]))}
    name = said.get("license", "")
    return Licence(said.get("license_name", name) if name in ("other", "") else name, said.get("license_link", "")) if said else None


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace").replace("\r\n", "\n")


def _text(value: object) -> str:
    return " ".join(value.split())[:_MAX_TEXT] if isinstance(value, str) else ""
