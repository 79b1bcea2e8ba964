"""Blender's text blocks as prompts and as lists of options."""
from __future__ import annotations

import bpy

from ..core.names import name_key
from . import screens

PROMPT = "Prompt"  # the name of its text block


def prompt_in(text: bpy.types.Text, limit: int = 0) -> str:
    """Return the text as one line, as prompts are. `limit`: stop reading after so many characters; 0: read all."""
    words, count = [], 0
    for line in text.lines:
        if body := line.body.strip():
            words.append(body)
            count += len(body)
            if 0 < limit <= count:
                break
    return " ".join(words)


def prompt_text(words: str) -> bpy.types.Text:
    """Return a text block that holds a prompt: one that was made for it before, or a new one."""
    known = next((text for text in bpy.data.texts if text.name.startswith(PROMPT) and text.is_editable
                  and prompt_in(text) == words), None)
    if known is not None:
        return known
    text = bpy.data.texts.new(PROMPT)
    text.write(words)
    return text


def append_line(text: bpy.types.Text, words: str) -> None:
    """Append a line."""
    last = text.lines[-1].body
    text.cursor_set(len(text.lines) - 1, character=len(last))
    text.write(f"\n{words}" if last.strip() else words)


def write_text(name: str, words: str) -> bpy.types.Text:
    """Return the text block `name`, with its content replaced."""
    text = bpy.data.texts.get((name, None)) or bpy.data.texts.new(name)
    text.clear()
    text.write(words)
    text.cursor_set(0)
    return text


def show_text(text: bpy.types.Text) -> bool:
    """Show `text` in an open Text Editor, or in a new window, with long lines wrapped. Return False in background mode.
    """
    if bpy.app.background:
        return False
    area = next(iter(screens.areas("TEXT_EDITOR")), None) or _new_editor()
    space = area.spaces.active
    space.text = text
    space.show_word_wrap = True
    space.top = 0
    area.tag_redraw()
    return True


def _new_editor() -> bpy.types.Area:
    """Return a Text Editor in a new window, without what only programmers need."""
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
    """Return the content of the text block `name` (with or without ".txt", in any case), or None."""
    wanted = name_key(name)
    text = next((text for text in bpy.data.texts if name_key(text.name).removesuffix(".txt") == wanted), None)
    return text.as_string() if text is not None else None


def text_names() -> list[str]:
    """Return the names that `text_named` knows."""
    return [name_key(text.name).removesuffix(".txt") for text in bpy.data.texts]
