"""The history for scripts and operators: every finished picture in the output folder, whichever job, file or Blender
made it.

    newest = sd.history("old brick", limit=1)[0]
    sd.generate(newest.prompt, seed=newest.seed)              # or sd.run(sd.recall(newest.path)): everything as it was
    sd.apply(sd.open_picture(newest), bpy.context.object)
    binned = sd.trash(newest)
    sd.restore(*binned)
"""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..core.errors import SDError, SourceUnusable
from ..library.history_entries import HistoryEntry, matching
from ..protocol.messages import Result

from .arguments import checked_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy

Picture = HistoryEntry | str | os.PathLike  # an entry, or the path of its file

_LIMIT = 60.0  # seconds that scripts wait for a slow drive


@checked_call
def history(search: str = "", *, favourites: bool = False, trashed: bool = False,
            limit: int | None = None) -> list[HistoryEntry]:
    """Return the finished pictures in the output folder, newest first, at most `limit`; with `favourites` only those
    that are marked so.

    Every word of `search` must stand in the picture's prompt, model, task or sampler, or be such as "seed:7" or
    "512x512". `trashed`: those in the trash instead. Looks at the folder and waits for it. Raises SourceUnusable where
    it is not there.
    """
    view = runtime.history.refresh().result(_LIMIT)
    while not view.ready:  # other orders went first
        view = runtime.history.refresh().result(_LIMIT)
    if view.problem:
        raise SourceUnusable(view.problem, "Plug its drive in, or choose another folder.")
    return matching(view.trash if trashed else view.entries, search, favourites)[:limit]


def known_entries() -> tuple[HistoryEntry, ...]:
    """Return the pictures that the history knows already, newest first; none where nothing has asked for it yet. Reads
    nothing."""
    return runtime.known_history.view.entries if runtime.known_history is not None else ()


@checked_call
def favourite(picture: Picture, on: bool = True) -> None:
    """Mark a picture as a favourite, or no longer. Raises OutputUnwritable."""
    runtime.history.set_favourite([_name(picture)], on).result(_LIMIT)


@checked_call
def trash(*pictures: Picture) -> list[HistoryEntry]:
    """Move pictures to the trash of the output folder and returns them as they lie there, for `restore`. What is gone
    already is left out. Images in open files stay as they are. Raises OutputUnwritable."""
    return _entries(runtime.history.to_trash(map(_name, pictures)).result(_LIMIT), trashed=True)


@checked_call
def restore(*pictures: Picture) -> list[HistoryEntry]:
    """Bring pictures (as `trash` or `history(trashed=True)` gave them) back, and returns them. Raises
    OutputUnwritable."""
    return _entries(runtime.history.restore(map(_name, pictures)).result(_LIMIT), trashed=False)


def empty_trash() -> int:
    """Delete what lies in the trash, for good; how many bytes that were. Raises OutputUnwritable."""
    return runtime.history.empty_trash().result(_LIMIT)


@checked_call
def open_picture(picture: Picture) -> bpy.types.Image:
    """Return a picture of the history as an image of this file, packed; the one that is there, where it was loaded
    before and not painted on. Raises SourceUnusable where its file is gone, InvalidRequest where it carries no
    settings."""
    path = picture.path if isinstance(picture, HistoryEntry) else os.path.abspath(picture)
    scene = runtime.scene
    return scene.picture_of(path) or scene.load_result(_result(path))


def _name(picture: Picture) -> str:
    return os.path.basename(picture.path if isinstance(picture, HistoryEntry) else os.fspath(picture))


def _entries(names: list[str], trashed: bool) -> list[HistoryEntry]:
    view = runtime.history.view
    return [entry for entry in (view.trash if trashed else view.entries) if entry.name in set(names)]


def _result(path: str) -> Result:
    try:
        request = runtime.scene.request_of(path)
    except SDError as error:
        if os.path.exists(path):
            raise
        raise SourceUnusable(f"The picture is gone: {path}", "It was moved or deleted. Look in the trash.",
                             error.detail) from None
    return Result(path, request, request.width, request.height)
