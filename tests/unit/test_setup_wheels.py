"""Lock files, the accelerators of a machine, and how single wheels are found and brought: pip's finder against a small index."""
from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from fake_index import FakeIndex, into, lock_of, wheel

from blender_sd.engine import disk, installing, wheels
from blender_sd.engine.wheels import Index, asked_for, read_lock
from blender_sd.protocol import environment
from blender_sd.protocol.environment import Environment
from blender_sd.protocol.errors import ConnectionLost, InvalidRequest, OutputUnwritable
from blender_sd.session.accelerators import ACCELERATORS, available, detect

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "blender_sd" / "engine" / "locks"


# ---- the lock files that are shipped -----------------------------------------------------------------------------------


def pins(text: str) -> dict[str, set[str]]:
    """Name -> versions."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\+]+)", text, re.MULTILINE):
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return found


def test_there_is_a_lock_for_every_accelerator():
    assert {path.stem for path in LOCKS.glob("*.txt")} == {*ACCELERATORS, "engine"}


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_locks_pin_what_the_engine_was_tested_with(name):
    wanted = pins("".join((ROOT / "scripts" / "requirements" / file).read_text() for file in ("engine.txt", "engine-bare.txt")))
    locked = pins("".join(Path(path).read_text() for path in environment.lock_files(str(LOCKS / f"{name}.txt"))))
    assert {key: locked.get(key) for key in wanted} == wanted, "run scripts/lock.py"


def test_every_file_of_a_lock_is_known_by_its_hash_but_builds_of_torch():
    for name in ACCELERATORS:
        lock = read_lock(str(LOCKS / f"{name}.txt"))
        for pin in lock.pins:
            assert pin.hashes or pin.name == "torch" and pin.label and lock.indexes == ("https://download.pytorch.org/whl",), pin


def test_no_lock_names_the_place_of_a_file():
    for path in LOCKS.glob("*.txt"):
        assert set(re.findall(r"https?://\S+", path.read_text())) <= {"https://download.pytorch.org/whl"}


@pytest.mark.parametrize("text", ["torch>=1.0", "torch", "==1.0", "torch @ file:///x.whl", "torch==1.*"])
def test_a_lock_with_anything_but_pins_is_refused(tmp_path, text):
    (tmp_path / "lock.txt").write_text(text + "\n")
    with pytest.raises(InvalidRequest, match="no exact pin"):
        read_lock(str(tmp_path / "lock.txt"))


def test_a_lock_that_is_gone_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match="nowhere.txt cannot be read"):
        read_lock(str(tmp_path / "nowhere.txt"))


def test_markers_choose_by_system_and_python(tmp_path):
    (tmp_path / "lock.txt").write_text(f"a==1.0 ; sys_platform == '{sys.platform}'\na==2.0 ; sys_platform == 'elsewhere'\n"
                                       "b==1.0 ; python_version < '3'\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("c==1.0\n")
    assert [str(pin) for pin in read_lock(str(tmp_path / "lock.txt")).pins] == ["a 1.0", "c 1.0"]


# ---- the machine -------------------------------------------------------------------------------------------------------


def machine(root: Path, *cards: tuple[str, str], files: tuple[str, ...] = ()) -> str:
    for number, (vendor, driver) in enumerate(cards):
        device = root / "sys" / "class" / "drm" / f"card{number}" / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "uevent").write_text(f"DRIVER={driver}\nPCI_CLASS=30000\n")
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return str(root)


@pytest.mark.parametrize("cards, files, expected", [
    ([], (), "cpu"), ([("0x10de", "nvidia")], ("proc/driver/nvidia/version",), "cuda"), ([("0x10de", "nouveau")], (), "cpu"),
    ([], ("dev/nvidiactl",), "cuda"), ([("0x1002", "amdgpu")], ("dev/kfd",), "rocm"), ([("0x1002", "amdgpu")], (), "cpu"),
    ([("0x8086", "xe")], (), "xpu"), ([("0x8086", "i915")], (), "cpu"),
    ([("0x8086", "i915"), ("0x1002", "amdgpu")], ("dev/kfd",), "rocm"),
    ([("0x1002", "amdgpu"), ("0x10de", "nvidia")], ("dev/kfd", "proc/driver/nvidia/version"), "cuda"),
])
def test_what_linux_has(tmp_path, cards, files, expected):
    found = detect(machine(tmp_path, *cards, files=files), "linux")
    assert found.id == expected and found.found and ACCELERATORS[expected] in available("linux")


def test_what_windows_and_macos_have(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTEMROOT", str(tmp_path))
    assert detect(system="win32").id == "cpu"
    machine(tmp_path, files=("System32/ze_intel_gpu64.dll",))
    assert detect(system="win32").id == "xpu"
    machine(tmp_path, files=("System32/nvcuda.dll",))
    assert detect(system="win32").id == "cuda"
    assert detect(system="darwin", machine="arm64").id == "mps" and detect(system="darwin", machine="x86_64").id == "cpu"
    assert {one.id for one in available("darwin")} == {"mps", "cpu"}


# ---- single wheels -----------------------------------------------------------------------------------------------------


@pytest.fixture
def index(monkeypatch):
    server = FakeIndex()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wheels, "_PAUSE", 0.0)
    yield server
    server.close()


def bring(tmp_path: Path, lock: str, folder: str = "") -> tuple[dict[str, bytes], list[int]]:
    """What comes of `lock`: name -> content; and each change in bytes that was told."""
    (tmp_path / "lock.txt").write_text(lock)
    into(tmp_path / "wheels", {})
    lock, told, came = read_lock(str(tmp_path / "lock.txt")), [], {}
    with Index(lock, folder) as index:
        for pin in lock.pins:
            one = index.find(pin)
            assert one is not None, f"{pin} was not found"
            index.measure(one)
            index.bring(one, str(tmp_path / "wheels"), told.append)
            came[one.name] = Path(one.path).read_bytes()
    return came, told


def test_a_connection_that_breaks_goes_on_at_the_byte(index, tmp_path):
    name, data = wheel("torch", size=200_000)
    index.files = {name: data}
    index.cut[name] = [70_000, 60_000]
    came, told = bring(tmp_path, lock_of(index.files))
    assert came == index.files and sum(told) == len(data)
    assert [wanted for method, _, wanted in index.seen if method == "GET"] == ["", "bytes=70000-", "bytes=130000-"]
    assert index.served[name] == len(data)


def test_a_server_without_ranges_sizes_and_hashes(index, tmp_path):
    name, data = wheel("torch", size=200_000)
    index.files, index.no_ranges, index.no_hashes, index.no_heads = {name: data}, True, True, True
    part = into(tmp_path / "wheels", {name + ".part": data[:50_000]})
    came, told = bring(tmp_path, lock_of(index.files))
    assert came == index.files and sum(told) == len(data) and not (part / f"{name}.part").exists()


def test_a_whole_file_that_is_not_the_one_is_fetched_anew(index, tmp_path):
    """As after an update of the lock, or with a disk that loses bits."""
    name, data = wheel("torch", size=50_000)
    index.files = {name: data}
    into(tmp_path / "wheels", {name: b"something else"})
    assert bring(tmp_path, lock_of(index.files))[0] == index.files
    into(tmp_path / "wheels", {name: data})
    bring(tmp_path, lock_of(index.files))
    assert [method for method, _, _ in index.seen].count("GET") == 1


def test_a_broken_file_is_fetched_again_and_refused_the_second_time(index, tmp_path):
    name, data = wheel("torch", size=50_000)
    index.files, index.broken = {name: data}, {name: 1}
    assert bring(tmp_path, lock_of(index.files))[0] == index.files
    (tmp_path / "wheels" / name).unlink()
    index.broken = {name: 9}
    with pytest.raises(ConnectionLost, match=f"{name} arrived broken, twice"):
        bring(tmp_path, lock_of(index.files))
    assert not list((tmp_path / "wheels").iterdir())


def test_another_file_of_the_same_version_is_not_taken(index, tmp_path):
    name, data = wheel("torch", size=1000)
    index.files = {name: wheel("torch", size=2000)[1]}
    with pytest.raises(ConnectionLost, match="another file of torch 1.0"):
        bring(tmp_path, lock_of({name: data}))
    with pytest.raises(InvalidRequest, match=f"{name} is not the one"):
        bring(tmp_path, lock_of({name: data}), str(into(tmp_path / "given", index.files)))


def test_builds_of_torch_are_found_by_their_label_and_bring_what_they_ask_for(index, tmp_path):
    """As torch's own index has them: no hash in the lock, the newest ROCm, Triton pinned by the wheel alone."""
    built = [wheel("torch", version, 10, ("triton-rocm==3.0", "sympy; extra == 'x'", "gone; sys_platform == 'none'"))
             for version in ("1.0+cpu", "1.0+rocm6.4", "1.0+rocm7.1", "1.1+rocm7.2", "1.0")]
    plain = wheel("numpy")
    index.files = dict([*built, plain])
    came, _ = bring(tmp_path, lock_of(dict([plain]), f"--extra-index-url {index.url}/simple", "torch==1.0+rocm"))
    assert set(came) == {plain[0], "torch-1.0+rocm7.1-py3-none-any.whl"}
    assert [str(pin) for pin in asked_for(str(tmp_path / "wheels" / "torch-1.0+rocm7.1-py3-none-any.whl"))] == ["triton-rocm 3.0"]
    (tmp_path / "wheels" / "torch-1.0+rocm7.1-py3-none-any.whl").unlink()
    index.broken = {"torch-1.0+rocm7.1-py3-none-any.whl": 9}
    with pytest.raises(ConnectionLost, match="broken"):  # by the hash that the index states
        bring(tmp_path, f"--extra-index-url {index.url}/simple\ntorch==1.0+rocm\n")


