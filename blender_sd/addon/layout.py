"""Draw small pieces that several panels share."""
from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import bpy

from .translations.words import translated

TAB = "SD"
PIE, POPOVER = "SD_MT_pie", "SD_PT_quick"  # ids, for the keys that open them
GET_MODELS, ORIGIN, STYLES = "SD_PT_get_models", "SD_PT_origin", "SD_PT_styles"  # ids of popovers, for what opens them
STOP = "SNAP_FACE"  # a filled square; Blender has no icon called stop
_GLYPH = 6.4  # pixels that a letter of the interface font takes on average, at a scale of 1
_UNIT = 20  # pixels that an icon takes
_JOINT = "\u2060"  # zero-width
_MARGIN = 48  # pixels of a region that its tabs, boxes and scroll bar take
_EDITORS = {"VIEW_3D", "IMAGE_EDITOR", "NODE_EDITOR"}  # whose sidebars have the tab
_popover: float | None = None  # the width of the popover that is being drawn, in pixels at a scale of 1


def wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE", taken: int = 0,
            most: int = 0, translate: bool = True) -> None:
    """Draw `text` as labels that fit the region's width: Blender cuts long labels off instead of wrapping them.

    Args:
        taken: The width that other things in the row take, in units of a button's height.
        most: The number of lines that are shown, the last one ending with "…" if there is more; 0 means all.
        translate: Whether to translate the text; off for the artist's own words.
    """
    if translate:  # before it is broken into lines, which have no translations
        text = translated(text)
    letters = max(16, int((region_width(context) - _MARGIN - _UNIT * (taken + (icon != "NONE"))) / _GLYPH))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(_lines(text, letters, most)):
        if icon == "NONE":
            column.label(text=line, translate=False)
        else:
            column.label(text=line, icon="BLANK1" if number else icon, translate=False)


def failure(layout: bpy.types.UILayout, context: bpy.types.Context, error: str, hint: str,
            dismiss: str = "") -> bpy.types.UILayout:
    """Draw a box that says what went wrong and what to do. Return it, so that more can be drawn into it.

    Args:
        dismiss: The operator that hides the message, if there is one.
    """
    box = layout.box()
    row = box.row()
    body = row.column()
    body.alert = True
    wrapped(body, context, error, "ERROR", taken=1 if dismiss else 0)
    if dismiss:
        row.operator(dismiss, text="", icon="X", emboss=False)
    if hint:
        wrapped(box, context, hint)
    return box


def tabs() -> Iterator[bpy.types.Region]:
    """Yield the sidebars that show our tab now."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in _EDITORS and area.spaces.active.show_region_ui:
                for region in area.regions:
                    if region.type == "UI" and region.width > 1 and region.active_panel_category == TAB:
                        yield region


def tab_is_open() -> bool:
    """Return whether a sidebar shows our tab, and with it the messages."""
    return next(tabs(), None) is not None


@contextmanager
def popover_of(units: float) -> Iterator[None]:
    """Let `wrapped` fill a popover of that many units, because a popover's context names the button's region."""
    global _popover
    _popover = units * _UNIT + _MARGIN / 2
    try:
        yield
    finally:
        _popover = None


def region_width(context: bpy.types.Context) -> float:
    """Return the width of the current region or popover, in pixels at a scale of 1."""
    if _popover is not None:
        return _popover
    return context.region.width / context.preferences.system.ui_scale if context.region else 300.0


@lru_cache(maxsize=128)  # drawn again at every motion of the mouse
def _lines(text: str, width: int, most: int) -> tuple[str, ...]:
    """Break the text into lines.

    Japanese and Chinese characters are as wide as two Latin ones and can be broken anywhere, so a joint is counted
    before each and then removed.
    """
    counted = "".join(_JOINT + letter if unicodedata.east_asian_width(letter) in "WF" else letter for letter in text)
    return tuple(
        line.replace(_JOINT, "") for line in textwrap.wrap(counted, width, max_lines=most or None, placeholder=" …"))
