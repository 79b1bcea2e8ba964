"""What Blender holds, to arrays and back: image datablocks, material slots, cameras, renders. bpy and numpy; no UI."""
from .assets import About, facts, image_facts, image_of, write_image, write_material, write_result
from .commit import commit
from .comparison import Comparison, compare, end_comparison, show_side, sides
from .control import control_image, open_control
from .images import file_of, load_kept, load_result, picture_of, request_of, show_in_editor, size_of, source_of, warm_up
from .masks import mask_of, masked_image, new_mask, show_mask
from .materials import apply_image
from .previews import clear_preview, release, show_preview
from .renders import as_shown, render_camera, render_result_source, set_camera_background, start_camera_render
from .nodes import add_image_node
from .slots import active_slot, active_slot_image
from .sources import array_source, open_mask, open_source
from .targets import Target, freeze_target, new_image_target, place, push_undo, target_of_object
from .texts import append_line, prompt_in, prompt_text, show_text, text_named, text_names
from .viewport import viewport_source

__all__ = [
    "About", "Comparison", "Target", "active_slot", "active_slot_image", "add_image_node", "append_line", "apply_image", "array_source",
    "as_shown", "clear_preview", "commit", "compare", "control_image", "end_comparison", "facts", "file_of", "freeze_target", "image_facts",
    "image_of", "load_kept", "load_result", "mask_of", "masked_image", "new_image_target", "new_mask", "open_control", "open_mask",
    "open_source", "picture_of", "place", "prompt_in", "prompt_text", "push_undo", "release", "render_camera", "render_result_source",
    "request_of", "set_camera_background", "show_in_editor", "show_mask", "show_preview", "show_side", "show_text", "sides", "size_of",
    "source_of", "start_camera_render", "target_of_object", "text_named", "text_names", "viewport_source", "warm_up", "write_image",
    "write_material", "write_result",
]
