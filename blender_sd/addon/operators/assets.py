"""Save materials to an asset library: the active one, one from the prompt, or a whole list.

Each operator asks first and names the file.
"""
from __future__ import annotations

import os

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ... import scene
from ...calls import assets, material_lists
from ...calls.runtime import runtime
from ...core.errors import AssetUnusable, SDError
from ...core.tasks import TEXT_TO_IMAGE
from ...library import asset_library
from ...core.nets import STARTER
from ...library.image_origin import STARTER_LICENCE
from ...library.material_lists import read_rows
from .. import tick
from ..translations.words import translated
from .recall import shown_image
from .material import map_keywords
from .start import can_do, first_refusal, refuse

_items: list[tuple[str, str, str]] = []  # kept, because Blender does not hold the strings of a dynamic enum
SOURCES = (
    ("IMAGE", "Image", "The image shown in this editor or in the active slot, as a new material", "IMAGE_DATA", 0),
    ("MATERIAL", "Active Material", "The active object's material as it is, with all its images", "MATERIAL", 1),
    ("PROMPT", "Prompt", "Paint what the SD tab says first; the asset is saved when the picture is finished", "TEXT",
     2),
)


def _libraries(_self=None, _context=None) -> list[tuple[str, str, str]]:
    _items[:] = [(folder, name, folder) for name, folder in assets.asset_libraries().items()]
    return _items


def _looked_up(self, _context) -> None:
    """Check whether the asset's file exists.

    The dialog shows this; checking while drawing would read the disk at every motion of the mouse.
    """
    self.is_there = bool(self.library and self.name.strip()) and os.path.exists(
        asset_library.asset_file(self.library, asset_library.asset_name(self.name)))


def _look(self, _context=None) -> None:
    """Read the list and the library after one was chosen, so that drawing only shows the result.

    No method, because in Blender 5.2 an update function gets the operator's properties alone.
    """
    self.rows, self.there, self.problem = 0, 0, ""
    if not self.text and not self.filepath:
        return
    try:
        rows = read_rows(material_lists.text_of(_list_of(self)))
    except SDError as error:
        self.problem = str(error)
        return
    self.rows = len(rows)
    self.there = 0
    if self.library:
        self.there = sum(os.path.exists(asset_library.asset_file(self.library, row.name)) for row in rows)


def _list_of(self) -> str:
    """Return the text of the list, or the path of its file."""
    text = bpy.data.texts.get(self.text)
    return text.as_string() + "\n" if text is not None else bpy.path.abspath(self.filepath)


def _library_there(operator: bpy.types.Operator) -> set[str] | None:
    """Return None if there is an asset library to choose, otherwise the result of refusing."""
    if _libraries():
        return None
    return refuse(operator, AssetUnusable("Blender has no asset library yet.",
                                          "Add one in Blender's Preferences › File Paths › Asset Libraries."))


