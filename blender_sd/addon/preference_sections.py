"""Draw the preferences in sections, one at a time. `preferences.py` declares them."""
from __future__ import annotations

from ..calls.runtime import runtime
from . import keymap, policy as policy_view
from .installation import draw_choice, draw_state
from .layout import wrapped
from .translations.words import translated

SECTIONS = (("ENGINE", "Engine", "The interpreter, the device, and how memory is used"),
            ("FOLDERS", "Folders", "Where models are looked for, and where pictures, downloads and styles go"),
            ("TRUST", "Origin and Safety", "What pictures say of themselves, and what is kept back"),
            ("KEYS", "Previews and Keys", "Previews on the mesh, how results are shown, and the keys of the add-on"))


def draw(prefs, context) -> None:
    """Draw the row of sections, the current one, and what helps when something goes wrong."""
    layout = prefs.layout
    layout.row().prop(prefs, "section", expand=True)
    layout.separator()
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    _DRAWN[prefs.section](prefs, context, column)
    layout.separator()
    row = layout.row(align=True)
    row.operator("sd.copy_report", text="Copy Report", icon="COPYDOWN")
    row.operator("sd.open_log", text="Open the Log", icon="TEXT")


def _draw_engine(prefs, context, layout) -> None:
    _draw_set_up(prefs, context, layout)
    column = layout.column()
    column.prop(prefs, "engine_python", placeholder="SD_ENGINE_PYTHON, or the engine that is set up")
    wrapped(column, context, "A Python with torch, diffusers and transformers installed, such as the python in a "
                             "virtual environment's bin or Scripts folder.")
    column.prop(prefs, "in_thread")
    column = layout.column()
    column.prop(prefs, "device")
    column.prop(prefs, "precision")
    column.prop(prefs, "threads")
    column.prop(prefs, "memory_mb")
    column.prop(prefs, "memory_use")
    column.prop(prefs, "attention")
    column.prop(prefs, "compile")


def _draw_set_up(prefs, context, layout) -> None:
    """Draw the installed engine: what it is, its folder, and what can be done with it."""
    shown = context.window_manager.sd_setup
    box = layout.box()
    wrapped(box, context,
            f"The engine is set up: {shown.there}." if shown.there else "The add-on has not set up an engine.",
            "CHECKMARK" if shown.there else "INFO")
    if shown.outdated:
        wrapped(box, context, "It is of an older version of the add-on; Repair brings it up to date.", "ERROR")
    column = box.column()
    column.enabled = not shown.running
    column.prop(prefs, "engine_place", placeholder=translated(shown.place))
    draw_choice(column, context)
    column.prop(shown, "wheels", placeholder="None: it is downloaded")
    row = box.row(align=True)
    if shown.there:
        row.operator("sd.repair_engine", text="Repair", icon="TOOL_SETTINGS")
        row.operator("sd.remove_engine", text=translated("Remove"), icon="TRASH")
    else:
        row.operator("sd.set_up_engine", text="Set Up the Engine", icon="IMPORT")
    row.operator("sd.offer_pythons", text="Use an Existing Python", icon="FILE_SCRIPT")
    draw_state(box, context)


def _draw_folders(prefs, context, layout) -> None:
    shown = context.window_manager.sd_setup
    column = layout.column()
    column.prop(prefs, "base", placeholder=translated(shown.base))
    if shown.deleted:
        wrapped(column, context, "In the extension's folder, which is deleted when the extension is uninstalled: "
                                 f"{shown.deleted}. Choose folders of your own to keep them.", icon="INFO")
    column.prop(prefs, "output", placeholder=translated(shown.pictures))
    column.prop(prefs, "history_gb")
    column = layout.column()
    column.label(text="Model Folders")
    row = column.row()
    row.template_list("SD_UL_folders", "", prefs, "model_folders", prefs, "folder_index", rows=3)
    buttons = row.column(align=True)
    buttons.operator("sd.folder_add", text="", icon="ADD")
    buttons.operator("sd.folder_remove", text="", icon="REMOVE")
    column = layout.column()
    column.prop(prefs, "downloads", placeholder=translated(shown.models))
    column.prop(prefs, "hub_token", placeholder="HF_TOKEN")
    column.operator("sd.clear_unfinished", text="Delete Unfinished Downloads")
    layout.column().prop(prefs, "styles", placeholder=translated(shown.styles))


def draw_marking(prefs, context, layout) -> None:
    """Draw the switch, and what it means on and off."""
    column = layout.column()
    policy_view.draw_forced(column, context, prefs, "marking", runtime.policy.state.marking_file)
    if not prefs.marking and not runtime.policy.state.marking_file:
        wrapped(column, context, "New pictures do not tell other programs that a model made them: no XMP, no content "
                                 "credentials. The EU's AI Act (article 50) asks since 2 August 2026 for such marks "
                                 "that machines can read; where you need them, adding them is then up to you. "
                                 "Settings, model and licence stay in the file, since Recall and History read them.",
                icon="ERROR")
        return
    wrapped(column, context, "Each picture's file says that a model made it, and is signed. Nothing is drawn into the "
                             "picture, so normal and roughness maps stay exact. The EU's AI Act (article 50) asks for "
                             "such marks since 2 August 2026.")
    column.prop(prefs, "certificate", placeholder="Made on this machine")
    row = column.row()
    row.active = bool(prefs.certificate or prefs.private_key)
    row.prop(prefs, "private_key", placeholder="Made on this machine")
    if not prefs.certificate and not prefs.private_key:
        wrapped(column, context, "Signed with a key of this machine, pictures show whether they were changed since, "
                                 "but not who made them.")


def _draw_trust(prefs, context, layout) -> None:
    draw_marking(prefs, context, layout)
    layout.separator()
    policy_view.draw_preferences(layout, context, prefs)


def _draw_keys(prefs, context, layout) -> None:
    layout.prop(prefs, "mesh_preview")
    layout.prop(prefs, "result_shading")
    layout.label(text=translated("Keys"))
    keymap.draw(context, layout)


_DRAWN = {"ENGINE": _draw_engine, "FOLDERS": _draw_folders, "TRUST": _draw_trust, "KEYS": _draw_keys}
