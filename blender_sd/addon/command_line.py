"""`blender -b file.blend --command sd_report --csv out.csv`: the report of generated images, without a window.

Blender's own help: `blender --command help`, `blender --command sd_report --help`.
"""
from __future__ import annotations

import argparse
import sys

import bpy

from .. import provenance
from ..protocol.errors import SDError
from ..session.clearance import CSV, TEXT

NAME = "sd_report"
_handle = None


def run(arguments: list[str]) -> int:
    """Carries out the command; 0, or 1 with a line on standard error."""
    parser = argparse.ArgumentParser(prog=f"blender -b file.blend --command {NAME}",
                                     description="Lists every generated image of the .blend file, with model, licence and users.")
    parser.add_argument("file", nargs="?", help="the .blend file, where Blender was not given one")
    parser.add_argument("--csv", metavar="FILE", help="write it as CSV")
    parser.add_argument("--text", metavar="FILE", help="write it as text; without any file the text is printed")
    parser.add_argument("--prompts", action="store_true", help="with prompts, which may be confidential")
    parser.add_argument("--chains", action="store_true", help="with what each picture was made of, from the output folder")
    try:
        asked = parser.parse_args(arguments)
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    try:
        if asked.file:
            bpy.ops.wm.open_mainfile(filepath=asked.file, load_ui=False)
        for path, format in ((asked.csv, CSV), (asked.text, TEXT)):
            if path:
                provenance.report(path, format, asked.prompts, asked.chains)
        if not (asked.csv or asked.text):
            print(provenance.report(prompts=asked.prompts, chains=asked.chains))
    except (SDError, RuntimeError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    return 0


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command(NAME, run)


def unregister() -> None:
    global _handle
    bpy.utils.unregister_cli_command(_handle)
    _handle = None