def test_what_the_lock_hashes_is_asked_of_the_persons_index_alone(index, tmp_path):
    other = FakeIndex(dict([wheel("numpy")]))
    try:
        index.files = dict([wheel("numpy")])
        bring(tmp_path, lock_of(index.files, f"--extra-index-url {other.url}/simple"))
        assert index.pages == ["numpy"] and other.pages == []
    finally:
        other.close()


@pytest.mark.parametrize("words, message", [
    ("HTTPSConnectionPool: Max retries (Caused by ProxyError('Cannot connect to proxy.'))", "The proxy does not let"),
    ("407 Client Error: Proxy Authentication Required", "The proxy does not let"),
    ("SSLError: certificate verify failed: self-signed", "not trusted"), ("403 Client Error: Forbidden", "does not let this computer in"),
    ("Connection refused", "cannot be reached"),
])
def test_what_failures_of_the_network_mean(words, message):
    assert message in wheels.unreachable(words).message and wheels.unreachable(words).hint


# ---- files -------------------------------------------------------------------------------------------------------------


def test_a_stamp_is_read_as_it_was_written_and_nothing_else(tmp_path):
    one = Environment("env1", "cpu", "d", "/usr/bin/python", "3.11", 5)
    environment.write(str(tmp_path), one)
    assert environment.read(str(tmp_path)) == one and [path.name for path in tmp_path.iterdir()] == [environment.STAMP]
    for text in ("", "[]", "{}", '{"folder": "../../bin"}', "[" * 100_000):
        (tmp_path / environment.STAMP).write_text(text)
        assert environment.read(str(tmp_path)) is None
    environment.write(str(tmp_path), Environment("../env1", "cpu", "d", "", "3.11", 5))
    assert environment.read(str(tmp_path)) is None


