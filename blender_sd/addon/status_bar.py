"""Show the progress of jobs and downloads in Blender's status bar, and an error while no tab shows it.

`WorkSpace.status_text_set`, which tools and Blender's extension installer call, restores the draw function that it
saved at its first call. In the session that installs the add-on that one is older than ours, so `keep` restores ours.
"""
from __future__ import annotations

import bpy

from .layout import tab_is_open
from .translations.words import translated

_PUT_BACK = "_draw_orig"  # the attribute in which Blender's `WorkSpace.status_text_set` saves it


def _draw(self, context) -> None:
    state = context.window_manager.sd
    if state.active:
        row = self.layout.row(align=True)
        row.ui_units_x = 12
        row.progress(factor=state.progress, text=f"SD {translated(state.progress_text)}")
        row.operator("sd.cancel", text="", icon="X", emboss=False)
    elif state.error and not tab_is_open():
        row = self.layout.row(align=True)
        row.label(text=f"SD: {translated(state.error)}", icon="ERROR", translate=False)
        row.operator("sd.dismiss", text="", icon="X", emboss=False)
    hub = context.window_manager.sd_hub
    if hub.running:
        row = self.layout.row(align=True)
        row.ui_units_x = 12
        row.progress(factor=hub.progress, text=translated(hub.text))
        row.operator("sd.cancel_fetch", text="", icon="X", emboss=False)


def keep() -> None:
    """Add our drawing to the status bar again if it was lost. A temporary text stays. The timer calls this."""
    header = bpy.types.STATUSBAR_HT_header
    put_back = getattr(header, _PUT_BACK, header.draw)
    is_text = header.draw is not put_back and _functions(header.draw)[:1] != [put_back]
    if not is_text and _draw not in _functions(header.draw):
        header.append(_draw)
        if hasattr(header, _PUT_BACK):
            setattr(header, _PUT_BACK, header.draw)


def redraw() -> None:
    """Have all status bars redrawn.

    They belong to no screen that Python reaches, but react to the view layer's name; setting their text instead would
    remove that of a running tool.
    """
    bpy.msgbus.publish_rna(key=(bpy.types.ViewLayer, "name"))


def _functions(draw) -> list:
    """Return the functions of a header's `draw`; empty if nothing was appended to it."""
    return getattr(draw, "_draw_funcs", [])


def register() -> None:
    keep()


def unregister() -> None:
    header = bpy.types.STATUSBAR_HT_header
    for draw in {header.draw, getattr(header, _PUT_BACK, header.draw)}:
        if _draw in _functions(draw):
            _functions(draw).remove(_draw)
