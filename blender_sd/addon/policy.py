"""Draw the state of the safety filter and of the studio's policy. It is always shown, whether they are there or not.

`update` reads the policy's files and the filter's folder every other second; drawing reads only
`runtime.policy.state`.
"""
from __future__ import annotations

import time

import bpy

from ..calls import policy
from ..calls.runtime import runtime
from . import installation, properties
from .layout import wrapped
from .translations.words import translated

EVERY = 2.0  # seconds between two looks
_looked_at = 0.0


def update() -> bool:
    """Read the state if it is time to; return whether anything that is shown has changed."""
    return time.monotonic() - _looked_at >= EVERY and refresh()


def refresh() -> bool:
    """Read the state now."""
    global _looked_at
    _looked_at = time.monotonic()
    if not runtime.policy.look():
        return False
    properties.refresh_model_items()
    installation.redraw_preferences()
    return True


def draw_state(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw a line about the filter and one about the policy, if there is one; more if they forbid something."""
    shown, model = runtime.policy.state, context.scene.sd.model
    column = layout.column(align=True)
    if shown.broken:
        wrapped(_alert(column), context, f"{shown.broken} {shown.hint}", "ERROR")
        return
    if refused := runtime.policy.refusal(model):
        wrapped(_alert(column), context, refused, "ERROR")
    row = column.row(align=True)
    row.active = False
    if policy.filters(model):
        row.alignment = "LEFT"
        row.label(text="Safety Filter", icon="FAKE_USER_ON")
        row.label(text=shown.filter, translate=False)
        if shown.lacking:
            wrapped(_alert(column), context,
                    "The safety filter's folder holds no model: nothing is painted until it does.", "ERROR")
    elif properties.STARTER == model:
        wrapped(row, context, "Safety filter: the starter needs none", "FAKE_USER_ON")
    else:
        row.label(text="Safety filter: off", icon="FAKE_USER_OFF")
    if shown.files:
        row = column.row(align=True)
        row.active = False
        row.label(text="Your studio's policy applies", icon="LOCKED")


def draw_preferences(layout: bpy.types.UILayout, context: bpy.types.Context, prefs: bpy.types.AddonPreferences) -> None:
    """Draw the section Safety."""
    shown = runtime.policy.state
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
        wrapped(_alert(column), context, "The safety filter's folder holds no model: nothing is painted until it does.",
                "ERROR")
    wrapped(column, context, "The built-in starter model needs no filter: it was trained on procedural textures alone.",
            "INFO")
    column.prop(prefs, "blocked_words", placeholder="None")
    for file in shown.files:
        wrapped(column, context, f"Your studio's policy: {file}", "LOCKED")
    if shown.contact:
        wrapped(column, context, shown.contact, translate=False)


def draw_forced(layout: bpy.types.UILayout, context: bpy.types.Context, owner: bpy.types.bpy_struct, name: str,
                file: str, value: str = "", placeholder: str = "") -> None:
    """Draw the property `name`, or, if the policy in `file` sets it, its fixed `value` ("" means on)."""
    if not file:
        layout.prop(owner, name, placeholder=translated(placeholder))
        return
    row = layout.row()
    row.enabled, row.alignment = False, "LEFT"
    row.label(text=translated(owner.bl_rna.properties[name].name), icon="LOCKED" if value else "CHECKBOX_HLT")
    if value:
        row.label(text=value, translate=False)
    wrapped(layout, context, f"Set by your studio's policy ({file}).")


def register() -> None:
    """Forget the state: the timer's first tick reads it."""
    global _looked_at
    _looked_at = 0.0
    runtime.policy.forget()


def unregister() -> None:
    runtime.policy.forget()


def _alert(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    column = layout.column()
    column.alert = True
    return column
