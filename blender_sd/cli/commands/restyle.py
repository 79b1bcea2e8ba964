"""Paint over pictures: files, images of the .blend file, or the camera's frames."""
from __future__ import annotations

import argparse

from ...core.tasks import IMAGE_TO_IMAGE
from .. import units
from ..options import add_painting, add_settings, settings_in
from ..painting import paint, set_up

HELP = "paint over a picture, or over the camera's frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a file (#### stands for the frame), an image of the .blend file, or CAMERA")
    parser.add_argument("prompt", help="what the pictures should show")
    parser.add_argument("--frames", default="", metavar="RANGE", help="frames such as 1-10,20-30x2")
    add_painting(parser)
    add_settings(parser, IMAGE_TO_IMAGE, "the results")


def run(asked: argparse.Namespace) -> int:
    set_up(asked)
    keywords = {"source": asked.source, "prompt": asked.prompt, **settings_in(asked, IMAGE_TO_IMAGE)}
    return paint(asked, list(units.planned(asked, IMAGE_TO_IMAGE, keywords, asked.frames)))
