"""Generate an image from text for the Shader Editor's active image node, or for a new one."""
from __future__ import annotations

import bpy

from ... import scene
from ...core.errors import SDError
from .generate import TYPE_PROMPT, can_generate, generate
from .start import can_find, first_refusal, refuse


class SD_OT_generate_into_slot(bpy.types.Operator):
    bl_description = ("Paint what the prompt says into the active image node, paint slot or Image Editor. Its old "
                      "image stays in the file")

    bl_idname = "sd.generate_into_slot"
    bl_label = "Stable Diffusion: Generate into Active Slot"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return can_find(cls, scene.active_slot, context) and can_generate(cls, context) and first_refusal(
            cls, (context.scene.sd.words(), TYPE_PROMPT))

    def execute(self, context):
        return generate(self, context, "slot")


class SD_OT_add_image_node(bpy.types.Operator):
    """Add an Image Texture node and paint its image after the prompt in the SD tab"""

    bl_idname = "sd.add_image_node"
    bl_label = "Stable Diffusion: Add Image Node from Prompt"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        space = context.space_data
        return first_refusal(cls,
                             (space is not None and space.type == "NODE_EDITOR" and space.tree_type == "ShaderNodeTree"
                              and space.edit_tree is not None, "Open a material in the Shader Editor first"),
                             (context.scene.sd.words(), TYPE_PROMPT)) and can_generate(cls, context)

    def invoke(self, context, event):
        context.space_data.cursor_location_from_region(event.mouse_region_x, event.mouse_region_y)
        return self.execute(context)

    def execute(self, context):
        try:
            node = scene.add_image_node(context.space_data)
        except SDError as error:
            return refuse(self, error)
        ended = generate(self, context, "slot")
        if ended != {"FINISHED"}:
            context.space_data.edit_tree.nodes.remove(node)
        return ended


CLASSES = (SD_OT_generate_into_slot, SD_OT_add_image_node)
