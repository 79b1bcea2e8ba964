"""Make the materials of a list as assets."""
from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import SDError
from ...core.tasks import TEXT_TO_IMAGE
from .. import exits, units
from ..blend_files import whole_path
from ...core.frame_ranges import frames_in
from ..interrupts import Interrupts
from ..options import add_machine, add_settings, add_workers, settings_in
from ..painting import check_machine, set_up
from ..reporting import Progress, fail, record

if TYPE_CHECKING:
    from ...calls.material_lists import Batch
    from ...library.material_lists import Row

HELP = "make the materials of a list (CSV or TXT) as assets of a library"
_PATIENCE = 0.2  # seconds between looks at the signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("list", help="one prompt a line, or a table with a column 'prompt'")
    parser.add_argument("--library", default="", metavar="NAME", help="the asset library's name or folder")
    parser.add_argument("--only", metavar="RANGE", help="only these rows, counted from 1, such as 3 or 1-10")
    parser.add_argument("--replace", action="store_true", help="make assets again that are there already")
    parser.add_argument("--maps", action="store_true", help="make all maps of each material")
    parser.add_argument("--dry-run", action="store_true", help="check and list the materials, and make none")
    parser.add_argument("--output", metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(blend="")
    add_machine(parser)
    add_workers(parser)
    add_settings(parser, TEXT_TO_IMAGE, "the pictures")


def run(asked: argparse.Namespace) -> int:
    from ...calls.material_lists import check_settings, chosen_rows
    from ...calls.no_scene import needs_blender
    from ...calls.scene_access import has_blender

    asked.list = whole_path(asked.list)
    if os.path.isdir(asked.library) or asked.library.startswith(("//", "~")):
        asked.library = whole_path(asked.library)
    only = frames_in(asked.only) if asked.only else None
    rows = chosen_rows(Path(asked.list), only)
    set_up(asked)
    settings = _settings(asked)
    check_settings(settings)
    if asked.dry_run:
        return _check(asked, rows, settings)
    if not has_blender():
        raise needs_blender("Saving materials as assets")
    return _make(asked, only, settings)


def _settings(asked: argparse.Namespace) -> dict[str, Any]:
    settings = settings_in(asked, TEXT_TO_IMAGE)
    if "control_pictures" in settings:
        settings["controls"] = units.controls_of(settings.pop("control_pictures"))
    if "reference" in settings:
        settings["reference"] = units.source_of(settings["reference"])
    return settings


def _check(asked: argparse.Namespace, rows: list[Row], settings: Mapping[str, Any]) -> int:
    """List the materials, with what is wrong with those that cannot be made, and return the exit code."""
    from ...calls.material_lists import keywords_of
    from ...calls.submission import prepare

    status = exits.DONE
    for row in rows:
        try:
            keywords = units.sized(keywords_of(row, settings))
            prepare(TEXT_TO_IMAGE, keywords.pop("prompt"), keywords)
        except SDError as error:
            status = fail(error, status or exits.status_of(error), asked.json, _place(row))
        else:
            record("planned", name=row.name, where=_place(row)) if asked.json else print(row.name)
    return status or check_machine()


def _make(asked: argparse.Namespace, only: list[int] | None, settings: Mapping[str, Any]) -> int:
    from ...calls.material_lists import batch_materials
    from ...calls.runtime import runtime

    with Interrupts() as interrupts:
        try:
            batch = batch_materials(Path(asked.list), library=asked.library, replace=asked.replace, only=only,
                                    maps=asked.maps, **settings)
            progress = Progress(len(batch.jobs), asked.quiet)
            while not batch.done and not interrupts.status:
                runtime.wait(_PATIENCE)
                runtime.pump(None)
                going = next((job for _, job in batch.jobs if job.state in ("loading", "running")), None)
                if going is not None:
                    progress.show(len(batch.saved), going.label, going.text, going.progress, going.eta)
            progress.close()
        finally:
            runtime.shutdown()
    return _report(asked, batch, interrupts.status)


def _report(asked: argparse.Namespace, batch: Batch, interrupted: int) -> int:
    for name in batch.skipped:
        record("kept", name=name) if asked.json else print(f"{name}: there already")
    for path in batch.saved:
        record("made", path=str(path)) if asked.json else print(path)
    failures = [fail(error, exits.status_of(error), asked.json, _place(row)) for row, error in batch.failed]
    status = interrupted
    if failures and not interrupted:
        final = [failure for failure in failures if failure in exits.FINAL]
        status = final[0] if final else failures[0] if len(failures) == 1 and not batch.saved else exits.FAILED
    if asked.json:
        made, _, failed, cancelled = batch.counts()
        record("end", status=status, made=made, kept=len(batch.skipped), failed=failed, cancelled=cancelled)
    return status


def _place(row: Row) -> str:
    return f"row {row.number} ({row.name})"
