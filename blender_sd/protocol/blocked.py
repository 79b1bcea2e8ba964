"""Words that prompts may not hold: a studio's list, from its policy or from a text file of its own.

Whole words and phrases are compared, in any case, with letters and accents in one form (Unicode's NFKC), and without signs that take no
room. Letters that are swapped for signs ("n4me") are not seen through: whoever wants to pass can.
"""
from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from . import wording
from .errors import InvalidRequest, WordBlocked
from .request import Request

MAX_BYTES = 1 << 20
_EXPANSIONS = 200  # of the choices in one prompt that are looked at; beyond, each option by itself and those that are painted
# Writing without spaces between words: there a word is looked for inside others too.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_NO_LETTERS = re.compile(r"[^a-z0-9\n]+")
_SIGNS = re.compile(r"[\s_'’.,&-]")  # that may stand in and between words without being a part of them
_LIST = "The list of blocked words {} cannot be read: {}."


def check(words: Sequence[str], request: Request, contact: str = "") -> None:
    """Raises WordBlocked, which names the word, where a prompt of `request` holds one of `words` in any of its alternatives."""
    if not words:
        return
    wanted = _looked_for(tuple(words))
    for text in dict.fromkeys(map(wording.plain, texts_of(request))):
        if found := wanted.found_in(text):
            raise WordBlocked(f"The prompt holds a word that your studio has blocked: '{found}'.",
                              f"Take it out. {contact}".strip())


def texts_of(request: Request) -> Iterator[str]:
    """All that may be painted after: prompts and negative prompts of each cell of a grid, with each alternative of their choices. What
    is on lines of its own does not belong together."""
    for cell in range(request.cells):
        one = request.cell(cell) if request.axes else request
        for text in (_line(one.prompt), _line(one.negative)):
            found, complete = wording.alternatives(text, _EXPANSIONS)
            yield from found
            if not complete:
                yield re.sub(r"[{}|]", "\n", text)
    for picture in range(request.pictures):
        single = request.single(picture)
        yield from (_line(single.prompt), _line(single.negative))


def is_word(text: str) -> bool:
    """Whether there is anything to compare in it."""
    return any(letter.isalnum() for letter in text)


def read_list(file: str) -> tuple[str, ...]:
    """The words in a text file: one word or phrase a line, what follows # is a remark; none for "". Read anew when it has changed.
    Raises InvalidRequest: without its list nothing is painted."""
    if not file:
        return ()
    try:
        found = os.stat(file)
        return _read(file, found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise InvalidRequest(_LIST.format(file, error.strerror or error), "Choose another file in the preferences, or none.") from None


@lru_cache(maxsize=8)
def _read(file: str, *stamp: int) -> tuple[str, ...]:
    with open(file, "rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
        lines = [line.partition("#")[0].strip() for line in data.decode("utf-8-sig").splitlines()]
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InvalidRequest(_LIST.format(file, why), "Save it as plain text in UTF-8, one word or phrase a line.") from None
    return tuple(line for line in lines if is_word(line))


def _line(text: str) -> str:
    return " ".join(text.split("\n"))


def _form(text: str) -> str:
    """`text` as it is compared: in one form of writing, and without signs that take no room."""
    if text.isascii():
        return text.lower()
    text = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", text.casefold())


def _spaced(form: str) -> str:
    """`form` with one space for all that is not in words; lines stay apart."""
    if form.isascii():
        return _NO_LETTERS.sub(" ", form)
    return "".join(sign if sign.isalnum() or sign == "\n" or unicodedata.category(sign)[0] == "M" else " " for sign in form)


@lru_cache(maxsize=8)
def _looked_for(words: tuple[str, ...]) -> _Words:
    return _Words(words)


class _Words:
    """A list, made ready to be looked for: thousands of words in hundreds of alternatives."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._phrases: dict[str, list[list[str]]] = {}  # by their first word
        self._inside: list[str] = []
        for form in map(_form, words):
            pieces = _spaced(form).split()
            if _UNSPACED.search(form) or not pieces or set(_SIGNS.sub("", form)) - set("".join(pieces)):
                self._inside.append(" ".join(form.split()))
            else:
                self._phrases.setdefault(pieces[0], []).append(pieces)

    def found_in(self, text: str) -> str:
        """The first of them that `text` holds; "" for none."""
        form = _form(text)
        for line in _spaced(form).split("\n"):
            pieces = line.split()
            for at, piece in enumerate(pieces):
                for phrase in self._phrases.get(piece, ()):
                    if pieces[at:at + len(phrase)] == phrase:
                        return " ".join(phrase)
        flat = " ".join(form.split())
        return next((word for word in self._inside if word in flat), "")
