"""The tab "SD" in the sidebars of the 3D View, Image Editor and Shader Editor. `draw` only reads.

Every panel is written once and placed in each editor that it suits: `_place` makes a class per editor.
"""
from __future__ import annotations

import bpy

from .. import api, scene
from ..protocol.errors import SDError
from ..protocol.families import Family, family_of
from . import preferences
from .layout import wrapped
from .tick import TAB

_EDITORS = {"view3d": "VIEW_3D", "image": "IMAGE_EDITOR", "shader": "NODE_EDITOR"}
_STATE_ICONS = {"queued": "TIME", "loading": "IMPORT", "running": "RENDER_ANIMATION", "finished": "CHECKMARK", "cancelled": "PANEL_CLOSE",
                "failed": "ERROR"}


class SD_UL_jobs(bpy.types.UIList):
    """The queue: what each job is, how far it is, and a button that ends it."""

    def draw_item(self, _context, layout, _data, item, _icon, _active, _name, _index=0, _flag=0) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon=_STATE_ICONS.get(item.state, "NONE"))
        if item.state in ("finished", "cancelled", "failed"):
            status = row.row()
            status.alignment = "RIGHT"
            status.enabled = False
            status.label(text=item.text)
            return
        if item.state == "running":
            row.progress(factor=item.progress, text=f"{item.progress:.0%}")
        else:
            row.label(text=item.text)
        row.operator("sd.cancel_job", text="", icon="X", emboss=False).job_id = item.job_id


class _Panel:
    """What all panels of the tab share."""

    bl_region_type = "UI"
    bl_category = TAB

    @classmethod
    def poll(cls, context):
        return context.space_data.type != "NODE_EDITOR" or context.space_data.tree_type == "ShaderNodeTree"

    def family(self, context) -> Family:
        """What the chosen model can do; all, where it is not known yet."""
        info = api.known_model(context.scene.sd.model)
        return family_of("StableDiffusionPipeline") if info is None else info.abilities

    def split(self) -> bpy.types.UILayout:
        """A column with labels on the left of the fields, as Blender's own panels have."""
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        return column


class _Steering(_Panel):
    """A panel of what models can be steered by, if their family has it."""

    def steerable(self, context) -> bool:
        """Whether the chosen model can; says so where it cannot."""
        family = self.family(context)
        if self.works_with(family):
            return True
        wrapped(self.layout, context, f"This does not work with {family.name} models.", "INFO")
        return False

    def works_with(self, family: Family) -> bool:
        """Whether models of `family` have what the panel shows."""
        raise NotImplementedError


class _Main(_Panel):
    """Prompt, Generate, progress and messages."""

    bl_label = "Stable Diffusion"
    bl_order = 0

    def draw(self, context) -> None:
        settings, state = context.scene.sd, context.window_manager.sd
        column = self.layout.column(align=True)
        prompt = column.row(align=True)
        prompt.scale_y = 1.3
        prompt.active = settings.prompt_text is None
        prompt.prop(settings, "prompt", text="", placeholder="Describe the texture")
        if self.family(context).negative:
            column.prop(settings, "negative", text="", placeholder="What to leave out")
        row = self.layout.row(align=True)
        row.prop(settings, "prompt_text", text="")
        row.operator("sd.add_lora", text="LoRA", icon="ADD")
        self.layout.prop(settings, "target", text="")
        self._draw_button(state)
        self._draw_error(context, state)
        self._draw_engine(context, state)
        if state.notes:
            column = self.layout.column()
            for note in state.notes.split("\n"):
                wrapped(column, context, note, "INFO")

    def _draw_button(self, state) -> None:
        column = self.layout.column(align=True)
        button = column.row()
        button.scale_y = 1.6
        button.operator("sd.generate", text="Add to Queue" if state.active else "Generate", icon="IMAGE_DATA")
        if state.active:
            row = column.row(align=True)
            row.scale_y = 1.2
            row.progress(factor=state.progress, text=state.progress_text)
            row.operator("sd.cancel", text="", icon="X")

    def _draw_error(self, context, state) -> None:
        if state.error:
            box = self.layout.box()
            row = box.row()
            body = row.column()
            body.alert = True
            wrapped(body, context, state.error, "ERROR", taken=1)
            row.operator("sd.dismiss", text="", icon="X", emboss=False)
            if state.hint:
                wrapped(box, context, state.hint)

    def _draw_engine(self, context, state) -> None:
        if state.engine == "failed":
            box = self.layout.box()
            if state.engine_text != f"{state.error} {state.hint}".strip():  # said already in the box above
                wrapped(box, context, state.engine_text, "ERROR")
            row = box.row(align=True)
            row.operator("sd.start_engine", text="Retry", icon="FILE_REFRESH")
            if preferences.get() is not None:
                row.operator("preferences.addon_show", text="Preferences", icon="PREFERENCES").module = preferences.PACKAGE
        else:
            text = {"off": "Engine starts with the first job", "starting": "Engine is starting…"}.get(state.engine, state.engine_text)
            self.layout.label(text=text, icon="CHECKMARK" if state.engine == "ready" else "TIME")


