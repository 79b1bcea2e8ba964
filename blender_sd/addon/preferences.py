"""Define the add-on's preferences: interpreter, device and folders. Each change goes to `configure` at once.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import logging
import sys

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..calls import engine_control, styles as styles_calls
from ..core.errors import SDError
from ..core.memory_modes import ON_APPLE, MEMORY_MODES
from . import downloads, installation, policy, preference_access, preference_sections, properties, remembered

log = logging.getLogger("blender_sd")

_DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")


_PATHS = ("engine_python", "base", "engine_place", "output", "downloads", "styles", "certificate", "private_key",
          "safety_filter", "blocked_words")


def _changed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    _settle(self)
    if preference_access.get() is not None:
        remembered.keep(preference_access.get())
    apply()
    downloads.refresh()
    installation.refresh()
    styles_calls.styles()
    policy.refresh()


def _absolute(path: str) -> str:
    """Return `path`, or "" if it is relative to the open file: someone else's file could bring its own engine."""
    return "" if path.startswith("//") else path


def _settle(owner: bpy.types.bpy_struct) -> None:
    """Make paths absolute when they are chosen: Blender's file browser offers them relative to the open file."""
    for name in (*_PATHS, "path"):
        path = getattr(owner, name, "")
        if path.startswith("//") and getattr(bpy.data, "filepath", ""):
            setattr(owner, name, bpy.path.abspath(path))


def restore() -> None:
    """Fill in the folders that were chosen before the add-on was last disabled."""
    if preference_access.get() is not None:
        remembered.restore(preference_access.get())


def apply() -> None:
    """Pass the preferences to the API. Do nothing in a plain module: scripts call `configure` themselves."""
    prefs = preference_access.get()
    if prefs is None:
        return
    try:
        engine_control.configure(
            engine_python=_absolute(prefs.engine_python), base=_absolute(prefs.base), engine_place=_absolute(
                prefs.engine_place), in_thread=prefs.in_thread, device=prefs.device.strip() or "auto",
            precision=prefs.precision, threads=prefs.threads, memory_mb=prefs.memory_mb, memory_use=prefs.memory_use,
            attention=prefs.attention, compile=prefs.compile, output=_absolute(prefs.output),
            history_gb=prefs.history_gb, downloads=_absolute(prefs.downloads), hub_token=prefs.hub_token.strip(),
            styles=_absolute(prefs.styles), marking=prefs.marking, certificate=_absolute(prefs.certificate),
            private_key=_absolute(prefs.private_key), safety_filter=_absolute(prefs.safety_filter),
            safety_labels=prefs.safety_labels, safety_threshold=round(prefs.safety_threshold,
                                                                      4), blocked_words=_absolute(prefs.blocked_words),
            model_folders=[path for folder in prefs.model_folders if (path := _absolute(folder.path))])
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
        prefs = preference_access.get()
        if prefs is None:
            self.report(
                {"ERROR"},
                "The preferences are there once the add-on is enabled. Use configure(model_folders=…) in scripts")
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
        prefs = preference_access.get()
        return prefs is not None and len(prefs.model_folders) > 0

    def execute(self, _context):
        prefs = preference_access.get()
        prefs.model_folders.remove(prefs.folder_index)
        prefs.folder_index = max(0, min(prefs.folder_index, len(prefs.model_folders) - 1))
        remembered.keep(prefs)
        apply()
        properties.refresh_model_items()
        return {"FINISHED"}


