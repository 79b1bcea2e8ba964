"""Operate on pictures of the history.

Files are moved in the history's thread; errors appear in the panel.
"""
from __future__ import annotations

import random
from dataclasses import replace

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ... import scene
from ...calls import history as history_calls, recalling
from ...calls.runtime import runtime
from ...core.errors import SDError, SourceUnusable
from ...core.request import PANEL_SEED
from ...core.tasks import TEXT_TO_IMAGE
from ...library.history_entries import HistoryEntry, over_budget
from .. import file_manager, history, opening, outcome, tick
from ..downloads import amount
from ..translations.words import translated
from .start import first_refusal, refuse

_NAME = "The file name of the picture; empty for the selected one"
_PLACES = (
    ("EDITOR", "Image Editor", "Show the picture in an Image Editor", 0),
    ("SLOT", "Active Slot", "Put the picture into the active image texture node, paint slot or Image Editor", 1),
    ("MATERIAL", "Active Object",
     "Put the picture into the base color of the active object's material; what is missing is made", 2),
)
_VARY = 0.2  # variation strength if the panel's is 0
_SELECT = "Click the name below a thumbnail in the panel History first"


class _OfPicture:
    """Base of the operators on one picture: the one called `name`, or the selected one."""

    name: StringProperty(name="Picture", description=_NAME, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (history.shown().entries or history.shown().latest, _SELECT))

    def entry(self) -> HistoryEntry:
        """Return the picture's entry. Raise SourceUnusable if there is none."""
        entry = history.page_entry(self.name)
        if entry is None:
            raise SourceUnusable(f"'{self.name}' is not on this page of the "
                                 "history." if self.name else "No picture of the history is selected.",
                                                              f"{_SELECT}.")
        return entry

    def execute(self, context):
        try:
            return self.act(context, self.entry())
        except SDError as error:
            return refuse(self, error)


class SD_OT_history_select(_OfPicture, bpy.types.Operator):
    """Select this picture, to see what made it and to use it"""

    bl_idname = "sd.history_select"
    bl_label = "Select Picture"
    bl_options = {"INTERNAL"}

    @classmethod
    def description(cls, _context, properties):
        entry = history.page_entry(properties.name)
        return entry.prompt[:400] if entry is not None and entry.prompt else translated(cls.__doc__)

    def act(self, _context, entry):
        history.select(entry.name)
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_page(bpy.types.Operator):
    """Show the next or the previous page of thumbnails"""

    bl_idname = "sd.history_page"
    bl_label = "Turn Page"
    bl_options = {"INTERNAL"}

    pages: IntProperty(name="Pages", default=1, description="How many pages to go on; back where negative")

    def execute(self, _context):
        history.turn(self.pages)
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_favourite(_OfPicture, bpy.types.Operator):
    """Mark this picture as a favourite, or no longer. Favourites are never thrown away by the disk budget"""

    bl_idname = "sd.history_favourite"
    bl_label = "Toggle Favourite"
    bl_options = {"INTERNAL"}

    def act(self, _context, entry):
        history.wait_for(runtime.history.set_favourite([entry.name], not entry.favourite))
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_trash(_OfPicture, bpy.types.Operator):
    bl_description = ("Move this picture's file to the trash of the output folder, from which it can be restored. "
                      "Images in this file stay as they are")

    bl_idname = "sd.history_trash"
    bl_label = "Move to Trash"
    bl_options = {"INTERNAL"}

    def act(self, _context, entry):
        if entry.trashed:
            raise SourceUnusable("This picture is in the trash already.", "Restore it, or empty the trash.")
        _throw_away([entry])
        return {"FINISHED"}


class SD_OT_history_restore(bpy.types.Operator):
    """Bring the selected picture back from the trash; outside the trash, what was thrown away last"""

    bl_idname = "sd.history_restore"
    bl_label = "Restore"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (_restorable(), "Select a picture in the trash first"))

    def execute(self, _context):
        history.wait_for(runtime.history.restore(_restorable()))
        history.thrown_away(())
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_empty_trash(bpy.types.Operator):
    """Delete all pictures in the trash of the output folder, for good. This cannot be undone"""

    bl_idname = "sd.history_empty_trash"
    bl_label = "Delete the Pictures in the Trash for Good?"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (history.shown().trash_count, "The trash is empty"))

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context):
        history.wait_for(runtime.history.empty_trash())
        history.thrown_away(())
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_tidy(bpy.types.Operator):
    bl_description = ("Move the oldest pictures to the trash, until the others take no more than History Size in the "
                      "preferences. Favourites stay")

    bl_idname = "sd.history_tidy"
    bl_label = "Move the Oldest Pictures to the Trash?"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        return first_refusal(
            cls, (history.shown().over[0], "The pictures take no more than History Size in the preferences"))

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context):
        going = over_budget(runtime.history.view.entries, round(runtime.config.history_gb * 1e9))
        _throw_away(going)
        text = f"Moved to trash: {len(going)} ({amount(sum(entry.bytes for entry in going))})"
        self.report({"INFO"}, translated(text))
        return {"FINISHED"}


