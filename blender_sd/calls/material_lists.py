"""A list of prompts into a library of materials: one job for each row, saved as an asset as soon as it is painted.

    batch = sd.batch_materials("materials.csv", library="User Library")
    batch.result()                                           # waits; batch.summary(), batch.cancel() meanwhile
"""
from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.errors import AssetUnusable, InvalidRequest, SDError
from ..core.names import suggestion
from ..library import asset_library
from ..library.material_lists import Row, read_rows
from ..session.inbox import pump_until
from ..session.job import Job
from . import assets, styles
from .arguments import scene_call
from .material_maps import material
from .runtime import runtime
from .text_to_image import generate

_NOT_OF_MANY = ("count", "axes", "target", "label", "seed")
_OF_MAPS = frozenset(("map_source", "map_bits", "metres"))
_OF_ALL = frozenset(inspect.signature(generate).parameters) - {"prompt", *_NOT_OF_MANY}


class Batch:
    """What became of each row of a list. `jobs`: the rows that are being made, each with its job. `skipped`: names of
    assets that were there already. `refused`: rows that could not be begun, each with its error."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.jobs: list[tuple[Row, Job]] = []
        self.skipped: list[str] = []
        self.refused: list[tuple[Row, SDError]] = []

    @property
    def done(self) -> bool:
        """Whether every job has ended."""
        return all(job.done for _, job in self.jobs)

    @property
    def saved(self) -> list[Path]:
        """The files of the assets that were made, in the list's order."""
        return [path for _, job in self.jobs if job.state == "finished" for path in job.outputs]

    @property
    def failed(self) -> list[tuple[Row, SDError]]:
        """The rows that failed, each with its error, in the list's order."""
        broken = [(row, job.error) for row, job in self.jobs if job.error is not None]
        return sorted((*self.refused, *broken), key=lambda one: one[0].number)

    def cancel(self) -> None:
        """Cancel all that is not made yet. What is saved stays; the same list begins again where this one ended."""
        for _, job in reversed(self.jobs):
            job.cancel()

    def result(self, timeout: float | None = None) -> list[Path]:
        """Wait until all jobs have ended; `saved`. Rows that fail raise nothing: see `failed`. Raises TimeoutError."""
        pump_until(lambda: self.done, runtime.the_session(), timeout, "The batch")
        return self.saved

    def counts(self) -> tuple[int, int, int, int]:
        """(made, waiting or at work, failed, cancelled)."""
        states = [job.state for _, job in self.jobs]
        made, failed, cancelled = (states.count(name) for name in ("finished", "failed", "cancelled"))
        return made, len(states) - made - failed - cancelled, failed + len(self.refused), cancelled

    def summary(self) -> str:
        """Return how it stands, in one line."""
        made, open_, failed, cancelled = self.counts()
        parts = [
            f"{made} saved", f"{open_} to go" if open_ else "",
            f"{len(self.skipped)} there already" if self.skipped else "", f"{failed} failed" if failed else "",
            f"{cancelled} cancelled" if cancelled else ""]
        return ", ".join(filter(None, parts))


@scene_call
def batch_materials(rows: str | os.PathLike | Iterable[str | Mapping[str, Any]], *, library: str | os.PathLike = "",
                    replace: bool = False, tags: Iterable[str] = (), licence: str | None = None,
                    only: Iterable[int] | None = None, maps: bool = False, **settings: Any) -> Batch:
    """Begin a material for each row, and returns at once.

    `rows`: prompts, one a line; or a CSV table (`library.material_lists.COLUMNS`); or the path of a .txt or .csv file
    with either; or a sequence of prompts and mappings. `library` as for `save_material`. A row whose asset is there
    already is skipped, unless `replace`: so a list that was cancelled goes on when it is given again. `tags`,
    `licence`: for all rows, beside their own. `only`: numbers of the rows to make, counted from 1; None makes all.
    `maps`: whether each material gets all its maps, as by `material`, whose `map_source`, `map_bits` and `metres` can
    be given then. `settings`: as for `generate`, for what a row, or the style that a row names, leaves open; pictures
    tile in both directions by default. A row that fails stops no other. Raises AssetUnusable and InvalidRequest, at
    once, for a list, library, number or keyword that cannot be used.
    """
    check_settings(settings, maps)
    folder = assets.library_folder(library)
    table = chosen_rows(rows, only)
    batch = Batch(folder)
    catalog = asset_library.catalog(folder)
    for row in table:
        file = asset_library.asset_file(folder, row.name)
        if not replace and os.path.exists(file):
            batch.skipped.append(row.name)
            continue
        try:
            batch.jobs.append((row, _begin(row, file, catalog, tuple(tags), licence, maps, settings)))
        except SDError as error:
            batch.refused.append((row, error))
    runtime.newest_batch = batch
    return batch


