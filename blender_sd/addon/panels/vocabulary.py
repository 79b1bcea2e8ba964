"""Draw the vocabulary of the starter model: a menu that adds words to the prompt, and a line about unknown words."""
from __future__ import annotations

import bpy

from ...calls import models, styles
from ...core.vocabulary import KINDS
from ..layout import wrapped
from ..translations.words import translated

_TALL = 16  # entries of a column
_HEADINGS = {"material": "Material", "colour": "Colour", "condition": "Condition", "size": "Size", "wear": "Wear",
             "contrast": "Contrast"}


class SD_MT_words(bpy.types.Menu):
    """Materials, colours and other words that the starter model knows. Type to search"""

    bl_idname = "SD_MT_words"
    bl_label = "Words"
    bl_options = {"SEARCH_ON_KEY_PRESS"}

    def draw(self, context) -> None:
        known = models.known_vocabulary(context.scene.sd.model)
        if known is None:
            return
        row = self.layout.row()
        column = None
        for kind in KINDS:
            if not known.phrases[kind]:
                continue
            if kind in ("material", "colour", "condition", "size"):
                column = row.column()
            else:
                column.separator()
            column.label(text=translated(_HEADINGS[kind]))
            for number, (word, *_) in enumerate(known.phrases[kind]):
                if number and number % _TALL == 0:
                    column = row.column()
                    column.label(text="")
                entry = column.operator("sd.write_word", text=word.capitalize(), translate=False)
                entry.kind, entry.word = kind, word


def draw_unknown_words(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the words of the prompt, and of the artist's own style, that the chosen model does not know."""
    settings = context.scene.sd
    known = models.known_vocabulary(settings.model)
    if known is None:
        return
    style = styles.known_style(settings.style) if settings.style else None
    prompt = settings.words()
    if style is not None and style.own:  # for shipped styles see `draw_style`
        prompt = style.words(prompt)[0]
    unknown = known.unknown(prompt)
    if unknown:
        wrapped(layout, context, f"The starter model does not know: {', '.join(unknown)}", "INFO", most=3)


CLASSES = (SD_MT_words,)
