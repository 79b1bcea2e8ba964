"""Parse the command line, run one command, and return its exit code."""
from __future__ import annotations

import argparse
import io
import logging
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from ..core.errors import InvalidRequest, SDError
from ..core.names import suggestion
from ..core.version import version
from . import commands, exits
from .reporting import fail

PYTHON = "python -m blender_sd"
BLENDER = "blender -b [scene.blend] --command sd"
_DESCRIPTION = "Stable Diffusion in Blender, without a window."
_CODES = (
    "Exit codes: 0 done · 1 a picture could not be made · 2 arguments or inputs that cannot be used, nothing was "
    "started · 3 no engine is set up · 4 not allowed by the policy · 5 the disk is full or a folder cannot be "
    "written · 6 out of memory · 7 another version is asked for · 130 Ctrl-C · 143 terminated")


def main(arguments: Sequence[str], program: str = PYTHON) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name.
        program: How it was called, for the help.

    Returns:
        The exit code (`cli.exits`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal cannot show
    try:
        asked = _parsed(list(arguments), program)
    except SystemExit as end:  # argparse has printed the help
        return int(end.code or 0)
    except _Misused as error:
        print(error.usage, end="", file=sys.stderr)
        return fail(error, exits.UNUSABLE, "--json" in arguments)
    if not logging.root.handlers:
        logging.root.addHandler(logging.NullHandler())  # warnings go to the log file; errors are printed below
    try:
        if asked.expect_version and asked.expect_version != version():
            raise exits.OtherVersion(asked.expect_version)
        return asked.module.run(asked)
    except exits.OtherVersion as error:
        return fail(error, exits.OTHER_VERSION, asked.json)
    except SDError as error:
        return fail(error, exits.status_of(error), asked.json)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exits.FAILED


class _Misused(InvalidRequest):
    """The arguments cannot be parsed. `usage`: how the command is called."""

    def __init__(self, usage: str, message: str) -> None:
        super().__init__(f"{message[:1].upper()}{message[1:]}{'' if message.endswith(('.', '?')) else '.'}")
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    """Raise what cannot be parsed, so that it is reported as every other error is."""

    def error(self, message: str) -> NoReturn:
        raise _Misused(self.format_usage(), message)


def all_commands() -> dict[str, ModuleType]:
    """Return the module of each command by its name."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(commands.__path__) if not entry.name.startswith("_"))
    return {name: import_module(f"{commands.__name__}.{name}") for name in names}


def _parsed(arguments: list[str], program: str) -> argparse.Namespace:
    """Return the parsed arguments, with the command's module. Exit as argparse does if they cannot be used."""
    parser = _Parser(prog=program, description=_DESCRIPTION, epilog=_CODES, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=version())
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    own: dict[str, argparse.ArgumentParser] = {}
    for name, module in all_commands().items():
        own[name] = subparsers.add_parser(name, help=module.HELP, description=module.HELP, allow_abbrev=False)
        own[name].set_defaults(module=module, command=name)
        module.add_arguments(own[name])
        words = [f"[{action.dest}]" if action.nargs == "?" else action.dest
                 for action in own[name]._get_positional_actions()]
        own[name].usage = " ".join([program, name, *words, "[options]"])
        own[name].add_argument("--json", action="store_true", help="print one JSON object a line instead of text")
        own[name].add_argument(
            "--expect-version", metavar="X.Y.Z", default="",
            help="refuse to run (exit code 7) if the add-on is of another version; for farms")
    asked, unknown = parser.parse_known_args(arguments)
    if unknown:
        wanted, _, _ = unknown[0].partition("=")
        options = [text for text in own[asked.command]._option_string_actions if text.startswith("--")]
        own[asked.command].error(f"There is no option '{wanted}'. {suggestion(wanted, options)}"
                                 if wanted.startswith("-") else f"'{wanted}' is one argument too many. Put texts with "
                                 "spaces in quotes.")
    return asked
