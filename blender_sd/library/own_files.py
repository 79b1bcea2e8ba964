"""Read the small files of a model, but only plain files that belong to the model itself.

A link out of the model's folder could lead to a private file, whose text would be shown and written into pictures;
reading a pipe would block; an endless file would fill the memory. Hugging Face's cache consists of links to `blobs`
beside `snapshots`: those are allowed.
"""
from __future__ import annotations

import os
import stat

from .paths import open_plain

MAX_BYTES = 1 << 20  # of most small files; files from elsewhere may have any size
SNAPSHOTS, BLOBS = "snapshots", "blobs"  # folders of Hugging Face's cache: names, and the files that they link to


def own(folder: str, path: str) -> str:
    """Return the real path of `path`, which must belong to the model.

    That is in the model's `folder`, or in the `blobs` of the hub's cache that contains it.

    Raises:
        PermissionError: A link leads elsewhere.
        FileNotFoundError: There is no such file.
    """
    real = os.path.realpath(path, strict=True)
    if not any(_within(real, root) for root in _roots(os.path.realpath(folder))):
        raise PermissionError(f"a link out of its folder: {os.path.basename(path)}")
    return real


def has(folder: str, name: str) -> bool:
    """Return whether the model in `folder` has a plain file `name` of its own."""
    try:
        return stat.S_ISREG(os.stat(own(folder, os.path.join(folder, name))).st_mode)
    except OSError:
        return False


def read(folder: str, name: str, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of a file of a model.

    Args:
        folder: The model's folder.
        name: The file's path in it.
        most: The largest size in bytes.

    Raises:
        OSError: It is missing, no plain file, or not the model's own.
        ValueError: It is larger than `most`.
    """
    with open_plain(own(folder, os.path.join(folder, name))) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} is longer than {most} bytes")
    return data


def _roots(folder: str) -> tuple[str, ...]:
    before, mark, _ = folder.rpartition(os.sep + SNAPSHOTS + os.sep)
    return (folder, os.path.join(before, BLOBS)) if mark else (folder,)


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(os.path.join(root, ""))
