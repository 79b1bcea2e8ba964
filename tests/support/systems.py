"""What tests ask of a system, each in its own way: processes of others, links, pipes."""
from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest


def posix(why: str) -> pytest.MarkDecorator:
    """The mark of a test that can only run on POSIX. `scripts/test.py --windows` allows few of them."""
    return pytest.mark.skipif(os.name == "nt", reason=f"POSIX only: {why}")


def link(place: Path, target: Path) -> bool:
    """Make `place` a symbolic link to `target`; whether that was allowed: Windows asks for a right that few accounts
    have."""
    try:
        place.symlink_to(target)
    except OSError:
        if os.name != "nt":
            raise
    return place.is_symlink()  # Wine says that it has made one


def pipe(place: Path) -> None:
    """Make a named pipe, where the system has them as files: whoever opens it waits for a writer."""
    if hasattr(os, "mkfifo"):
        os.mkfifo(place)


def gone(pid: int) -> bool:
    """Whether the process has ended and, on POSIX, was reaped: a zombie still answers there."""
    if os.name == "nt":
        return not _windows_knows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def kill(pid: int) -> None:
    """End the process without asking it."""
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # on Windows any signal but Ctrl-C's ends it so


def is_wine() -> bool:
    """Whether this Windows is Wine, which leaves out some of what Windows does."""
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def priority(pid: int) -> str:
    """The class of priority of a process on Windows, in words."""
    with _opened(pid, 0x1000) as (kernel, handle):  # may ask for what is known of it
        return {0x20: "normal", 0x4000: "below normal", 0x40: "idle"}.get(kernel.GetPriorityClass(handle), "another")


def _windows_knows(pid: int) -> bool:
    with _opened(pid, 0x100000) as (kernel, handle):  # may wait for it
        return bool(handle) and kernel.WaitForSingleObject(handle, 0) == 0x102  # the time is over


@contextlib.contextmanager
def _opened(pid: int, rights: int):
    """Windows' kernel32 and a handle of the process, None where there is no such process."""
    import ctypes
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32")
    kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    kernel.OpenProcess.restype = wintypes.HANDLE
    kernel.WaitForSingleObject.argtypes = (wintypes.HANDLE, wintypes.DWORD)
    kernel.GetPriorityClass.argtypes = kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    handle = kernel.OpenProcess(rights, False, pid)
    try:
        yield kernel, handle
    finally:
        if handle:
            kernel.CloseHandle(handle)
