"""Read the text that A1111's web UI writes into pictures, and other programs after it.

    a castle <lora:ink:0.8>
    Negative prompt: blurry
    Steps: 28, Sampler: Euler a, CFG scale: 7, Seed: 41, Size: 512x768, Hires prompt: "sharp, detailed"

The prompts may have several lines, and hold words with colons. Values with commas are in quotes, or are JSON.
"""
from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

_PAIR = re.compile(r"""\s*([A-Za-z][\w \-/.]{0,60}?):\s*("(?:\\.|[^"\\])*"(?=\s*(?:,|$))|[^,]*)(?:,|$)""")
_JSON = re.compile(r"\s*([A-Za-z][\w \-/.]{0,60}?):\s*(?=[\[{])")
_LAST = re.compile(r"^\s*Steps: *\d")
_NEGATIVE = "Negative prompt:"
_STYLED = re.compile(r"^[\w .\-]{1,40} - (?=\S)")  # Krita's sampling method, before the sampler's name
_METHOD = re.compile(r"\s*\([^()]*\)$")  # the few-step method after it
_MOST_NAMES = 64
_NAME = re.compile(r"\s*([^:,]+):")


@dataclass(frozen=True)
class Parts:
    """The two prompts, and the settings by the program's names for them."""

    prompt: str
    negative: str
    settings: dict[str, str]


def read(text: str) -> Parts | None:
    """Return the parts of `text`; None if it is another program's."""
    lines = text.strip().split("\n")
    last = next((number for number in range(len(lines) - 1, -1, -1) if _LAST.match(lines[number])), None)
    if last is None:
        return None
    words: list[str] = []
    negative: list[str] | None = None
    for line in (line.rstrip("\r") for line in lines[:last]):
        if line.startswith(_NEGATIVE) and negative is None:
            negative, line = [], line[len(_NEGATIVE):].strip()
        (words if negative is None else negative).append(line)
    return Parts("\n".join(words).strip(), "\n".join(negative or ()).strip(), _settings(" , ".join(lines[last:])))


def _settings(text: str) -> dict[str, str]:
    made: dict[str, str] = {}
    at = 0
    while at < len(text):
        if match := _JSON.match(text, at):
            try:
                _, at = json.JSONDecoder().raw_decode(text, match.end())
                made[match[1].strip()] = text[match.end():at]
                at += 1  # the comma
                continue
            except (ValueError, RecursionError):
                pass
        match = _PAIR.match(text, at)
        if match is None:
            at = text.find(",", at) + 1 or len(text)
            continue
        made.setdefault(match[1].strip(), _unquoted(match[2].strip()))
        at = match.end()
    return made


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value[1:-1]
    return value


def krita_sampler(name: str) -> str:
    """Return the sampler in Krita's name for a sampling method, such as "Default - DPM++ 2M" or "Euler a (Hyper)"."""
    return _METHOD.sub("", _STYLED.sub("", name.strip()))


def names_in(hashes: str) -> list[str]:
    """Return the names in a list of hashes: "EasyNegative: c74b4e81, bad: 01"."""
    return [name.strip() for name in _NAME.findall(hashes)][:_MOST_NAMES]


def with_embeddings(prompt: str, names: Collection[str]) -> str:
    """Return `prompt` with "embedding:" before each of the textual inversions `names`, which A1111 names bare."""
    for name in names:
        prompt = re.sub(rf"(?<![\w:.-]){re.escape(name)}(?![\w-])", lambda match: f"embedding:{match[0]}", prompt,
                        flags=re.I)
    return prompt
