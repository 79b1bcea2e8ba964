"""Change the 3D View's shading so that the result is visible on the model."""
from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty

from ...scene import visibility
from .. import preference_access, tick


class SD_OT_show_result(bpy.types.Operator):
    """Change the 3D View's shading to one that shows the result on the model"""

    bl_idname = "sd.show_result"
    bl_label = "Stable Diffusion: Show Result in 3D View"
    bl_options = {"INTERNAL"}

    shading: EnumProperty(name="Shading", description="The shading that shows the result", items=(
        ("MATERIAL", "Material Preview", "Materials as they are, in a studio's light"),
        ("TEXTURE", "Solid with Texture Color", "Textures alone, which is quicker to draw")))
    always: BoolProperty(name="Always", description="Do so from now on whenever a result would be hidden",
                         options={"SKIP_SAVE"})

    def execute(self, context):
        prefs = preference_access.get()
        if self.always and prefs is not None:
            prefs.result_shading = self.shading
            context.preferences.is_dirty = True
        if not visibility.reveal(context, self.shading):
            self.report({"ERROR"}, "No 3D View is open. Open one to see the result on the model")
            return {"CANCELLED"}
        tick.soon()
        return {"FINISHED"}


CLASSES = (SD_OT_show_result,)
