"""Hold the words that a small model was trained on, to build prompts from them and to find words that it does not know.

They are in the file `vocabulary.json` in the model's folder, which `scripts/starter/export.py` writes from the training
captions.
"""
from __future__ import annotations

import json
import re
from dataclasses import dataclass

FILE = "vocabulary.json"
# in a prompt, later kinds of this list come before earlier ones
KINDS = ("material", "colour", "condition", "size", "wear", "contrast")
Phrases = tuple[tuple[str, ...], ...]  # each: the phrase to write, then others with the same meaning
# LoRA tags, lists and textual inversions
_NO_WORDS = re.compile(r"<[^>]*>|__[^,]+?__|\bembedding:[^\s,():]+|\bBREAK\b")
_GRAMMAR = frozenset("an the of in at by for from to as is are its".split())  # an image model learns nothing from these


@dataclass(frozen=True)
class Vocabulary:
    """Hold all known `words` in lower case, and the `phrases` of each kind that a menu offers, of some kinds none."""

    words: frozenset[str]
    phrases: dict[str, Phrases]

    def unknown(self, prompt: str) -> list[str]:
        """Return the words of `prompt` that the model does not know, each once, in order.

        Weights, numbers, LoRA tags and the names of lists and textual inversions do not count as words.
        """
        words = re.findall(r"[^\W_]{2,}", _NO_WORDS.sub(" ", prompt).lower())
        return [word for word in dict.fromkeys(words)
                if word not in self.words and word not in _GRAMMAR and not any(letter.isdigit() for letter in word)]

    def write(self, prompt: str, kind: str, phrase: str) -> str:
        """Return `prompt` with `phrase` in place of the first phrase of the same kind.

        If there is none, the phrase is inserted before the material or colour, or else at the end of the text before
        the first comma.
        """
        there = self._find(prompt, kind)
        if there is not None:
            return prompt[:there.start()] + phrase + prompt[there.end():]
        followed = [match.start() for other in KINDS[:KINDS.index(kind)] if (match := self._find(prompt, other))]
        if followed:
            at = min(followed)
            return f"{prompt[:at]}{phrase} {prompt[at:]}"
        end = re.search(r"\s*([,<]|$)", prompt)
        assert end is not None  # the end of the text matches at the latest
        rest = prompt[end.start():]
        return f"{prompt[:end.start()]} {phrase}".strip() + (f" {rest}" if rest.startswith("<") else rest)

    def _find(self, prompt: str, kind: str) -> re.Match | None:
        phrases = sorted((phrase for same in self.phrases[kind] for phrase in same), key=len, reverse=True)
        if not phrases:
            return None
        return re.search(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b", prompt, re.IGNORECASE)


def read(data: bytes) -> Vocabulary:
    """Read the vocabulary from a file's bytes. Raise ValueError, KeyError or TypeError for a file that holds none."""
    raw = json.loads(data)
    return Vocabulary(frozenset(raw["words"]),
                      {kind: tuple(tuple(same) for same in raw["phrases"][kind]) for kind in KINDS})
