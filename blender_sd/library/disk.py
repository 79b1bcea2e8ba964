"""Work with files that other programs hold, folders that one process at a time may write to, and disk space.

Only the standard library is needed, since some of this runs on Blender's own Python.
"""
from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from ..core.errors import OutputUnwritable
from ..protocol.messages import text_of
from .files import while_held

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # errors of a full disk
PATIENCE = (0.5, 1.0, 2.0, 4.0)  # seconds between attempts at a file that another program holds


def retry_while_held(call: Callable[[], Any]) -> Any:
    """Return what `call()` returns, retrying while another program holds the file, as virus scanners do with new files.

    Raises:
        OutputUnwritable: The file is still held; the message names it.
    """
    try:
        return while_held(call, PATIENCE)
    except PermissionError as error:
        raise locked(error.filename or str(error), text_of(error)) from error


def locked(path: str, detail: str) -> OutputUnwritable:
    """Return the error for a file that another program holds."""
    return OutputUnwritable(f"Another program, perhaps a virus scanner, does not let go of the file {path}.",
                            "Close it, or exclude the engine's folder from the scan, and start again.", detail)


def try_lock(file: BinaryIO) -> bool:
    """Lock the open `file` for this process and return whether that succeeded.

    The system releases the lock when the process ends.
    """
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
    """Return the number of bytes of all files in `folder`, which may change meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                pass  # deleted meanwhile
    return total


def long_paths() -> bool:
    """Return whether this Windows allows paths of any length."""
    import winreg

    try:
        with winreg.OpenKey(  # type: ignore[attr-defined]  # Windows
                winreg.HKEY_LOCAL_MACHINE,  # type: ignore[attr-defined]
                r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])  # type: ignore[attr-defined]
    except OSError:
        return False
