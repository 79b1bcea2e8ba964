"""Paint pictures from words."""
from __future__ import annotations

import argparse

from ...core.tasks import TEXT_TO_IMAGE
from .. import units
from ..options import add_painting, add_settings, settings_in
from ..painting import paint, set_up

HELP = "paint pictures from words"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", help="what the pictures should show")
    add_painting(parser)
    add_settings(parser, TEXT_TO_IMAGE, "the pictures")


def run(asked: argparse.Namespace) -> int:
    set_up(asked)
    keywords = {"prompt": asked.prompt, **settings_in(asked, TEXT_TO_IMAGE)}
    return paint(asked, list(units.planned(asked, TEXT_TO_IMAGE, keywords)))
