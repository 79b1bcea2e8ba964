"""Words on the screen, and how a text is found among them."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.window.screen import Box


@dataclass(frozen=True)
class Word:
    """A word on the screen. Words that follow each other in a line have the same `line`; `of`: the text that it was
    drawn in."""

    text: str
    box: Box
    line: tuple[int, ...]
    of: str

    @property
    def centre(self) -> tuple[int, int]:
        return (self.box[0] + self.box[2]) // 2, (self.box[1] + self.box[3]) // 2


def words_of(texts: Sequence[Sequence], within: Box) -> list[Word]:
    """Return the words of what `drawn.Drawn.texts` returned that have their middle within a box, from top to bottom."""
    words = []
    for text, left, top, right, bottom, upright in texts:
        parts = [text] if upright else text.split(" ")
        width, at = (right - left) / max(len(text), 1), 0
        for part in parts:
            box = (left, top, right, bottom) if upright else (int(left + at * width), top,
                                                              int(left + (at + len(part)) * width), bottom)
            at += len(part) + 1
            words.append(Word(part, box, (bottom, int(upright)), text))
    inside = [word for word in words if plain(word.text) and _holds(within, word.centre)]
    return sorted(inside, key=lambda word: (word.line, word.box[0]))


def plain(text: str) -> str:
    """Return what is compared of a text: its letters and digits, small."""
    return "".join(sign for sign in text.casefold() if sign.isalnum() or sign == "%")


def find(words: Sequence[Word], wanted: str) -> list[Word]:
    """Return where `wanted` (one or more words) stands, from top to bottom: where it is a text by itself, otherwise in
    longer ones."""
    target = plain(wanted)
    places = [_join(run) for run in _runs(words, target)]
    alone = [word for word in places if plain(word.of) == target]
    return sorted(alone or places, key=lambda word: (word.box[1], word.box[0]))


def _runs(words: Sequence[Word], target: str) -> Iterator[Sequence[Word]]:
    """Yield the words of one line that make `target` together."""
    for start in range(len(words)):
        joined = ""
        for end in range(start, len(words)):
            joined += plain(words[end].text)
            if words[end].line != words[start].line or not target.startswith(joined):
                break
            if joined == target:
                yield words[start : end + 1]
                break


def _join(run: Sequence[Word]) -> Word:
    lefts, tops, rights, bottoms = zip(*(word.box for word in run), strict=True)
    return Word(" ".join(word.text for word in run), (min(lefts), min(tops), max(rights), max(bottoms)), run[0].line,
                run[0].of)


def _holds(box: Box, point: tuple[int, int]) -> bool:
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]
