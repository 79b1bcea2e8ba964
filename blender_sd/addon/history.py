"""Define `WindowManager.sd_history`, the panel's search, and `shown()`, the page of the history for drawing.

The page is kept in Python's memory, not in Blender's data: the window manager is saved in .blend files, where other
people's prompts do not belong. `update` copies it from the API, as `mirror.py` does for jobs; `draw()` only reads.
Nothing is read until the panel is first drawn. Thumbnails are Blender's previews: a thread of Blender's reads and
scales them when they are first drawn, and keeps them in the desktop's folder for thumbnails. Only those of one page are
in memory.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice

import bpy
import bpy.utils.previews
from bpy.props import (
    BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty,
)

from .. import scene
from ..calls import job_queue
from ..calls.runtime import runtime
from ..core.errors import SDError
from ..core.roles import BASE_COLOUR, HEIGHT, METALLIC, NORMAL, OCCLUSION, ROUGHNESS
from ..library.history_entries import HistoryEntry, matching, over_budget
from ..protocol.pictures import main_results
from . import opening, state as panel_state
from .translations.words import translated

PAGE = 12  # thumbnails: 2, 3, 4 or 6 in a row
LATEST = 4  # thumbnails next to Generate
WATCH = 2.0  # seconds between two searches for pictures of other Blenders
ALL, FAVOURITES, TRASH = "ALL", "FAVOURITES", "TRASH"
# names of the thumbnails that can be clicked
_HANDLES = (*map(str, range(PAGE)), *(f"+{number}" for number in range(LATEST)))
_ITEMS = ((ALL, "All", "Every finished picture in the output folder", 0),
          (FAVOURITES, "Favourites", "Only pictures that are marked with a star", 1),
          (TRASH, "Trash", "What was thrown away, until the trash is emptied", 2))


@dataclass(frozen=True)
class Shown:
    """One page of the history, as drawn, and the latest pictures of this run of Blender.

    Attributes:
        ready: Whether the folder was read.
        entries: The pictures of the page.
        latest: The latest pictures that this run of Blender made.
        chosen: The one of `latest` that the buttons below them apply to.
        icons: The thumbnails' icons, by path.
        total: The number of pictures that match the search.
        first: The number of the page's first picture, from 0.
        over: The number of pictures beyond the disk budget, and their size in bytes.
        undo: The names of the pictures that were moved to the trash last.
    """

    ready: bool = False
    entries: tuple[HistoryEntry, ...] = ()
    latest: tuple[HistoryEntry, ...] = ()
    chosen: HistoryEntry | None = None
    icons: Mapping[str, int] = field(default_factory=dict)
    total: int = 0
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
_chosen = ""  # the same for the latest ones; "" for the newest
_made: dict[str, None] = {}  # the file names of all pictures that this session's jobs have made
_undo: tuple[str, ...] = ()
_comparison: scene.Comparison | None = None
_waiting: list[Future] = []  # operations whose errors the panel shows
_looked_at = 0.0
_results = 0  # how many pictures this session's jobs have made
_previews: bpy.utils.previews.ImagePreviewCollection | None = None


def _changed(self: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    self.page = 0
    _look()
    if context.region is not None:  # other regions are redrawn at the next tick
        context.region.tag_redraw()


def _redraw_editors(_self: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    scene.screens.redraw("IMAGE_EDITOR")  # all that show the wipe


_words: dict[str, str] = {}  # kept, because Blender does not hold the strings of a dynamic enum


class SD_PG_picture(bpy.types.PropertyGroup):
    """One thumbnail that can be clicked. Which picture it shows stands in Python's memory: `name` is its number on the
    page, or that of a latest one behind a "+"."""

    def _entry(self) -> HistoryEntry | None:
        entries = _shown.latest if self.name.startswith("+") else _shown.entries
        number = int(self.name)
        return entries[number] if number < len(entries) else None

    def _items(self, _context: bpy.types.Context | None) -> list[tuple[str, str, str, int, int]]:
        entry = self._entry()
        if entry is None:
            return [("", "", "", 0, 0)]
        words = _words.setdefault(entry.name, words_of(entry, 48))
        return [(_words.setdefault(f"{entry.name}|id", entry.name), words, "", _shown.icons[entry.path], 0)]

    def _open(self, _number: int) -> None:
        entry = self._entry()
        if entry is not None:
            open_entry(entry)

    picture: EnumProperty(name="Picture", items=_items, get=lambda self: 0, set=_open, description=(
        "Show the picture larger. Click the larger one to open it in an Image Editor"))


class SD_PG_history(bpy.types.PropertyGroup):
    """What the panel History looks for."""

    search: StringProperty(name="Search", update=_changed, options={"TEXTEDIT_UPDATE"}, description=(
        "Words that must stand in the picture's prompt, model, task or sampler; also seed:7 and 512x512"))
    show: EnumProperty(name="Show", description="Which pictures are shown", items=_ITEMS, default=ALL, update=_changed)
    page: IntProperty(name="Page", description="Which page of thumbnails is shown, from 0", min=0)
    pictures: CollectionProperty(type=SD_PG_picture, name="Pictures",
                                 description="The thumbnails of the page and of the latest results")
    wipe: BoolProperty(name="Wipe", default=False, update=_redraw_editors, description=(
        "Show both pictures at once in the Image Editor, with a line between them that can be dragged"))
    wipe_at: FloatProperty(
        name="Line", default=0.5, min=0.0, max=1.0, subtype="FACTOR", update=_redraw_editors,
        description=("Where the line stands: the current picture is on its left, the one of the history on its right"))


def state() -> SD_PG_history:
    return bpy.context.window_manager.sd_history


def shown() -> Shown:
    """Return what to draw."""
    return _shown


def want() -> None:
    """Note that the panel is being drawn, so that the folder is read from now on. Costs nothing."""
    global _wanted
    _wanted = True


def busy() -> bool:
    """Return whether something new is expected, or not shown yet, so that the timer should not rest."""
    if not _wanted:
        return False
    history = runtime.history
    return bool(_waiting) or history.busy or (_key is not None and _key[1] != history.view.serial)


def watch(visible: Callable[[], bool]) -> None:
    """Have the folder read when a job has finished, and now and then while the tab is `visible`."""
    global _looked_at, _results
    results = sum(len(job.results) for job in job_queue.jobs())
    if results != _results:
        _note_made()
    if not _wanted:
        return
    history = runtime.history
    at_once = results != _results or not (history.view.ready or history.busy)
    if at_once or time.monotonic() - _looked_at > WATCH:
        if at_once or visible() or bpy.app.background:
            history.refresh()
        _results, _looked_at = results, time.monotonic()


def update() -> bool:
    """Update what is shown; return whether it has to be drawn again. Takes a few ms if there is something new."""
    global _changes
    if not _wanted:
        return False
    _show_errors()
    _look()
    changed, _changes = _changes, False
    return changed


def _look() -> None:
    """Make `_shown` again if something changed."""
    global _shown, _key, _changes
    history, settings = runtime.history, state()
    view, limit = history.view, round(runtime.config.history_gb * 1e9)
    key = (history.folder, view.serial, settings.search, settings.show, settings.page, _selected, _chosen, len(_made),
           _undo, limit, _comparison)
    if key == _key:
        return
    _key, _changes = key, True
    searched = view.trash if settings.show == TRASH else view.entries
    matches = matching(searched, settings.search, settings.show == FAVOURITES)
    last = max(0, (len(matches) - 1) // PAGE)
    first = min(settings.page, last) * PAGE
    entries = tuple(matches[first : first + PAGE])
    latest = tuple(islice((entry for entry in view.entries if entry.name in _made), LATEST))
    chosen = next((entry for entry in latest if entry.name == _chosen), latest[0] if latest else None)
    over = over_budget(view.entries, limit)
    for name in _HANDLES[len(settings.pictures):]:
        settings.pictures.add().name = name
    _shown = Shown(
        view.ready, entries, latest, chosen, _icons({*entries, *latest}), len(matches), first,
        next((entry for entry in matches if entry.name == _selected), None), view.problem, view.note, len(view.entries),
        view.bytes, len(view.trash), view.trash_bytes, (len(over), sum(entry.bytes for entry in over)), _undo,
        _comparison)


def turn(pages: int) -> None:
    """Go forward by that number of pages, or back if it is negative."""
    state().page = max(0, min(_shown.first // PAGE + pages, max(0, _shown.total - 1) // PAGE))
    _look()


def select(name: str) -> None:
    """Select the picture with that file name, on the page and among the latest ones."""
    global _selected, _chosen
    _selected = _chosen = name
    _look()


def page_entry(name: str) -> HistoryEntry | None:
    """Return the picture with that file name on the page or among the latest; "" means the selected one."""
    if not name:
        return _shown.selected
    return next((entry for entry in (*_shown.entries, *_shown.latest) if entry.name == name), None)


def words_of(entry: HistoryEntry, most: int) -> str:
    """Return what a thumbnail is called: the prompt, cut to `most` characters, after the kind of map that it is."""
    words = " ".join(entry.prompt.split())[:most] or entry.task
    kind = {BASE_COLOUR: translated("Base Color"), NORMAL: translated("Normal Map"), HEIGHT: translated("Height Map"),
            ROUGHNESS: translated("Roughness Map"), METALLIC: translated("Metallic Map"),
            OCCLUSION: translated("Occlusion Map")}.get(entry.role, "")
    return f"{kind}: {words}" if kind else words


def handle_of(entry: HistoryEntry) -> SD_PG_picture | None:
    """Return the property that a click on the thumbnail of `entry` sets; None if it is not on the page or not made."""
    for sign, entries in (("+", _shown.latest), ("", _shown.entries)):
        if entry in entries:
            number = state().pictures.find(f"{sign}{entries.index(entry)}")
            return state().pictures[number] if number >= 0 else None
    return None


def open_entry(entry: HistoryEntry) -> None:
    """Select a picture and open it in an Image Editor; in the trash, only select it. An error is shown in the panel."""
    select(entry.name)
    try:
        if not entry.trashed:
            opening.look_at(entry)
    except SDError as error:
        panel_state.show_error(error)


def wait_for(future: Future) -> None:
    """Show the error of `future` in the panel when it is done."""
    _waiting.append(future)


def thrown_away(names: Iterable[str]) -> None:
    """Remember the names in the trash that Undo restores."""
    global _undo
    _undo = tuple(names)


def compare(comparison: scene.Comparison | None) -> None:
    """Start showing `comparison`; None ends it."""
    global _comparison
    _comparison = comparison
    if comparison is None:
        state().wipe = False


def forget() -> None:
    """End the comparison, because a file was loaded, and copy everything at the next update."""
    global _key, _comparison
    _key = _comparison = None
    state().wipe = False


# ---- inside --------------------------------------------------------------------------------------------------------


def _note_made() -> None:
    """Remember the pictures that jobs have made and choose the newest. The folder is read from the first picture on."""
    global _chosen, _wanted
    before = len(_made)
    _made.update((os.path.basename(result.path), None)
                 for job in job_queue.jobs() for result in main_results(job.results) if result.path)
    if len(_made) > before:
        _chosen, _wanted = "", True


def _show_errors() -> None:
    for future in [waiting for waiting in _waiting if waiting.done()]:
        _waiting.remove(future)
        error = None if future.cancelled() else future.exception()
        if isinstance(error, SDError):
            panel_state.show_error(error)


def _icons(entries: Iterable[HistoryEntry]) -> dict[str, int]:
    """Return the icon of each entry's thumbnail, by path, and free those of other pages."""
    global _previews
    if _previews is None:
        _previews = bpy.utils.previews.new()
    keys = {f"{entry.path}|{entry.time}": entry.path for entry in entries}
    for key in [key for key in _previews if key not in keys]:
        del _previews[key]
    for key, path in keys.items():
        if key not in _previews:
            _previews.load(key, path, "IMAGE")
    return {path: _previews[key].icon_id for key, path in keys.items()}


CLASSES = (SD_PG_picture, SD_PG_history)


def register() -> None:
    bpy.types.WindowManager.sd_history = PointerProperty(type=SD_PG_history, name="History", description=(
        "What the panel History looks for"))


def unregister() -> None:
    global _shown, _key, _wanted, _selected, _chosen, _undo, _comparison, _previews, _results
    _shown, _key, _wanted, _selected, _chosen, _undo, _comparison, _results = Shown(), None, False, "", "", (), None, 0
    _waiting.clear()
    _made.clear()
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None
    del bpy.types.WindowManager.sd_history
