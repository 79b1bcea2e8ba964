"""Output folders of animations as they are once everything is recorded; no geometry, so Blender's Python suffices."""
from __future__ import annotations

import os

from blender_sd.library import shot_folders
from blender_sd.library.png import grey_png
from blender_sd.library.shots import ShotWriter
from blender_sd.protocol.shots import FRAMES, ShotInfo


def alike(output: str, count: int, finished: bool = False) -> str:
    """Make an output folder whose shot has `count` frames that are links to one file, and return the shot's folder.

    Args:
        output: The folder; its parent exists.
        count: The number of frames, from 1.
        finished: Whether the finished frames are there too.
    """
    os.mkdir(output)
    shot = shot_folders.new_shot(output)
    writer = ShotWriter(shot)
    writer.picture(FRAMES, 1, grey_png(64, 64, bytes(64 * 64)))
    first = os.path.join(shot, FRAMES, "000001.png")
    for frame in range(1, count + 1):
        if frame > 1:
            os.link(first, os.path.join(shot, FRAMES, f"{frame:06d}.png"))
        if finished:
            os.link(first, os.path.join(output, f"{frame:06d}.png"))
    writer.info(ShotInfo(tuple(range(1, count + 1)), 64, 64, link="flow"))
    shot_folders.note_contents(output, {"frames": "SCENE", "scene": "yes", "motion": "auto"})
    return shot
