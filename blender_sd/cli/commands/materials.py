"""Make the materials of a list as assets."""
from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ...core.errors import InvalidRequest, SDError
from ...core.tasks import TEXT_TO_IMAGE
from .. import exits
from ..frame_ranges import frames_in
from ..interrupts import Interrupts
from ..options import add_machine, add_settings, settings_in
from ..painting import set_up
from ..reporting import Progress, fail, record

if TYPE_CHECKING:
    from ...calls.material_lists import Batch

HELP = "make the materials of a list (CSV or TXT) as assets of a library"
_PATIENCE = 0.2  # seconds between looks at the signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("list", help="one prompt a line, or a table with a column 'prompt'")
    parser.add_argument("--library", default="", metavar="NAME", help="the asset library's name or folder")
    parser.add_argument("--only", metavar="RANGE", help="only these rows, counted from 1, such as 3 or 1-10")
    parser.add_argument("--replace", action="store_true", help="make assets again that are there already")
    parser.add_argument("--dry-run", action="store_true", help="list the materials and make none")
    parser.add_argument("--output", metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(blend="")
    add_machine(parser)
    add_settings(parser, TEXT_TO_IMAGE, "the pictures")


def run(asked: argparse.Namespace) -> int:
    from ...calls.material_lists import text_of
    from ...library.material_lists import read_rows

    rows = read_rows(text_of(asked.list if os.path.isabs(asked.list) else os.path.abspath(asked.list)))
    numbers = frames_in(asked.only) if asked.only else range(1, len(rows) + 1)
    for number in numbers:
        if not 1 <= number <= len(rows):
            raise InvalidRequest(f"There is no row {number}; {os.path.basename(asked.list)} has {len(rows)}.")
    chosen = [rows[number - 1] for number in numbers]
    if asked.dry_run:
        for row in chosen:
            record("planned", name=row.name, problem=row.problem) if asked.json else print(row.name)
        return exits.DONE
    set_up(asked)
    return _make(asked, chosen)


def _make(asked: argparse.Namespace, rows: list) -> int:
    from ...calls.material_lists import batch_materials
    from ...calls.runtime import runtime

    settings = {name: value for name, value in settings_in(asked, TEXT_TO_IMAGE).items()
                if name not in ("count", "axes", "seed", "control_pictures")}
    progress = Progress(len(rows), asked.quiet)
    with Interrupts() as interrupts:
        batch = batch_materials(
            [{"name": row.name, **row.keywords, "tags": list(row.tags), "licence": row.licence} for row in rows],
            library=asked.library, replace=asked.replace, **settings)
        try:
            while not batch.done and not interrupts.status:
                runtime.wait(_PATIENCE)
                runtime.pump(None)
                going = next((job for _, job in batch.jobs if job.state in ("loading", "running")), None)
                if going is not None:
                    progress.show(len(batch.saved), going.label, going.text, going.progress, going.eta)
        finally:
            progress.close()
            runtime.shutdown()
    return _report(asked, batch, interrupts.status)


def _report(asked: argparse.Namespace, batch: Batch, interrupted: int) -> int:
    for name in batch.skipped:
        record("kept", name=name) if asked.json else print(f"{name}: there already")
    for path in batch.saved:
        record("made", path=str(path)) if asked.json else print(path)
    errors: list[SDError] = []
    for row, error in batch.failed:
        errors.append(error)
        fail(error, exits.status_of(error), asked.json, f"row {row.number} ({row.name})")
    if interrupted or not errors:
        return interrupted
    return exits.status_of(errors[0]) if len(errors) == 1 and not batch.saved else exits.FAILED
