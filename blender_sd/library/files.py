"""Create, replace and delete files and folders safely. This is the only module that creates them.

A file is either complete or absent, under a name that every system accepts.
"""
from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, BinaryIO


# On Windows a virus scanner or an indexer opens new files, which cannot be renamed or deleted until it closes them.
# Elsewhere a PermissionError really is one.
HELD = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.0) if os.name == "nt" else ()  # seconds between attempts


def while_held(call: Callable[[], Any], pauses: Sequence[float]) -> Any:
    """Return what `call()` returns, retrying after a PermissionError. Raise OSError.

    Args:
        call: The call.
        pauses: The pauses before each retry, in seconds.
    """
    for pause in pauses:
        try:
            return call()
        except PermissionError:
            time.sleep(pause)
    return call()


def replace(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Rename the file or folder `source` to `target`.

    A file `target` is overwritten on every system; a folder `target` must not exist. If another program holds one of
    them, retry for up to three seconds.

    Raises:
        OSError: It cannot be renamed.
    """
    while_held(lambda: os.replace(source, target), HELD)


def remove(path: str | os.PathLike) -> None:
    """Delete the file `path`, retrying for up to three seconds while another program holds it. Raise OSError."""
    while_held(lambda: os.remove(path), HELD)


def drawable(name: str) -> bool:
    """Return whether Blender can show the name.

    POSIX allows names that are not Unicode, as in archives from elsewhere; one of them in a list would hide all others.
    """
    return name.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in name)


# ---- making files and folders; shared folders may contain other people's links and files ----


_OURS = re.compile(r"\..+\.[0-9a-f]{16}\.part")  # a temporary file
_MADE = ".made-by-blender-sd"
# on file systems without hard links
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NAME_SURROGATE = 0x20000000  # bit of Windows' reparse tags that stand for another place
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)
STALE = 600  # seconds after which a killed process's temporary file is deleted


def write_whole(path: str, data: bytes, private: bool = False) -> None:
    """Write `data` to a file in one step: readers see either the old file or the complete new one.

    Args:
        path: The file; its folder must exist.
        data: The new content.
        private: Whether only the person's account may read it (on Windows the folder decides that).

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    fresh = _filled(path, lambda file: file.write(data), private)
    try:
        replace(fresh, path)
    except OSError:
        _discard(fresh)
        raise


def write_new(paths: Iterable[str], fill: Callable[[BinaryIO, str], object], private: bool = False) -> str:
    """Write a new file under the first free of several names. Nothing is ever overwritten.

    Args:
        paths: The names to try.
        fill: Writes the content to the open file that it is given, with the path that the file will have.
        private: As for `write_whole`.

    Returns:
        The path of the file, which is complete and on the disk.

    Raises:
        FileExistsError: No name is free.
        OSError: It cannot be written; nothing is left behind. Errors of `fill` are passed on.
    """
    for path in paths:
        if os.path.lexists(path):
            continue
        fresh = _filled(path, functools.partial(_fill_for, fill, path), private)
        try:
            _appear(fresh, path)
            return path
        except FileExistsError:
            _discard(fresh)  # another process was faster
        except BaseException:
            _discard(fresh)
            raise
    raise FileExistsError(errno.EEXIST, "every name is taken")


def _fill_for(fill: Callable[[BinaryIO, str], object], path: str, file: BinaryIO) -> None:
    fill(file, path)


def move_new(source: str, target: str) -> None:
    """Rename the file `source` to `target`, which must not exist. If two processes try at once, one succeeds.

    Raises:
        FileExistsError: `target` exists.
        FileNotFoundError: `source` is gone.
        OSError: It cannot be renamed.
    """
    if os.name == "nt":
        while_held(lambda: os.rename(source, target), HELD)  # never overwrites on Windows
        return
    os.close(os.open(target, _NEW, 0o666))  # reserves the name with an empty file
    try:
        os.replace(source, target)
    except OSError:
        _discard(target)
        raise


def _appear(fresh: str, target: str) -> None:
    """Do the same as `move_new` for our own temporary file; where the system allows, without an empty file in between.
    """
    if os.name != "nt":
        try:
            os.link(fresh, target, follow_symlinks=False)
            os.unlink(fresh)
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
    move_new(fresh, target)


def touch_new(path: str) -> None:
    """Create the empty file `path` unless it exists. Raise OSError if there is a link or something else."""
    try:
        os.close(os.open(path, _NEW, 0o666))
    except FileExistsError:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise


def open_own(path: str, mode: str, private: bool = False, **options: Any) -> IO[Any]:
    """Open the file `path` to append or lock, creating it if needed; never through a link. Raise OSError."""
    def opener(path: str, flags: int) -> int:
        if os.path.islink(path):
            raise OSError(errno.ELOOP, "a link is in its place", path)
        handle = os.open(path, flags | _NO_LINK, 0o600 if private else 0o666)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "it is no plain file", path)
        return handle

    return open(path, mode, opener=opener, **options)