class SD_OT_history_use(_OfPicture, bpy.types.Operator):
    """Use this picture of the history in this file"""

    bl_idname = "sd.history_use"
    bl_label = "Stable Diffusion: Use Picture of History"
    bl_options = {"REGISTER", "UNDO"}

    into: EnumProperty(name="Into", items=_PLACES, default="EDITOR", description="Where the picture goes")

    @classmethod
    def description(cls, _context, properties):
        return translated(next(tip for id, _, tip, _ in _PLACES if id == properties.into))

    def act(self, context, entry):
        space = context.space_data
        here = self.into == "EDITOR" and space is not None and space.type == "IMAGE_EDITOR"
        target = scene.freeze_target(context, {"EDITOR": "new", "SLOT": "slot", "MATERIAL": "material"}[self.into])
        image = history_calls.open_picture(entry)
        if here:  # not in any other editor
            image.use_fake_user = True
            space.image = image
            return {"FINISHED"}
        placement = scene.place(target, [image])
        if self.into == "EDITOR":
            opening.request(image)
            tick.soon()
        self.report({"INFO"}, translated(outcome.sentence(placement)))
        return {"FINISHED"}


class SD_OT_history_recall(_OfPicture, bpy.types.Operator):
    """Fill the SD tab with everything that made this picture, so that the next click makes it again"""

    bl_idname = "sd.history_recall"
    bl_label = "Stable Diffusion: Recall Settings of History"
    bl_options = {"REGISTER", "UNDO"}

    only_seed: BoolProperty(name="Only the Seed", default=False, options={"SKIP_SAVE"}, description=(
        "Take over only the seed and keep it for the next pictures"))

    @classmethod
    def description(cls, _context, properties):
        words = "Take over only this picture's seed, and keep it for the next ones: other words, the same composition"
        return translated(words if properties.only_seed else cls.__doc__)

    def act(self, context, entry):
        settings = context.scene.sd
        if self.only_seed:
            settings.take_seed(entry.seed)
            settings.random_seed = False
            self.report({"INFO"}, translated(f"Seed {entry.seed}"))
        else:
            settings.fill_from(recalling.recall(entry.path))
            self.report({"INFO"}, "Settings recalled")
        return {"FINISHED"}


class SD_OT_history_vary(_OfPicture, bpy.types.Operator):
    """Paint a variation of this picture: with everything that made it, and noise that differs a little"""

    bl_idname = "sd.history_vary"
    bl_label = "Stable Diffusion: Vary Picture of History"
    bl_options = {"REGISTER"}

    def act(self, context, entry):
        settings = context.scene.sd
        made = recalling.recall(entry.path)
        varied = replace(made, axes=(), count=1, variation_strength=settings.variation_strength or _VARY,
                         variation_seed=random.SystemRandom().randint(0, PANEL_SEED))
        kind = settings.target.lower() if made.task.name == TEXT_TO_IMAGE else "new"
        opening.expect(recalling.run(varied, target=scene.freeze_target(context, kind), label=made.prompt))
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_show_file(_OfPicture, bpy.types.Operator):
    """Show this picture's file in the system's file manager"""

    bl_idname = "sd.history_show_file"
    bl_label = "Show in Folder"
    bl_options = {"INTERNAL"}

    def act(self, _context, entry):
        file_manager.show(entry.path)
        return {"FINISHED"}


def _restorable() -> tuple[str, ...]:
    """Return the names in the trash that Restore applies to."""
    shown = history.shown()
    if shown.selected is not None and shown.selected.trashed:
        return (shown.selected.name,)
    return shown.undo


def _throw_away(entries: list[HistoryEntry]) -> None:
    future = runtime.history.to_trash([entry.name for entry in entries])
    future.add_done_callback(lambda done: done.cancelled() or done.exception() or history.thrown_away(done.result()))
    history.wait_for(future)
    tick.soon()


CLASSES = (SD_OT_history_select, SD_OT_history_page, SD_OT_history_favourite, SD_OT_history_trash,
           SD_OT_history_restore, SD_OT_history_empty_trash, SD_OT_history_tidy, SD_OT_history_use,
           SD_OT_history_recall, SD_OT_history_vary, SD_OT_history_show_file)