class _Settings(_Panel):
    """How the picture is made."""

    bl_label = "Settings"
    bl_order = 1

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        row = column.row(align=True)
        row.prop(settings, "model_choice")
        row.operator("sd.refresh_models", text="", icon="FILE_REFRESH")
        size = column.column(align=True)
        size.prop(settings, "width")
        size.prop(settings, "height")
        column.separator()
        family = self.family(context)
        if not family.own_sampler:
            column.prop(settings, "sampler")
        column.prop(settings, "steps")
        if family.guides:
            column.prop(settings, "guidance")
        column.separator()
        row = column.row(align=True)
        row.prop(settings, "seed")
        row.prop(settings, "random_seed", text="", icon="FILE_REFRESH")
        column.prop(settings, "count")
        column.row().prop(settings, "tiling", expand=True)
        self.layout.operator("sd.recall", text="Recall from Image", icon="LOOP_BACK")


class _FromImage(_Panel):
    """Texture slot → texture."""

    bl_label = "From Texture"
    bl_order = 2

    def draw(self, context) -> None:
        try:
            self.layout.label(text=scene.active_slot_image(context)[0].name, icon="IMAGE_DATA")
        except SDError as error:
            wrapped(self.layout, context, str(error), "INFO")
        if self.family(context).strength:
            self.split().prop(context.scene.sd, "slot_strength", slider=True)
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.retexture", icon="NODE_TEXTURE")


class _Enlarge(_Panel):
    """Larger pictures: as part of Generate, or of the slot's image."""

    bl_label = "Enlarge"
    bl_order = 7
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "refine_scale", text="Generate ×")
        refine = column.column()
        refine.active = settings.refine_scale > 1
        refine.prop(settings, "refine_strength", slider=True)
        column.separator()
        column.prop(settings, "upscale_scale", text="Slot ×")
        column.prop(settings, "upscale_strength", slider=True)
        column.prop(settings, "tile")
        self.layout.operator("sd.upscale", icon="FULLSCREEN_ENTER")


class _Control(_Steering):
    """A ControlNet that steers all that is painted."""

    bl_label = "Control"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def works_with(self, family: Family) -> bool:
        return bool(family.controls)

    def draw_header(self, context) -> None:
        self.layout.prop(context.scene.sd, "use_control", text="")

    def draw(self, context) -> None:
        if not self.steerable(context):
            return
        settings = context.scene.sd
        self.layout.active = settings.use_control
        column = self.split()
        column.prop(settings, "control_kind")
        column.prop(settings, "control_model")
        column.prop(settings, "control_source")
        if settings.control_source == "IMAGE":
            column.prop(settings, "control_image")
        column.prop(settings, "control_weight", slider=True)
        span = column.column(align=True)
        span.prop(settings, "control_start", slider=True)
        span.prop(settings, "control_end", slider=True)
        self.layout.operator("sd.preview_control", icon="HIDE_OFF")


class _Reference(_Steering):
    """An image whose look all that is painted takes over."""

    bl_label = "Reference"
    bl_order = 4
    bl_options = {"DEFAULT_CLOSED"}

    def works_with(self, family: Family) -> bool:
        return family.reference

    def draw_header(self, context) -> None:
        self.layout.prop(context.scene.sd, "use_reference", text="")

    def draw(self, context) -> None:
        if not self.steerable(context):
            return
        settings = context.scene.sd
        self.layout.active = settings.use_reference
        column = self.split()
        column.prop(settings, "reference_image")
        column.prop(settings, "ip_adapter")
        column.prop(settings, "ip_adapter_weight", slider=True)


