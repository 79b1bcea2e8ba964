"""The history for scripts and operators: every finished picture in the output folder, whichever job, file or Blender made it.

    newest = sd.history("old brick", limit=1)[0]
    sd.generate(newest.prompt, seed=newest.seed)              # or sd.run(sd.recall(newest.path)): everything as it was
    sd.apply(sd.open_picture(newest), bpy.context.object)
    binned = sd.trash(newest)
    sd.restore(*binned)
"""
from __future__ import annotations

import os

import bpy

from . import config, scene, studio
from .protocol.errors import SDError, SourceUnusable
from .protocol.messages import Result
from .session.entries import HistoryEntry, matching
from .session.history import History

Picture = HistoryEntry | str | os.PathLike  # an entry, or the path of its file

_LIMIT = 60.0  # seconds that scripts wait for a slow drive
_history: History | None = None
scene.ask_marking(studio.marks)


def history(search: str = "", *, favourites: bool = False, trashed: bool = False, limit: int | None = None) -> list[HistoryEntry]:
    """The finished pictures in the output folder, newest first, at most `limit`; with `favourites` only those that are marked so.

    Every word of `search` must stand in the picture's prompt, model, task or sampler, or be such as "seed:7" or "512x512".
    `trashed`: those in the trash instead. Looks at the folder and waits for it. Raises SourceUnusable where it is not there.
    """
    view = the_history().refresh().result(_LIMIT)
    while not view.ready:  # other orders went first
        view = the_history().refresh().result(_LIMIT)
    if view.problem:
        raise SourceUnusable(view.problem, "Plug its drive in, or choose another folder.")
    return matching(view.trash if trashed else view.entries, search, favourites)[:limit]


def favourite(picture: Picture, on: bool = True) -> None:
    """Marks a picture as a favourite, or no longer. Raises OutputUnwritable."""
    the_history().set_favourite([_name(picture)], on).result(_LIMIT)


def trash(*pictures: Picture) -> list[HistoryEntry]:
    """Moves pictures to the trash of the output folder and returns them as they lie there, for `restore`. What is gone already is left
    out. Images in open files stay as they are. Raises OutputUnwritable."""
    return _entries(the_history().to_trash(map(_name, pictures)).result(_LIMIT), trashed=True)


def restore(*pictures: Picture) -> list[HistoryEntry]:
    """Brings pictures (as `trash` or `history(trashed=True)` gave them) back, and returns them. Raises OutputUnwritable."""
    return _entries(the_history().restore(map(_name, pictures)).result(_LIMIT), trashed=False)


def empty_trash() -> int:
    """Deletes what lies in the trash, for good; how many bytes that were. Raises OutputUnwritable."""
    return the_history().empty_trash().result(_LIMIT)


def open_picture(picture: Picture) -> bpy.types.Image:
    """A picture of the history as an image of this file, packed; the one that is there, where it was loaded before and not painted on.
    Raises SourceUnusable where its file is gone, InvalidRequest where it carries no settings."""
    path = picture.path if isinstance(picture, HistoryEntry) else os.path.abspath(picture)
    return scene.picture_of(path) or scene.load_result(_result(path))


def the_history() -> History:
    """The history of the output folder as it is set now. Starts nothing by itself, reads nothing."""
    global _history
    folder = os.path.abspath(config.output_path())
    if _history is None or _history.folder != folder:
        shutdown()
        _history = History(folder, optional=not config.current.output)
    return _history


def shutdown() -> None:
    """Ends the history's thread; the next call starts afresh. `api.shutdown` calls it."""
    global _history
    gone, _history = _history, None
    if gone:
        gone.close()


def _name(picture: Picture) -> str:
    return os.path.basename(picture.path if isinstance(picture, HistoryEntry) else os.fspath(picture))


def _entries(names: list[str], trashed: bool) -> list[HistoryEntry]:
    view = the_history().view
    return [one for one in (view.trash if trashed else view.entries) if one.name in set(names)]


def _result(path: str) -> Result:
    try:
        request = scene.request_of(path)
    except SDError as error:
        if os.path.exists(path):
            raise
        raise SourceUnusable(f"The picture is gone: {path}", "It was moved or deleted. Look in the trash.", error.detail) from None
    return Result(path, request, request.width, request.height)
