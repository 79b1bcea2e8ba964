"""What is shown of the safety filter and of the studio's policy: always, so that neither is ever silently there or absent.

`update` looks at the policy's files and the filter's folder every other second; what is drawn reads `studio.state` alone.
"""
from __future__ import annotations

import time

import bpy

from .. import studio
from . import installing, properties
from .layout import wrapped

EVERY = 2.0  # seconds between two looks
_looked_at = 0.0


def update() -> bool:
    """Looks, where it is time to; whether anything that is shown has changed."""
    return time.monotonic() - _looked_at >= EVERY and refresh()


def refresh() -> bool:
    """Looks now."""
    global _looked_at
    _looked_at = time.monotonic()
    if not studio.look():
        return False
    properties.refresh_model_items()
    installing.redraw_preferences()
    return True


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """A line on the filter, and one on the policy where there is one; more where they stand in the way."""
    shown, model = studio.state, context.scene.sd.model
    column = layout.column(align=True)
    if shown.broken:
        wrapped(_alert(column), context, f"{shown.broken} {shown.hint}", "ERROR")
        return
    if refused := studio.refusal(model):
        wrapped(_alert(column), context, refused, "ERROR")
    row = column.row(align=True)
    row.active = False
    if studio.filters(model):
        row.alignment = "LEFT"
        row.label(text="Safety Filter", icon="FAKE_USER_ON")
        row.label(text=shown.filter, translate=False)
        if shown.lacking:
            wrapped(_alert(column), context, "The safety filter's folder holds no model: nothing is painted until it does.", "ERROR")
    elif properties.STARTER == model:
        row.label(text="Safety filter: the starter needs none", icon="FAKE_USER_ON")
    else:
        row.label(text="Safety filter: off", icon="FAKE_USER_OFF")
    if shown.files:
        row = column.row(align=True)
        row.active = False
        row.label(text="Your studio's policy applies", icon="LOCKED")


def draw_preferences(layout: bpy.types.UILayout, context: bpy.types.Context, prefs: bpy.types.AddonPreferences) -> None:
    """The section Safety."""
    shown = studio.state
    column = layout.column()
    column.label(text="Safety")
    if shown.broken:
        wrapped(_alert(column), context, f"{shown.broken} {shown.hint}", "ERROR")
    draw_forced(column, context, prefs, "safety_filter", shown.filter_file, shown.filter, "None")
    if not shown.filter_file:
        part = column.column()
        part.active = bool(prefs.safety_filter)
        part.prop(prefs, "safety_labels", placeholder="Known by their names: nsfw, porn …")
        part.prop(prefs, "safety_threshold", slider=True)
    if shown.filter and shown.lacking:
        wrapped(_alert(column), context, "The safety filter's folder holds no model: nothing is painted until it does.", "ERROR")
    wrapped(column, context, "The built-in starter model needs no filter: it was trained on procedural textures alone.", "INFO")
    column.prop(prefs, "blocked_words", placeholder="None")
    for file in shown.files:
        wrapped(column, context, f"Your studio's policy: {file}", "LOCKED")
    if shown.contact:
        wrapped(column, context, shown.contact, translate=False)


def draw_forced(layout: bpy.types.UILayout, context: bpy.types.Context, owner: bpy.types.bpy_struct, name: str, file: str, value: str = "",
                placeholder: str = "") -> None:
    """The property `name`; where the policy in `file` sets it, what it sets (`value`, "": it is on) in its place, not to be changed."""
    if not file:
        layout.prop(owner, name, placeholder=placeholder)
        return
    row = layout.row()
    row.enabled, row.alignment = False, "LEFT"
    row.label(text=owner.bl_rna.properties[name].name, icon="LOCKED" if value else "CHECKBOX_HLT")
    if value:
        row.label(text=value, translate=False)
    wrapped(layout, context, f"Set by your studio's policy ({file}).")


def register() -> None:
    """Nothing is known yet: the timer's first tick looks."""
    global _looked_at
    _looked_at = 0.0
    studio.forget()


def unregister() -> None:
    studio.forget()


def _alert(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    column = layout.column()
    column.alert = True
    return column
