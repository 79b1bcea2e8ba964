"""What machines can paint with: their drivers' files, Windows' registry and macOS' versions are played by the tests."""
from __future__ import annotations

from pathlib import Path

import pytest

from blender_sd.calls import installation
from blender_sd.core.errors import EngineMissing
from blender_sd.library import accelerators
from blender_sd.library.accelerators import ACCELERATORS, available, detect, obstacle, present

STORE = "System32/DriverStore/FileRepository"
NVIDIA, OLD_AMD = r"pci\ven_10de&dev_2684", r"pci\ven_1002&dev_73bf"
UHD, IRIS_XE = r"pci\ven_8086&dev_3e92", r"pci\ven_8086&dev_9a49"
ARC_A770, ARC_B580, CORE_ULTRA, LUNAR_LAKE = (rf"pci\ven_8086&dev_{id}" for id in ("56a0", "e20b", "7d55", "64a0"))


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
    ([], (), "cpu"), ([("0x10de", "nvidia")], ("proc/driver/nvidia/version",), "cuda"), ([("0x10de", "nouveau")], (), "cpu"),  # noqa: E501
    ([], ("dev/nvidiactl",), "cuda"), ([("0x1002", "amdgpu")], ("dev/kfd",), "rocm"), ([("0x1002", "amdgpu")], (), "cpu"),  # noqa: E501
    ([("0x8086", "xe")], (), "xpu"), ([("0x8086", "i915")], (), "cpu"),
    ([("0x8086", "i915"), ("0x1002", "amdgpu")], ("dev/kfd",), "rocm"),
    ([("0x1002", "amdgpu"), ("0x10de", "nvidia")], ("dev/kfd", "proc/driver/nvidia/version"), "cuda"),
])
def test_what_linux_has(tmp_path, cards, files, expected):
    found = detect(machine(tmp_path, *cards, files=files), "linux")
    assert found.id == expected and found.reason and ACCELERATORS[expected] in available("linux")


@pytest.fixture
def windows(tmp_path, monkeypatch):
    """Windows with these graphics adapters and files; gives what is detected there."""
    def play(adapters: tuple[str, ...], files: tuple[str, ...]) -> accelerators.Detected:
        monkeypatch.setenv("SYSTEMROOT", machine(tmp_path, files=files))
        monkeypatch.setattr(accelerators, "_adapters", lambda: list(adapters))
        return detect(system="win32", machine="AMD64")

    return play


LEVEL_ZERO = f"{STORE}/iigd_dch.inf_amd64_0123456789abcdef/ze_intel_gpu64.dll"


@pytest.mark.parametrize("adapters, files, expected, words, offered", [
    ((), (), "cpu", "no graphics card", ["cpu"]),
    ((NVIDIA,), ("System32/nvcuda.dll",), "cuda", "NVIDIA's driver", ["cuda", "cpu"]),
    ((NVIDIA,), (), "cpu", "not NVIDIA's driver", ["cpu", "cuda"]),
    ((UHD,), (LEVEL_ZERO,), "cpu", "no graphics card", ["cpu"]),
    ((IRIS_XE,), (LEVEL_ZERO,), "cpu", "no graphics card", ["cpu"]),
    *(((new,), (LEVEL_ZERO,), "xpu", "Intel", ["xpu", "cpu"]) for new in (ARC_A770, ARC_B580, CORE_ULTRA, LUNAR_LAKE)),
    ((ARC_A770,), (f"{STORE}/u0123.inf_amd64_1/amdhip64.dll",), "cpu", "not Intel's own driver", ["cpu", "xpu"]),
    ((UHD, ARC_A770), (LEVEL_ZERO,), "xpu", "Intel", ["xpu", "cpu"]),
    ((UHD, OLD_AMD), (LEVEL_ZERO,), "cpu", "an AMD card: PyTorch has no build for it on Windows", ["cpu"]),
    ((CORE_ULTRA, NVIDIA), (LEVEL_ZERO, "System32/nvcuda.dll"), "cuda", "NVIDIA", ["cuda", "xpu", "cpu"]),
])
def test_what_windows_has(windows, adapters, files, expected, words, offered):
    found = windows(adapters, files)
    assert found.id == expected and words in found.reason
    assert [one.id for one in present(system="win32", machine="AMD64")] == offered


def test_what_macos_and_linux_on_arm_have():
    assert detect(system="darwin", machine="arm64").id == "mps" and detect(system="darwin",
                                                                           machine="x86_64").id == "cpu"
    assert {one.id for one in available("darwin")} == {"mps", "cpu"}
    assert {one.id for one in available("linux", "aarch64")} == {"cuda", "cpu"}


@pytest.mark.parametrize("system, architecture, release, words, instead", [
    ("darwin", "arm64", "13.6.4", "needs macOS 14 or newer; this is macOS 13.6.4", "Update macOS"),
    ("darwin", "x86_64", "15.1", "Macs with Intel processors", "Blender for Apple Silicon"),
    ("win32", "arm64", "", "Windows on ARM", "Blender for x64 processors"),
    ("linux", "riscv64", "", "Linux on riscv64", "existing Python"),
])
def test_a_machine_that_can_have_no_engine_gets_an_alternative(system, architecture, release, words,
                                                                            instead):
    error = obstacle(system, architecture, release)
    assert words in error.message and instead in error.hint


@pytest.mark.parametrize("system, architecture, release", [
    ("darwin", "arm64", "14.0"), ("darwin", "arm64", "26.1"), ("darwin", "arm64", "10.16"), ("win32", "amd64", ""),
    ("linux", "x86_64", ""), ("linux", "aarch64", "")])
def test_other_machines_can_have_one(system, architecture, release):
    assert obstacle(system, architecture, release) is None


def test_nothing_is_begun_on_a_machine_that_can_have_no_engine(monkeypatch):
    monkeypatch.setattr(accelerators, "obstacle",
                        lambda: EngineMissing("PyTorch has no build.", "Use another computer."))
    with pytest.raises(EngineMissing, match="PyTorch has no build"):
        installation.install_engine("cpu", wheels="/nowhere")
    assert installation.installations() == []
