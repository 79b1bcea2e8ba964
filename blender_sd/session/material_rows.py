"""Lists of materials: one prompt a line, or a CSV table with a header. What cannot be used is kept as its row's problem, so that one bad
line never stops the others."""
from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..protocol.errors import AssetUnusable
from .asset_library import asset_name

COLUMNS = {"name": str, "prompt": str, "negative": str, "seed": int, "width": int, "height": int, "size": str, "steps": int,
           "guidance": float, "sampler": str, "model": str, "style": str, "tiling": str, "tags": str, "licence": str}
MAX_ROWS = 2000
MAX_CHARACTERS = 1 << 22
_OWN = ("name", "tags", "licence")  # the asset's, not the picture's


@dataclass(frozen=True)
class Row:
    """One material to be made. `number`: its place in the list, from 1. `order`: keywords of `generate`, the prompt included. `problem`:
    why it cannot be made, "" where it can."""

    number: int
    name: str
    order: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    licence: str = ""
    problem: str = ""


def read_rows(given: str | Iterable[str | Mapping[str, Any]]) -> list[Row]:
    """The rows in a text (lines, or CSV with "prompt" or "style" in its first line), or in a sequence of prompts and mappings with COLUMNS
    as keys. Empty lines and those that begin with # are left out; rows of one name are numbered. Raises AssetUnusable where there is no
    row at all, or too many, or where a header names a column that does not exist."""
    try:
        found = _of_text(given) if isinstance(given, str) else [{"prompt": one} if isinstance(one, str) else dict(one) for one in given]
    except (TypeError, ValueError):
        raise AssetUnusable("The list must hold prompts, or mappings such as {'name': …, 'prompt': …}.") from None
    if not found:
        raise AssetUnusable("The list holds no prompt.", "Write one prompt a line, or a CSV table with a column 'prompt'.")
    if len(found) > MAX_ROWS:
        raise AssetUnusable(f"The list has {len(found)} rows.", f"Split it: {MAX_ROWS} are the most at a time.")
    taken: dict[str, int] = {}
    rows = []
    for number, raw in enumerate(found, 1):
        row = _row(number, raw)
        times = taken[row.name.casefold()] = taken.get(row.name.casefold(), 0) + 1
        rows.append(row if times == 1 else Row(number, f"{row.name} {times}", row.order, row.tags, row.licence, row.problem))
    return rows


def _of_text(text: str) -> list[dict[str, Any]]:
    if len(text) > MAX_CHARACTERS:
        raise AssetUnusable("The list is too long.", "Split it.")
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return []
    delimiter = max(",;\t", key=lines[0].count)  # what spreadsheets write differs from country to country
    try:
        header = [cell.strip().lower() for cell in next(csv.reader([lines[0]], delimiter=delimiter))]
    except csv.Error:  # one cell of more than 131,072 characters
        header = []
    if not {"prompt", "style"} & set(header):
        return [{"prompt": line.strip()} for line in lines]
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            raise AssetUnusable(f"The table has a column that does not exist: '{name:.40}'.",
                                f"Did you mean '{near[0]}'?" if near else f"The columns are: {', '.join(COLUMNS)}.")
    try:
        table = list(csv.reader(io.StringIO("\n".join(lines[1:])), delimiter=delimiter))
    except csv.Error as error:
        raise AssetUnusable("The table cannot be read.", "Save it as CSV anew.", str(error)) from None
    return [{**dict(zip(header, cells)), **({None: cells[len(header):]} if len(cells) > len(header) else {})} for cells in table if cells]


def _row(number: int, raw: Mapping[Any, Any]) -> Row:
    order: dict[str, Any] = {}
    problem = ""
    if None in raw:
        problem = "It has more cells than the header. Put texts that hold commas in quotes."
    for key, value in raw.items():
        if key is None or value is None or isinstance(value, str) and not value.strip():
            continue
        if key not in COLUMNS:
            problem = problem or f"There is no column '{key!s:.40}'."
        else:
            try:
                order[key] = _value(key, value)
            except (TypeError, ValueError, OverflowError):
                problem = problem or f"'{value!s:.40}' is no {key}."
    size = order.pop("size", None) or ((order["width"], order["height"]) if {"width", "height"} <= order.keys() else None)
    if ("width" in order) != ("height" in order):
        problem = problem or "Width and height go together; one of them is missing."
    order.pop("width", None), order.pop("height", None)
    if size:
        order["size"] = size
    order.setdefault("prompt", "")
    name = asset_name(order.get("name") or order["prompt"] or order.get("style", ""))
    tags = tuple(order.get("tags", ()))
    return Row(number, name, {key: value for key, value in order.items() if key not in _OWN}, tags, order.get("licence", ""), problem)


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
