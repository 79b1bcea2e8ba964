"""Draw the latest results below the button that makes them: thumbnails, and buttons for the chosen one."""
from __future__ import annotations

from .. import history
from ..translations.words import translated
from .base import SIDEBARS, Panel, place
from .main import Main
from .thumbnails import draw_thumbnails

_COLUMNS = 4


class Results(Panel):
    """The latest pictures that this run of Blender has made."""

    bl_label = "Latest Results"
    parent = Main

    @classmethod
    def poll(cls, context):
        return super().poll(context) and bool(history.shown().latest)

    def draw(self, context) -> None:
        shown = history.shown()
        draw_thumbnails(self.layout, context, shown, shown.latest, shown.chosen, _COLUMNS)
        # four in a row would be cut off
        buttons = self.layout.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
        for operator, words, settings in (("sd.history_use", "Show", {"into": "EDITOR"}), ("sd.history_use", "Apply",
                                                                                           {"into": "MATERIAL"}),
                                          ("sd.history_recall", "Recall", {}), ("sd.history_vary", "Vary", {})):
            button = buttons.operator(operator, text=translated(words))
            for name, value in {"name": shown.chosen.name, **settings}.items():
                setattr(button, name, value)


CLASSES = place(Results, *SIDEBARS)
