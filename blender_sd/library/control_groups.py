"""What a container or a farm lets this process use: the limits of its control groups (Linux, cgroup v1 and v2).

Documentation: https://docs.kernel.org/admin-guide/cgroup-v2.html, "CPU Interface Files" and "Memory Interface Files".
A limit of a group holds for all below it, so the lowest of the group's own and its parents' counts.
"""
from __future__ import annotations

import math
import os
from collections.abc import Iterator

_MOUNT = "sys/fs/cgroup"
_UNLIMITED = 1 << 60  # bytes; version 1 writes a huge number where there is no limit


def processors(root: str = "/") -> int | None:
    """Return how many processors' time the process may use, rounded up; None without a limit.

    Args:
        root: The root of the file system.
    """
    shares = []
    for folder in _groups(root, "cpu"):
        quota, _, period = _read(folder, "cpu.max").partition(" ")  # version 2: "150000 100000" or "max 100000"
        if not quota:
            quota, period = _read(folder, "cpu.cfs_quota_us"), _read(folder, "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            shares.append(int(quota) / int(period))
    return max(1, math.ceil(min(shares))) if shares else None


def memory(root: str = "/") -> tuple[int, int] | None:
    """Return the tightest limit of memory and what is used of it, in bytes; None without a limit.

    The page cache does not count as used: it gives way.

    Args:
        root: The root of the file system.
    """
    limits = []
    for folder in _groups(root, "memory"):
        limit = _read(folder, "memory.max") or _read(folder, "memory.limit_in_bytes")
        if limit.isdigit() and int(limit) < _UNLIMITED:
            lines = (line.split() for line in _read(folder, "memory.stat").splitlines())
            stat = {pair[0]: int(pair[1]) for pair in lines if len(pair) == 2 and pair[1].isdigit()}
            limits.append((int(limit), stat.get("anon", stat.get("total_rss", 0))))
    return min(limits, key=lambda limit: limit[0] - limit[1]) if limits else None


def _groups(root: str, controller: str) -> Iterator[str]:
    """Yield the folders of the process's group and its parents, the top one last."""
    for line in _read(os.path.join(root, "proc/self"), "cgroup").splitlines() or ["0::/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = os.path.join(root, _MOUNT, *([controller] if controllers else []))
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for length in range(len(parts), -1, -1):
            yield os.path.join(top, *parts[:length])


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii", errors="replace") as file:
            return file.read(1 << 16).strip()
    except OSError:
        return ""
