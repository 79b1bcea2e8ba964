"""List every generated image of a .blend file."""
from __future__ import annotations

import argparse

from .. import exits
from ..blend_files import open_blend
from ..reporting import record

HELP = "list every generated image of the .blend file, with model, licence and users"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", help="the .blend file, where Blender was not given one")
    parser.add_argument("--csv", metavar="FILE", help="write it as CSV")
    parser.add_argument("--text", metavar="FILE", help="write it as text; without any file the text is printed")
    parser.add_argument("--prompts", action="store_true", help="with prompts, which may be confidential")
    parser.add_argument("--chains", action="store_true",
                        help="with what each picture was made of, from the output folder")


def run(asked: argparse.Namespace) -> int:
    from ...calls.scene_access import has_blender

    if asked.file or not has_blender():
        open_blend(asked.file or "")
    from ...calls import image_origin
    from ...library.image_report import CSV, TEXT

    for path, format in ((asked.csv, CSV), (asked.text, TEXT)):
        if path:
            image_origin.report(path, format, asked.prompts, asked.chains)
            if asked.json:
                record("written", path=path, format=format)
    if not (asked.csv or asked.text):
        text = image_origin.report(None, TEXT, asked.prompts, asked.chains)
        record("report", text=text) if asked.json else print(text)
    return exits.DONE
