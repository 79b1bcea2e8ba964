"""Blender's text blocks as prompts and as lists of options."""
from __future__ import annotations

import bpy


def prompt_in(text: bpy.types.Text) -> str:
    """The text as one line, as prompts are."""
    return " ".join(line.body.strip() for line in text.lines if line.body.strip())


def text_named(name: str) -> str | None:
    """What the text block `name` (with or without ".txt", in any case) holds; None where there is none."""
    wanted = name.strip().casefold()
    found = next((text for text in bpy.data.texts if text.name.casefold().removesuffix(".txt") == wanted), None)
    return found.as_string() if found is not None else None


def text_names() -> list[str]:
    """The names that `text_named` knows."""
    return [text.name.casefold().removesuffix(".txt") for text in bpy.data.texts]
