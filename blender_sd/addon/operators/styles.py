"""Choose a style; save, edit, delete and share the artist's own ones."""
from __future__ import annotations

import json
import os

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty

from ...calls import models, styles
from ...calls.runtime import runtime
from ...core.declarations import find, used_by
from ...core.errors import SDError
from ...core.prompt_choices import lora_tag, without_loras
from ...core.regions import NAMED, as_fields
from ...core.settings import STYLE
from ...core.style_format import PROMPT, Style
from ...library import files
from .. import tick
from ..declared import declared
from ..translations.words import translated
from .start import first_refusal, refuse

_NONE = "Choose a style first"


def _groups(_self=None, _context=None, _text="") -> list[str]:
    return sorted({style.group for style in styles.known_styles() if style.group})


def _listed(text: str) -> list:
    """Return the list that is written as JSON in `text`, which a script may have set; [] for anything else."""
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return listed if isinstance(listed, list) else []


def _props(name: str) -> tuple[str, ...]:
    """Return the panel's properties for a setting of a style."""
    return ("slot_strength", "render_strength") if name == "strength" else (find(name).prop,)


def take_over(settings: bpy.types.PropertyGroup, style: Style) -> list[str]:
    """Apply the style's settings to the panel. Return a sentence about those that could not be applied."""
    notes = []
    for name, value in style.settings.items():
        if name == "model":
            try:
                value = models.find_model(value).id
            except SDError:
                notes.append(f"The style's model '{value}' is not in the model folders, so the model stays as it is.")
                continue
        for prop in _props(name):
            setattr(settings, prop, value)
    return notes


class SD_OT_choose_style(bpy.types.Operator):
    bl_description = ("Paint in a style: its words go round your prompt when you paint; its steps, guidance, size and "
                      "the like into the panel now")

    bl_idname = "sd.choose_style"
    bl_label = "Choose Style"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    style: StringProperty(name="Style",
                          description="The style's name; empty for none, which leaves all settings as they are")

    @classmethod
    def description(cls, context, properties):
        style = styles.known_style(properties.style) if properties.style else None
        if style is None:
            return translated("Paint without a style. Settings stay as they are")
        sets = "\n" + translated(f"Sets {_list(style)}") if style.settings else ""
        refused = styles.refusal(style, context.scene.sd.model)
        return f"{style.description or style.name}\n{style.prompt}{sets}" + (f"\n\n{translated(refused)}"
                                                                             if refused else "")

    def execute(self, context):
        settings = context.scene.sd
        if not self.style:
            settings.style = ""
            return {"FINISHED"}
        try:
            style = styles.find_style(self.style)
        except SDError as error:
            return refuse(self, error)
        settings.style = style.name
        for note in take_over(settings, style):
            self.report({"WARNING"}, translated(note))
        return {"FINISHED"}


def _short(value):
    """Return the number without the digits that Blender's 32-bit floats add."""
    return round(value, 4) if isinstance(value, float) else value


def _list(style: Style) -> str:
    return ", ".join(f"{find(name).setting.label} {value}" for name, value in style.settings.items())


