"""Compare a picture of the history with the active slot's image, in turn or with a wipe, until one is chosen."""
from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty

from ... import scene
from ...calls import history as history_calls
from ...core.errors import SDError
from .. import history, tick
from ..translations.words import translated
from .start import first_refusal, refuse

_SIDES = (("A", "Current", "What was there before", 0), ("B", "History", "The picture of the history", 1))


class SD_OT_compare(bpy.types.Operator):
    bl_description = ("Show the selected picture of the history in place of the one in the active texture slot or "
                      "Image Editor, to look at both by turns")

    bl_idname = "sd.compare"
    bl_label = "Stable Diffusion: Compare with History"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, _context):
        shown = history.shown()
        return first_refusal(
            cls, (shown.comparison is None, "Two pictures are being compared already; keep one of them first"),
            (shown.selected is not None, "Select a picture of the history first"))

    def execute(self, context):
        try:
            scene.active_slot_image(context)  # raises SDError before anything is loaded
            entry = history.page_entry("")
            added = scene.picture_of(entry.path) is None
            image = history_calls.open_picture(entry)
            history.compare(scene.show_side(scene.compare(context, image, added), "B"))
        except SDError as error:
            return refuse(self, error)
        tick.soon()
        return {"FINISHED"}


class _Comparing:
    """Base of the operators that work on the current comparison."""

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (history.shown().comparison is not None, "Press Compare in the panel History first"))

    def execute(self, _context):
        try:
            history.compare(self.act(history.shown().comparison))
        except SDError as error:
            history.compare(None)  # the pictures or the slot were deleted; nothing to restore
            return refuse(self, error)
        tick.soon()
        return {"FINISHED"}


class SD_OT_compare_show(_Comparing, bpy.types.Operator):
    """Show the one or the other of the two pictures"""

    bl_idname = "sd.compare_show"
    bl_label = "Show Side"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    side: EnumProperty(name="Side", items=_SIDES, default="A", description="Which of the two pictures is shown")

    @classmethod
    def description(cls, _context, properties):
        return translated(next(f"Show {tip[0].lower()}{tip[1:]}" for id, _, tip, _ in _SIDES if id == properties.side))

    def act(self, comparison):
        history.state().wipe = False
        return scene.show_side(comparison, self.side)


class SD_OT_compare_toggle(_Comparing, bpy.types.Operator):
    """Show the other of the two pictures that are being compared"""

    bl_idname = "sd.compare_toggle"
    bl_label = "Stable Diffusion: Toggle Comparison"
    bl_options = {"REGISTER", "UNDO"}

    def act(self, comparison):
        history.state().wipe = False
        return scene.show_side(comparison, "A" if comparison.shown == "B" else "B")


class SD_OT_compare_wipe(_Comparing, bpy.types.Operator):
    bl_description = ("Show both pictures at once in the Image Editor, the current one left of a line that can be "
                      "dragged. Press again to end that")

    bl_idname = "sd.compare_wipe"
    bl_label = "Stable Diffusion: Wipe Comparison"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        comparison = history.shown().comparison
        return super().poll(context) and first_refusal(
            cls, (comparison.in_editor,
                  "These are compared on a material: press Compare in an Image Editor's sidebar for a wipe"))

    def act(self, comparison):
        comparison = scene.show_side(comparison, "A")
        history.state().wipe = not history.state().wipe
        return comparison


class SD_OT_compare_end(_Comparing, bpy.types.Operator):
    """End the comparison"""

    bl_idname = "sd.compare_end"
    bl_label = "Stable Diffusion: End Comparison"
    bl_options = {"REGISTER", "UNDO"}

    keep: BoolProperty(name="Keep", default=False, options={"SKIP_SAVE"}, description=(
        "Leave the picture of the history in the slot; off: put back what was there"))

    @classmethod
    def description(cls, _context, properties):
        return translated("Leave the picture of the history there; what was there before stays in the file"
                          if properties.keep else "Put back what was there before, and end the comparison")

    def act(self, comparison):
        scene.end_comparison(comparison, self.keep)


CLASSES = (SD_OT_compare, SD_OT_compare_show, SD_OT_compare_toggle, SD_OT_compare_wipe, SD_OT_compare_end)
