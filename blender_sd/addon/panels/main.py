"""What is painted and how: prompt, Generate, progress and messages; settings; from a texture or a render."""
from __future__ import annotations

from ... import catalogue, scene
from ...protocol.samplers import SAMPLERS
from .. import preferences
from ..layout import wrapped
from ..presets import SD_PT_setting_presets
from .base import Panel, place
from .styles import draw_style


class Main(Panel):
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
        draw_style(self.layout, context)
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


class Settings(Panel):
    """How the picture is made."""

    bl_label = "Settings"
    bl_order = 1

    def draw_header_preset(self, _context) -> None:
        SD_PT_setting_presets.draw_panel_header(self.layout)

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        row = column.row(align=True)
        row.prop(settings, "model_choice")
        row.operator("sd.refresh_models", text="", icon="FILE_REFRESH")
        info = catalogue.known_model(settings.model)
        if info is not None and info.few_steps:
            wrapped(column, context, f"A few-step model ({info.few_steps}), made for {info.steps} steps, guidance {info.guidance:g} and "
                                     f"the sampler {SAMPLERS[info.sampler].label}.", "INFO")
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


class FromImage(Panel):
    """Texture slot → texture."""

    bl_label = "From Texture"
    bl_order = 2

    def draw(self, context) -> None:
        self.show_image(context, scene.active_slot_image)
        if self.family(context).strength:
            self.split().prop(context.scene.sd, "slot_strength", slider=True)
        row = self.layout.row()
        row.scale_y = 1.2
        row.operator("sd.retexture", icon="NODE_TEXTURE")


class FromRender(Panel):
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


CLASSES = (
    *place(Main, "view3d", "image", "shader"),
    *place(Settings, "view3d", "image", "shader"),
    *place(FromImage, "view3d", "image", "shader"),
    *place(FromRender, "view3d", "image"),
)
