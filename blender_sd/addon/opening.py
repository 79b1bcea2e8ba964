"""Open a picture that no editor shows as a render opens: in an open Image Editor, or as Blender's preference says.

It opens at a turn of the timer and not in the operator that asks for it, which may run in the area that it replaces.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from .. import scene
from ..calls import history

if TYPE_CHECKING:
    from ..library.history_entries import HistoryEntry
    from ..session.job import Job

_expected: list[Job] = []  # jobs of this window whose results are to be shown
_waiting: tuple[scene.Identity, bool] | None = None  # an image to be opened, and whether the artist asked for it
_looked_at: scene.Identity | None = None  # an image that is in the file only while it is viewed


def expect(job: Job) -> None:
    """Open the result of `job` when it is finished, unless it is on screen then."""
    _expected.append(job)


def request(image: bpy.types.Image) -> None:
    """Open `image` at the next turn, even if renders are set to open nowhere: the artist asked to see it."""
    global _waiting
    _waiting = scene.identity(image), True


def look_at(picture: HistoryEntry) -> None:
    """Open a picture of the history at the next turn.

    It leaves the file when another one is opened, unless something uses it by then.

    Raises:
        SourceUnusable: Its file is missing.
    """
    global _looked_at
    if bpy.app.background:
        return
    there = scene.picture_of(picture.path)
    image = there or history.open_picture(picture)
    request(image)
    if image != _looked():
        _drop_looked()
        _looked_at = None if there else scene.identity(image)


def turn() -> bool:
    """Open what is due; return whether something still waits."""
    global _waiting
    for job in [job for job in _expected if job.done]:
        _expected.remove(job)
        placement = job.placement
        if placement is not None and not scene.is_on_screen(placement):
            _waiting = placement.image, False
    if _waiting is not None:
        image = scene.lookup(_waiting[0])
        if image is None or _open(image, _waiting[1]):
            _waiting = None
    return _waiting is not None


def forget() -> None:
    """Cancel everything that was to be opened: a file was loaded, or the add-on is being unregistered."""
    global _waiting, _looked_at
    _waiting = _looked_at = None
    _expected.clear()


# ---- inside --------------------------------------------------------------------------------------------------------


def _looked() -> bpy.types.Image | None:
    return scene.lookup(_looked_at) if _looked_at is not None else None


def _drop_looked() -> None:
    image = _looked()
    if image is not None and not (image.use_fake_user or image.is_dirty):
        users = bpy.data.user_map(subset={image})[image]
        if all(isinstance(user, bpy.types.Screen) for user in users):
            bpy.data.images.remove(image)


def _open(image: bpy.types.Image, asked: bool) -> bool:
    """Show `image`; return whether that is settled. It waits while something must not lose its area or window."""
    if bpy.app.background or scene.show_in_editor(image):
        return True
    view = bpy.context.preferences.view
    if view.render_display_type == "NONE" and not asked:
        return True
    windows = bpy.context.window_manager.windows
    if bpy.app.is_job_running("RENDER") or any(window.modal_operators for window in windows):
        return False
    # Blender would put that window behind the others
    if bpy.context.window is None or bpy.context.window.screen.is_temporary:
        return False
    if view.render_display_type == "NONE":
        _as_a_window(view)
    else:
        _open_editor()
    scene.show_in_editor(image)
    return True


def _as_a_window(view: bpy.types.PreferencesView) -> None:
    dirty = bpy.context.preferences.is_dirty
    view.render_display_type = "WINDOW"
    try:
        _open_editor()
    finally:
        view.render_display_type = "NONE"
        bpy.context.preferences.is_dirty = dirty


def _open_editor() -> None:
    """Open an Image Editor as for a render. Blender makes an empty Render Result for it, removed if it is new."""
    had_one = _render_result() is not None
    bpy.ops.render.view_show("INVOKE_DEFAULT")
    result = _render_result()
    if result is not None and not had_one:
        bpy.data.images.remove(result)


def _render_result() -> bpy.types.Image | None:
    return next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
