"""Define the messages for a Blender without a window: what is recorded and made of animations, the frames that are
finished, and outlines of a scene's things.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Record:
    """Make a shot's folder, or what is missing of it, in a Blender without a window.

    Attributes:
        job: The job's id.
        folder: The shot's folder; its parent must exist.
        frames: The numbers of the frames, rising.
        blend: The .blend file; "" if there is no scene.
        trusted: The digest (SHA-256) that the file must have for scripts in it to run; "" if they may not.
        scene: The name of its scene; "" if the pictures of `source` do not show it.
        source: A movie or a pattern of files with #### for the frame's number, whose pictures are taken; "" to render.
        link: One of `shots.LINKS`, or "auto".
        bits: 8 or 16 bits for each value of rendered frames.
        varying: Settings that follow properties of the scene, each as "setting=data path".
        prompts: As JSON: pairs of a frame and the prompt from there on.
        skip_broken: Whether frames of `source` that are missing, damaged or of another size are left out.
        fps: Frames in a number of seconds, for numbered files, which have no rate of their own; () for the scene's.
        controls: Control pictures that are drawn of each frame, each as "number=kind".
        regions: As JSON: pairs of a region's number in the request and its fields, for regions that are looked for in
            each frame.
    """

    job: str
    folder: str
    frames: tuple[int, ...]
    blend: str = ""
    trusted: str = ""
    scene: str = ""
    source: str = ""
    link: str = "auto"
    bits: int = 8
    varying: tuple[str, ...] = ()
    prompts: str = "[]"
    skip_broken: bool = False
    controls: tuple[str, ...] = ()
    regions: str = "[]"
    fps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Encode:
    """Make a movie of pictures, or OpenEXR files, or both, in a Blender without a window.

    Attributes:
        job: The job's id.
        folder: Where the frames lie, as PNG files.
        frames: Their numbers, rising.
        movie: The movie to write, .mp4 or .mkv or .mov; "" for none.
        fps: Frames of the animation in a number of seconds.
        sound: The file whose sound the movie gets; "" for none.
        linear: The folder for OpenEXR files in scene-linear light; "" for none.
        fresh: Where the movie is written until it is complete, beside it; "" where there is none.
        view: How the files' names end before ".png", for one view of a scene with several; "" for a plain one.
    """

    job: str
    folder: str
    frames: tuple[int, ...]
    movie: str
    fps: tuple[int, ...] = (24, 1)
    sound: str = ""
    linear: str = ""
    fresh: str = ""
    view: str = ""


@dataclass(frozen=True)
class Outline:
    """Render numbers instead of a picture, in a Blender without a window.

    Attributes:
        job: The job's id.
        blend: A .blend file that holds the scene and what it shows.
        scene: The name of the scene, which is set up to write its passes.
        path: The OpenEXR file to write.
        scripts: Whether scripts in the file may run.
    """

    job: str
    blend: str
    scene: str
    path: str
    scripts: bool = False


@dataclass(frozen=True, eq=False)
class FrameDone:
    """Report a frame of a sequence that is on disk, whether it was made now or was there already.

    Attributes:
        job: The job's id.
        frame: Its number.
        path: Its file.
        done: How many of the wanted frames are on disk.
        total: How many are wanted.
        key: Whether it is a keyframe.
        preview: h×w×3 uint8 sRGB, row 0 on top; or None.
    """

    job: str
    frame: int
    path: str
    done: int
    total: int
    key: bool = False
    preview: np.ndarray | None = None
