"""The add-on's preferences: which interpreter, device and folders. Each change goes to `api.configure` at once.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import logging

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import api, studio, stylebook
from ..protocol.errors import SDError
from ..protocol.rungs import RUNGS
from . import downloads, installing, keymap, properties, safeguards
from .installing import draw_state
from .layout import wrapped

log = logging.getLogger("blender_sd")

PACKAGE = __package__.rpartition(".")[0]  # the add-on's id: this is its "addon" room
_DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")


def get() -> "SD_AP_preferences | None":
    """This add-on's preferences; None where it runs as a plain module that was never enabled as an add-on."""
    entry = bpy.context.preferences.addons.get(PACKAGE)
    return entry.preferences if entry else None


def _changed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    apply()
    downloads.refresh()
    installing.refresh()
    stylebook.styles()
    safeguards.refresh()


def apply() -> None:
    """Hands the preferences to the API. Does nothing for a plain module: scripts call `configure` themselves."""
    prefs = get()
    if prefs is None:
        return
    try:
        api.configure(
            engine_python=bpy.path.abspath(prefs.engine_python), engine_place=bpy.path.abspath(prefs.engine_place),
            in_thread=prefs.in_thread, device=prefs.device.strip() or "auto", precision=prefs.precision,
            threads=prefs.threads, memory_mb=prefs.memory_mb, memory_use=prefs.memory_use,
            attention=prefs.attention, compile=prefs.compile, output=bpy.path.abspath(prefs.output), history_gb=prefs.history_gb,
            downloads=bpy.path.abspath(prefs.downloads), hub_token=prefs.hub_token.strip(),
            styles=bpy.path.abspath(prefs.styles), safety_filter=bpy.path.abspath(prefs.safety_filter),
            safety_labels=prefs.safety_labels, safety_threshold=round(prefs.safety_threshold, 4),
            blocked_words=bpy.path.abspath(prefs.blocked_words),
            marking=prefs.marking, certificate=bpy.path.abspath(prefs.certificate),
            private_key=bpy.path.abspath(prefs.private_key),
            model_folders=[bpy.path.abspath(folder.path) for folder in prefs.model_folders if folder.path])
    except SDError as error:
        log.warning("%s", error)


class SD_PG_folder(bpy.types.PropertyGroup):
    """One folder that holds models."""

    path: StringProperty(name="Model Folder", subtype="DIR_PATH", update=_changed, description=(
        "A model in diffusers format, or a folder that holds several"))


