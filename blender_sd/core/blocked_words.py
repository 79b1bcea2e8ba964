"""Look for words in prompts that a studio has blocked, in its policy or in a text file of its own.

Whole words and phrases are compared, regardless of case, with letters and accents in one form (Unicode's NFKC) and
without characters that are invisible. Letters swapped for similar signs ("n4me") are not recognised: the list cannot
stop a determined person.
"""
from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from .errors import InvalidRequest, WordBlocked
from .prompt_choices import alternatives
from .prompt_steps import plain
from .request import Request

MAX_BYTES = 1 << 20
_MOST = 12_000_000  # characters searched at most; takes some seconds
# alternatives of one prompt that are searched; beyond, each option alone and the pictures' own prompts
_EXPANSIONS = 200
# Scripts without spaces between words: there a word is searched for inside others too.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
_NO_LETTERS = re.compile(r"[^a-z0-9\n]+")
_SIGNS = re.compile(r"[\s_'’.,&-]")  # may stand in and between words without being part of them
# Invisible: control characters except spaces, and Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt).
_INVISIBLE = dict.fromkeys((
    *range(0x09), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0x34F, 0x61C, 0x115F, 0x1160,
    0x17B4, 0x17B5,
    *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164,
    *range(0xFE00, 0xFE10), 0xFEFF,
    0xFFA0, *range(0xFFF0, 0xFFFC), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)))
_LIST = "The list of blocked words {} cannot be read: {}."


def check(words: Sequence[str], request: Request, contact: str = "") -> None:
    """Check all prompts of a request against a list of blocked words.

    Args:
        words: The blocked words and phrases.
        request: The request; every alternative of its prompts and negative prompts is searched, in every cell of its
            grid.
        contact: A sentence for the hint that says whom to ask.

    Raises:
        WordBlocked: A prompt contains a blocked word; the message names it.
        InvalidRequest: The prompts have too many alternatives to search them all.
    """
    if not words:
        return
    blocked, seen = _compiled(tuple(words)), set()
    for text in texts_of(request):
        if hash(text) in seen:
            continue
        seen.add(hash(text))
        if word := blocked.first_in(plain(text)):
            raise WordBlocked(f"The prompt holds a word that your studio has blocked: '{word}'.",
                              f"Take it out. {contact}".strip())


def texts_of(request: Request) -> Iterator[str]:
    """Yield every text that a request may paint from, in each grid cell.

    These are its prompts, negative prompts and those of its regions, with each alternative of their choices and of
    their parts that change during painting. Parts of a text that are on separate lines do not belong together.

    Raises:
        InvalidRequest: There are more alternatives than can be searched.
    """
    left = _MOST

    def spend(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise InvalidRequest("The prompts have too many alternatives to look for blocked words in all of them.",
                                 "Shorten them, or take some choices or cells of the grid out.")

    for cell in range(request.cells):
        cell_request = request.cell(cell) if request.axes else request
        for text in map(_line, cell_request.prompts):
            spend(len(text))
            texts, complete = alternatives(text, _EXPANSIONS)
            for alternative in texts:
                spend(len(alternative))
                yield alternative
            if not complete:
                yield re.sub(r"[{}|\[\]]", "\n", text)
    for picture in range(request.pictures):
        spend(sum(map(len, request.prompts)))
        single = request.single(picture)
        for text in map(_line, single.prompts):
            spend(len(text))
            yield from alternatives(text, _EXPANSIONS)[0]


def is_word(text: str) -> bool:
    """Return whether `text` has any letter or digit to compare."""
    return any(letter.isalnum() for letter in text)


def read_list(file: str) -> tuple[str, ...]:
    """Return the blocked words in a text file, re-reading it only after it has changed.

    Args:
        file: A UTF-8 text file with one word or phrase per line; "#" begins a comment. "" stands for no list.

    Raises:
        InvalidRequest: The file cannot be read; without its list nothing is painted.
    """
    if not file:
        return ()
    try:
        status = os.stat(file)
        return _read(file, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InvalidRequest(_LIST.format(file, error.strerror or error),
                             "Choose another file in the preferences, or none.") from None


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
        raise InvalidRequest(_LIST.format(file, why),
                             "Save it as plain text in UTF-8, one word or phrase a line.") from None
    return tuple(line for line in lines if is_word(line))


def _line(text: str) -> str:
    return " ".join(text.split("\n"))


def _form(text: str) -> str:
    """Return `text` in the form in which it is compared: one Unicode form, no invisible characters."""
    text = text.translate(_INVISIBLE)
    if text.isascii():
        return text.lower()
    text = "".join(letter for letter in unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
                   if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", text.casefold())


def _spaced(form: str) -> str:
    """Return `form` with everything that is not part of a word replaced by one space; line breaks stay."""
    if form.isascii():
        return _NO_LETTERS.sub(" ", form)
    return "".join(sign if sign.isalnum() or sign == "\n" or unicodedata.category(sign)[0] == "M" else " "
                   for sign in form)


@lru_cache(maxsize=8)
def _compiled(words: tuple[str, ...]) -> _Words:
    return _Words(words)


class _Words:
    """Hold a list of words, prepared to search for thousands of them in hundreds of texts."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._phrases: dict[str, list[list[str]]] = {}  # by first word
        self._inside: list[str] = []
        for form in map(_form, words):
            pieces = _spaced(form).split()
            if _UNSPACED.search(form) or not pieces or set(_SIGNS.sub("", form)) - set("".join(pieces)):
                self._inside.append(" ".join(form.split()))
            else:
                self._phrases.setdefault(pieces[0], []).append(pieces)

    def first_in(self, text: str) -> str:
        """Return the first blocked word or phrase in `text`, or "" if there is none."""
        form = _form(text)
        for line in _spaced(form).split("\n"):
            pieces = line.split()
            for at, piece in enumerate(pieces):
                for phrase in self._phrases.get(piece, ()):
                    if pieces[at:at + len(phrase)] == phrase:
                        return " ".join(phrase)
        flat = " ".join(form.split())
        return next((word for word in self._inside if word in flat), "")
