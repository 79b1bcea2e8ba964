"""Bring NovelAI's prompts into our notation: {words} weighs 1.05, [words] 1/1.05, 1.5::words :: weighs 1.5, and round
brackets are themselves (https://docs.novelai.net/image/strengthening-weakening.html).
"""
from __future__ import annotations

import re

_STEP = 1.05
_PART = re.compile(r"(?P<open>[{\[])|(?P<close>[}\]])|(?P<weight>(?<![\w.])-?\d{0,3}\.?\d{1,4})::|(?P<end>::)"
                   r"|(?P<words>(?:[^{}\[\]:\d.\-]|[\d.\-](?!\d{0,3}\.?\d{0,4}::)|:(?!:))+|.)", re.S)


def in_our_notation(prompt: str) -> str:
    """Return a prompt in NovelAI's notation in ours. Brackets that are not closed count to the end, as there."""
    made: list[tuple[str, float]] = []
    level, weight = 0, 1.0
    for part in _PART.finditer(prompt):
        if part["open"]:
            level += 1 if part["open"] == "{" else -1
        elif part["close"]:
            level += -1 if part["close"] == "}" else 1
        elif part["weight"]:
            weight = float(part["weight"])
        elif part["end"]:
            weight = 1.0
        else:
            made.append((part["words"], round(weight * _STEP ** level, 3)))
    return "".join(_weighted(words, weight) for words, weight in _joined(made))


def _joined(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    joined: list[tuple[str, float]] = []
    for words, weight in pieces:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + words, weight)
        else:
            joined.append((words, weight))
    return joined


def _weighted(words: str, weight: float) -> str:
    plain = re.sub(r"[()]", r"\\\g<0>", words)
    body = plain.strip(" ,\n")
    if weight == 1.0 or not body:
        return plain
    at = plain.index(body)
    return f"{plain[:at]}({body}:{weight:g}){plain[at + len(body):]}"