class _Variations(_Panel):
    """Pictures near the last one, and grids of pictures."""

    bl_label = "Variations"
    bl_order = 5
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "variation_strength", slider=True)
        seed = column.column()
        seed.active = settings.variation_strength > 0
        seed.prop(settings, "variation_seed")
        column.prop(settings, "use_grid")
        grid = self.split()
        grid.active = settings.use_grid
        grid.prop(settings, "x_setting")
        grid.prop(settings, "x_values")
        grid.prop(settings, "y_setting")
        if settings.y_setting != "none":
            grid.prop(settings, "y_values")


class _Inpaint(_Panel):
    """A part of the slot's image, painted anew."""

    bl_label = "Inpaint"
    bl_order = 8
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "mask_source")
        if settings.mask_source == "PAINTED":
            try:
                column.prop(scene.masked_image(context)[0], "sd_mask")
            except SDError as error:
                wrapped(self.layout, context, str(error), "INFO")
            self.layout.operator("sd.new_mask", icon="BRUSH_DATA")
        column = self.split()
        column.prop(settings, "inpaint_strength", slider=True)
        column.prop(settings, "mask_grow")
        column.prop(settings, "mask_feather")
        self.layout.prop(settings, "mask_full_res")
        if settings.mask_full_res:
            self.split().prop(settings, "mask_context")
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.inpaint", icon="MOD_MASK")


class _Extend(_Panel):
    """The slot's image, continued beyond its borders or across them."""

    bl_label = "Extend"
    bl_order = 9
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        sides = column.column(align=True)
        for name in ("expand_left", "expand_right", "expand_top", "expand_bottom"):
            sides.prop(settings, name)
        self.layout.operator("sd.outpaint", icon="FULLSCREEN_ENTER")
        column = self.split()
        column.prop(settings, "band", slider=True)
        column.prop(settings, "seamless_strength", slider=True)
        self.layout.operator("sd.make_seamless", icon="UV_SYNC_SELECT")


class _FromRender(_Panel):
    """Render → restyled render."""

    bl_label = "From Render"
    bl_order = 3

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "render_source")
        if self.family(context).strength:
            column.prop(settings, "render_strength", slider=True)
        self.layout.prop(settings, "camera_background")
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.restyle", icon="RENDER_STILL")


class _Queue(_Panel):
    """The jobs of this session."""

    bl_label = "Queue"
    bl_order = 6

    def draw(self, context) -> None:
        state = context.window_manager.sd
        self.layout.template_list("SD_UL_jobs", "", state, "jobs", state, "job_index", rows=3)
        row = self.layout.row(align=True)
        row.operator("sd.clear_jobs", text="Clear Finished")
        row.operator("sd.open_output", text="", icon="FILE_FOLDER")


def _place(panel: type[_Panel], *editors: str) -> tuple[type[bpy.types.Panel], ...]:
    """`panel` as one registrable class per editor: SD_PT_<editor>_<panel>."""
    name = panel.__name__.strip("_").lower()
    return tuple(
        type(f"SD_PT_{editor}_{name}", (panel, bpy.types.Panel),
             {"bl_idname": f"SD_PT_{editor}_{name}", "bl_space_type": _EDITORS[editor], "__doc__": panel.__doc__})
        for editor in editors)


CLASSES = (
    SD_UL_jobs,
    *_place(_Main, "view3d", "image", "shader"),
    *_place(_Settings, "view3d", "image", "shader"),
    *_place(_FromImage, "view3d", "image", "shader"),
    *_place(_FromRender, "view3d", "image"),
    *_place(_Control, "view3d", "image", "shader"),
    *_place(_Reference, "view3d", "image", "shader"),
    *_place(_Variations, "view3d", "image", "shader"),
    *_place(_Queue, "view3d", "image", "shader"),
    *_place(_Enlarge, "view3d", "image", "shader"),
    *_place(_Inpaint, "view3d", "image", "shader"),
    *_place(_Extend, "view3d", "image", "shader"),
)
