"""Shows a file in the system's file manager, selected in its folder. Never waits: what has to be waited for is a thread's."""
from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

log = logging.getLogger("blender_sd")

_LIMIT = 5.0  # seconds that a file manager may take to answer
_BUS = "org.freedesktop.FileManager1"  # https://www.freedesktop.org/wiki/Specifications/file-manager-interface/


def show(path: str) -> threading.Thread:
    """Opens the folder of `path` with that file selected where the system can do that. The thread ends when that is done."""
    thread = threading.Thread(target=_show, args=(path,), name="blender_sd file manager", daemon=True)
    thread.start()
    return thread


def commands(path: str, platform: str = sys.platform) -> list[list[str]]:
    """What to run, in order, until one works."""
    if platform == "win32":
        return [["explorer", f"/select,{os.path.normpath(path)}"]]
    if platform == "darwin":
        return [["open", "-R", path]]
    uri = Path(path).as_uri().replace(",", "%2C")  # dbus-send parts a list at its commas
    return [["dbus-send", "--session", f"--dest={_BUS}", "--type=method_call", "--print-reply", f"/{_BUS.replace('.', '/')}",
             f"{_BUS}.ShowItems", f"array:string:{uri}", "string:"],
            ["xdg-open", os.path.dirname(path)]]


def _show(path: str) -> None:
    for command in commands(path):
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT)
        except (OSError, subprocess.TimeoutExpired) as error:
            log.info("%s: %s", command[0], error)
            continue
        if done.returncode == 0 or command[0] == "explorer":  # which says 1 where it worked
            return
        log.info("%s: %s", command[0], done.stderr.decode(errors="replace").strip())
    log.warning("no file manager could be opened for %s", path)
