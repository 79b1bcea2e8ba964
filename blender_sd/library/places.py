"""Choose the base folder for the engine, models, pictures and styles on each system."""
from __future__ import annotations

import ntpath
import os
import posixpath
import sys
from collections.abc import Mapping

VARIABLE = "SD_BASE"  # environment variable that names another base folder, as on a farm
NAME = "blender_sd"  # short and without a space: Windows allows 260 characters in a path


def base_folder(system: str = sys.platform, variables: Mapping[str, str] = os.environ, home: str = "",
                program: str = sys.executable) -> str:
    """Return the base folder that suits this machine. Nothing is accessed or created.

    On Windows it is in the folder for local data, which is neither synchronised nor moved to another computer. A
    Blender from the Microsoft Store gets that folder as a private copy with a longer path, which is deleted when
    Blender is uninstalled; then the base folder is in the home folder.

    Args:
        system: The system, as in `sys.platform`.
        variables: The environment variables.
        home: The home folder; "" for that of the account.
        program: Blender's Python.
    """
    path = ntpath if system == "win32" else posixpath
    if path.isabs(variables.get(VARIABLE, "")):
        return variables[VARIABLE]
    home = home or os.path.expanduser("~")
    if system == "win32":
        if "\\windowsapps\\" in program.lower():
            return path.join(home, NAME)
        return path.join(variables.get("LOCALAPPDATA") or path.join(home, "AppData", "Local"), NAME)
    if system == "darwin":
        return path.join(home, "Library", "Application Support", NAME)
    data = variables.get("XDG_DATA_HOME", "")  # freedesktop.org: a path that is not absolute must be ignored
    return path.join(data if path.isabs(data) else path.join(home, ".local", "share"), NAME)


def is_translocated(program: str = sys.executable) -> bool:
    """Return whether macOS runs this Blender from a temporary place, because it is not in Applications.

    That place changes each time.
    """
    return "/AppTranslocation/" in program
