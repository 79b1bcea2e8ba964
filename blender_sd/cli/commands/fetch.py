"""Download a model from the Hugging Face hub."""
from __future__ import annotations

import argparse

from .. import exits
from ..interrupts import Interrupts
from ..options import add_machine, configure
from ..reporting import Progress, record

HELP = "download a model from the Hugging Face hub"
_PATIENCE = 0.2  # seconds between looks at the signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="owner/name, owner/name/file.safetensors, or the page's address")
    parser.add_argument("--accept-licence", action="store_true", help="you have read its licence and accept it")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_machine(parser)


def run(asked: argparse.Namespace) -> int:
    configure(asked)
    from ...calls import downloads
    from ...calls.runtime import runtime

    progress = Progress(1, asked.quiet)
    with Interrupts() as interrupts:
        download = downloads.fetch(asked.model, accept_licence=asked.accept_licence)
        while not download.done and not interrupts.status:
            runtime.wait(_PATIENCE)
            runtime.pump(None)
            progress.show(0, download.name, download.state, download.progress, download.eta)
        progress.close()
        if interrupts.status:
            runtime.shutdown()
            return interrupts.status
    try:
        path = str(download.result())
    finally:
        runtime.shutdown()
    if asked.json:
        record("fetched", model=asked.model, path=path)
    else:
        print(path)
    return exits.DONE
