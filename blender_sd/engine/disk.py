"""Files that other programs hold, folders that one process at a time may write in, and what fits on a disk. Standard library only: it
serves what runs on Blender's own Python too."""
from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from ..protocol.errors import OutputUnwritable
from ..protocol.messages import text_of

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # what an OSError says of a full disk
PATIENCE = (0.5, 1.0, 2.0, 4.0)  # seconds between tries at a file that another program holds


def stubbornly(call: Callable[[], Any]) -> Any:
    """What `call` returns. A file that another program holds, as virus scanners do with new ones, is waited for; then it is named.
    Raises OutputUnwritable."""
    for pause in (*PATIENCE, None):
        try:
            return call()
        except PermissionError as error:
            if pause is None:
                raise locked(error.filename or str(error), text_of(error)) from error
            log.info("%s; trying again", error)
            time.sleep(pause)


def locked(path: str, detail: str) -> OutputUnwritable:
    """The error for a file that another program does not let go of."""
    return OutputUnwritable(f"Another program, perhaps a virus scanner, does not let go of the file {path}.",
                            "Close it, or exclude the Engine Folder from the scan, and start again.", detail)


def try_lock(file: BinaryIO) -> bool:
    """Locks the open `file` for this process, which the system undoes where it is killed; whether no other had it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def bytes_in(folder: str) -> int:
    """How many bytes of files lie in `folder`, which may change meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                pass  # it is gone
    return total


def long_paths() -> bool:
    """Whether this Windows was told to allow paths of any length."""
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