class _Dialog:
    """Base of the dialogs that write a style: its fields, and which settings it includes."""

    name: StringProperty(name="Name", maxlen=60, description="What the style is called; also the name of its file")
    group: StringProperty(name="Group", maxlen=40, search=_groups, search_options={"SUGGESTION"}, description=(
        "The group of the gallery in which it stands; may be new"))
    text: StringProperty(name="Description", maxlen=500,
                         description="What it is for, in a line; shown as the tooltip in the gallery")
    prompt: StringProperty(name="Prompt", maxlen=8192, description=(
        "The words round what is typed, which takes the place of {prompt}. LoRA tags <lora:name:0.8> put LoRAs on"))
    negative: StringProperty(name="Negative", maxlen=8192, description=(
        "What pictures in this style should not show; {prompt} is the typed negative, which otherwise comes first"))
    use_model: BoolProperty(name="Model", description="Let the style choose the model")
    use_size: BoolProperty(name="Size", description="Let the style set width and height")
    use_sampling: BoolProperty(name="Sampling", description="Let the style set sampler, steps and guidance")
    use_tiling: BoolProperty(name="Tiling", description="Let the style set along which axes pictures repeat")
    use_strength: BoolProperty(name="Strength",
                               description="Let the style set how far restyled pictures depart from their source")
    use_regions: BoolProperty(name="Regions", description=(
        "Let the style give objects, materials and collections of these names the regions that the panel has now"))
    regions: StringProperty(options={"HIDDEN", "SKIP_SAVE"}, description="The regions, as JSON")
    model: StringProperty(name="Model", description="The model's name, as the list of models shows it")
    overwrite: BoolProperty(name="Replace", description="Replace your own style of the same name, if there is one")

    def fill(self, style: Style) -> None:
        """Fill the dialog's fields from a style; leave those of settings that it lacks."""
        self.name, self.group, self.text, self.negative = style.name, style.group, style.description, style.negative
        self.prompt = " ".join((style.prompt, *(lora_tag(lora, weight) for lora, weight in style.loras)))
        for part, names in _PARTS.items():
            setattr(self, f"use_{part}", any(name in style.settings for name in names))
        for name, value in style.settings.items():
            setattr(self, name, value)
        self.use_regions = bool(style.regions)
        if style.regions:
            self.regions = json.dumps([as_fields(region) for region in style.regions])

    def fields(self) -> dict:
        """Return the style's fields as arguments of `save_style`."""
        ticked = [name for part, names in _PARTS.items() if getattr(self, f"use_{part}") for name in names]
        prompt, tags = without_loras(self.prompt)
        if any(tag.text_weight is not None for tag in tags):  # the list of LoRAs holds no text weights
            prompt, tags = self.prompt, []
        return {"group": self.group.strip(), "description": self.text.strip(), "prompt": prompt or PROMPT,
                "negative": self.negative.strip(), "loras": {tag.name: tag.weight for tag in tags},
                **({"regions": _listed(self.regions)} if self.use_regions else {}),
                **{name: _short(getattr(self, name)) for name in ticked}}

    def take_panel(self, settings: bpy.types.PropertyGroup) -> None:
        """Fill the dialog with the panel's current settings."""
        info = models.known_model(settings.model)
        self.model = info.name if info is not None and info.id != "starter" else settings.model
        named = [region.region_input()[0] for region in settings.regions
                 if region.enabled and region.is_whole and region.kind.lower() in NAMED]
        self.regions = json.dumps([as_fields(region) for region in named])
        for item in used_by(STYLE):
            if item.name != "model":
                setattr(self, item.name, getattr(settings, _props(item.name)[0]))

    def draw(self, _context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        for name in ("name", "group", "text", "prompt", "negative"):
            layout.prop(self, name)
        layout.separator()
        for part, names in _PARTS.items():
            row = layout.row(heading=translated(f"Set {part.capitalize()}"))
            row.use_property_split = False
            row.prop(self, f"use_{part}", text="")
            values = row.row(align=True)
            values.enabled = getattr(self, f"use_{part}")
            for name in names:
                values.prop(self, name, text="")
        if self.regions not in ("", "[]"):
            layout.prop(self, "use_regions", text=translated("Set Regions"))
        layout.separator()
        there = styles.known_style(self.name)
        if there is not None and there.own:
            layout.prop(self, "overwrite", text=translated(f"Replace your style '{there.name}'"))
        elif there is not None:
            layout.label(text="Yours will take the place of the one that came with the add-on", icon="INFO")

    def store(self, context: bpy.types.Context) -> set[str]:
        """Save the style and choose it."""
        try:
            style = styles.save_style(self.name, overwrite=self.overwrite, **self.fields())
        except SDError as error:
            return refuse(self, error)
        context.scene.sd.style = style.name
        take_over(context.scene.sd, style)
        tick.soon()
        self.report({"INFO"}, translated(f"The style '{style.name}' is saved in {os.path.dirname(style.file)}"))
        return {"FINISHED"}


_PARTS: dict[str, list[str]] = {}  # what is ticked together
for _item in used_by(STYLE):
    _PARTS.setdefault(_item.setting.group or _item.name, []).append(_item.name)
    _Dialog.__annotations__.setdefault(_item.name, declared(_item))
for _part in _PARTS:
    if f"use_{_part}" not in _Dialog.__annotations__:
        _Dialog.__annotations__[f"use_{_part}"] = BoolProperty(name=find(_part).setting.label,
                                                               description="Let the style set this")


class SD_OT_save_style(_Dialog, bpy.types.Operator):
    """Save what the panel says as a style of your own: words round the prompt, and the settings that you tick"""

    bl_idname = "sd.save_style"
    bl_label = "Stable Diffusion: Save Style"
    bl_options = {"REGISTER"}

    def invoke(self, context, _event):
        settings = context.scene.sd
        styles.styles()
        self.take_panel(settings)
        based = styles.known_style(settings.style) if settings.style else None
        if based is not None:
            self.fill(based)
            self.take_panel(settings)
            prompt, negative = based.words(PROMPT if not settings.words() else f"{PROMPT}, {settings.words()}",
                                           settings.negative)
        else:
            prompt, negative = ", ".join(filter(None, (PROMPT, settings.words()))), settings.negative
        self.prompt, self.negative, self.overwrite = prompt, negative, False
        return context.window_manager.invoke_props_dialog(self, width=480)

    def execute(self, context):
        return self.store(context)


class SD_OT_edit_style(_Dialog, bpy.types.Operator):
    bl_description = ("Change the chosen style. One that came with the add-on is left as it is: yours of the same name "
                      "takes its place")

    bl_idname = "sd.edit_style"
    bl_label = "Stable Diffusion: Edit Style"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.scene.sd.style, _NONE))

    def invoke(self, context, _event):
        try:
            style = styles.find_style(context.scene.sd.style)
        except SDError as error:
            return refuse(self, error)
        self.take_panel(context.scene.sd)
        self.fill(style)
        self.overwrite = style.own
        return context.window_manager.invoke_props_dialog(self, width=480)

    def execute(self, context):
        return self.store(context)


