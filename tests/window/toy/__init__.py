"""A panel with a text field, a number, two buttons and a modal operator: what the harness is proved with."""
import bpy


class TOY_PG_settings(bpy.types.PropertyGroup):
    prompt: bpy.props.StringProperty(name="Prompt")
    steps: bpy.props.IntProperty(name="Steps", default=20)
    clicks: bpy.props.IntProperty()
    running: bpy.props.BoolProperty()


class TOY_OT_count(bpy.types.Operator):
    """Counts clicks"""

    bl_idname = "toy.count"
    bl_label = "Generate"

    def execute(self, context):
        context.scene.toy.clicks += 1
        return {"FINISHED"}


class TOY_OT_wait(bpy.types.Operator):
    """Runs until Esc"""

    bl_idname = "toy.wait"
    bl_label = "Wait for Escape"

    def invoke(self, context, _event):
        context.scene.toy.running = True
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC":
            context.scene.toy.running = False
            return {"CANCELLED"}
        return {"PASS_THROUGH"}


class TOY_PT_panel(bpy.types.Panel):
    bl_label = "Stable Diffusion Toy"
    bl_category = "SD"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context):
        toy = context.scene.toy
        self.layout.prop(toy, "prompt", text="", placeholder="Describe the texture")
        self.layout.prop(toy, "steps")
        row = self.layout.row()
        row.scale_y = 1.8
        row.operator("toy.count", icon="SHADERFX")
        self.layout.operator("toy.wait")
        self.layout.label(text="waiting" if toy.running else f"{toy.clicks} clicks")


CLASSES = (TOY_PG_settings, TOY_OT_count, TOY_OT_wait, TOY_PT_panel)


def register():
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.toy = bpy.props.PointerProperty(type=TOY_PG_settings)


def unregister():
    del bpy.types.Scene.toy
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