def _words(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


class SD_OT_save_material(bpy.types.Operator):
    bl_description = ("Save the image, the active material or what the prompt says as a material in one of your asset "
                      "libraries. Asks before it writes")

    bl_idname = "sd.save_material"
    bl_label = "Stable Diffusion: Save as Material Asset"
    bl_options = {"REGISTER"}

    source: EnumProperty(name="From", items=SOURCES, description="What becomes the asset")
    image: StringProperty(name="Image", options={"SKIP_SAVE"},
                          description="The image to save; empty for the one shown in this editor")
    name: StringProperty(name="Name", maxlen=60, update=_looked_up,
                         description="What the asset is called, and its file")
    library: EnumProperty(name="Library", items=_libraries, update=_looked_up, description=(
        "The asset library to write into; libraries are listed in Blender's Preferences, under File Paths"))
    tags: StringProperty(name="Tags", description="Words by which the Asset Browser finds it, separated by commas")
    licence: StringProperty(
        name="Licence", description=(
            "The licence that is written into the asset. Pictures of the built-in model are free (CC0); for others see "
            "their model's licence"
        ))
    replace: BoolProperty(name="Replace", options={"SKIP_SAVE"},
                          description="Write over the asset of that name; else a number is added")
    is_there: BoolProperty(options={"HIDDEN", "SKIP_SAVE"}, description="Whether the library has an asset of that name")

    def invoke(self, context, _event):
        if (refused := _library_there(self)) is not None:
            return refused
        if not self.properties.is_property_set("source"):
            self.source = next((kind for kind in ("IMAGE", "MATERIAL") if self._block(context, kind) is not None),
                               "PROMPT")
        block = self._block(context, self.source)
        settings = context.scene.sd
        if self.source == "PROMPT":
            prompt, self.licence = settings.words(), STARTER_LICENCE if settings.model == STARTER else ""
        else:
            _, facts = scene.image_facts(scene.image_of(block) if self.source == "MATERIAL" and block else block)
            prompt, self.licence = facts.request.prompt if facts.request is not None else "", assets.licence_of(facts)
        self.tags = ", ".join(assets.words_of(prompt))
        self.name = asset_library.asset_name(block.name if block is not None else prompt or settings.style)
        return context.window_manager.invoke_props_dialog(self, width=440, confirm_text="Save Asset")

    def draw(self, context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "source")
        block = self._block(context, self.source)
        row = layout.row()
        row.alert = block is None and self.source != "PROMPT"
        shown = context.scene.sd.words(
        ) or context.scene.sd.style if self.source == "PROMPT" else block.name if block else ""
        row.label(text=translated(shown or "There is none here"), icon="BLANK1")
        layout.prop(self, "name")
        layout.prop(self, "library")
        layout.prop(self, "tags")
        layout.prop(self, "licence")
        if self.is_there:
            layout.prop(self, "replace", text="Replace the asset of that name")
        column = layout.column(align=True)
        column.label(
            text="This file is written:"
            if not self.is_there or self.replace else "This file is written, with a number added:", icon="FILE_BLEND")
        column.label(text=translated(os.path.join(self.library, asset_library.FOLDER)), icon="BLANK1")
        column.label(text=translated(f"{asset_library.asset_name(self.name)}.blend"), icon="BLANK1")

    def execute(self, context):
        try:
            if not self.library:
                raise AssetUnusable("No asset library was chosen.", "Name one of Blender's asset libraries.")
            if self.source == "PROMPT":
                return self._from_prompt(context)
            block = self._block(context, self.source)
            if block is None:
                raise AssetUnusable("There is nothing here to save.",
                                    "Open an image, or select an object with a material.")
            path = assets.save_material(block, self.name, library=self.library, tags=_words(self.tags),
                                        licence=self.licence, replace=self.replace)
        except SDError as error:
            return refuse(self, error)
        self.report({"INFO"}, translated(f"Saved {path}. Refresh the Asset Browser to see it"))
        return {"FINISHED"}

    def _from_prompt(self, context):
        settings = context.scene.sd
        row = {
            "prompt": settings.words(), "tags": _words(self.tags), "name": self.name
            if self.replace else asset_library.free_name(self.library, asset_library.asset_name(self.name))}
        if not settings.random_seed:
            row["seed"] = settings.chosen_seed()
        material_lists.batch_materials([row], library=self.library, replace=self.replace, licence=self.licence,
                                       **_shared_keywords(settings))
        tick.soon()
        return {"FINISHED"}

    def _block(self, context, kind: str) -> bpy.types.Image | bpy.types.Material | None:
        if kind == "IMAGE":
            return bpy.data.images.get(self.image) if self.image else shown_image(context)
        return context.object.active_material if kind == "MATERIAL" and context.object is not None else None


class SD_OT_batch_materials(bpy.types.Operator):
    bl_description = ("Make a library of materials from a list: a prompt a line, or a CSV table. Each is a job of its "
                      "own and saved as it comes")

    bl_idname = "sd.batch_materials"
    bl_label = "Stable Diffusion: Materials from List"
    bl_options = {"REGISTER"}

    text: StringProperty(
        name="Text Block", update=_look, description=(
            "The text block that holds the list: one prompt a line, or a CSV table with a header such as name, prompt, "
            "style, seed, tags"
        ))
    filepath: StringProperty(name="File", subtype="FILE_PATH", update=_look, description=(
        "A .txt or .csv file with the list, used where no text block is chosen"))
    library: EnumProperty(name="Library", items=_libraries, update=_look, description=(
        "The asset library to write into; libraries are listed in Blender's Preferences, under File Paths"))
    seamless: BoolProperty(name="Seamless", default=True, description=(
        "Let pictures repeat without a seam, where a row or its style says nothing else"))
    maps: BoolProperty(name="All Maps", description=(
        "Make normal, height, roughness, metallic and occlusion too, as set in the panel Material"))
    replace: BoolProperty(
        name="Replace", options={"SKIP_SAVE"}, description=(
            "Replace materials that the library has already. Off: they are skipped, so that a list can go on where it "
            "was stopped"
        ))
    rows: IntProperty(options={"HIDDEN", "SKIP_SAVE"}, description="How many rows the list has")
    there: IntProperty(options={"HIDDEN", "SKIP_SAVE"}, description="How many of them the library has already")
    problem: StringProperty(options={"HIDDEN", "SKIP_SAVE"}, description="Why the list cannot be used")

    @classmethod
    def poll(cls, context):
        running = runtime.newest_batch is not None and not runtime.newest_batch.done
        return first_refusal(cls, (not running, "A list is being made; wait, or cancel it")) and can_do(
            cls, context, TEXT_TO_IMAGE)

    def invoke(self, context, _event):
        if (refused := _library_there(self)) is not None:
            return refused
        if self.text not in bpy.data.texts:
            self.text = next((text.name for text in bpy.data.texts if text.name.lower().endswith((".csv", ".txt"))),
                             bpy.data.texts[0].name if bpy.data.texts else "")
        _look(self)
        return context.window_manager.invoke_props_dialog(self, width=440, confirm_text="Begin")

    def draw(self, _context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop_search(self, "text", bpy.data, "texts", icon="TEXT")
        row = layout.row()
        row.enabled = not self.text
        row.prop(self, "filepath")
        layout.prop(self, "library")
        layout.prop(self, "seamless")
        layout.prop(self, "maps")
        layout.prop(self, "replace")
        column = layout.column(align=True)
        if self.problem:
            column.alert = True
            column.label(text=translated(self.problem), icon="ERROR")
        elif self.rows:
            make = self.rows if self.replace else self.rows - self.there
            known = f", {self.there} there already" if self.there else ""
            column.label(text=translated(f"{make} files are written{known}, into:"), icon="FILE_BLEND")
            column.label(text=translated(os.path.join(self.library, asset_library.FOLDER)), icon="BLANK1")
        else:
            column.label(text="Choose a text block, or a file", icon="INFO")

    def execute(self, context):
        try:
            if not self.library or not (self.text or self.filepath):
                raise AssetUnusable("No list or no asset library was chosen.", "Choose both.")
            settings = context.scene.sd
            batch = material_lists.batch_materials(
                _list_of(self), library=self.library, replace=self.replace, maps=self.maps,
                **(map_keywords(settings) if self.maps else {}),
                **_shared_keywords(settings, "xy" if self.seamless else "none"))
        except SDError as error:
            return refuse(self, error)
        tick.soon()
        self.report({"INFO"}, translated(batch.summary()))
        return {"FINISHED"}


class SD_OT_cancel_batch(bpy.types.Operator):
    """Cancel all materials of the list that are not made yet. What is saved stays; the same list goes on from there"""

    bl_idname = "sd.cancel_batch"
    bl_label = "Stable Diffusion: Cancel List of Materials"

    @classmethod
    def poll(cls, _context):
        return first_refusal(
            cls, (runtime.newest_batch is not None and not runtime.newest_batch.done, "No list is being made"))

    def execute(self, _context):
        runtime.newest_batch.cancel()
        tick.soon()
        return {"FINISHED"}


class SD_OT_dismiss_batch(bpy.types.Operator):
    """Hide the message about the last list"""

    bl_idname = "sd.dismiss_batch"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        return first_refusal(cls,
                             (runtime.newest_batch is not None and runtime.newest_batch.done, "A list is being made"))

    def execute(self, _context):
        runtime.newest_batch = None
        tick.soon()
        return {"FINISHED"}


def _shared_keywords(settings: bpy.types.PropertyGroup, tiling: str | None = None) -> dict:
    """Return the keywords that all rows share, as set in the panel; `tiling` overrides the panel's."""
    kept = {key: value for key, value in settings.keywords(TEXT_TO_IMAGE).items() if key not in ("count", "axes")}
    return {**kept, "size": (settings.width, settings.height), **({"tiling": tiling} if tiling else {})}


CLASSES = (SD_OT_save_material, SD_OT_batch_materials, SD_OT_cancel_batch, SD_OT_dismiss_batch)
