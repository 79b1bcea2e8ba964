"""Keep the chosen folders and the interpreter while the add-on is disabled.

Blender deletes an add-on's preferences when it is disabled. Without this, the engine, the pictures and the models would
be installed or searched for again after it is enabled. The file is deleted when the extension is uninstalled.
"""
from __future__ import annotations

import json
import logging

from ..calls.runtime import runtime
from ..library.files import make_folders, write_whole

log = logging.getLogger("blender_sd")

_PATHS = ("base", "engine_python", "engine_place", "output", "downloads", "styles")


def keep(prefs) -> None:
    """Write the paths of `prefs` if they differ from those written last."""
    chosen = {name: getattr(prefs, name)
              for name in _PATHS} | {"model_folders": [folder.path for folder in prefs.model_folders]}
    if chosen == _read():
        return
    file = runtime.folders.own_folder("chosen.json")
    try:
        make_folders(str(file.parent))
        write_whole(str(file), json.dumps(chosen, indent=1).encode())
    except OSError as error:
        log.warning("the chosen folders cannot be kept: %s", error)


def restore(prefs) -> None:
    """Fill in what `prefs` leaves empty and was chosen before."""
    chosen = _read()
    for name in _PATHS:
        if not getattr(prefs, name) and isinstance(chosen.get(name), str) and chosen[name]:
            setattr(prefs, name, chosen[name])
    folders = chosen.get("model_folders")
    if not prefs.model_folders and isinstance(folders, list):
        for path in folders:
            if isinstance(path, str) and path:
                prefs.model_folders.add().path = path


def _read() -> dict:
    try:
        paths = json.loads(runtime.folders.own_folder("chosen.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # nothing was saved yet
    return paths if isinstance(paths, dict) else {}
