"""Blender's text blocks as prompts and as lists of options."""
from __future__ import annotations

import bpy

from . import images

PROMPT = "Prompt"  # what its text block is called


def prompt_in(text: bpy.types.Text, limit: int = 0) -> str:
    """The text as one line, as prompts are. `limit`: reads no further once so many letters are there; 0: to the end."""
    words, count = [], 0
    for line in text.lines:
        if body := line.body.strip():
            words.append(body)
            count += len(body)
            if 0 < limit <= count:
                break
    return " ".join(words)


def prompt_text(words: str) -> bpy.types.Text:
    """A text block that holds the prompt `words`: one that was made for it before, else a new one."""
    known = next((text for text in bpy.data.texts if text.name.startswith(PROMPT) and text.is_editable and prompt_in(text) == words), None)
    if known is not None:
        return known
    text = bpy.data.texts.new(PROMPT)
    text.write(words)
    return text


def append_line(text: bpy.types.Text, words: str) -> None:
    """Puts `words` on a line of their own at the end."""
    last = text.lines[-1].body
    text.cursor_set(len(text.lines) - 1, character=len(last))
    text.write(f"\n{words}" if last.strip() else words)


def write_text(name: str, words: str) -> bpy.types.Text:
    """The text block `name`, holding `words`; what it held before is gone."""
    text = bpy.data.texts.get((name, None)) or bpy.data.texts.new(name)
    text.clear()
    text.write(words)
    text.cursor_set(0)
    return text


def show_text(text: bpy.types.Text) -> bool:
    """Shows `text` in an open Text Editor, else in a window of its own, with long lines wrapped; False in background mode."""
    if bpy.app.background:
        return False
    area = next(iter(images.areas("TEXT_EDITOR")), None) or _new_editor()
    space = area.spaces.active
    space.text = text
    space.show_word_wrap = True
    space.top = 0
    area.tag_redraw()
    return True


def _new_editor() -> bpy.types.Area:
    """A Text Editor in a new window, without what only programmers need."""
    manager = bpy.context.window_manager
    before = set(manager.windows)
    bpy.ops.wm.window_new()
    window = next(window for window in manager.windows if window not in before)
    area = window.screen.areas[0]
    area.ui_type = "TEXT_EDITOR"
    space = area.spaces.active
    space.show_line_numbers = space.show_syntax_highlight = False
    return area


def text_named(name: str) -> str | None:
    """What the text block `name` (with or without ".txt", in any case) holds; None where there is none."""
    wanted = name.strip().casefold()
    found = next((text for text in bpy.data.texts if text.name.casefold().removesuffix(".txt") == wanted), None)
    return found.as_string() if found is not None else None


def text_names() -> list[str]:
    """The names that `text_named` knows."""
    return [text.name.casefold().removesuffix(".txt") for text in bpy.data.texts]
