"""Draw the settings of all pictures: model, size and tiling; sampling, variations, grids and high-res fix folded."""
from __future__ import annotations

from ...calls import models
from ...core.families import Family
from ...core.tasks import UPSCALE
from ...core.samplers import SAMPLERS
from ...core.nets import STARTER, VAE_PART
from ..layout import GET_MODELS, wrapped
from ..presets import SD_PT_setting_presets
from .base import SIDEBARS, Panel, family_in, place
from .parts import draw_download, draw_settings

_MOST = 8  # of what cannot be used that are named
_SIZES = {"RENDER": "That of the render", "CAMERA": "That of the render", "VIEWPORT": "That of the 3D View"}


class Settings(Panel):
    """Model, size, number and tiling of what is painted."""

    bl_label = "Settings"
    bl_order = 20

    def draw_header_preset(self, _context) -> None:
        SD_PT_setting_presets.draw_panel_header(self.layout)

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        row = column.row(align=True)
        row.prop(settings, "model_choice")
        row.operator("sd.refresh_models", text="", icon="FILE_REFRESH")
        row.popover(GET_MODELS, text="", icon="IMPORT")
        draw_download(column, context)
        info = models.known_model(settings.model)
        if info is not None and info.few_steps:
            wrapped(column, context, f"A few-step model ({info.few_steps}), made for {info.steps} steps, guidance "
                                     f"{info.guidance:g} and the sampler {SAMPLERS[info.sampler].label}.",
                                     "INFO")
        _draw_size(column, context)
        column.prop(settings, "count")
        column.row().prop(settings, "tiling", expand=True)
        self.layout.operator("sd.recall", text="Recall from Image", icon="LOOP_BACK")


def _draw_size(column, context) -> None:
    """Draw width and height if they apply: a picture that is painted over another one has its size."""
    settings = context.scene.sd
    if settings.task == "TEXT":
        size = column.column(align=True)
        draw_settings(size, settings, "size", family_in(context))
        return
    row = column.split(factor=0.4)
    row.active = False
    label = row.row()
    label.alignment = "RIGHT"
    label.label(text="Size")
    row.label(text="That of the texture" if settings.task == "TEXTURE" else _SIZES[settings.render_source])


class ModelChoices(Panel):
    """What the model's files say wrong or not at all, and what in the model folders cannot be used."""

    bl_label = "Model"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    def draw(self, context) -> None:
        info, unusable = models.known_model(context.scene.sd.model), models.known_unusable()
        if info is not None and info.id != STARTER:
            column = self.split()
            column.prop(context.window_manager.sd_model, "vae", placeholder="The model's own")
            if not info.abilities.transformer:
                column.prop(context.window_manager.sd_model, "prediction")
                column.prop(context.window_manager.sd_model, "zero_snr")
            if VAE_PART in info.lacks:
                wrapped(self.layout, context, "This checkpoint has no VAE: choose one above.", "ERROR")
            elif info.lacks:
                wrapped(self.layout, context,
                        "This checkpoint has no text encoder: put a whole model of its family into a model folder.",
                        "ERROR")
        elif not unusable:
            wrapped(self.layout, context, "Nothing can be chosen for the built-in model.", "INFO")
        for file in unusable[:_MOST]:
            row = self.layout.column()
            row.active = False
            row.label(text=file.name, icon="CANCEL", translate=False)
            wrapped(row, context, file.reason)


class Sampling(Panel):
    """How a picture is worked out of noise."""

    bl_label = "Sampling"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    def draw(self, context) -> None:
        draw_settings(self.split(), context.scene.sd, "sampling", family_in(context))


class Variations(Panel):
    """Pictures near the last one."""

    bl_label = "Variations"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        draw_settings(column, settings, "variation", family_in(context))
        if settings.variation_strength > 0 and settings.random_seed:
            wrapped(column, context, "The seed is random: switch that off beside it to stay near one picture.", "INFO")


class Grid(Panel):
    """A picture for each value of one setting or two, and a sheet of them all."""

    bl_label = "X/Y Grid"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    def draw_header(self, context) -> None:
        self.layout.prop(context.scene.sd, "use_grid", text="")

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.active = settings.use_grid
        column.prop(settings, "x_setting")
        column.prop(settings, "x_values")
        column.prop(settings, "y_setting")
        if settings.y_setting != "none":
            column.prop(settings, "y_values")


class HighRes(Panel):
    """Generate small, enlarge, and refine."""

    bl_label = "High-Res Fix"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(UPSCALE)

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "refine_scale", text="Generate ×")
        refine = column.column()
        refine.active = settings.refine_scale > 1
        refine.prop(settings, "refine_strength", slider=True)
        draw_settings(refine, settings, "upscaler", family_in(context))


CLASSES = tuple(cls for panel in (Settings, ModelChoices, Sampling, Variations, Grid, HighRes)
                for cls in place(panel, *SIDEBARS))
