"""Remember from which state of the scene a frame was rendered, so that a resumed job need not render it again.

A small file beside the pictures holds, for each frame, a stamp of the .blend file and of the files that it uses, and
the digests of the rendered pictures. With the same stamp the frame's request is known without rendering; whether its
picture is there is decided by that request (`library.kept_pictures`), never by the file's name.
"""
from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from typing import Any

from ..core.request import Request
from .units import CAMERA, Unit

log = logging.getLogger("blender_sd")

FOLDER = ".frames"
_BLOCK = 1 << 22  # bytes read at a time


def stamp() -> str:
    """Return what changes whenever the saved .blend file or a file that it uses does; "" without one, or where a script
    on Blender's command line may have changed the scene since."""
    from ..calls.scene_access import has_blender

    if not has_blender():
        return ""
    import bpy

    scripted = any(argument == "-P" or argument.startswith("--python") for argument in sys.argv)
    if not bpy.data.filepath or scripted:
        return ""
    whole = hashlib.sha256()
    try:
        with open(bpy.data.filepath, "rb") as file:
            while block := file.read(_BLOCK):
                whole.update(block)
    except OSError:
        return ""
    for path in sorted(bpy.utils.blend_paths(absolute=True)):
        try:
            about = os.stat(path)
            whole.update(f"{os.path.basename(path)} {about.st_size} {about.st_mtime_ns}\n".encode("utf-8", "replace"))
        except OSError:
            whole.update(f"{os.path.basename(path)} missing\n".encode("utf-8", "replace"))
    whole.update(bpy.app.version_string.encode())
    return whole.hexdigest()


def note(folder: str, unit: Unit, request: Request, stamp: str) -> None:
    """Remember the pictures that a frame's request was made from."""
    from ..library import files

    if not stamp or not request.inputs or not _of_the_camera(unit):
        return
    known = {"stamp": stamp, "inputs": request.inputs, "width": request.width, "height": request.height}
    try:
        files.make_folders(os.path.join(folder, FOLDER))
        files.write_whole(_file(folder, unit), json.dumps(known).encode())
    except OSError as error:
        log.info("the frame cannot be noted: %r", error)  # it is rendered again then


def expected(folder: str, unit: Unit, request: Request, stamp: str) -> Request | None:
    """Return a frame's whole request if the scene is as it was when the frame was rendered; None if it must be
    rendered."""
    try:
        with open(_file(folder, unit), encoding="utf-8") as file:
            known: Any = json.load(file)
        if not stamp or known["stamp"] != stamp or not _of_the_camera(unit):
            return None
        return request.changed(width=known["width"], height=known["height"]).with_inputs(known["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_the_camera(unit: Unit) -> bool:
    """Return whether all pictures of a unit are renders: others may change while the .blend file does not."""
    pictures = [unit.keywords[name] for name in ("source", "mask", "reference") if unit.keywords.get(name)]
    pictures += [control.get("image") for control in unit.keywords.get("control_pictures", ())]
    return all(picture == CAMERA for picture in pictures)


def _file(folder: str, unit: Unit) -> str:
    return os.path.join(folder, FOLDER, f"{unit.name}.json")
