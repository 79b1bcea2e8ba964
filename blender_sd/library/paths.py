"""Handle paths that come with files from other people: check them as text first, and open only plain files."""
from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from typing import BinaryIO

from ..core.errors import SourceUnusable

# \\server\share, //server/share, \\?\…, file://…, smb:/…: Windows signs in to a server named by such a path, which can
# reveal the person's password. Drive letters are one character long. Looking at /net/server/… mounts it.
_ELSEWHERE = re.compile(r"[\\/]{2}|[a-z][a-z0-9+.-]+:[\\/]|[\\/](net|misc|hosts)[\\/]+[^\\/]", re.I)


def is_elsewhere(path: str, folders: Iterable[str] = ()) -> bool:
    """Return whether `path` names another computer and is in none of `folders`, which the person trusts.

    Nothing is accessed.
    """
    wanted = path.strip().strip("\"'")
    if not _ELSEWHERE.match(wanted):
        return False
    parts = _parts(wanted)
    for folder in folders:
        top = _parts(folder)
        if top and ".." not in parts and parts[:len(top)] == top:
            return False
    return True


def check_file(path: str, folders: Iterable[str] = ()) -> None:
    """Raise SourceUnusable for a path on another computer (see `is_elsewhere`), without accessing it."""
    if is_elsewhere(path, folders):
        raise SourceUnusable(f"'{path:.120}' lies on another computer, so it is not opened.",
                             "Copy the file to this computer, or save the .blend file beside it, if you trust it.")


def open_plain(path: str | os.PathLike) -> BinaryIO:
    """Open the file `path` to read its bytes.

    Raise OSError if it is no plain file: reading a pipe or a terminal would block.
    """
    handle = os.open(path, os.O_RDONLY
                     | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no plain file", os.fspath(path))
    return os.fdopen(handle, "rb")


def program(name: str) -> str:
    """Return the full path of the program `name`, or "" if there is none.

    A bare name is searched in the folders of PATH only: Windows would look into the current folder first, which may be
    unsafe.
    """
    if os.path.isabs(name):
        return name
    if name != os.path.basename(name) or not name:
        return ""
    endings = ("", ".exe") if os.name == "nt" else ("",)
    places = (folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder))
    candidates = (os.path.join(folder, name + ending) for folder in places for ending in endings)
    return next((path for path in candidates if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def _parts(path: str) -> list[str]:
    return [part for part in re.split(r"[\\/]+", path.strip().casefold()) if part not in ("", ".")]
