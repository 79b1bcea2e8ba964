"""Small pieces that several panels draw."""
from __future__ import annotations

import textwrap
import unicodedata
from functools import lru_cache

import bpy

TAB = "SD"
PIE, POPOVER = "SD_MT_pie", "SD_PT_quick"  # ids, for the keys that open them
_GLYPH = 6.4  # pixels that a letter of the interface font takes on average, at a scale of 1
_UNIT = 20  # pixels that an icon takes
_JOINT = "\u2060"  # takes no room
_MARGIN = 48  # pixels of a region that its tabs, boxes and scroll bar take


def wrapped(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE", taken: int = 0, most: int = 0,
            translate: bool = True) -> None:
    """`text` as labels of the region's width: Blender's own labels are cut off instead of wrapped.

    `taken`: how much of the width other things in the row take, in units of a button's height. `most`: how many lines are
    shown, the last of them ending with "…" where there is more; 0: all. `translate`: off for a person's own words.
    """
    if translate:  # here, since Blender knows the whole sentence and not its lines
        text = bpy.app.translations.pgettext_iface(text)
    letters = max(16, int((_width(context) - _MARGIN - _UNIT * (taken + (icon != "NONE"))) / _GLYPH))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(_lines(text, letters, most)):
        if icon == "NONE":
            column.label(text=line, translate=False)
        else:
            column.label(text=line, icon="BLANK1" if number else icon, translate=False)


def failure(layout: bpy.types.UILayout, context: bpy.types.Context, error: str, hint: str, dismiss: str = "") -> bpy.types.UILayout:
    """A box that says what went wrong and what to do; more can be drawn into it. `dismiss`: the operator that takes it away, if one."""
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


def _width(context: bpy.types.Context) -> float:
    """Of the region that is drawn in, in pixels at a scale of 1."""
    return context.region.width / context.preferences.system.ui_scale if context.region else 300.0


@lru_cache(maxsize=128)  # drawn again at every motion of the mouse
def _lines(text: str, width: int, most: int) -> tuple[str, ...]:
    """Japanese and Chinese letters are as wide as two of ours, and part anywhere: a joint is counted before each, then taken out."""
    counted = "".join(_JOINT + letter if unicodedata.east_asian_width(letter) in "WF" else letter for letter in text)
    return tuple(line.replace(_JOINT, "") for line in textwrap.wrap(counted, width, max_lines=most or None, placeholder=" …"))
