"""Enlarge pictures, with detail that a model adds."""
from __future__ import annotations

import argparse

from ...core.tasks import UPSCALE
from .. import units
from ..options import add_painting, add_settings, settings_in
from ..painting import paint, set_up

HELP = "enlarge a picture, with detail that a model adds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a file (#### stands for the frame), or an image of the .blend file")
    parser.add_argument("prompt", nargs="?", help="what the picture shows; by default what made it")
    parser.add_argument("--scale", type=float, metavar="X", help="how many times as large each side becomes (2)")
    parser.add_argument("--frames", default="", metavar="RANGE", help="frames such as 1-10,20-30x2")
    add_painting(parser)
    add_settings(parser, UPSCALE)


def run(asked: argparse.Namespace) -> int:
    set_up(asked)
    keywords = {"source": asked.source, "prompt": asked.prompt, **settings_in(asked, UPSCALE)}
    keywords |= {"scale": asked.scale} if asked.scale is not None else {}
    return paint(asked, list(units.planned(asked, UPSCALE, keywords, asked.frames)))