class SD_AP_preferences(bpy.types.AddonPreferences):
    """How the add-on runs on this machine."""

    bl_idname = preference_access.PACKAGE

    engine_python: StringProperty(name="Engine Interpreter", subtype="FILE_PATH", update=_changed, description=(
        "The Python that has torch and diffusers. Left empty: the one named by the environment variable "
        "SD_ENGINE_PYTHON, else the engine that was set up, else Blender's own if it has them"))
    base: StringProperty(name="Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where the engine, models, pictures and your styles go, each into a folder of its own, unless another is named "
        "for it. Setting up the engine fills it in. What is in the old one stays there"))
    engine_place: StringProperty(
        name="Engine Folder", subtype="DIR_PATH", update=_changed, description=(
            "Where the engine is set up; on Windows a short path, since torch's own are long. Left empty: the folder "
            "for all"
        ))
    in_thread: BoolProperty(name="Run Inside Blender", update=_changed, description=(
        "Run the engine in a thread of Blender instead of a process of its own. For debugging: it needs torch in "
        "Blender's Python, and a crash or lack of memory takes Blender with it"))
    device: StringProperty(
        name="Device", default="auto", update=_changed, search=lambda _self, _context, _text: _DEVICES,
        search_options={"SUGGESTION"},
        description="What denoises: auto, cpu, cuda (NVIDIA, and AMD through ROCm), mps (Apple), xpu (Intel); cuda:1 "
                    "is the second one"
    )
    precision: EnumProperty(
        name="Precision", update=_changed, description="The number format that models are run in",
        items=(("auto", "Automatic", "What is fastest on the device without loss that can be seen"),
               ("fp32", "32 bit", "Exact, twice the memory"), ("bf16", "16 bit (bf16)",
                                                               "Half the memory; for recent devices"),
               ("fp16", "16 bit (fp16)", "Half the memory; for graphics cards")))
    threads: IntProperty(name="CPU Threads", min=0, max=1024, soft_max=64, update=_changed, description=(
        "Processor threads that the engine uses; 0 is all cores, but Blender goes first"))
    memory_mb: IntProperty(
        name="Memory for Models (MB)", min=0, max=2**24, soft_max=65536, step=256, update=_changed,
        description=("How many megabytes of models stay loaded between jobs; 0 is half of what the machine has"))
    memory_use: EnumProperty(name="Memory Use", update=_changed, description=(
        "How a model and its pictures are made to fit. Automatic goes down this list only as far as it must"), items=(
        ("auto", "Automatic", "As fast as free memory allows"),
        *((mode.id, mode.label, mode.text) for mode in MEMORY_MODES.values()
          if sys.platform != "darwin" or mode.id in ON_APPLE)))
    attention: EnumProperty(name="Attention", update=_changed, description=(
        "What computes attention, the part of the work that grows fastest with the picture. What is not installed "
        "beside the engine or does not fit the device is left out, and the panel says so"), items=(
        ("auto", "Automatic", "torch's own, which chooses a kernel for the device"),
        ("flash", "FlashAttention", "The package flash-attn. For models with a diffusion transformer, on NVIDIA cards"),
        ("sage", "SageAttention", "The package sageattention: 8-bit, slightly other pixels. For the same models and "
                                  "cards"),
        ("xformers", "xFormers", "The package xformers. For all models, on NVIDIA cards")))
    compile: BoolProperty(name="Compile Models", default=False, update=_changed, description=(
        "Let torch compile the blocks of a model when they are first used: the first picture of each size waits, later "
        "ones are faster. Needs a C++ compiler on a processor, Triton on a graphics card; without, the panel says so"))
    mesh_preview: BoolProperty(name="Previews on the Mesh", default=True, description=(
        "While a picture for a material is painted, show its preview on the faces that it is for. It is drawn over "
        "them: the material is not touched"))
    result_shading: EnumProperty(name="Hidden Results", description=(
        "What to do when a result is on the model and the shading of the 3D View does not show it"), items=(
        ("ASK", "Offer a Button", "The panel says so and offers to change the shading"),
        ("MATERIAL", "Material Preview", "Change the shading to Material Preview"),
        ("TEXTURE", "Solid with Texture Color", "Change the shading to Solid, colored by textures")))
    output: StringProperty(name="Output Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where finished pictures are written. Left empty: the folder for all"))
    history_gb: FloatProperty(
        name="History Size (GB)", min=0.0, soft_max=500.0, step=100, precision=1, update=_changed, description=(
            "How much finished pictures may take on the disk. Beyond that the panel History offers to move the oldest "
            "to its trash, never favourites, and never by itself. 0 is no limit"))
    model_folders: CollectionProperty(type=SD_PG_folder, name="Model Folders", description=(
        "Where models, LoRAs and ControlNets are looked for, and in the folders in them: folders in diffusers format, "
        "the Hugging Face cache, and the models folders of ComfyUI and A1111"))
    downloads: StringProperty(name="Download Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where models from the Hugging Face hub go. Left empty: the folder for all"))
    hub_token: StringProperty(name="Access Token", subtype="PASSWORD", update=_changed, description=(
        "Your access token of the Hugging Face hub, for models whose owner wants an account; made at "
        "huggingface.co/settings/tokens. It is kept in Blender's preferences, never in a .blend file. Left empty: the "
        "environment variable HF_TOKEN"))
    styles: StringProperty(name="Style Folder", subtype="DIR_PATH", update=_changed, description=(
        "Where styles of your own are kept, such as a folder that your studio shares. Left empty: the folder for all"))
    marking: BoolProperty(name="Mark Pictures as AI-Generated", default=True, update=_changed, description=(
        "Let each picture's file say, in ways that other programs read, that a model made it: IPTC's field for it in "
        "XMP, and signed content credentials (C2PA). No pixel is changed. It holds for pictures that are made from now "
        "on"))
    certificate: StringProperty(name="Certificate", subtype="FILE_PATH", update=_changed, description=(
        "Your own certificate to sign content credentials with: a PEM file with the signing certificate first, then "
        "those between it and its authority. Left empty: a certificate that is made on this machine, for which nobody "
        "vouches"))
    private_key: StringProperty(
        name="Private Key", subtype="FILE_PATH", update=_changed, description=(
            "The private key of your certificate: a PEM file without a password, which only you can read. It never "
            "leaves this machine"
        ))
    safety_filter: StringProperty(name="Safety Filter", subtype="DIR_PATH", update=_changed, description=(
        "The folder of a model that looks at every finished picture and keeps back those that it calls unsafe: an "
        "image classifier of transformers, or Stable Diffusion's safety checker, in safetensors. While it is on, no "
        "previews are shown. Left empty: none"))
    safety_labels: StringProperty(
        name="Unsafe Labels", update=_changed, description=(
            "Which of the classifier's labels are unsafe, separated by commas. Left empty: those known by their names, "
            "such as nsfw or porn"
        ))
    safety_threshold: FloatProperty(
        name="Threshold", default=0.5, min=0.01, max=1.0, subtype="FACTOR", update=_changed,
        description="How sure the classifier must be to keep a picture back; less keeps back more. The safety checker "
                    "has its own"
    )
    blocked_words: StringProperty(name="Blocked Words", subtype="FILE_PATH", update=_changed, description=(
        "A text file of words and phrases, one a line, that no prompt may hold. Left empty: none"))
    folder_index: IntProperty(name="Selected Folder", description="The folder that Remove removes")

    section: EnumProperty(name="Section", items=preference_sections.SECTIONS,
                          description="Which of the preferences are shown")

    def draw(self, context) -> None:
        preference_sections.draw(self, context)


CLASSES = (SD_PG_folder, SD_UL_folders, SD_OT_folder_add, SD_OT_folder_remove, SD_AP_preferences)
