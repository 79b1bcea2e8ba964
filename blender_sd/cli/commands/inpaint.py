"""Repaint the masked part of pictures."""
from __future__ import annotations

import argparse

from ...core.tasks import INPAINT
from .. import units
from ..options import add_painting, add_settings, settings_in
from ..painting import paint, set_up

HELP = "repaint the masked part of a picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a file (#### stands for the frame), an image of the .blend file, or CAMERA")
    parser.add_argument("mask", help="such a picture, white where it is repainted; or ALPHA, its transparent parts")
    parser.add_argument("prompt", nargs="?", help="what the part should show; by default what made the picture")
    parser.add_argument("--frames", default="", metavar="RANGE", help="frames such as 1-10,20-30x2")
    add_painting(parser)
    add_settings(parser, INPAINT)


def run(asked: argparse.Namespace) -> int:
    set_up(asked)
    keywords = {"source": asked.source, "mask": asked.mask, "prompt": asked.prompt, **settings_in(asked, INPAINT)}
    return paint(asked, list(units.planned(asked, INPAINT, keywords, asked.frames)))
