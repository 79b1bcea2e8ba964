"""Live mode without a window: a 3D View whose picture the test controls."""
from __future__ import annotations

from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from blender_sd.addon import live, tick
from blender_sd.scene import watching
from tests.support.addon import drain


class Sight:
    """A 3D View as live mode sees it. `show(n)` changes what it shows; `looks` counts the pictures taken."""

    def __init__(self, monkeypatch) -> None:
        self.grey, self.looks, self.open = 1, 0, True
        self.view = watching.View(SimpleNamespace(scene=bpy.context.scene), None,
                                  SimpleNamespace(width=200, height=100),
                                  SimpleNamespace(shading=SimpleNamespace(type="SOLID")))
        monkeypatch.setattr(watching, "find_view", lambda pointer: self.view if self.open and pointer == 7 else None)
        monkeypatch.setattr(watching, "view_sign", lambda view: (self.grey,))
        monkeypatch.setattr(watching, "obstacle", lambda view: "")
        monkeypatch.setattr(watching, "in_stroke", lambda view: False)
        monkeypatch.setattr(watching, "view_pixels", self._pixels)
        bpy.context.scene.sd_live.size = 64

    def _pixels(self, view, size):
        self.looks += 1
        return np.full((size[1], size[0], 4), self.grey, np.uint8)

    def show(self, grey: int) -> None:
        self.grey = grey
        tick.tick()


@pytest.fixture
def sight(addon, monkeypatch):
    sight = Sight(monkeypatch)
    live.start(SimpleNamespace(as_pointer=lambda: 7))
    yield sight
    live.stop()


def shown():
    return bpy.context.window_manager.sd_live


def at_rest(frames: int) -> None:
    drain(lambda: live._run is None or (live._run.machine.frames >= frames and not live._run.machine.behind))
