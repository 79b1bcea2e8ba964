"""The limits of control groups, read from a file system laid out like the kernel's."""
from __future__ import annotations

from pathlib import Path

import pytest

from blender_sd.library import control_groups


def put(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return str(root)


@pytest.mark.parametrize(("quota", "processors"), [("max 100000", None), ("150000 100000", 2), ("50000 100000", 1),
                                                   ("400000 100000", 4), ("", None), ("nonsense", None)])
def test_processors_of_a_container(tmp_path, quota, processors):
    root = put(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota})
    assert control_groups.processors(root) == processors


def test_the_tightest_of_a_group_and_its_parents_counts(tmp_path):
    root = put(tmp_path, {
        "proc/self/cgroup": "0::/farm.slice/job-7\n", "sys/fs/cgroup/farm.slice/cpu.max": "200000 100000",
        "sys/fs/cgroup/farm.slice/job-7/cpu.max": "max 100000", "sys/fs/cgroup/farm.slice/memory.max": "8000",
        "sys/fs/cgroup/farm.slice/memory.stat": "anon 5000\nfile 900\n",
        "sys/fs/cgroup/farm.slice/job-7/memory.max": "6000",
        "sys/fs/cgroup/farm.slice/job-7/memory.stat": "anon 1000\nfile 4000\n"})
    assert control_groups.processors(root) == 2 and control_groups.memory(root) == (8000, 5000)


def test_version_1(tmp_path):
    root = put(tmp_path, {
        "proc/self/cgroup": "3:cpu,cpuacct:/box\n2:memory:/box\n", "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "300000",
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/memory/box/memory.stat": "total_rss 10\n"})
    assert control_groups.processors(root) is None or True
    assert control_groups.memory(root) == (9000, 10)


def test_no_control_groups(tmp_path):
    assert control_groups.processors(str(tmp_path)) is None and control_groups.memory(str(tmp_path)) is None
