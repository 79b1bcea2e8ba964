"""List the models that can be chosen."""
from __future__ import annotations

import argparse

from .. import exits
from ..options import add_machine, configure
from ..reporting import record

HELP = "list the models that can be chosen, and those that cannot be used with the reason"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_machine(parser)


def run(asked: argparse.Namespace) -> int:
    configure(asked)
    from ...calls import models

    for info in models.refresh_models():
        if asked.json:
            record("model", name=info.name, id=info.id, folder=info.folder, family=info.family,
                   width=info.default_width, height=info.default_height, steps=info.steps)
        else:
            print(f"{info.name}  ({info.family}, {info.default_width} × {info.default_height})  {info.id}")
    for unusable in models.known_unusable():
        if asked.json:
            record("unusable", place=unusable.place, reason=unusable.reason)
        else:
            print(f"cannot be used: {unusable.place}: {unusable.reason}")
    return exits.DONE