class SD_OT_delete_style(bpy.types.Operator):
    """Delete the chosen style of your own from the disk. Pictures made with it keep their settings"""

    bl_idname = "sd.delete_style"
    bl_label = "Stable Diffusion: Delete Style"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        style = styles.known_style(context.scene.sd.style)
        return first_refusal(cls, (style is not None, _NONE),
                             (style is not None and style.own, "This style came with the add-on"))

    def invoke(self, context, event):
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context):
        settings = context.scene.sd
        try:
            styles.delete_style(settings.style)
        except SDError as error:
            return refuse(self, error)
        self.report({"INFO"}, translated(f"The style '{settings.style}' is deleted"))
        if styles.known_style(settings.style) is None:
            settings.style = ""
        tick.soon()
        return {"FINISHED"}


class SD_OT_import_styles(bpy.types.Operator):
    bl_description = ("Copy style files that somebody shared into your own styles. They are text and can name models, "
                      "but not bring any")

    bl_idname = "sd.import_styles"
    bl_label = "Stable Diffusion: Import Styles"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="The folder in which the files lie")
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, name="Files",
                              description="The style files to copy, by name")
    filter_glob: StringProperty(default="*.toml", options={"HIDDEN"}, description="Which files the file browser shows")
    overwrite: BoolProperty(name="Replace Mine", description="Replace styles of your own that have the same name")

    def invoke(self, context, _event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context):
        done, failed = [], []
        for file in self.files:
            try:
                done.append(styles.import_style(os.path.join(self.directory, file.name), self.overwrite).name)
            except SDError as error:
                failed.append(error)
        if done:
            self.report({"INFO"}, translated(f"Imported: {', '.join(done)}"))
            tick.soon()
        for error in failed:
            refuse(self, error)
        return {"FINISHED"} if done else {"CANCELLED"}


class SD_OT_export_style(bpy.types.Operator):
    """Write the chosen style to a file that you can give to somebody"""

    bl_idname = "sd.export_style"
    bl_label = "Stable Diffusion: Export Style"
    bl_options = {"REGISTER"}

    filepath: StringProperty(name="File", subtype="FILE_PATH", description="Where the copy is written")
    filter_glob: StringProperty(default="*.toml", options={"HIDDEN"}, description="Which files the file browser shows")
    check_existing: BoolProperty(default=True, options={"HIDDEN"}, description="Ask before a file is replaced")

    @classmethod
    def poll(cls, context):
        return first_refusal(cls, (context.scene.sd.style, _NONE))

    def invoke(self, context, _event):
        self.filepath = f"{context.scene.sd.style}.toml"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        try:
            written = styles.export_style(context.scene.sd.style, bpy.path.abspath(self.filepath))
        except SDError as error:
            return refuse(self, error)
        self.report({"INFO"}, translated(f"Written to {written}"))
        return {"FINISHED"}


class SD_OT_open_styles(bpy.types.Operator):
    """Open the folder in which your own styles lie. Each is a text file that you can edit, rename and share"""

    bl_idname = "sd.open_styles"
    bl_label = "Stable Diffusion: Open Style Folder"

    def execute(self, _context):
        folder = runtime.folders.style_folder()
        try:
            files.make_folders(str(folder))
        except OSError as error:
            self.report(
                {"ERROR"},
                translated(f"The folder {folder} cannot be made ({error.strerror}). Choose another in the preferences"))
            return {"CANCELLED"}
        return bpy.ops.wm.path_open(filepath=str(folder))


class SD_OT_reload_styles(bpy.types.Operator):
    """Look at the style folders again, after files were changed by hand"""

    bl_idname = "sd.reload_styles"
    bl_label = "Stable Diffusion: Reload Styles"

    def execute(self, _context):
        self.report({"INFO"}, translated(f"Styles: {len(styles.styles())}"))
        tick.soon()
        return {"FINISHED"}


CLASSES = (SD_OT_choose_style, SD_OT_save_style, SD_OT_edit_style, SD_OT_delete_style, SD_OT_import_styles,
           SD_OT_export_style, SD_OT_open_styles, SD_OT_reload_styles)
