"""Write the report of generated images for people who clear a production, as text or CSV. Callers collect the rows."""
from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import InvalidRequest
from ..core.image_origin import COMPOSITE
from ..core.licences import NO, READ
from ..core.names import suggestion
from ..core.texts import cell, line
from .image_origin import KINDS, Facts, lines
from .lineage import Link

TEXT, CSV = "text", "csv"
_COLUMNS = ("image", "linked from", "kind", "model", "family", "licence", "commercial use", "licence link", "flags",
            "seed", "loras",
            "other parts", "input pictures", "baked from", "made", "by", "materials", "other users", "objects")


@dataclass(frozen=True)
class Row:
    """Describe one image in the report.

    Attributes:
        facts: What is known of it.
        library: The file that it is linked from, "" for the open file.
        materials: The names of the materials that use it.
        others: Worlds, lights and node groups that use it, such as "world Sky".
        objects: The number of objects that use one of these.
        chain: What it was made of, if that was traced.
    """

    facts: Facts
    library: str = ""
    materials: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    objects: int = 0
    chain: tuple[Link, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """What a person has to look at."""
        facts, flags = self.facts, []
        if not facts.licence or "unknown" in facts.licence.split(", "):
            flags.append("unknown licence")
        elif facts.model_terms.commercial == READ:
            flags.append("licence to be read")
        flags += [f"unknown licence of the {part.kind} {part.name}" for part in facts.parts if not part.licence]
        if facts.terms.commercial == NO:
            flags.append("non-commercial")
        if facts.kind == COMPOSITE or facts.inputs:
            flags.append("made of other pictures, whose rights count too")
        inputs = (Facts(link.name, link.known.request, link.known.origin) for link in self.chain)
        flags += [
            f"made of a picture by {source.model}, licence {source.licence or 'unknown'}: {source.terms.commercial}"
            for source in inputs
            if source.known and source.terms.commercial in (NO, READ)
        ]
        return tuple(dict.fromkeys(flags))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it was made of: the chain, if that was traced, otherwise the digests of its input pictures."""
        if not self.chain:
            return tuple(f"{role} {digest}" for role, digest in self.facts.inputs.items())
        return tuple(f"{'> ' * (link.depth - 1)}{link.role} {link.name or link.digest}"
                     + (f" ({link.problem})" if link.problem else "")
                     for link in self.chain)


def write(rows: Sequence[Row], file: str, format: str = TEXT, prompts: bool = False) -> str:
    """Return the report of images in a .blend file.

    Args:
        rows: The images.
        file: The path of the .blend file.
        format: TEXT or CSV.
        prompts: Whether to include what people typed.

    Raises:
        InvalidRequest: There is no such format.
    """
    if format == TEXT:
        return _text(rows, file, prompts)
    if format == CSV:
        return _csv(rows, prompts)
    raise InvalidRequest(f"There is no report in the format '{format}'.", suggestion(format, (TEXT, CSV)))


# ---- inside --------------------------------------------------------------------------------------------------------


def _csv(rows: Sequence[Row], prompts: bool) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, *(("prompt", "negative prompt") if prompts else ())])
    for row in rows:
        writer.writerow([cell(value) for value in _cells(row, prompts)])
    return out.getvalue()


def _cells(row: Row, prompts: bool) -> list[object]:
    facts, request = row.facts, row.facts.request
    loras = [part for part in facts.parts if part.kind == "LoRA"]
    cells: list[object] = [
        facts.name, row.library, KINDS.get(facts.kind, ""), facts.model, facts.family, facts.licence or "unknown",
        facts.terms.commercial, facts.link, "; ".join(row.flags), request.seed if request else "",
        "; ".join(map(_part, loras)),
        "; ".join(f"{part.kind}: {_part(part)}" for part in facts.parts if part not in loras),
        "; ".join(row.inputs), "; ".join(source.name for source in facts.baked),
        facts.made, facts.origin.generator if facts.origin else "", "; ".join(row.materials),
        "; ".join(row.others), row.objects]
    return cells + ([request.prompt, request.negative] if request else ["", ""]) if prompts else cells


def _part(part) -> str:
    return f"{part.name} ({part.licence or 'unknown licence'})"


def _text(rows: Sequence[Row], file: str, prompts: bool) -> str:
    flagged = sum(bool(row.flags) for row in rows)
    count = "1 generated image" if len(rows) == 1 else f"{len(rows)} generated images"
    out = ["Report of generated images", f"File: {line(file) or 'not saved yet'}",
           f"{count}, {flagged} to be looked at", ""]
    models = dict.fromkeys((row.facts.model or "unknown model", row.facts.licence or "unknown", row.facts.model_terms)
                           for row in rows)
    if models:
        out += ["Models and licences",
                *(f"  {line(model)}: {line(licence)}. Commercial use: {terms.commercial}. {terms.text}"
                                         for model, licence, terms in models), ""]
    for row in rows:
        roles = {role.capitalize() for role in row.facts.inputs}
        out.append(line(row.facts.name) + (f"  (linked from {line(row.library)})" if row.library else ""))
        out += [f"  ! {line(flag)}" for flag in row.flags]
        out += [f"  {what}: {value}" for what, value in lines(row.facts, prompts) if what not in roles or not row.chain]
        out += [f"  Made of: {line(source)}" for source in row.inputs if row.chain]
        used = [*(f"material {name}" for name in row.materials), *row.others]
        users = f" on {row.objects} object{'s' if row.objects != 1 else ''}" if row.objects else ""
        out += [f"  Used by: {line(', '.join(used)) or 'nothing'}{users}", ""]
    out.append(
        "Renders and files that Blender itself writes carry no credentials; what licences allow, only their texts say."
    )
    return "\n".join(out) + "\n"
