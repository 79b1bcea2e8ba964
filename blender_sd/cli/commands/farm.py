"""Write what a render farm needs to run the command line."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

from ...core.errors import OutputUnwritable
from ...core.version import version
from .. import exits
from ..reporting import record

HELP = "write a render farm's job type: farm flamenco FOLDER"
_SCRIPT = Path(__file__).resolve().parent.parent / "flamenco" / "stable_diffusion.js"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", choices=("flamenco",), help="the farm's manager")
    parser.add_argument("folder", help="the folder 'scripts' beside flamenco-manager")


def run(asked: argparse.Namespace) -> int:
    from ...library import files

    target = Path(os.path.expanduser(asked.folder)).absolute() / _SCRIPT.name
    text = _SCRIPT.read_text(encoding="utf-8").replace("@VERSION@", version())
    try:
        files.make_folders(str(target.parent))
        files.write_whole(str(target), text.encode())
    except OSError as error:
        raise OutputUnwritable(f"{target} cannot be written.", "Look who may write there.", repr(error)) from None
    if asked.json:
        record("written", path=str(target), version=version())
    else:
        print(target)
    return exits.DONE
