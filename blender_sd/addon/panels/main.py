"""Draw the settings used all the time: task, prompt, strength, seed, the button; progress and messages below it."""
from __future__ import annotations

from .. import image_origin
from ..layout import ORIGIN
from ..operators.recall import shown_image
from ..policy import draw_state
from .base import SIDEBARS, Panel, family_in, place
from .parts import TASKS, draw_button, draw_messages, draw_prompt, draw_task
from .styles import draw_style


class Main(Panel):
    """Prompt, Generate, progress and messages."""

    bl_label = "Stable Diffusion"
    bl_order = 0

    def draw_header_preset(self, context) -> None:
        image = shown_image(context)
        if image is not None:
            image_origin.details_of(image)  # starts tracing its chain before the popover opens
        self.layout.popover(ORIGIN, text="", icon="QUESTION")

    def draw(self, context) -> None:
        settings, family = context.scene.sd, family_in(context)
        self._draw_tasks(settings, family)
        draw_prompt(self.layout, context, family)
        draw_style(self.layout, context)
        draw_task(self.layout, context, family, settings.task)
        draw_button(self.layout, context, family, settings.task)
        draw_state(self.layout, context)
        draw_messages(self.layout, context)

    def _draw_tasks(self, settings, family) -> None:
        """Draw the choice between text, texture and render, as far as the model supports them."""
        row = self.layout.row(align=True)
        for task, needed in TASKS.items():
            if not family.refusal(needed) or task == settings.task:
                row.prop_enum(settings, "task", task)


CLASSES = place(Main, *SIDEBARS)
