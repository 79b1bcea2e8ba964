"""Files that are whole or not there, under names that every system takes."""
from __future__ import annotations

import os
import re

FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # signs that some system takes in no file's name
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)  # what Windows takes for something else than a file


def write_whole(path: str, data: bytes, private: bool = False) -> None:
    """Writes `data` to the file `path`, whose folder is there, in one step: whoever looks finds the old file or the new one. `private`:
    for the person's account alone (on Windows the folder decides that). Raises OSError, and nothing is left behind then."""
    fresh = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.new")
    try:
        with open(fresh, "wb", opener=_private if private else None) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before it is renamed: a rename must not reach the disk first
        os.replace(fresh, path)
    except OSError:
        if os.path.exists(fresh):
            os.remove(fresh)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
