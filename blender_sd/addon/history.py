"""`WindowManager.sd_history`: what the person looks for in the panel History; and `shown()`, the page of it that is ready to be drawn.

The page stands in Python's memory, not in Blender's data: what is in the window manager would be saved into .blend files, and other
people's prompts have no place there. `update` copies it from the API, as `mirror.py` does for jobs; `draw()` only reads. Nothing is
looked for until the panel is first drawn. Thumbnails are Blender's own previews: read, made small and kept in the desktop's folder for
thumbnails by a thread of Blender's, when they are first drawn. Only those of one page are in memory.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import bpy
import bpy.utils.previews
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .. import api, config, past, scene
from ..protocol.errors import SDError
from ..session.entries import HistoryEntry, matching, over_budget
from . import state as panel_state

PAGE = 12  # thumbnails: 2, 3, 4 or 6 in a row
WATCH = 2.0  # seconds between two looks for what other Blenders painted
ALL, FAVOURITES, TRASH = "ALL", "FAVOURITES", "TRASH"
_ITEMS = ((ALL, "All", "Every finished picture in the output folder", 0),
          (FAVOURITES, "Favourites", "Only pictures that are marked with a star", 1),
          (TRASH, "Trash", "What was thrown away, until the trash is emptied", 2))


@dataclass(frozen=True)
class Shown:
    """One page of the history, as drawn. `icons`: of each entry. `found`: how many there are in all; `first`: the number of the page's
    first, from 0. `over`: how many pictures, of how many bytes, are beyond the disk budget. `undo`: the names of what was thrown away
    last. `ready`: the folder was looked through."""

    ready: bool = False
    entries: tuple[HistoryEntry, ...] = ()
    icons: tuple[int, ...] = ()
    found: int = 0
    first: int = 0
    selected: HistoryEntry | None = None
    problem: str = ""
    note: str = ""
    count: int = 0
    bytes: int = 0
    trash_count: int = 0
    trash_bytes: int = 0
    over: tuple[int, int] = (0, 0)
    undo: tuple[str, ...] = ()
    comparison: scene.Comparison | None = None


_shown = Shown()
_key: tuple | None = None  # what `_shown` was made of
_changes = False  # since the last update
_wanted = False  # the panel was drawn
_selected = ""  # the file name of the selected picture
_undo: tuple[str, ...] = ()
_comparison: scene.Comparison | None = None
_waiting: list[Future] = []  # orders whose errors the panel is to show
_looked_at = 0.0
_results = 0  # how many pictures this session's jobs have made
_previews: bpy.utils.previews.ImagePreviewCollection | None = None


def _changed(self: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    self.page = 0
    _look()
    if context.region is not None:  # the others hear of it at the next tick
        context.region.tag_redraw()


def _redraw_editors(_self: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    scene.images.redraw("IMAGE_EDITOR")  # every one that shows the wipe


class SD_PG_history(bpy.types.PropertyGroup):
    """What the panel History looks for."""

    search: StringProperty(name="Search", update=_changed, options={"TEXTEDIT_UPDATE"}, description=(
        "Words that must stand in the picture's prompt, model, task or sampler; also seed:7 and 512x512"))
    show: EnumProperty(name="Show", description="Which pictures are shown", items=_ITEMS, default=ALL, update=_changed)
    page: IntProperty(name="Page", description="Which page of thumbnails is shown, from 0", min=0)
    wipe: BoolProperty(name="Wipe", default=False, update=_redraw_editors, description=(
        "Show both pictures at once in the Image Editor, with a line between them that can be dragged"))
    wipe_at: FloatProperty(name="Line", default=0.5, min=0.0, max=1.0, subtype="FACTOR", update=_redraw_editors, description=(
        "Where the line stands: the current picture is on its left, the one of the history on its right"))


def state() -> SD_PG_history:
    return bpy.context.window_manager.sd_history


def shown() -> Shown:
    """What is to be drawn."""
    return _shown


def want() -> None:
    """The panel is being drawn: from now on there is something to look for. Costs nothing."""
    global _wanted
    _wanted = True


def busy() -> bool:
    """Whether something may soon be new, so that the timer should not rest."""
    return _wanted and (bool(_waiting) or past.the_history().busy)


def watch(visible: Callable[[], bool]) -> None:
    """Has the folder looked at where a job has finished, and now and then while the tab is `visible`."""
    global _looked_at, _results
    if not _wanted:
        return
    history, results = past.the_history(), sum(len(job.results) for job in api.jobs())
    at_once = results != _results or not (history.view.ready or history.busy)
    if at_once or time.monotonic() - _looked_at > WATCH:
        if at_once or visible() or bpy.app.background:
            history.refresh()
        _results, _looked_at = results, time.monotonic()


def update() -> bool:
    """Brings what is shown up to date; whether anything changed since the last call, and has to be drawn. A few ms where there is
    something new, else nothing."""
    global _changes
    if not _wanted:
        return False
    _show_errors()
    _look()
    changed, _changes = _changes, False
    return changed


def _look() -> None:
    """Makes `_shown` anew where something changed."""
    global _shown, _key, _changes
    history, settings = past.the_history(), state()
    view, limit = history.view, round(config.current.history_gb * 1e9)
    key = (history.folder, view.serial, settings.search, settings.show, settings.page, _selected, _undo, limit, _comparison)
    if key == _key:
        return
    _key, _changes = key, True
    found = matching(view.trash if settings.show == TRASH else view.entries, settings.search, settings.show == FAVOURITES)
    last = max(0, (len(found) - 1) // PAGE)
    first = min(settings.page, last) * PAGE
    entries = tuple(found[first : first + PAGE])
    over = over_budget(view.entries, limit)
    _shown = Shown(view.ready, entries, _icons(entries), len(found), first, next((one for one in found if one.name == _selected), None),
                   view.problem, view.note, len(view.entries), view.bytes, len(view.trash), view.trash_bytes,
                   (len(over), sum(one.bytes for one in over)), _undo, _comparison)


def turn(pages: int) -> None:
    """So many pages on, or back where negative."""
    state().page = max(0, min(_shown.first // PAGE + pages, max(0, _shown.found - 1) // PAGE))
    _look()


def select(name: str) -> None:
    """Makes the picture of that file name the one that the buttons mean."""
    global _selected
    _selected = name
    _look()


def page_entry(name: str) -> HistoryEntry | None:
    """The picture of that file name on the page; "" for the selected one."""
    return next((one for one in _shown.entries if one.name == name), None) if name else _shown.selected


def wait_for(order: Future) -> None:
    """Shows the error of `order`, once it has ended, in the panel."""
    _waiting.append(order)


def thrown_away(names: Iterable[str]) -> None:
    """These names in the trash are what Undo brings back."""
    global _undo
    _undo = tuple(names)


def compare(comparison: scene.Comparison | None) -> None:
    """`comparison` is under way now; None: none is."""
    global _comparison
    _comparison = comparison
    if comparison is None:
        state().wipe = False


def forget() -> None:
    """A file was loaded: what was compared is gone, and the window manager may be another one."""
    global _key, _comparison
    _key = _comparison = None
    state().wipe = False


# ---- inside --------------------------------------------------------------------------------------------------------


def _show_errors() -> None:
    for order in [one for one in _waiting if one.done()]:
        _waiting.remove(order)
        error = None if order.cancelled() else order.exception()
        if isinstance(error, SDError):
            panel_state.show_error(error)


def _icons(entries: tuple[HistoryEntry, ...]) -> tuple[int, ...]:
    """Blender's icon of each entry's thumbnail; those of other pages are let go."""
    global _previews
    if _previews is None:
        _previews = bpy.utils.previews.new()
    keys = {f"{one.path}|{one.time}": one.path for one in entries}
    for key in [key for key in _previews if key not in keys]:
        del _previews[key]
    for key, path in keys.items():
        if key not in _previews:
            _previews.load(key, path, "IMAGE")
    return tuple(_previews[key].icon_id for key in keys)


CLASSES = (SD_PG_history,)


def register() -> None:
    bpy.types.WindowManager.sd_history = PointerProperty(type=SD_PG_history, name="History", description=(
        "What the panel History looks for"))


def unregister() -> None:
    global _shown, _key, _wanted, _selected, _undo, _comparison, _previews, _results
    _shown, _key, _wanted, _selected, _undo, _comparison, _results = Shown(), None, False, "", (), None, 0
    _waiting.clear()
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None
    del bpy.types.WindowManager.sd_history
