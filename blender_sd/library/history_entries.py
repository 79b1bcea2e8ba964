"""Describe one finished picture of the history by its PNG text, and search among many."""
from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core.names import name_key
from ..core.common_settings import MAX_SEED
from ..core.roles import PICTURE
from ..core.samplers import SAMPLERS
from .png import PARAMETERS_KEY, REQUEST_KEY, Head, role_in

MAX_PROMPT = 2000  # characters of a prompt kept for the list and searches; the file has all of it
_MODEL = re.compile(r"(?:^|, )Model: ([^,\n]{1,200})")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Describe a finished picture.

    Attributes:
        path: Its file.
        time: When it was written, in seconds as in `time.time()`.
        bytes: Its size on disk.
        width, height: Its size in pixels.
        prompt: Its prompt, cut to MAX_PROMPT characters.
        model: The name of its model.
        task: Its task, in words.
        sampler: The label of its sampler.
        seed: Its seed.
        favourite: Whether it is marked as a favourite.
        trashed: Whether `path` is in the trash.
        style: The name of its style, "" for none.
        role: What it is (`core.roles`).
        words: The text that searches look in, in lower case.
    """

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
    style: str = ""
    role: str = PICTURE
    words: str = field(default="", repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name, by which a picture is known wherever its folder is."""
        return os.path.basename(self.path)


def entry_of(path: str, mark: tuple[int, int], head: Head, trashed: bool) -> HistoryEntry | None:
    """Build the entry of a PNG file from its text, which may come from anybody.

    Args:
        path: The file.
        mark: The file's time of change (ns) and size (bytes).
        head: Its size in pixels and its text chunks.
        trashed: Whether it is in the trash.

    Returns:
        The entry, or None if this add-on did not make the picture.
    """
    try:
        raw = json.loads(head.text[REQUEST_KEY])
        prompt, seed = _text(raw["prompt"], MAX_PROMPT), raw["seed"]
        task = raw["task"]["name"] if isinstance(raw["task"], dict) else raw["task"]  # in format 1: the name alone
        task, sampler = _text(task, 40).replace("_", " "), _text(raw["sampler"], 40)
        if type(seed) is not int or not 0 <= seed <= MAX_SEED:
            return None
        named = _MODEL.search(head.text.get(PARAMETERS_KEY, "")[-4000:].rpartition("\n")[2])
        style = _text(raw.get("style", ""), 100)
        model = named[1] if named else os.path.splitext(os.path.basename(_text(raw["model"], 4000).rstrip("/\\")))[0]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    sampler = SAMPLERS[sampler].label if sampler in SAMPLERS else sampler
    role = role_in(head.text)
    words = name_key(f"{prompt}\n{model}\n{task}\n{sampler}\n{role}\nseed:{seed}\n{head.width}x{head.height}")
    return HistoryEntry(path, mark[0] / 1e9, mark[1], head.width, head.height, prompt, model, task, sampler, seed,
                        trashed=trashed, style=style, role=role, words=words)


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value[:longest].encode("utf-8", "replace").decode()  # Blender cannot draw lone surrogates


def matching(entries: Sequence[HistoryEntry], search: str = "", favourites: bool = False) -> list[HistoryEntry]:
    """Return the entries that contain every word of a search; takes a few milliseconds for 5,000 entries.

    Args:
        entries: The entries.
        search: Words to look for in prompt, model, task, sampler and role; also "seed:7" or "512x512".
        favourites: Whether to return favourites only.
    """
    wanted = name_key(search).split()
    return [entry for entry in entries
            if (entry.favourite or not favourites) and all(word in entry.words for word in wanted)]


def over_budget(entries: Sequence[HistoryEntry], limit: int) -> list[HistoryEntry]:
    """Return the oldest entries to delete so that the others take at most `limit` bytes.

    Args:
        entries: The entries, newest first. Favourites are never returned.
        limit: The limit in bytes; 0 for none.
    """
    excess = sum(entry.bytes for entry in entries) - limit if limit > 0 else 0
    oldest = []
    for entry in reversed(entries):
        if excess <= 0:
            break
        if not entry.favourite:
            oldest.append(entry)
            excess -= entry.bytes
    return oldest