def test_a_locked_file_is_waited_for_and_then_named(monkeypatch):
    monkeypatch.setattr(disk, "PATIENCE", (0.0, 0.0))
    tries = []

    def held(until: int):
        tries.append(1)
        if len(tries) < until:
            raise PermissionError(13, "Permission denied", "C:\\x\\torch.dll")
        return "done"

    assert disk.stubbornly(lambda: held(3)) == "done" and len(tries) == 3
    tries.clear()
    with pytest.raises(OutputUnwritable, match=r"does not let go of the file C:\\x\\torch.dll"):
        disk.stubbornly(lambda: held(9))


def test_windows_paths_that_are_too_long_are_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    path = into(tmp_path, dict([wheel("torch", files={"torch/include/" + "x" * 150 + ".h": ""})])) / "torch-1.0-py3-none-any.whl"
    order = installing.Install("1", "install", str(tmp_path), "", "")
    work = installing._Work(order, lambda event: None, lambda: False)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(disk, "long_paths", lambda: False)
    with pytest.raises(OutputUnwritable, match="too long a path for Windows"):
        work._check_room([str(path)], "C:\\" + "y" * 100)
    assert work._check_room([str(path)], "C:\\y") > 0
    monkeypatch.setattr(disk, "long_paths", lambda: True)
    assert work._check_room([str(path)], "C:\\" + "y" * 100) > 0


def test_the_index_is_left_as_it_was_for_the_next(index, tmp_path):
    """A folder of wheels asks nobody, whatever pip is configured to."""
    before = os.environ.get("PIP_CONFIG_FILE")
    files = dict([wheel("torch")])
    assert bring(tmp_path, lock_of(files), str(into(tmp_path / "given", files)))[0] == files
    assert index.pages == [] and os.environ.get("PIP_CONFIG_FILE") == before
