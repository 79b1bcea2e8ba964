"""A copy of the open file for a Blender without a window: what the person does meanwhile changes nothing in it."""
from __future__ import annotations

import os
from contextlib import suppress

import bpy

from ..core.errors import OutputUnwritable
from ..library import files

_UNSAVED = "untitled.blend"
_CACHES = "blendcache_"  # Blender keeps simulations in a folder of this name beside the file


def save_copy(folder: str) -> str:
    """Save the open file into an existing folder, under its own name, and return the copy's path.

    Relative paths in it are changed so that they lead to the same files, and simulations that lie on disk are found.
    The open file stays as it is, saved or not.

    Raises:
        OutputUnwritable: It cannot be written.
    """
    original = bpy.data.filepath
    name = os.path.basename(original) or _UNSAVED
    path = os.path.join(folder, name)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=path, copy=True, relative_remap=True, compress=False)
    except RuntimeError as error:
        raise OutputUnwritable(f"A copy of the scene cannot be saved in {folder}.",
                               "Free some space, or choose another folder.", str(error)) from None
    caches = f"{_CACHES}{os.path.splitext(name)[0]}"
    beside = os.path.join(os.path.dirname(original), caches) if original else ""
    if beside and os.path.isdir(beside) and not os.path.lexists(os.path.join(folder, caches)):
        with suppress(OSError):  # Windows lets not everybody make links: the simulation is computed again then
            files.link_folder(beside, os.path.join(folder, caches))
    return path


def unsaved_pictures() -> list[str]:
    """Return the names of images that were painted on and not saved: a copy of the file does not have the strokes."""
    return sorted(image.name for image in bpy.data.images if image.is_dirty and image.packed_file is None
                  and image.source != "VIEWER" and image.type not in ("RENDER_RESULT", "COMPOSITING"))


def runs_scripts() -> bool:
    """Return whether scripts in the open file may run: none was refused when it was opened."""
    return not bpy.app.autoexec_fail