def chosen_rows(rows: Any, only: Iterable[int] | None = None) -> list[Row]:
    """Return the rows of a list (as for `batch_materials`), or only those with the numbers `only`, in the list's order.
    Raises AssetUnusable and InvalidRequest."""
    table = read_rows(text_of(rows))
    if only is None:
        return table
    wanted = set(only)
    for number in sorted(wanted - {row.number for row in table}):
        raise InvalidRequest(f"There is no row {number}; the list has {len(table)}.")
    return [row for row in table if row.number in wanted]


def check_settings(settings: Mapping[str, Any], maps: bool = False) -> None:
    """Raise InvalidRequest for a setting that a list of materials, or of materials with maps, does not take."""
    wrong = [name for name in _NOT_OF_MANY if name in settings]
    if wrong:
        raise InvalidRequest(f"A list of materials takes no '{wrong[0]}'.",
                             "Each row makes one picture; seeds stand in the column 'seed'.")
    known = _OF_ALL | _OF_MAPS if maps else _OF_ALL
    for name in sorted(settings.keys() - known):
        raise InvalidRequest(f"There is no setting called '{name}'.", suggestion(name, known))


def keywords_of(row: Row, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of `generate` for a row with the `settings` for all rows. Raises SDError for a row that
    cannot be made."""
    open_ = dict(settings)
    of_style: Mapping[str, Any] = {}
    if row.problem or not (row.keywords["prompt"] or row.keywords.get("style") or settings.get("style")):
        raise AssetUnusable(row.problem or "It has no prompt.", f"Correct row {row.number} of the list.")
    if name := row.keywords.get("style") or settings.get("style"):
        of_style = styles.find_style(name).settings
    if row.keywords.get("style"):  # the row's style counts more than the settings for all rows
        open_ = {
            key: value for key, value in open_.items()
            if key not in of_style and not (key == "size" and "width" in of_style)}
    if "tiling" not in of_style:
        open_.setdefault("tiling", "xy")
    return {**open_, **row.keywords}


def _begin(row: Row, file: str, catalog: str, tags: tuple[str, ...], licence: str | None, maps: bool,
           settings: Mapping[str, Any]) -> Job:
    """Return the job of one row, which saves its asset. Raises SDError."""
    keywords = keywords_of(row, settings)
    mine = licence if row.licence == "" else row.licence

    def commit(job: Job) -> list[Path]:
        request = job.results[0].request
        scene = runtime.scene
        about = scene.About(row.name, scene.facts(request), (*tags, *(row.tags or assets.words_of(request.prompt))),
                            assets.licence_of(scene.result_facts(job.results[0])) if mine is None else mine, catalog)
        if maps:
            scene.write_maps(job.results, file, about)
        else:
            scene.write_result(job.results[0], file, about)
        return [Path(file)]

    return (material if maps else generate)(**keywords, label=row.name, target=commit)


def text_of(rows: Any) -> str | Iterable[Any]:
    """Return the list itself; a path's file is read. Raises AssetUnusable."""
    names_file = isinstance(rows, str) and "\n" not in rows and rows.strip().lower().endswith((".csv", ".txt"))
    if not (names_file or isinstance(rows, os.PathLike)):
        return rows
    try:
        with open(os.path.expanduser(os.fspath(rows)), encoding="utf-8-sig") as file:
            return file.read(1 << 23)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AssetUnusable(f"The list {rows} cannot be read ({why}).", "Check the file; save it as CSV in UTF-8.",
                            repr(error)) from None
