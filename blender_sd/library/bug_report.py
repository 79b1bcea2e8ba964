"""Build the text of a bug report, without private data."""
from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

from .logs import without_tokens

_SHORTEST = 4  # characters of the shortest piece of a prompt that is removed
_PIECES = re.compile(r"[,.;:(){}|<>\[\]\n\"]+")
PROMPT = "[prompt]"


def report_text(parts: Mapping[str, Mapping[str, object] | Sequence[str]], prompts: Iterable[str] = (),
                homes: Iterable[str] = ()) -> str:
    """Build the text of a bug report.

    Args:
        parts: Headings with their content: pairs are written as "name: value", texts as they are; empty parts are left
            out.
        prompts: Prompts, which are replaced by "[prompt]" wherever they or a piece of them appear.
        homes: Paths of home folders, which are replaced by "~".

    Returns:
        The report. Access tokens are removed from it.
    """
    blocks = []
    for heading, content in parts.items():
        lines = (
            [f"{name}: {value}" for name, value in content.items()] if isinstance(content, Mapping) else list(content)
        )
        if lines:
            blocks.append("\n".join([f"## {heading}", *lines]))
    text = without_tokens("\n\n".join(blocks) + "\n")
    for home in sorted(filter(None, homes), key=len, reverse=True):
        for spelled in dict.fromkeys((home, home.replace("\\", "\\\\"), home.replace(os.sep, "/"))):
            text = text.replace(spelled, "~")
    return _without(text, prompts)


def _without(text: str, prompts: Iterable[str]) -> str:
    pieces = {piece.strip() for prompt in prompts for piece in (prompt, *_PIECES.split(prompt))
              if len(piece.strip()) >= _SHORTEST}
    if not pieces:
        return text
    longest_first = sorted(pieces, key=len, reverse=True)
    return re.sub("|".join(re.escape(piece) for piece in longest_first), PROMPT, text, flags=re.I)
