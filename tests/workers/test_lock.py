"""Lock files: those that are shipped cover every system that is promised, and what is no lock is refused."""
from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from blender_sd.workers.lock import read_lock
from blender_sd.library import engine_environment
from blender_sd.core.errors import InvalidRequest
from blender_sd.library.accelerators import ACCELERATORS

import lock as lock_script
from lock_targets import TARGETS, gaps, left_out

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "blender_sd" / "workers" / "locks"


def content(accelerator: str) -> dict:
    """The packages and builds of a shipped lock, with those that it includes."""
    paths = engine_environment.lock_files(str(LOCKS / f"pylock.{accelerator}.toml"))
    read = [tomllib.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    return {"packages": [one for each in read for one in each["packages"]],
            "builds": [one for each in read for one in each.get("tool", {}).get("blender_sd", {}).get("builds", [])]}


def test_there_is_a_lock_for_every_accelerator():
    assert {engine_environment.accelerator_of(path.name) for path in LOCKS.iterdir()} == {*ACCELERATORS, "engine"}


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_locks_pin_what_the_engine_was_tested_with(name):
    text = "".join((ROOT / "scripts" / "requirements" / file).read_text() for file in ("engine.txt", "engine-bare.txt"))
    pinned = re.findall(r"^([\w.-]+)==([^\s;#]+)", text, re.M)
    wanted = {(re.sub(r"[-_.]+", "-", package).lower(), version) for package, version in pinned}
    read = content(name)
    assert wanted <= {
        (one["name"], one["version"]) for one in (*read["packages"], *read["builds"])}, "run scripts/lock.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_package_has_a_wheel_on_every_system_and_python(name):
    targets, read = [target for target in TARGETS if name in target.accelerators], content(name)
    assert len({target.python for target in targets}) == 3 and gaps(read["packages"], targets) == []
    for target in targets:
        torch = [
            one for one in read["packages"] + read["builds"]
            if one["name"] == "torch" and target.meets(one.get("marker", ""))]
        assert len(torch) == 1, target
    wanted, optional = lock_script.requirements((ROOT / "scripts" / "requirements" / "engine.txt").read_text())
    assert left_out({name: markers for name, markers in wanted.items() if name != "torch"}, optional, targets) == []


def test_a_pin_without_a_wheel_is_a_gap_and_one_that_is_left_out_needs_a_feature():
    """c2pa-python 0.38.1 had no wheel for Windows."""
    one = {"name": "c2pa-python", "version": "0.38.1", "wheels": [
        {"url": f"https://x/c2pa_python-0.38.1-py3-none-{platform}.whl"}
        for platform in ("macosx_11_0_arm64", "manylinux_2_28_x86_64", "manylinux_2_28_aarch64")]}
    found = gaps([one], TARGETS)
    assert len(found) == 3 and found[0] == "c2pa-python 0.38.1 has no wheel for win32 AMD64, Python 3.11"
    assert gaps([{**one, "marker": "sys_platform != 'win32'"}], TARGETS) == []
    line = "c2pa-python==0.38.1; sys_platform != 'win32'"
    assert len(left_out(*lock_script.requirements(line), TARGETS)) == 3
    wanted, optional = lock_script.requirements(line + "  # optional: content credentials")
    assert optional == {"c2pa-python": "content credentials"} and left_out(wanted, optional, TARGETS) == []
    old = {"name": "a", "version": "1", "wheels": [{"url": "https://x/a-1-cp311-cp311-manylinux_2_34_x86_64.whl"},
                                                   {"url": "https://x/a-1-cp311-cp311-macosx_15_0_arm64.whl"}]}
    assert len(gaps([old], TARGETS)) == len(TARGETS), "for a newer system than the promised one"


@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_file_of_a_lock_is_known_by_address_size_and_hash(name):
    read = content(name)
    for one in read["packages"]:
        assert one["wheels"], one["name"]
        for wheel in one["wheels"]:
            assert wheel["url"].startswith("https://files.pythonhosted.org/") and wheel["size"] > 0, wheel
            assert re.fullmatch("[0-9a-f]{64}", wheel["hashes"]["sha256"]), wheel
    for one in read["builds"]:
        assert (one["name"], one["version"], one["index"]) == ("torch", "2.13.0",
                                                               lock_script.TORCH_INDEX) and one["label"]


SOUND = 'url = "https://a/x-1-py3-none-any.whl", size = 1, hashes = {sha256 = "' + "0" * 64 + '"}'
LOCK = f'packages = [{{name = "x", version = "1", wheels = [{{{SOUND}}}]}}]'


@pytest.mark.parametrize("text", [
    "", "packages = 5", "packages = [{}]", 'packages = [{name = "x", version = "1"}]',
    'packages = [{name = "x", version = "1", wheels = [{}]}]',
    *(LOCK.replace(*change) for change in (
        ("https:", "ftp:"), ("size = 1", "size = -1"), ("0" * 64, "0"), ('"1"', '"one"'), ("-any.whl", "-any.zip"),
        ("x-1-py3-none-any.whl", "x-1-py3-none-any%2F..%2Fy.whl"), ('name = "x"', 'name = "x", marker = "("'))),
    'packages = []\n[[tool.blender_sd.builds]]\nname = "x"', "packages = " + "[" * 5000,
])
def test_what_is_no_lock_is_refused(tmp_path, text):
    (tmp_path / "lock.toml").write_text(text)
    with pytest.raises(InvalidRequest, match="not as such files are|cannot be read"):
        read_lock(str(tmp_path / "lock.toml"))
    (tmp_path / "lock.toml").write_text(LOCK)
    assert [str(pin) for pin in read_lock(str(tmp_path / "lock.toml")).pins] == ["x 1"]


def test_a_lock_that_is_gone_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match="nowhere.toml cannot be read"):
        read_lock(str(tmp_path / "nowhere.toml"))


def test_markers_choose_by_system_and_python_and_includes_are_read(tmp_path):
    def packages(*found: tuple[str, str, str]) -> str:
        return "".join(
            f'[[packages]]\nname = "{name}"\nversion = "{version}"\nmarker = "{marker}"\nwheels = [{{{SOUND}}}]\n'
            for name, version, marker in found)

    (tmp_path / "lock.toml").write_text('tool.blender_sd.include = ["more.toml"]\n' + packages(
        ("a", "1.0", f"sys_platform == '{sys.platform}'"), ("a", "2.0", "sys_platform == 'elsewhere'"),
        ("b", "1.0", "python_version < '3'")))
    (tmp_path / "more.toml").write_text(packages(("c", "1.0", "python_version >= '3'")))
    assert [str(pin) for pin in read_lock(str(tmp_path / "lock.toml")).pins] == ["a 1.0", "c 1.0"]
    before = engine_environment.digest_of(str(tmp_path / "lock.toml"))
    (tmp_path / "more.toml").write_text("packages = []")
    assert engine_environment.digest_of(str(tmp_path / "lock.toml")) != before
    (tmp_path / "lock.toml").write_text('packages = []\ntool.blender_sd.include = ["../more.toml"]')
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_lock(str(tmp_path / "lock.toml"))


def test_keys_within_keys_cost_no_time(tmp_path):
    """The parser's time and memory grow with the square of their depth."""
    path = tmp_path / "pylock.cpu.toml"
    path.write_text("packages = []\n[[tool.blender_sd.builds]]\nna" + ".1" * 200_000 + " = 1\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_lock(str(path))
