"""Styles that can be chosen: the shipped ones, and the person's or studio's own. `core.style_format` says what a style
is.

    sd.generate("old lighthouse", style="Watercolour")
    sd.save_style("Wet Bricks", prompt="{prompt}, wet, puddles", tiling="xy", steps=30)
"""
from __future__ import annotations

import os
from typing import Any

from ..core.style_format import Style, make_style
from . import models
from .arguments import checked_call
from .runtime import runtime

def styles() -> list[Style]:
    """Return all styles by name. Looks at the folders again; files that have not changed are not read again."""
    return runtime.styles.read()


def known_styles() -> list[Style]:
    """Return the styles that were last read. Reads nothing: made for drawing."""
    return runtime.known_styles.styles if runtime.known_styles else []


def known_style(name: str) -> Style | None:
    """Return the style of that name among those last read. Reads nothing: made for drawing."""
    return runtime.known_styles.known(name) if runtime.known_styles else None


def refusal(style: Style, model: str) -> str:
    """Return why the model of the id `model` cannot paint in a shipped style, "" where it can. A person's own styles
    are never refused. Reads nothing: made for drawing."""
    known = models.known_vocabulary(model)
    unknown = known.unknown(style.words("")[0]) if known is not None and not style.own else []
    if not unknown:
        return ""
    return f"The starter model does not know: {', '.join(unknown)}. Choose another model for this style"


def problems() -> list[str]:
    """Return a line for each file in the folders that cannot be used. Reads nothing."""
    return runtime.known_styles.problems if runtime.known_styles else []


@checked_call
def find_style(name: str) -> Style:
    """Return the style of that name, in any case. Raises StyleUnusable."""
    return runtime.styles.find(name)


@checked_call
def save_style(name: str, *, overwrite: bool = False, **fields: Any) -> Style:
    """Keep a style in the person's folder. `fields`: description, group, prompt, negative, model, width, height, steps,
    guidance, sampler, tiling, strength, loras, as {name: weight}, and regions, as [{"material": "Wood", "prompt":
    "oak"}]; what is None is left open. Raises StyleUnusable, OutputUnwritable."""
    return runtime.styles.save(make_style(name, fields), overwrite)


@checked_call
def delete_style(name: str) -> None:
    """Delete the person's style of that name. Raises StyleUnusable for a shipped one, OutputUnwritable."""
    runtime.styles.delete(name)


@checked_call
def import_style(file: str | os.PathLike, overwrite: bool = False) -> Style:
    """Copy a style's file into the person's folder. Raises StyleUnusable, OutputUnwritable."""
    return runtime.styles.import_file(os.fspath(file), overwrite)


@checked_call
def export_style(name: str, file: str | os.PathLike) -> str:
    """Write a copy of a style's file, to be shared; its path. Raises StyleUnusable, OutputUnwritable."""
    return runtime.styles.export(name, os.fspath(file))
