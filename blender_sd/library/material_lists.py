"""Read lists of materials: one prompt per line, or a CSV table with a header.

An unusable line is kept as its row's problem, so that it does not stop the others.
"""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.declarations import used_by
from ..core.errors import AssetUnusable
from ..core.names import suggestion
from ..core.settings import LIST
from .asset_library import asset_name

_TYPES = {"int": int, "float": float, "str": str}
COLUMNS = {"name": str, **{declared.name: _TYPES[declared.kind] for declared in used_by(LIST)},
           "size": str, "tags": str, "licence": str}
MAX_ROWS = 2000
MAX_CHARACTERS = 1 << 22
_OWN = ("name", "tags", "licence")  # settings of the asset, not of the picture


@dataclass(frozen=True)
class Row:
    """Describe one material to be made.

    Attributes:
        number: Its place in the list, from 1.
        name: The name of the material.
        keywords: Keyword arguments for `generate`, with the prompt.
        tags: The tags of the asset.
        licence: The licence of the asset.
        problem: Why it cannot be made, "" if it can.
    """

    number: int
    name: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    licence: str = ""
    problem: str = ""


def read_rows(given: str | Iterable[str | Mapping[str, Any]]) -> list[Row]:
    """Read a list of materials.

    Empty lines and those that begin with "#" are left out; rows with the same name are numbered.

    Args:
        given: A text (lines, or CSV with "prompt" or "style" in its first line), or a sequence of prompts and of
            mappings with COLUMNS as keys.

    Raises:
        AssetUnusable: There is no row, there are too many, or a column does not exist.
    """
    try:
        raw_rows = _of_text(given) if isinstance(given, str) else [
            {"prompt": row} if isinstance(row, str) else dict(row) for row in given]
    except (TypeError, ValueError):
        raise AssetUnusable("The list must hold prompts, or mappings such as {'name': …, 'prompt': …}.") from None
    if not raw_rows:
        raise AssetUnusable("The list holds no prompt.",
                            "Write one prompt a line, or a CSV table with a column 'prompt'.")
    if len(raw_rows) > MAX_ROWS:
        raise AssetUnusable(f"The list has {len(raw_rows)} rows.", f"Split it: {MAX_ROWS} are the most at a time.")
    taken: dict[str, int] = {}
    rows = []
    for number, raw in enumerate(raw_rows, 1):
        row = _row(number, raw)
        times = taken[row.name.casefold()] = taken.get(row.name.casefold(), 0) + 1
        rows.append(row if times == 1 else replace(row, name=f"{row.name} {times}"))
    return rows


def _of_text(text: str) -> list[dict[str | None, Any]]:
    if len(text) > MAX_CHARACTERS:
        raise AssetUnusable("The list is too long.", "Split it.")
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return []
    delimiter = max(",;\t", key=lines[0].count)  # spreadsheets use the separator of the country
    try:
        header = [cell.strip().lower() for cell in next(csv.reader([lines[0]], delimiter=delimiter))]
    except csv.Error:  # a cell of more than 131,072 characters
        header = []
    if not {"prompt", "style"} & set(header):
        return [{"prompt": line.strip()} for line in lines]
    for name in header:
        if name not in COLUMNS:
            raise AssetUnusable(f"The table has a column that does not exist: '{name:.40}'.", suggestion(name, COLUMNS))
    try:
        table = list(csv.reader(io.StringIO("\n".join(lines[1:])), delimiter=delimiter))
    except csv.Error as error:
        raise AssetUnusable("The table cannot be read.", "Save it as CSV again.", str(error)) from None
    return [{**dict(zip(header, cells)), **({None: cells[len(header):]} if len(cells) > len(header) else {})}
            for cells in table if cells]  # like csv.DictReader: cells beyond the header are under None


def _row(number: int, raw: Mapping[Any, Any]) -> Row:
    keywords: dict[str, Any] = {}
    problem = ""
    if None in raw:
        problem = "It has more cells than the header. Put texts that hold commas in quotes."
    for key, value in raw.items():
        if key is None or value is None or isinstance(value, str) and not value.strip():
            continue
        if key not in COLUMNS:
            problem = problem or f"There is no column '{key!s:.40}'. {suggestion(str(key), COLUMNS)}"
        else:
            try:
                keywords[key] = _value(key, value)
            except (TypeError, ValueError, OverflowError):
                problem = problem or f"'{value!s:.40}' is no {key}."
    size = keywords.pop("size", None) or ((keywords["width"], keywords["height"])
                                          if {"width", "height"} <= keywords.keys() else None)
    if ("width" in keywords) != ("height" in keywords):
        problem = problem or "Width and height go together; one of them is missing."
    keywords.pop("width", None), keywords.pop("height", None)
    if size:
        keywords["size"] = size
    keywords.setdefault("prompt", "")
    name = asset_name(keywords.get("name") or keywords["prompt"] or keywords.get("style", ""))
    tags = tuple(keywords.get("tags", ()))
    return Row(number, name, {key: value for key, value in keywords.items() if key not in _OWN}, tags,
               keywords.get("licence", ""), problem)


def _value(key: str, value: Any) -> Any:
    if key == "tags":
        parts = value.replace(";", ",").split(",") if isinstance(value, str) else list(value)
        return [str(part).strip()[:60] for part in parts if str(part).strip()]
    if key == "size":
        sides = value.lower().replace("×", "x").split("x") if isinstance(value, str) else list(value)
        width, height = map(int, sides if len(sides) > 1 else sides * 2)
        return width, height
    kind = COLUMNS[key]
    if kind is str:
        if not isinstance(value, str):
            raise TypeError(key)
        return value.strip()
    return kind(value.strip() if isinstance(value, str) else value)
