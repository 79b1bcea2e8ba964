"""Report all generated images of the file, in a text block or in a file."""
from __future__ import annotations

import os

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ... import scene
from ...calls import image_origin
from ...core.errors import SDError
from ...library.image_report import CSV, TEXT
from ..translations.words import translated
from .start import refuse

TEXT_BLOCK = "Generated Images"
_INTO = (("TEXT", "Text Block", "Show the report in the Text Editor", 0), ("FILE", "File",
                                                                           "Write the report into a file", 1))
_FORMATS = ((CSV, "Table", "A line for each image, for spreadsheets (.csv)", 0), (TEXT, "Text", "To be read (.txt)", 1))


class SD_OT_report(bpy.types.Operator):
    bl_description = ("List every generated image of this file, linked ones too, with model, licence, seed and what "
                      "uses it, for clearing a production")

    bl_idname = "sd.report"
    bl_label = "Stable Diffusion: Report of Generated Images"
    bl_options = {"REGISTER"}

    to: EnumProperty(name="Into", items=_INTO, default="TEXT", options={"SKIP_SAVE"},
                     description="Where the report goes")
    format: EnumProperty(name="Format", items=_FORMATS, default=CSV, description="How the file is written")
    prompts: BoolProperty(name="With Prompts", default=False,
                          description="Write the prompts too, which may be confidential")
    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"},
                             description="The file to write the report into")
    filter_glob: StringProperty(default="*.csv;*.txt", options={"HIDDEN"},
                                description="Which files the file browser shows")

    def invoke(self, context, _event):
        if self.to == "TEXT":
            return self.execute(context)
        self.filepath = os.path.splitext(
            bpy.data.filepath)[0] + "-generated-images" if bpy.data.filepath else "generated-images"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, _context) -> None:
        """Draw the options beside the file browser."""
        self.layout.prop(self, "format")
        self.layout.prop(self, "prompts")

    def execute(self, _context):
        try:
            if self.to == "TEXT":
                text = scene.write_text(TEXT_BLOCK, image_origin.report(prompts=self.prompts))
                if not scene.show_text(text):
                    self.report({"INFO"}, translated(f"The report is in the text block '{text.name}'"))
                return {"FINISHED"}
            path = bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".csv" if self.format == CSV else ".txt")
            image_origin.report(path, self.format, self.prompts)
        except SDError as error:
            return refuse(self, error)
        self.report({"INFO"}, translated(f"Written: {path}"))
        return {"FINISHED"}


CLASSES = (SD_OT_report,)
