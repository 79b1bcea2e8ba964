"""Add `blender -b file.blend --command sd_report --csv out.csv`: the report of generated images, without a window.

Blender's own help: `blender --command help`, `blender --command sd_report --help`.
"""
from __future__ import annotations

import argparse
import os
import sys

import bpy

from ..calls import image_origin
from ..core.errors import SDError, SourceUnusable
from ..core.names import closest, suggestion
from ..library.image_report import CSV, TEXT

NAME = "sd_report"
_handle = None


def run(arguments: list[str]) -> int:
    """Run the command.

    Returns:
        0; or, with a line on standard error, 2 if the arguments or the file cannot be used and 1 if the report cannot
        be written.
    """
    try:
        asked = _parsed(arguments)
    except SystemExit as end:  # argparse has printed why
        return int(end.code or 0)
    try:
        if asked.file:
            _open(asked.file)
    except SDError as error:
        return _fail(error, 2)
    try:
        for path, format in ((asked.csv, CSV), (asked.text, TEXT)):
            if path:
                image_origin.report(path, format, asked.prompts, asked.chains)
        if not (asked.csv or asked.text):
            print(image_origin.report(prompts=asked.prompts, chains=asked.chains))
    except SDError as error:
        return _fail(error, 1)
    return 0


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the command's arguments. Exit as argparse does if they cannot be used."""
    parser = argparse.ArgumentParser(
        prog=f"blender -b file.blend --command {NAME}",
        description="Lists every generated image of the .blend file, with model, licence and users.")
    declared = (
        parser.add_argument("file", nargs="?", help="the .blend file, where Blender was not given one"),
        parser.add_argument("--csv", metavar="FILE", help="write it as CSV"),
        parser.add_argument("--text", metavar="FILE", help="write it as text; without any file the text is printed"),
        parser.add_argument("--prompts", action="store_true", help="with prompts, which may be confidential"),
        parser.add_argument("--chains", action="store_true",
                            help="with what each picture was made of, from the output folder"),
    )
    asked, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = [name for argument in declared for name in argument.option_strings]
        parser.error(f"There is no option '{unknown[0]}'. {suggestion(unknown[0], options)}")
    return asked


def _open(file: str) -> None:
    """Open the .blend `file`. Raise SourceUnusable if it is missing or no .blend file."""
    path = os.path.abspath(os.path.expanduser(file))
    folder, name = os.path.split(path)
    if not os.path.isfile(path):
        beside = [entry for entry in os.listdir(folder) if entry.endswith(".blend")] if os.path.isdir(folder) else []
        raise SourceUnusable(f"There is no file '{path}'.", suggestion(name, closest(name, beside), "Check its path."))
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False)
    except RuntimeError as error:
        raise SourceUnusable(f"'{path}' cannot be opened as a .blend file.", "Choose another file.",
                             str(error)) from None


def _fail(error: SDError, status: int) -> int:
    print(f"{NAME}: {error}", file=sys.stderr)
    return status


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, run)


def unregister() -> None:
    global _handle
    bpy.utils.unregister_cli_command(_handle)
    _handle = None
