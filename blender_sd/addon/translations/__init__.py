"""The interface in other languages, by Blender's own mechanism: a PO file (GNU gettext's format) for each language lies beside this.

Blender looks up itself what it draws: labels and tooltips of operators, properties, panels and menus, each `text=`, reports and what
`poll` says. Only what is cut into lines before it is drawn is looked up by us, in `layout.wrapped`, and what operators say in
`description`. A sentence that is put together while Blender runs stays English. Where Blender has a translation of its own for a
word, it takes that, not ours. `scripts/translations.py` keeps the files up to date.
"""
from __future__ import annotations

import json
from pathlib import Path

import bpy

from ..preferences import PACKAGE

FOLDER = Path(__file__).parent
# The name of each file -> what Blender calls the language (4.2 to 5.2 alike).
LANGUAGES = {"de": "de_DE", "es": "es", "fr": "fr_FR", "ja": "ja_JP", "zh_hans": "zh_HANS"}
PREFIX = "Stable Diffusion: "  # of operators' names, so that F3 finds them; a name alone is translated
_CONTEXTS = ("*", "Operator")  # Blender asks in the second for buttons of operators; ours mean the same there


def file_of(language: str) -> Path:
    return FOLDER / f"{language}.po"


def read(file: Path) -> dict[str, str]:
    """English text -> translation ("" where there is none yet), in the file's order.

    Understands what `scripts/translations.py` and translators' tools write of PO: comments, and strings over several lines. What
    is marked `fuzzy` (a tool's guess) counts as not translated. Raises ValueError, with the line, where a file is something else.
    """
    entries: list[dict[str, str]] = []
    field, fuzzy = "", False
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
            continue
        word, quote, rest = line.partition('"')
        try:
            text = json.loads(quote + rest)  # PO's escapes are JSON's
            if word.strip() == "msgid":
                entries.append({"fuzzy": "yes" if fuzzy else ""})
                fuzzy = False
            field = word.strip() or field
            if field not in ("msgid", "msgstr"):
                raise ValueError(field)
            entries[-1][field] = entries[-1].get(field, "") + text
        except (ValueError, IndexError) as error:
            raise ValueError(f"{file.name}, line {number} is not understood: {line}") from error
    return {one["msgid"]: "" if one["fuzzy"] else one.get("msgstr", "") for one in entries if one["msgid"]}


def register() -> None:
    bpy.app.translations.register(PACKAGE, {locale: _lookup(read(file_of(language))) for language, locale in LANGUAGES.items()})


def _lookup(entries: dict[str, str]) -> dict[tuple[str, str], str]:
    """As Blender wants it: (context, English text) -> translation."""
    return {(context, before + english): before + text
            for english, text in entries.items() if text for context in _CONTEXTS for before in ("", PREFIX)}


def unregister() -> None:
    bpy.app.translations.unregister(PACKAGE)
