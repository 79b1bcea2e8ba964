"""How all pictures are made: model, size and tiling at once; sampling, variations, grids and the high-res fix folded away."""
from __future__ import annotations

from ... import catalogue
from ...protocol.families import Family
from ...protocol.request import UPSCALE
from ...protocol.samplers import SAMPLERS
from ..layout import wrapped
from ..presets import SD_PT_setting_presets
from .base import SIDEBARS, Panel, family_in, place


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
        info = catalogue.known_model(settings.model)
        if info is not None and info.few_steps:
            wrapped(column, context, f"A few-step model ({info.few_steps}), made for {info.steps} steps, guidance {info.guidance:g} and "
                                     f"the sampler {SAMPLERS[info.sampler].label}.", "INFO")
        size = column.column(align=True)
        size.prop(settings, "width")
        size.prop(settings, "height")
        column.prop(settings, "count")
        column.row().prop(settings, "tiling", expand=True)
        self.layout.operator("sd.recall", text="Recall from Image", icon="LOOP_BACK")


class Sampling(Panel):
    """How a picture is worked out of noise."""

    bl_label = "Sampling"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    def draw(self, context) -> None:
        settings, family = context.scene.sd, family_in(context)
        column = self.split()
        if not family.own_sampler:
            column.prop(settings, "sampler")
        column.prop(settings, "steps")
        if family.guides:
            column.prop(settings, "guidance")


class Variations(Panel):
    """Pictures near the last one."""

    bl_label = "Variations"
    bl_options = {"DEFAULT_CLOSED"}
    parent = Settings

    def draw(self, context) -> None:
        settings = context.scene.sd
        column = self.split()
        column.prop(settings, "variation_strength", slider=True)
        seed = column.column()
        seed.active = settings.variation_strength > 0
        seed.prop(settings, "variation_seed")
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
        draw_upscaler(refine, settings)


def draw_upscaler(column, settings) -> None:
    """What enlarges before the model refines."""
    column.prop(settings, "upscaler", placeholder="Resampling")
    noise = column.column()
    noise.active = bool(settings.upscaler)
    noise.prop(settings, "upscaler_noise")


CLASSES = tuple(cls for panel in (Settings, Sampling, Variations, Grid, HighRes) for cls in place(panel, *SIDEBARS))
