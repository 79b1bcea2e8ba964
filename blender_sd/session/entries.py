"""One finished picture of the history: what its PNG file says of itself; and what a person looks for among many."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..protocol.png import PARAMETERS_KEY, REQUEST_KEY, Head
from ..protocol.request import MAX_SEED
from ..protocol.samplers import SAMPLERS

MAX_PROMPT = 2000  # characters of a prompt that are kept and searched; the file has the rest
_MODEL = re.compile(r"(?:^|, )Model: ([^,\n]{1,200})")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One finished picture. `time`: when it was written (seconds, as time.time()); `bytes` on disk; `width`×`height` in pixels.
    `sampler` as its label; `trashed`: `path` lies in the trash. `words`: what a search looks in, in lower case."""

    path: str
    time: float
    bytes: int
    width: int
    height: int
    prompt: str
    model: str
    task: str
    sampler: str
    seed: int
    favourite: bool = False
    trashed: bool = False
    words: str = field(default="", repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name: what a picture is known by, wherever its folder stands."""
        return os.path.basename(self.path)


def entry_of(path: str, mark: tuple[int, int], head: Head, trashed: bool) -> HistoryEntry | None:
    """The entry of a PNG file, by its text; None for one that this add-on did not make. `mark`: the file's time (ns) and size. The text
    may be a stranger's."""
    try:
        raw = json.loads(head.text[REQUEST_KEY])
        prompt, seed = _text(raw["prompt"], MAX_PROMPT), raw["seed"]
        task, sampler = _text(raw["task"], 40).replace("_", " "), _text(raw["sampler"], 40)
        if type(seed) is not int or not 0 <= seed <= MAX_SEED:
            return None
        named = _MODEL.search(head.text.get(PARAMETERS_KEY, "")[-4000:].rpartition("\n")[2])
        model = named[1] if named else os.path.splitext(os.path.basename(_text(raw["model"], 4000).rstrip("/\\")))[0]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    sampler = SAMPLERS[sampler].label if sampler in SAMPLERS else sampler
    words = f"{prompt}\n{model}\n{task}\n{sampler}\nseed:{seed}\n{head.width}x{head.height}".lower()
    return HistoryEntry(path, mark[0] / 1e9, mark[1], head.width, head.height, prompt, model, task, sampler, seed, trashed=trashed,
                        words=words)


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value[:longest].encode("utf-8", "replace").decode()  # half of a pair of surrogates, which Blender cannot draw


def matching(entries: Sequence[HistoryEntry], search: str = "", favourites: bool = False) -> list[HistoryEntry]:
    """Those of `entries` in which every word of `search` stands (in prompt, model, task, sampler, "seed:7" or "512x512"); a few ms for
    5,000 entries."""
    wanted = search.lower().split()
    return [one for one in entries if (one.favourite or not favourites) and all(word in one.words for word in wanted)]


def over_budget(entries: Sequence[HistoryEntry], limit: int) -> list[HistoryEntry]:
    """The oldest of `entries` that have to go so that the others take at most `limit` bytes; 0 is no limit. Favourites never go."""
    excess = sum(one.bytes for one in entries) - limit if limit > 0 else 0
    going = []
    for one in reversed(entries):
        if excess <= 0:
            break
        if not one.favourite:
            going.append(one)
            excess -= one.bytes
    return going
