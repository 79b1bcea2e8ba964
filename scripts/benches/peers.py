"""Measure other programs to compare the engine with, each in an environment of its own, made on first use."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import envs

from . import common

_HERE = Path(__file__).resolve().parent
_TOLD = 400  # characters of a failure


def seconds(name: str, script: str, arguments: tuple[object, ...], limit: float, log: Callable[[str], None], *,
            borrows: bool = False) -> float | None:
    """Return the median of the times that `script` of the peer `name` ("openvino", "sdcpp") measures; None, with a
    message, if it does not install, fails, or takes longer than `limit` seconds. `borrows`: it also imports from the
    environment that runs the bench."""
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        python = envs.ensure(envs.Env(f".venv-{name}", running, (f"peer-{name}.txt",), "", "under 0.1 GB"), log)
    except envs.EnvError as error:
        log(f"{name} is left out, it does not install: {str(error)[-_TOLD:]}")
        return None
    paths = {"PYTHONPATH": sysconfig.get_paths()["purelib"]} if borrows else {}
    command = [str(python), str(_HERE / script), *map(str, arguments)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=limit, env={**os.environ, **paths}
        )
        return common.median(json.loads(done.stdout.splitlines()[-1])["seconds"])
    except subprocess.TimeoutExpired:
        log(f"{name} {arguments[-1]} is left out, it was not done after {limit:.0f} s")
    except (IndexError, ValueError, KeyError, TypeError):
        log(f"{name} {arguments[-1]} is left out, it broke: {(done.stdout + done.stderr)[-_TOLD:]}")
    return None