def make_folder(path: str, private: bool = False) -> None:
    """Create the folder `path` in an existing one.

    Args:
        path: The folder. If it exists, it must be a folder and not a link.
        private: Whether only the person's account may use it; an existing folder loses wider permissions.

    Raises:
        OSError: It cannot be created, or something else has its name.
    """
    try:
        os.mkdir(path, 0o700 if private else 0o777)
    except FileExistsError:
        check_folder(path)
    if private:
        _restrict(path)


def make_folders(path: str, private: bool = False) -> None:
    """Create the person's own folder `path` with its parents. Links, which the person made there, are followed.

    Args:
        path: The folder.
        private: As for `make_folder`.

    Raises:
        OSError: It cannot be created.
    """
    os.makedirs(path, 0o700 if private else 0o777, exist_ok=True)
    if private:
        _restrict(path)


def link_folder(target: str, path: str) -> None:
    """Create the link `path` to an existing folder. Raise OSError: on Windows not everybody may."""
    os.symlink(target, path, target_is_directory=True)


def claim(path: str) -> None:
    """Create the folder `path` with a mark that it is ours to delete. Raise OSError."""
    os.mkdir(path)
    touch_new(os.path.join(path, _MADE))


def is_claimed(path: str) -> bool:
    """Return whether the folder `path` was created by `claim`; any other folder is somebody's own."""
    try:
        check_folder(path)
        return stat.S_ISREG(os.lstat(os.path.join(path, _MADE)).st_mode)
    except OSError:
        return False


def discard_claimed(path: str) -> None:
    """Delete a folder that `claim` created, its mark last: what a killed process leaves of it can be deleted later.
    Raise OSError."""
    check_folder(path)
    for name in names_in(path):
        inside = os.path.join(path, name)
        if name != _MADE and os.path.isdir(inside) and not is_link(inside):
            shutil.rmtree(inside)
        elif name != _MADE:
            remove(inside)
    shutil.rmtree(path)


def check_folder(path: str) -> None:
    """Raise NotADirectoryError if `path` is a link or no folder, FileNotFoundError if it does not exist."""
    if is_link(path) or not stat.S_ISDIR(os.lstat(path).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "a link, or no folder, is in its place", path)


def is_link(path: str) -> bool:
    """Return whether `path` leads elsewhere: a symbolic link or a Windows junction (but not a file kept by OneDrive).
    """
    return os.path.islink(path) or bool(getattr(os.lstat(path), "st_reparse_tag", 0) & _NAME_SURROGATE)


def names_in(folder: str) -> list[str]:
    """Return the names in `folder`; none if there is no such folder or a link in its place."""
    try:
        with _held_open(folder) as place:
            return os.listdir(place)
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove_in(folder: str, name: str) -> None:
    """Delete the file `name` in `folder`, which must not be a link. Raise OSError."""
    if name != os.path.basename(name):
        raise FileNotFoundError(errno.ENOENT, "no name of a file", name)
    with _held_open(folder) as place:
        if isinstance(place, int):
            os.remove(name, dir_fd=place)
        else:
            remove(os.path.join(folder, name))


def sweep(folder: str) -> None:
    """Delete temporary files that killed processes of ours left in `folder`, and nothing else."""
    for name in names_in(folder):
        if not _OURS.fullmatch(name):
            continue
        path = os.path.join(folder, name)
        try:
            known = os.lstat(path)
            if stat.S_ISREG(known.st_mode) and time.time() - known.st_mtime > STALE:
                os.unlink(path)
        except OSError:
            continue  # another engine was faster, or still holds it


def temporary(path: str) -> str:
    """Return an unpredictable name beside `path`, in the form that `sweep` recognises."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)[:200]}.{secrets.token_hex(8)}.part")


# ---- inside ----------------------------------------------------------------------------------------------------------


def _filled(path: str, fill: Callable[[BinaryIO], object], private: bool) -> str:
    """Write a temporary file beside `path` with `fill`, flush it to the disk, and return its path."""
    fresh = temporary(path)
    handle = os.open(fresh, _NEW, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())  # the rename must not reach the disk before the content
    except BaseException:
        _discard(fresh)
        raise
    return fresh


def _restrict(folder: str) -> None:
    """Restrict a folder to the person's account. Windows' user folders are private anyway."""
    if os.name == "posix" and (known := os.stat(folder)).st_uid == os.getuid() and known.st_mode & 0o077:
        with contextlib.suppress(OSError):  # a file system without permissions
            os.chmod(folder, 0o700)


def _discard(path: str) -> None:
    with contextlib.suppress(OSError):  # the folder is gone or read-only; report the first error
        os.unlink(path)


@contextlib.contextmanager
def _held_open(folder: str) -> Iterator[int | str]:
    """Yield the real folder `folder` for operations relative to it. Raise NotADirectoryError.

    Where the system allows, it is held open, so that a link that takes its place meanwhile has no effect.
    """
    check_folder(folder)
    if os.remove not in os.supports_dir_fd or os.listdir not in os.supports_fd:
        yield folder
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotADirectoryError(errno.ENOTDIR, "a link is in its place", folder) from None
        raise
    try:
        yield handle
    finally:
        os.close(handle)
