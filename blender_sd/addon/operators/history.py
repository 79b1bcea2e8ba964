"""What can be done with the pictures of the history. Files are moved on the history's thread; what fails is shown in the panel."""
from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_tip
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ... import api, config, past, scene
from ...protocol.errors import SDError, SourceUnusable
from ...session.entries import HistoryEntry, over_budget
from .. import file_manager, history, tick
from ..downloads import amount
from .start import first_refusal, refuse

_NAME = "The file name of the picture; empty for the selected one"
_PLACES = (
    ("EDITOR", "Image Editor", "Show the picture in an Image Editor", 0),
    ("SLOT", "Active Slot", "Put the picture into the active image texture node, paint slot or Image Editor", 1),
    ("MATERIAL", "Active Object", "Put the picture into the base color of the active object's material; what is missing is made", 2),
)
_SELECT = "Click the name below a thumbnail in the panel History first"


class _OfPicture:
    """An operator on one picture: `name`, or the selected one."""

    name: StringProperty(name="Picture", description=_NAME, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (history.shown().entries, _SELECT))

    def entry(self) -> HistoryEntry:
        """Raises SourceUnusable where there is none."""
        found = history.page_entry(self.name)
        if found is None:
            raise SourceUnusable(f"'{self.name}' is not on this page of the history." if self.name else "No picture of the history is "
                                 "selected.", f"{_SELECT}.")
        return found

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
        return entry.prompt[:400] if entry is not None and entry.prompt else pgettext_tip(cls.__doc__)

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
        history.wait_for(past.the_history().set_favourite([entry.name], not entry.favourite))
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_trash(_OfPicture, bpy.types.Operator):
    """Move this picture's file to the trash of the output folder, from which it can be restored. Images in this file stay as they are"""

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
        history.wait_for(past.the_history().restore(_restorable()))
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
        history.wait_for(past.the_history().empty_trash())
        history.thrown_away(())
        tick.soon()
        return {"FINISHED"}


class SD_OT_history_tidy(bpy.types.Operator):
    """Move the oldest pictures to the trash, until the others take no more than History Size in the preferences. Favourites stay"""

    bl_idname = "sd.history_tidy"
    bl_label = "Move the Oldest Pictures to the Trash?"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls, (history.shown().over[0], "The pictures take no more than History Size in the preferences"))

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context):
        going = over_budget(past.the_history().view.entries, round(config.current.history_gb * 1e9))
        _throw_away(going)
        self.report({"INFO"}, f"{len(going)} pictures ({amount(sum(one.bytes for one in going))}) go to the trash")
        return {"FINISHED"}


class SD_OT_history_use(_OfPicture, bpy.types.Operator):
    """Use this picture of the history in this file"""

    bl_idname = "sd.history_use"
    bl_label = "Stable Diffusion: Use Picture of History"
    bl_options = {"REGISTER", "UNDO"}

    into: EnumProperty(name="Into", items=_PLACES, default="EDITOR", description="Where the picture goes")

    @classmethod
    def description(cls, _context, properties):
        return pgettext_tip(next(tip for id, _, tip, _ in _PLACES if id == properties.into))

    def act(self, context, entry):
        space = context.space_data
        here = self.into == "EDITOR" and space is not None and space.type == "IMAGE_EDITOR"
        target = scene.freeze_target(context, {"EDITOR": "new", "SLOT": "slot", "MATERIAL": "material"}[self.into])
        image = past.open_picture(entry)
        if here:  # not in any other editor
            image.use_fake_user = True
            space.image = image
            return {"FINISHED"}
        scene.place(target, [image])
        if self.into == "EDITOR" and not scene.show_in_editor(image):
            self.report({"INFO"}, f"'{image.name}' is in this file now. Open an Image Editor to see it")
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
        return pgettext_tip(words if properties.only_seed else cls.__doc__)

    def act(self, context, entry):
        settings = context.scene.sd
        if self.only_seed:
            settings.seed, settings.random_seed = entry.seed, False
            self.report({"INFO"}, f"Seed {entry.seed}")
        else:
            settings.fill_from(api.recall(entry.path))
            self.report({"INFO"}, "Settings recalled")
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
    """The names in the trash that Restore means."""
    shown = history.shown()
    if shown.selected is not None and shown.selected.trashed:
        return (shown.selected.name,)
    return shown.undo


def _throw_away(entries: list[HistoryEntry]) -> None:
    order = past.the_history().to_trash([one.name for one in entries])
    order.add_done_callback(lambda done: done.cancelled() or done.exception() or history.thrown_away(done.result()))
    history.wait_for(order)
    tick.soon()


CLASSES = (SD_OT_history_select, SD_OT_history_page, SD_OT_history_favourite, SD_OT_history_trash, SD_OT_history_restore,
           SD_OT_history_empty_trash, SD_OT_history_tidy, SD_OT_history_use, SD_OT_history_recall, SD_OT_history_show_file)
