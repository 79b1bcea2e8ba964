"""Read the PO files. No bpy: scripts and tests read them too."""
from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent
# The name of each file -> what Blender calls the language (4.2 to 5.2 alike).
LANGUAGES = {"de": "de_DE", "es": "es", "fr": "fr_FR", "ja": "ja_JP", "zh_hans": "zh_HANS"}


def file_of(language: str) -> Path:
    return FOLDER / f"{language}.po"


def read(file: Path) -> dict[str, str]:
    """Return English text -> translation ("" if there is none yet), in the file's order.

    Understands what `scripts/translations.py` and translators' tools write in PO files: comments, and strings over
    several lines. Entries marked `fuzzy` (a tool's guess) count as not translated.

    Raises:
        ValueError: The file is not a PO file; the message has the line.
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
    return {entry["msgid"]: "" if entry["fuzzy"] else entry.get("msgstr", "") for entry in entries if entry["msgid"]}
