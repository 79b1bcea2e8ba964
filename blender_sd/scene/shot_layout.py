"""One order of vertices and triangles for all frames of a shot, so that a surface point has the same numbers in each.

Objects may appear and vanish: each keeps its place, and where it is absent its vertices fall into one point, which no
ray meets. A mesh that is connected in another way gets a further place. One that changes from frame to frame has no
place: then only Blender's Vector pass knows where its points go.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .frame_surfaces import Part

_MOST_VERTICES = 1 << 28  # of a mesh that is read
_MOST_FORMS = 8  # of one object, until it counts as changing all the time


@dataclass(frozen=True)
class Entry:
    """A place in the layout: an object (or an instance) in one of its forms.

    Attributes:
        key, signature: See `frame_surfaces.Part`.
        vertices, triangles: How many it has.
        number: The object's number, the same for all its forms.
    """

    key: str
    signature: str
    vertices: int
    triangles: int
    number: int


class ShotLayout:
    """The order of everything that was met in a shot so far. It only ever grows at its end.

    Attributes:
        names: The name of each object, by its number.
        unstable: The objects whose meshes change all the time.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.unstable: set[str] = set()
        self._entries: list[Entry] = []
        self._triangles: list[np.ndarray] = []
        self._places: dict[tuple[str, str], int] = {}
        self._forms: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    @property
    def vertices(self) -> int:
        """The number of vertices."""
        return sum(entry.vertices for entry in self._entries)

    @property
    def digest(self) -> str:
        """A name for the layout as it is now: 32 characters that fit into a file's name."""
        lines = "\n".join(f"{entry.number} {entry.signature}" for entry in self._entries)
        return hashlib.blake2b(lines.encode(), digest_size=16).hexdigest()

    def place(self, parts: Sequence[Part]) -> np.ndarray:
        """Return the vertices of a frame's parts in this order, N×3 float32. What is new goes to the end first."""
        there = {}
        for part in parts:
            if (part.key, part.signature) not in self._places and not self._add(part):
                continue
            there[part.key, part.signature] = part.vertices
        nowhere = next((part.vertices[:1] for part in parts if len(part.vertices)), np.zeros((1, 3), np.float32))
        pieces = [there.get((entry.key, entry.signature), np.broadcast_to(nowhere, (entry.vertices, 3)))
                  for entry in self._entries]
        return np.concatenate(pieces) if pieces else np.zeros((0, 3), np.float32)

    def padded(self, vertices: np.ndarray) -> np.ndarray:
        """Return a frame's vertices in the order as it was then, in the order as it is now."""
        missing = self.vertices - len(vertices)
        nowhere = vertices[:1] if len(vertices) else np.zeros((1, 3), np.float32)
        return np.concatenate([vertices, np.broadcast_to(nowhere, (missing, 3))])

    def topology(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the triangles, T×3 int32 indices of vertices, and the number of each one's object, T int32."""
        if not self._entries:
            return np.zeros((0, 3), np.int32), np.zeros(0, np.int32)
        starts = np.cumsum([0, *(entry.vertices for entry in self._entries[:-1])])
        triangles = np.concatenate([part + start for part, start in zip(self._triangles, starts)])
        numbers = np.repeat([entry.number for entry in self._entries], [entry.triangles for entry in self._entries])
        return triangles.astype(np.int32), numbers.astype(np.int32)

    def to_json(self) -> str:
        """Return it as text, without the triangles."""
        return json.dumps({"names": self.names, "unstable": sorted(self.unstable),
                           "entries": [asdict(entry) for entry in self._entries]})

    @classmethod
    def from_json(cls, text: str, triangles: np.ndarray) -> ShotLayout:
        """Return what `to_json` wrote, with the triangles of `topology`. Raises ValueError for what it did not."""
        made = cls()
        try:
            raw = json.loads(text)
            made.names, made.unstable = list(map(str, raw["names"])), set(map(str, raw["unstable"]))
            start = first = 0
            for fields in raw["entries"]:
                entry = _checked(Entry(**fields), len(triangles))
                made._note(entry, triangles[first:first + entry.triangles] - start)
                start, first = start + entry.vertices, first + entry.triangles
            whole = first == len(triangles) and (not first or int(triangles.max()) < start)
            if not whole or set(made._numbers.values()) - set(range(len(made.names))):
                raise ValueError("the layout does not fit its triangles")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no layout of a shot") from error
        return made

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _add(self, part: Part) -> bool:
        """Give a part a place at the end, and return whether it got one."""
        if self._forms.get(part.key, 0) >= _MOST_FORMS:
            self.unstable.add(part.name)
            return False
        if part.key not in self._numbers:
            self.names.append(part.name)
        triangles = part.triangles()
        self._note(Entry(part.key, part.signature, len(part.vertices), len(triangles),
                         self._numbers.get(part.key, len(self.names) - 1)), triangles)
        return True

    def _note(self, entry: Entry, triangles: np.ndarray) -> None:
        self._places[entry.key, entry.signature] = len(self._entries)
        self._forms[entry.key] = self._forms.get(entry.key, 0) + 1
        self._numbers[entry.key] = entry.number
        self._entries.append(entry)
        self._triangles.append(triangles)


def _checked(entry: Entry, most: int) -> Entry:
    """Return an entry that was read, if its values can be. Raises ValueError: a huge number would fill the memory."""
    numbers = (entry.vertices, entry.triangles, entry.number)
    if not all(type(number) is int and number >= 0 for number in numbers) or entry.triangles > most:
        raise ValueError("an entry is out of range")
    if entry.vertices > _MOST_VERTICES or type(entry.key) is not str or type(entry.signature) is not str:
        raise ValueError("an entry is out of range")
    return entry


def described(unstable: Collection[str]) -> str:
    """Return the names of objects for a message: the first three, and how many more."""
    names: list[Any] = sorted(unstable)
    return ", ".join(f"'{name:.40}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
