"""The history's panel in windowless Blender: a folder of pictures, and ticks until it has nothing more to do."""
from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from blender_sd.addon import history, tick
import blender_sd as sd
from blender_sd.calls.runtime import runtime

from blender_sd.core.request import Request
from tests.support.fake_pipeline import write_png


@pytest.fixture
def folder(addon) -> Path:
    """The output folder, with the panel in view."""
    history.want()
    return Path(sd.output_folder())


def put(folder: Path, name: str, at: float = 1000.0, **settings) -> str:
    path = str(folder / f"{name}.png")
    write_png(path, Request(**{"prompt": name, "width": 16, "height": 16, "steps": 4, **settings}))
    os.utime(path, (at, at))
    return path


def settle() -> history.Shown:
    """Ticks until the history has nothing more to do; what is shown then."""
    runtime.history.refresh().result(30)
    while history.busy():
        threading.Event().wait(0.005)
        tick.tick()
    tick.tick()
    return history.shown()


def prompts(shown) -> list[str]:
    return [one.prompt for one in shown.entries]
