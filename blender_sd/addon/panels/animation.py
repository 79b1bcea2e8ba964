"""Draw the panel that restyles animations, with the strip of its keyframes."""
from __future__ import annotations

from ...core.families import Family
from ...core.tasks import RESTYLE_SEQUENCE
from .. import animation
from ..layout import wrapped
from ..translations.words import translated
from .base import Panel, family_in, place
from .parts import draw_settings

_HOW = {"SURFACE": "Points are found again by the scene's surfaces, exactly.",
        "VECTOR": "Points are followed by Blender's Vector pass.",
        "FLOW": "Points are followed by motion that is estimated from the pictures."}


class Animation(Panel):
    """The frames of an animation, repainted so that what is painted stays on its surface."""

    bl_label = "Animation"
    bl_order = 43
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(RESTYLE_SEQUENCE)

    def draw(self, context) -> None:
        settings, scene = context.scene.sd, context.scene
        own = settings.animation
        column = self.split()
        column.prop(own, "source")
        if own.source == "FILES":
            column.prop(own, "path")
            column.prop(own, "of_scene")
        else:
            row = column.row(align=True)
            row.prop(scene, "frame_start", text="Frames")
            row.prop(scene, "frame_end", text="")
            row.prop(scene, "frame_step", text="")
        column = self.split()
        draw_settings(column, settings, "restyle_sequence", family_in(context))
        column.prop(own, "link")
        self._draw_link(context, own)
        column = self.split()
        column.prop(own, "blend", slider=True)
        column.prop(own, "output")
        if own.output:
            column.prop(own, "keep")
        column.prop(own, "place")
        column.prop(own, "movie")
        column.prop(own, "exr")
        column = self.layout.column(align=True)
        column.operator("sd.restyle_animation", text="Preview Keyframes", icon="KEYFRAME").keyframes_only = True
        row = column.row(align=True)
        row.scale_y = 1.4
        row.operator("sd.restyle_animation", text="Restyle Animation", icon="RENDER_ANIMATION").keyframes_only = False
        self._draw_strip(own)
        self.layout.prop(own, "every_render")
        box = self.layout.box()
        wrapped(box, context, "If only the camera moves, texture the objects once and render: nothing flickers then.",
                "INFO")
        box.operator("sd.texture_object", text="Texture Objects Instead", icon="SHADING_TEXTURE").look = False

    def _draw_link(self, context, own) -> None:
        """Draw how points are found again."""
        link = own.link
        if own.source == "FILES" and not own.of_scene:
            link = "FLOW"
        elif link == "AUTO":
            link = "SURFACE"
        wrapped(self.layout, context, _HOW[link], "INFO")

    def _draw_strip(self, own) -> None:
        """Draw the keyframes of the last preview, and what stands for some of them."""
        grid = self.layout.grid_flow(row_major=True, columns=3, even_columns=True, align=True)
        for frame, path in animation.strip:
            cell = grid.column(align=True)
            cell.template_icon(icon_value=animation.icon_of(path), scale=4.0)
            replaced = own.own(frame) is not None
            button = cell.operator("sd.own_keyframe", text=translated(f"Frame {frame}"), depress=replaced,
                                   icon="BRUSH_DATA" if replaced else "NONE")
            button.frame = frame
        for item in own.keyframes:
            row = self.layout.row(align=True)
            row.label(text=translated(f"Frame {item.frame}"))
            row.template_ID(item, "image", open="image.open")
            row.operator("sd.own_keyframe", text="", icon="X").frame = item.frame


CLASSES = place(Animation, "view3d")
