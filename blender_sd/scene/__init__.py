"""Convert what Blender holds to arrays and back: image datablocks, material slots, cameras, renders. bpy and numpy; no
UI.
"""
from . import sequences
from .assets import About, facts, image_facts, image_of, write_image, write_maps, write_material, write_result
from .baking import (
    Plan as BakePlan, place as place_baked, prepare as prepare_bake,
)
from .commit import commit
from .comparison import Comparison, compare, end_comparison, show_side, sides
from .control import control_image, is_drawn, open_control
from .embedded import foreign_settings_of
from .handlers import check_thread, check_turn, give_up
from .images import (
    file_of, load_kept, load_result, local_path, picture_of, request_of, request_reader, size_of,
    source_of, warm_up,
)
from .inventory import generated
from .marks import (
    MARK_PROPERTY, ask_marking, baked_by, facts_of, generated_in, is_marked, mark_baked, on_save, result_facts,
)
from .masks import (
    bring_back as bring_back_masks, check_maskable, keep_painted as keep_painted_masks, mask_of, masked_image,
    painted_image, remember as remember_masks,
)
from .losses import clipped_light
from .map_export import Export as MapExport, export as export_maps
from .material_maps import (
    check_relief, controls as relief_controls, freeze_slot, place as place_material, relief_of, set_relief,
    settle_scales,
)
from .materials import apply_image
from .nodes import add_image_node
from .object_maps import check as check_object_maps
from .outputs import hold, recall
from .painting import (
    change as change_mask, finish as finish_painting, forget as forget_painting, settle as settle_painting,
    start as start_painting,
)
from .previews import clear_preview, show_preview
from .projecting import bakeable, cameras_of, from_camera, from_view, object_mask, preview_faces, through
from .regions import check_regions, is_there, mask_image, open_regions
from .renders import (
    adjust_camera_background, as_shown, render_camera, render_result_source, set_camera_background, start_camera_render,
)
from .replacing import purge as purge_replaced
from .screens import release, show_in_editor
from .slots import active_slot, active_slot_image, freeze_target
from .handlers import unwatch as unwatch_renders
from .handlers import watch as watch_renders
from .stamps import note as note_render
from .sources import array_source, open_mask, open_source, source_size
from .targets import (
    Identity, Placement, Target, identity, is_mesh_selected, is_on_screen, lookup, new_image_target,
    place, push_undo, remarks, target_of_object,
)
from .texts import append_line, prompt_in, prompt_text, show_text, text_named, text_names, write_text
from .texturing import baked_names, object_named, textured_faces, texture_masks
from .viewport import viewport_source

__all__ = [
    "About", "BakePlan", "Comparison", "Identity", "MARK_PROPERTY", "MapExport", "Placement", "Target", "active_slot",
    "active_slot_image", "add_image_node", "adjust_camera_background", "append_line", "apply_image", "array_source",
    "as_shown", "ask_marking", "bakeable", "baked_by", "baked_names", "bring_back_masks", "cameras_of",
    "change_mask", "check_maskable", "check_object_maps", "check_regions", "check_relief", "check_thread", "check_turn",
    "clear_preview", "clipped_light", "commit", "compare", "control_image", "end_comparison", "export_maps", "facts",
    "facts_of",
    "file_of", "finish_painting", "foreign_settings_of", "forget_painting", "freeze_slot", "freeze_target",
    "from_camera", "from_view", "generated", "generated_in", "give_up", "hold", "identity", "image_facts",
    "image_of", "is_drawn", "is_marked", "is_mesh_selected", "is_on_screen", "is_there", "keep_painted_masks",
    "load_kept", "load_result", "local_path", "lookup", "mark_baked", "mask_image", "mask_of", "masked_image",
    "new_image_target", "note_render", "object_mask", "object_named", "on_save", "open_control", "open_mask",
    "open_regions", "open_source", "painted_image", "picture_of", "place", "place_baked", "place_material",
    "prepare_bake", "preview_faces", "prompt_in", "prompt_text", "purge_replaced", "push_undo", "recall", "release",
    "relief_controls", "relief_of", "remarks", "remember_masks", "render_camera", "render_result_source",
    "request_of", "request_reader", "result_facts", "sequences", "set_camera_background", "set_relief",
    "settle_painting", "settle_scales",
    "show_in_editor", "show_preview", "show_side", "show_text", "sides", "size_of", "source_of", "source_size",
    "start_camera_render", "start_painting", "target_of_object", "text_named", "text_names", "texture_masks",
    "textured_faces", "through", "unwatch_renders", "viewport_source", "warm_up", "watch_renders", "write_image",
    "write_maps", "write_material", "write_result", "write_text",
]
