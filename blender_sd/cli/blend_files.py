"""The .blend file that the command line works on: open it, and find paths beside it."""
from __future__ import annotations

import os

from ..core.errors import SourceUnusable
from ..core.names import closest, suggestion


def whole_path(path: str) -> str:
    """Return a path as a whole one: "//" begins at the open .blend file, as in Blender, "~" is the person's folder.
    Raises SourceUnusable if it begins with "//", but no saved .blend file is open."""
    from ..calls.runtime import runtime

    return os.path.abspath(os.path.expanduser(runtime.scene.local_path(path)))


def open_blend(file: str) -> None:
    """Open the .blend `file`.

    Raises:
        NeedsBlender: This Python has no bpy.
        SourceUnusable: It is missing or no .blend file.
    """
    from ..calls.scene_access import has_blender

    if not has_blender():
        from ..calls.no_scene import needs_blender

        raise needs_blender("Opening a .blend file")
    import bpy

    path = os.path.abspath(os.path.expanduser(file))
    folder, name = os.path.split(path)
    if not os.path.isfile(path):
        beside = [entry for entry in os.listdir(folder) if entry.endswith(".blend")] if os.path.isdir(folder) else []
        raise SourceUnusable(f"There is no file '{path}'.", suggestion(name, closest(name, beside), "Check its path."))
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False)
    except RuntimeError as error:
        raise SourceUnusable(f"'{path}' cannot be opened as a .blend file.", "Choose another file.",
                             str(error)) from None