class SD_UL_folders(bpy.types.UIList):
    """The model folders, each with its path to edit."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        layout.prop(item, "path", text="", emboss=False, icon="FILE_FOLDER", placeholder="Choose a folder")


class SD_OT_folder_add(bpy.types.Operator):
    """Add a folder in which to look for models"""

    bl_idname = "sd.folder_add"
    bl_label = "Add Model Folder"
    bl_options = {"INTERNAL"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="A folder with models in diffusers format")

    def invoke(self, context, _event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, _context):
        prefs = get()
        if prefs is None:
            self.report({"ERROR"}, "The preferences are there once the add-on is enabled. Use configure(model_folders=…) in scripts")
            return {"CANCELLED"}
        prefs.model_folders.add().path = self.directory
        prefs.folder_index = len(prefs.model_folders) - 1
        properties.refresh_model_items()
        return {"FINISHED"}


class SD_OT_folder_remove(bpy.types.Operator):
    """Stop looking for models in the selected folder; its files stay"""

    bl_idname = "sd.folder_remove"
    bl_label = "Remove Model Folder"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, _context):
        prefs = get()
        return prefs is not None and len(prefs.model_folders) > 0

    def execute(self, _context):
        prefs = get()
        prefs.model_folders.remove(prefs.folder_index)
        prefs.folder_index = max(0, min(prefs.folder_index, len(prefs.model_folders) - 1))
        apply()
        properties.refresh_model_items()
        return {"FINISHED"}


class SD_AP_preferences(bpy.types.AddonPreferences):
    """How the add-on runs on this machine."""

    bl_idname = PACKAGE

    engine_python: StringProperty(name="Engine Interpreter", subtype="FILE_PATH", update=_changed, description=(
        "The Python that has torch and diffusers. Left empty: the one named by the environment variable SD_ENGINE_PYTHON, "
        "else the engine that was set up, else Blender's own if it has them"))
    engine_place: StringProperty(name="Engine Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where the engine is set up; on Windows a short path, since torch's own are long. Left empty: a folder of the extension"))
    in_thread: BoolProperty(name="Run Inside Blender", update=_changed, description=(
        "Run the engine in a thread of Blender instead of a process of its own. For debugging: it needs torch in Blender's Python, "
        "and a crash or lack of memory takes Blender with it"))
    device: StringProperty(
        name="Device", default="auto", update=_changed, search=lambda _self, _context, _text: _DEVICES, search_options={"SUGGESTION"},
        description="What denoises: auto, cpu, cuda (NVIDIA, and AMD through ROCm), mps (Apple), xpu (Intel); cuda:1 is the second one")
    precision: EnumProperty(name="Precision", update=_changed, description="The number format that models are run in", items=(
        ("auto", "Automatic", "What is fastest on the device without loss that can be seen"),
        ("fp32", "32 bit", "Exact, twice the memory"),
        ("bf16", "16 bit (bf16)", "Half the memory; for recent devices"),
        ("fp16", "16 bit (fp16)", "Half the memory; for graphics cards")))
    threads: IntProperty(name="CPU Threads", min=0, max=1024, soft_max=64, update=_changed, description=(
        "Processor threads that the engine uses; 0 is all cores, of which Blender takes first what it needs"))
    memory_mb: IntProperty(name="Memory for Models (MB)", min=0, max=2**24, soft_max=65536, step=256, update=_changed, description=(
        "How many megabytes of models stay loaded between jobs; 0 is half of what the machine has"))
    memory_use: EnumProperty(name="Memory Use", update=_changed, description=(
        "How a model and its pictures are made to fit. Automatic goes down this list only as far as it must"), items=(
        ("auto", "Automatic", "As fast as free memory allows"), *((rung.id, rung.label, rung.text) for rung in RUNGS.values())))
    attention: EnumProperty(name="Attention", update=_changed, description=(
        "What computes attention, the part of the work that grows fastest with the picture. What is not installed beside the engine "
        "or does not fit the device is left out, and the panel says so"), items=(
        ("auto", "Automatic", "torch's own, which chooses a kernel for the device"),
        ("flash", "FlashAttention", "The package flash-attn. For models with a diffusion transformer, on NVIDIA cards"),
        ("sage", "SageAttention", "The package sageattention: 8-bit, slightly other pixels. For the same models and cards"),
        ("xformers", "xFormers", "The package xformers. For all models, on NVIDIA cards")))
    compile: BoolProperty(name="Compile Models", default=False, update=_changed, description=(
        "Let torch compile the blocks of a model when they are first used: the first picture of each size waits, later ones are "
        "faster. Needs a C++ compiler on a processor, Triton on a graphics card; without, the panel says so"))
    mesh_preview: BoolProperty(name="Previews on the Mesh", default=True, description=(
        "While a picture for a material is painted, show its preview on the faces that it is for. It is drawn over them: the material is "
        "not touched"))
    output: StringProperty(name="Output Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where finished pictures are written. Left empty: a folder of the extension"))
    history_gb: FloatProperty(name="History Size (GB)", min=0.0, soft_max=500.0, step=100, precision=1, update=_changed, description=(
        "How much finished pictures may take on the disk. Beyond that the panel History offers to move the oldest to its trash, never "
        "favourites, and never by itself. 0 is no limit"))
    model_folders: CollectionProperty(type=SD_PG_folder, name="Model Folders", description=(
        "Where models, LoRAs and ControlNets are looked for, two levels deep: folders in diffusers format, the Hugging Face cache, and "
        "the models folders of ComfyUI and A1111"))
    downloads: StringProperty(name="Download Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where models from the Hugging Face hub go. Left empty: a folder of the extension"))
    hub_token: StringProperty(name="Access Token", subtype="PASSWORD", update=_changed, description=(
        "Your access token of the Hugging Face hub, for models whose owner wants an account; made at huggingface.co/settings/tokens. It is "
        "kept in Blender's preferences, never in a .blend file. Left empty: the environment variable HF_TOKEN"))
    styles: StringProperty(name="Style Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where styles of your own are kept, such as a folder that your studio shares. Left empty: a folder of the extension"))
    safety_filter: StringProperty(name="Safety Filter", subtype="DIR_PATH", update=_changed, description=(
        "The folder of a model that looks at every finished picture and keeps back those that it calls unsafe: an image classifier of "
        "transformers, or Stable Diffusion's safety checker, in safetensors. While it is on, no previews are shown. Left empty: none"))
    safety_labels: StringProperty(name="Unsafe Labels", update=_changed, description=(
        "Which of the classifier's labels are unsafe, separated by commas. Left empty: those known by their names, such as nsfw or porn"))
    safety_threshold: FloatProperty(
        name="Threshold", default=0.5, min=0.01, max=1.0, subtype="FACTOR", update=_changed,
        description="How sure the classifier must be to keep a picture back; less keeps back more. The safety checker has its own")
    blocked_words: StringProperty(name="Blocked Words", subtype="FILE_PATH", update=_changed, description=(
        "A text file of words and phrases, one a line, that no prompt may hold. Left empty: none"))
    marking: BoolProperty(name="Mark Pictures as AI-Generated", default=True, update=_changed, description=(
        "Let each picture's file say, in ways that other programs read, that a model made it: IPTC's field for it in XMP, and signed "
        "content credentials (C2PA). No pixel is changed. It holds for pictures that are made from now on"))
    certificate: StringProperty(name="Certificate", subtype="FILE_PATH", update=_changed, description=(
        "Your own certificate to sign content credentials with: a PEM file with the signing certificate first, then those between it and "
        "its authority. Left empty: a certificate that is made on this machine, for which nobody vouches"))
    private_key: StringProperty(name="Private Key", subtype="FILE_PATH", update=_changed, description=(
        "The private key of your certificate: a PEM file without a password, which only you can read. It never leaves this machine"))
    folder_index: IntProperty(name="Selected Folder", description="The folder that Remove removes")

    def draw(self, context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        self._draw_engine(context, layout)
        layout.separator()
        self._draw_folders(context, layout)
        layout.separator()
        self._draw_marking(context, layout)
        layout.separator()
        safeguards.draw_preferences(layout, context, self)
        layout.separator()
        row = layout.row(align=True)
        row.operator("sd.copy_report", text="Copy Report", icon="COPYDOWN")
        row.operator("sd.open_log", text="Open the Log", icon="TEXT")
        layout.separator()
        layout.label(text="Keys")
        keymap.draw(context, layout)

    def _draw_engine(self, context, layout) -> None:
        self._draw_set_up(context, layout)
        column = layout.column()
        column.prop(self, "engine_python", placeholder="SD_ENGINE_PYTHON, or the engine that is set up")
        wrapped(column, context, "A Python with torch, diffusers and transformers installed, such as "
                "the python in a virtual environment's bin or Scripts folder.")
        column.prop(self, "in_thread")
        column = layout.column()
        column.prop(self, "device")
        column.prop(self, "precision")
        column.prop(self, "threads")
        column.prop(self, "memory_mb")
        column.prop(self, "memory_use")
        column.prop(self, "attention")
        column.prop(self, "compile")
        column.prop(self, "mesh_preview")

    def _draw_set_up(self, context, layout) -> None:
        """The engine that is set up: what, where, and what can be done about it."""
        shown = context.window_manager.sd_setup
        box = layout.box()
        wrapped(box, context, f"The engine is set up: {shown.there}." if shown.there else "The add-on has not set up an engine.",
                "CHECKMARK" if shown.there else "INFO")
        if shown.outdated:
            wrapped(box, context, "It is of an older version of the add-on; Repair brings it up to date.", "ERROR")
        column = box.column()
        column.enabled = not shown.running
        column.prop(self, "engine_place", placeholder="The extension's own folder")
        if not self.engine_place:
            wrapped(column, context, "It is deleted when the extension is uninstalled.")
        column.prop(shown, "accelerator")
        column.prop(shown, "wheels", placeholder="None: it is downloaded")
        row = box.row(align=True)
        if shown.there:
            row.operator("sd.repair_engine", text="Repair", icon="TOOL_SETTINGS")
            row.operator("sd.remove_engine", text="Remove", icon="TRASH")
        else:
            row.operator("sd.set_up_engine", text="Set Up the Engine", icon="IMPORT")
        row.operator("sd.use_python", text="Use an Existing Python", icon="FILE_SCRIPT")
        draw_state(box, context)

    def _draw_folders(self, context, layout) -> None:
        column = layout.column()
        column.prop(self, "output", placeholder="The extension's own folder")
        if not self.output:
            wrapped(column, context, "Pictures are kept in the extension's folder, which is deleted when the extension is uninstalled. "
                    "Choose a folder of your own to keep them.", icon="INFO")
        column.prop(self, "history_gb")
        column = layout.column()
        column.label(text="Model Folders")
        row = column.row()
        row.template_list("SD_UL_folders", "", self, "model_folders", self, "folder_index", rows=3)
        buttons = row.column(align=True)
        buttons.operator("sd.folder_add", text="", icon="ADD")
        buttons.operator("sd.folder_remove", text="", icon="REMOVE")
        column = layout.column()
        column.prop(self, "downloads", placeholder="The extension's own folder")
        if not self.downloads:
            wrapped(column, context, "Downloaded models are kept in the extension's folder, which is deleted when the extension is "
                    "uninstalled. Choose a folder of your own to keep them.", icon="INFO")
        column.prop(self, "hub_token", placeholder="HF_TOKEN")
        column.operator("sd.clear_unfinished", text="Delete Unfinished Downloads")
        layout.column().prop(self, "styles", placeholder="The extension's own folder")


    def _draw_marking(self, context, layout) -> None:
        """The switch, and what it means either way."""
        column = layout.column()
        forced = studio.state.marking_file
        safeguards.draw_forced(column, context, self, "marking", forced)
        if not self.marking and not forced:
            wrapped(column, context, "New pictures do not tell other programs that a model made them: no XMP, no content credentials. "
                    "The EU's AI Act (article 50) asks since 2 August 2026 for such marks that machines can read; where you need them, "
                    "adding them is then up to you. Settings, model and licence stay in the file, since Recall and History read them.",
                    icon="ERROR")
            return
        wrapped(column, context, "Each picture's file says that a model made it, and is signed. Nothing is drawn into the picture, so "
                "normal and roughness maps stay exact. The EU's AI Act (article 50) asks for such marks since 2 August 2026.")
        column.prop(self, "certificate", placeholder="Made on this machine")
        row = column.row()
        row.active = bool(self.certificate or self.private_key)
        row.prop(self, "private_key", placeholder="Made on this machine")
        if not self.certificate and not self.private_key:
            wrapped(column, context, "Signed with a key of this machine, pictures show whether they were changed since, but not who made "
                    "them.")


CLASSES = (SD_PG_folder, SD_UL_folders, SD_OT_folder_add, SD_OT_folder_remove, SD_AP_preferences)
