"""Translate what Blender cannot look up: sentences with values, several sentences, and lines that are cut to a width.

The engine and the session compose their sentences in English, in processes without Blender; logs and scripts get these.
For the interface, `translated` finds the template of a finished sentence ("There is no style called '{name}'."), and
fills its translation with the same values.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import bpy

from .files import LANGUAGES, file_of, read

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_DOT = " · "
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=\S)")


def translated(text: str) -> str:
    """Return `text` in the interface's language, or unchanged if that is English or no part of it is known."""
    language = language_shown()
    return _translated(text, language) if language else text


def language_shown() -> str:
    """Return the language of LANGUAGES that the interface is shown in; "" for any other."""
    if not bpy.context.preferences.view.use_translate_interface:
        return ""
    locale = bpy.app.translations.locale
    return next((name for name, known in LANGUAGES.items() if known == locale or known.partition("_")[0] == locale), "")


@dataclass(frozen=True)
class _Template:
    """A text with values: how to recognize it, and its translation.

    Attributes:
        rarest: A part that must occur in the text, to be searched for first.
    """

    pattern: re.Pattern[str]
    rarest: str
    quoted: frozenset[str]  # values between quotes: names, which stay as they are
    translation: str


class Catalogue:
    """The translations of one language.

    Args:
        entries: English text -> translation, "" if there is none.
    """

    def __init__(self, entries: dict[str, str]) -> None:
        self._texts = {text: translation for text, translation in entries.items() if translation}
        templates = [
            _template(text, translation) for text, translation in self._texts.items() if _PLACEHOLDER.search(text)]
        self._templates = sorted(templates, key=lambda template: -len(template.rarest))  # the most specific first

    def translate(self, text: str) -> str:
        """Return the translation of `text`, or `text` if it is unknown. Facts between dots are looked up one by one."""
        if _DOT in text and text not in self._texts:
            return _DOT.join(self.translate(fact) for fact in text.split(_DOT))
        return self._whole(text) or self._sentences(text) or self._labelled(text) or text

    def _whole(self, text: str) -> str:
        if text in self._texts:
            return self._texts[text]
        if text.endswith(".") and text[:-1] in self._texts:
            return self._texts[text[:-1]] + "."
        for template in self._templates:
            match = template.pattern.fullmatch(text) if template.rarest in text else None
            if match:
                values = {name: value if name in template.quoted else self.translate(value)
                          for name, value in match.groupdict().items()}
                return _PLACEHOLDER.sub(lambda hole, values=values: values.get(hole[1], hole[0]), template.translation)
        return ""

    def _sentences(self, text: str) -> str:
        """Return the translation of several sentences, by looking up the longest known beginning first."""
        for end in reversed(list(_SENTENCE_END.finditer(text))):
            known = self._whole(text[:end.start()])
            if known:
                return f"{known} {self.translate(text[end.end():])}"
        return ""

    def _labelled(self, text: str) -> str:
        """Return the translation of "Label: value"."""
        label, colon, value = text.partition(": ")
        return f"{self.translate(label)}: {self.translate(value)}" if colon else ""


def _template(text: str, translation: str) -> _Template:
    parts = _PLACEHOLDER.split(text)  # literals and names by turns
    literals, names = parts[::2], parts[1::2]
    pattern = re.escape(literals[0]) + "".join(f"(?P<{name}>.*?){re.escape(after)}"
                                               for name, after in zip(names, literals[1:], strict=True))
    quoted = frozenset(name for name, before in zip(names, literals, strict=False) if before.endswith(("'", '"')))
    return _Template(re.compile(pattern, re.DOTALL), max(literals, key=len), quoted, translation)


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Catalogue:
    return Catalogue(read(file_of(language)))


@lru_cache(maxsize=1024)  # drawn again at every motion of the mouse
def _translated(text: str, language: str) -> str:
    return catalogue(language).translate(text)
