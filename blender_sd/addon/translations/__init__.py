"""Translate the interface: beside this is a PO file (GNU gettext's format) for each language.

Blender looks up what it draws itself: names and tooltips of operators, properties, panels and menus, each `text=`,
reports and what `poll` says. Its own catalogue comes first there, and has other meanings for some of our words
("Control" is a widget in it). So our names have a context of their own, CONTEXT, and a `text=` that the catalogue knows
with another meaning is drawn with `text_ctxt=CONTEXT`. What Blender cannot look up, because it is composed or broken
into lines, goes through `words.translated`. `scripts/translations.py` keeps the files up to date.
"""
from __future__ import annotations

import inspect

import bpy

from .files import LANGUAGES, file_of, read

CONTEXT = "Stable Diffusion"
PREFIX = "Stable Diffusion: "  # of operators' names, so that F3 finds them; a name alone is translated
_CONTEXTS = ("*", CONTEXT)
_PACKAGE = __package__.rpartition(".addon.")[0]


def claim(cls: type) -> None:
    """Give the names of a class that is not registered yet, and of its properties, our own context."""
    if issubclass(cls, (bpy.types.Operator, bpy.types.Panel, bpy.types.Menu)):
        cls.bl_translation_context = CONTEXT
    for base in cls.__mro__:
        # a class does not hold them itself from Python 3.14 on
        if annotations := inspect.get_annotations(base, eval_str=True):
            base.__annotations__.update(annotations)
            for declared in annotations.values():
                if hasattr(declared, "keywords"):  # a property, which Blender makes when it registers the class
                    declared.keywords["translation_context"] = CONTEXT


def register() -> None:
    bpy.app.translations.register(_PACKAGE,
                                  {locale: _lookup(read(file_of(language))) for language, locale in LANGUAGES.items()})


def _lookup(entries: dict[str, str]) -> dict[tuple[str, str], str]:
    """Return the translations as Blender wants them: (context, English text) -> translation."""
    return {(context, before + english): before + text
            for english, text in entries.items() if text for context in _CONTEXTS for before in ("", PREFIX)}


def unregister() -> None:
    bpy.app.translations.unregister(_PACKAGE)
