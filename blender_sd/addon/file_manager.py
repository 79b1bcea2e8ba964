"""Show a file in the system's file manager, selected in its folder. Waiting is done in a thread."""
from __future__ import annotations

import logging
import ntpath
import os
import subprocess
import sys
import threading
from pathlib import Path

log = logging.getLogger("blender_sd")

_LIMIT = 5.0  # seconds that a file manager may take to answer
_BUS = "org.freedesktop.FileManager1"  # https://www.freedesktop.org/wiki/Specifications/file-manager-interface/


def show(path: str) -> threading.Thread:
    """Open the folder of `path`, with the file selected if the system can do that. Return the thread that does it."""
    thread = threading.Thread(target=_show, args=(path,), name="blender_sd file manager", daemon=True)
    thread.start()
    return thread


def commands(path: str, platform: str = sys.platform) -> list[str | list[str]]:
    """Return the commands to try in order until one works.

    On Windows that is a string: Explorer needs the quotes around the path alone. A list would put them around the whole
    `/select,…` if the path has a space, and Explorer would open Documents.
    """
    if platform == "win32":
        explorer = ntpath.join(os.environ.get("SYSTEMROOT") or r"C:\Windows", "explorer.exe")
        return [f'"{explorer}" /select,"{ntpath.normpath(path)}"']
    if platform == "darwin":
        return [["open", "-R", path]]
    uri = Path(path).as_uri().replace(",", "%2C")  # dbus-send parts a list at its commas
    return [[
        "dbus-send", "--session", f"--dest={_BUS}", "--type=method_call", "--print-reply", f"/{_BUS.replace('.', '/')}",
        f"{_BUS}.ShowItems", f"array:string:{uri}", "string:"], ["xdg-open", os.path.dirname(path)]]


def _show(path: str) -> None:
    for command in commands(path):
        program = command if isinstance(command, str) else command[0]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT)
        except (OSError, subprocess.TimeoutExpired) as error:
            log.info("%s: %s", program, error)
            continue
        if done.returncode == 0 or isinstance(command, str):  # Explorer returns 1 on success
            return
        log.info("%s: %s", program, done.stderr.decode(errors="replace").strip())
    log.warning("no file manager could be opened for %s", path)
