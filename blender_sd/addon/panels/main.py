"""What an artist touches each minute: task, prompt, strength, seed, the button; progress and messages below it."""
from __future__ import annotations

from ..safeguards import draw_state
from .base import SIDEBARS, Panel, family_in, place
from .parts import TASKS, draw_button, draw_messages, draw_prompt, draw_task
from .styles import draw_style


class Main(Panel):
    """Prompt, Generate, progress and messages."""

    bl_label = "Stable Diffusion"
    bl_order = 0

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
        """What the model can do, and what is chosen, of text, texture and render."""
        row = self.layout.row(align=True)
        for task, needed in TASKS.items():
            if not family.refusal(needed) or task == settings.task:
                row.prop_enum(settings, "task", task)


CLASSES = place(Main, *SIDEBARS)
