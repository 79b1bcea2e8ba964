"""Styles that can be chosen: the shipped ones, and the person's or studio's own. `protocol.styles` says what a style is.

    sd.generate("old lighthouse", style="Watercolour")
    sd.save_style("Wet Bricks", prompt="{prompt}, wet, puddles", tiling="xy", steps=30)
"""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import config
from .protocol.styles import Style, make_style
from .session.styles import Shelf

SHIPPED = Path(__file__).with_name("styles")

_shelf: Shelf | None = None


def styles() -> list[Style]:
    """All styles by name. Looks at the folders anew; files that have not changed are not read again."""
    return _the_shelf().read()


def known_styles() -> list[Style]:
    """The styles that were last read. Reads nothing: made for drawing."""
    return _shelf.styles if _shelf else []


def known_style(name: str) -> Style | None:
    """The style of that name among those last read. Reads nothing: made for drawing."""
    return _shelf.known(name) if _shelf else None


def problems() -> list[str]:
    """A line for each file in the folders that cannot be used. Reads nothing."""
    return _shelf.problems if _shelf else []


def find_style(name: str) -> Style:
    """The style of that name, in any case. Raises StyleUnusable."""
    return _the_shelf().find(name)


def save_style(name: str, *, overwrite: bool = False, **fields: Any) -> Style:
    """Keeps a style in the person's folder. `fields`: description, group, prompt, negative, model, width, height, steps, guidance,
    sampler, tiling, strength, and loras, as {name: weight}; what is None is left open. Raises StyleUnusable, OutputUnwritable."""
    return _the_shelf().save(make_style(name, fields), overwrite)


def delete_style(name: str) -> None:
    """Deletes the person's style of that name. Raises StyleUnusable for a shipped one, OutputUnwritable."""
    _the_shelf().delete(name)


def import_style(file: str | os.PathLike, overwrite: bool = False) -> Style:
    """Copies a style's file into the person's folder. Raises StyleUnusable, OutputUnwritable."""
    return _the_shelf().take_in(os.fspath(file), overwrite)


def export_style(name: str, file: str | os.PathLike) -> str:
    """Writes a copy of a style's file, to be shared; its path. Raises StyleUnusable, OutputUnwritable."""
    return _the_shelf().give_out(name, os.fspath(file))


def _the_shelf() -> Shelf:
    global _shelf
    own = str(config.style_folder())
    if _shelf is None or _shelf.own != own:
        _shelf = Shelf(own, str(SHIPPED))
    return _shelf
