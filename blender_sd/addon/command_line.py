"""Add `blender -b scene.blend --command sd …` to Blender: the command line of `cli`.

`sd_report` is the older name of `sd report`; it stays for one version. Blender's own help: `blender --command help`.
"""
from __future__ import annotations

import sys

import bpy

from ..cli.main import BLENDER, main

NAME, ALIAS = "sd", "sd_report"
_handles: list = []


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    return main(arguments, BLENDER)


def run_report(arguments: list[str]) -> int:
    """Run `sd report` under its older name."""
    print(f"{ALIAS} is now called 'sd report'; the old name goes in the next version.", file=sys.stderr)
    return main(["report", *arguments], BLENDER)


def register() -> None:
    for name, command in ((NAME, run), (ALIAS, run_report)):
        _handles.append(bpy.utils.register_cli_command(name, command))


def unregister() -> None:
    while _handles:
        bpy.utils.unregister_cli_command(_handles.pop())
