"""The report of generated images, for people who clear a production: rows, as text and as CSV. What is in the file, others find."""
from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.errors import InvalidRequest
from ..protocol.facts import KINDS, Facts, lines
from ..protocol.origin import COMPOSITE
from ..protocol.terms import NO, READ
from .lineage import Link

TEXT, CSV = "text", "csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # https://owasp.org/www-community/attacks/CSV_Injection
_COLUMNS = ("image", "linked from", "kind", "model", "family", "licence", "commercial use", "licence link", "flags", "seed", "loras",
            "other parts", "input pictures", "baked from", "made", "by", "materials", "other users", "objects")


@dataclass(frozen=True)
class Row:
    """One image. `library`: the file that it is linked from, "" for the open one. `materials`: their names; `others`: worlds, lights and
    node groups, as "world Sky". `objects`: how many use one of these. `chain`: what it was made of, where that was looked for."""

    facts: Facts
    library: str = ""
    materials: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    objects: int = 0
    chain: tuple[Link, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """What a person has to look at."""
        facts, found = self.facts, []
        if not facts.licence or "unknown" in facts.licence.split(", "):
            found.append("unknown licence")
        elif facts.model_terms.commercial == READ:
            found.append("licence to be read")
        found += [f"unknown licence of the {part.kind} {part.name}" for part in facts.parts if not part.licence]
        if facts.terms.commercial == NO:
            found.append("non-commercial")
        if facts.kind == COMPOSITE or facts.inputs:
            found.append("made of other pictures, whose rights count too")
        behind = (Facts(link.name, link.known.request, link.known.origin) for link in self.chain)
        found += [f"made of a picture by {one.model}, licence {one.licence or 'unknown'}: {one.terms.commercial}"
                  for one in behind if one.known and one.terms.commercial in (NO, READ)]
        return tuple(dict.fromkeys(found))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it was made of: the chain, where that was looked for, else the digests of its own input pictures."""
        if not self.chain:
            return tuple(f"{role} {digest}" for role, digest in self.facts.inputs.items())
        return tuple(f"{'> ' * (link.depth - 1)}{link.role} {link.name or link.digest}" + (f" ({link.problem})" if link.problem else "")
                     for link in self.chain)


def write(rows: Sequence[Row], file: str, format: str = TEXT, prompts: bool = False) -> str:
    """The report of `rows` on the .blend `file` in that format. Raises InvalidRequest for another format."""
    if format == TEXT:
        return _text(rows, file, prompts)
    if format == CSV:
        return _csv(rows, prompts)
    raise InvalidRequest(f"There is no report in the format '{format}'.", f"Choose one of: {TEXT}, {CSV}.")


def safe(cell: object) -> str:
    """A CSV cell that no spreadsheet takes for a formula: an apostrophe goes before what would begin one."""
    text = str(cell)
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) or text.startswith(_FORMULA) else text


# ---- inside --------------------------------------------------------------------------------------------------------


def _csv(rows: Sequence[Row], prompts: bool) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, *(("prompt", "negative prompt") if prompts else ())])
    for row in rows:
        writer.writerow([safe(cell) for cell in _cells(row, prompts)])
    return out.getvalue()


def _cells(row: Row, prompts: bool) -> list[object]:
    facts, request = row.facts, row.facts.request
    loras = [part for part in facts.parts if part.kind == "LoRA"]
    cells = [facts.name, row.library, KINDS.get(facts.kind, ""), facts.model, facts.family, facts.licence or "unknown",
             facts.terms.commercial, facts.link, "; ".join(row.flags), request.seed if request else "", "; ".join(map(_part, loras)),
             "; ".join(f"{part.kind}: {_part(part)}" for part in facts.parts if part not in loras),
             "; ".join(row.inputs), "; ".join(one.name for one in facts.baked),
             facts.made, facts.origin.generator if facts.origin else "", "; ".join(row.materials), "; ".join(row.others), row.objects]
    return cells + ([request.prompt, request.negative] if request else ["", ""]) if prompts else cells


def _part(part) -> str:
    return f"{part.name} ({part.licence or 'unknown licence'})"


def _text(rows: Sequence[Row], file: str, prompts: bool) -> str:
    flagged = sum(bool(row.flags) for row in rows)
    count = "1 generated image" if len(rows) == 1 else f"{len(rows)} generated images"
    out = ["Report of generated images", f"File: {file or 'not saved yet'}", f"{count}, {flagged} to be looked at", ""]
    models = dict.fromkeys((row.facts.model or "unknown model", row.facts.licence or "unknown", row.facts.model_terms) for row in rows)
    if models:
        out += ["Models and licences", *(f"  {model}: {licence}. Commercial use: {terms.commercial}. {terms.text}"
                                         for model, licence, terms in models), ""]
    for row in rows:
        roles = {role.capitalize() for role in row.facts.inputs}
        out.append(row.facts.name + (f"  (linked from {row.library})" if row.library else ""))
        out += [f"  ! {flag}" for flag in row.flags]
        out += [f"  {what}: {value}" for what, value in lines(row.facts, prompts) if what not in roles or not row.chain]
        out += [f"  Made of: {said}" for said in row.inputs if row.chain]
        used = [*(f"material {name}" for name in row.materials), *row.others]
        users = f" on {row.objects} object{'s' if row.objects != 1 else ''}" if row.objects else ""
        out += [f"  Used by: {', '.join(used) or 'nothing'}{users}", ""]
    out.append("Renders and files that Blender itself writes carry no credentials; what licences allow, only their texts say.")
    return "\n".join(out) + "\n"
