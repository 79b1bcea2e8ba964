"""Draw panels in the Properties editor: restyle on the Render tab, texture on the Material tab."""
from __future__ import annotations

from ... import scene
from ...core.errors import SDError
from ...core.families import Family
from ...core.tasks import IMAGE_TO_IMAGE, TEXT_TO_IMAGE
from .base import Panel, family_in, place, split
from .parts import draw_button, draw_messages, draw_prompt, draw_seed, draw_task


class RestyleRender(Panel):
    """The render, repainted after the prompt."""

    bl_label = "Stable Diffusion: Restyle"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def works_with(cls, family: Family) -> bool:
        return not family.refusal(IMAGE_TO_IMAGE)

    def draw(self, context) -> None:
        family = family_in(context)
        draw_prompt(self.layout, context, family)
        draw_task(self.layout, context, family, "RENDER")
        draw_button(self.layout, context, family, "RENDER")
        draw_messages(self.layout, context)


class TextureMaterial(Panel):
    """The active material's texture, painted from the prompt or repainted."""

    bl_label = "Stable Diffusion: Texture"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return super().poll(context) and context.object is not None and context.object.type == "MESH"

    def draw(self, context) -> None:
        family, layout = family_in(context), self.layout
        draw_prompt(layout, context, family)
        if not family.refusal(TEXT_TO_IMAGE):
            row = layout.row()
            row.scale_y = 1.4
            row.operator("sd.generate_onto", text="Generate Base Color", icon="IMAGE_DATA")
        try:
            image, _target = scene.active_slot_image(context)
        except SDError:  # no slot to repaint yet; the button above makes one
            draw_seed(split(layout), context)
        else:
            layout.label(text=image.name, icon="IMAGE_DATA", translate=False)
            if not family.refusal(IMAGE_TO_IMAGE):
                draw_task(layout, context, family, "TEXTURE")
                draw_button(layout, context, family, "TEXTURE")
        draw_messages(layout, context)


CLASSES = (*place(RestyleRender, "render"), *place(TextureMaterial, "material"))
