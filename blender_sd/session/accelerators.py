"""What this machine can paint with, told from files that drivers bring: at once, and without starting anything."""
from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """One build of torch. `download` and `installed`: about how many bytes, with everything else that the engine needs.
    `systems`: where torch has such a build (sys.platform)."""

    id: str
    label: str
    text: str
    download: float
    installed: float
    systems: tuple[str, ...]


ACCELERATORS = {one.id: one for one in (
    Accelerator("cuda", "NVIDIA (CUDA)", "A GeForce, RTX, Quadro or data-centre card with NVIDIA's driver", 2.9e9, 7.0e9,
                ("linux", "win32")),
    Accelerator("rocm", "AMD (ROCm)", "A Radeon or Instinct card that ROCm supports", 5.0e9, 18.0e9, ("linux",)),
    Accelerator("xpu", "Intel (XPU)", "An Arc card, or the graphics of a Core Ultra processor", 2.5e9, 7.0e9, ("linux", "win32")),
    Accelerator("mps", "Apple (MPS)", "The graphics of Apple's own processors", 0.3e9, 1.1e9, ("darwin",)),
    Accelerator("cpu", "Processor Only", "Works on every machine, but slowly: for the starter model, and for trying things out",
                0.3e9, 1.1e9, ("linux", "win32", "darwin")),
)}
_VENDORS = {"0x10de": "cuda", "0x1002": "rocm", "0x8086": "xpu"}
_WINDOWS = (("nvcuda.dll", "cuda"), ("ze_intel_gpu64.dll", "xpu"))


@dataclass(frozen=True)
class Detected:
    """The accelerator `id`, and why: what was found, in words."""

    id: str
    found: str


def available(system: str = sys.platform) -> list[Accelerator]:
    """Those that this system can have."""
    return [one for one in ACCELERATORS.values() if system in one.systems]


def detect(root: str = "/", system: str = sys.platform, machine: str = "") -> Detected:
    """What suits this machine best. `root`: where its file system begins; `machine`: "" = the running one's."""
    machine = machine or platform.machine()
    if system == "darwin":
        return Detected("mps", "an Apple processor") if machine == "arm64" else Detected("cpu", "no graphics that torch can use")
    if system == "win32":
        folder = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")
        name, id = next(((name, id) for name, id in _WINDOWS if os.path.exists(os.path.join(folder, name))), ("", "cpu"))
        return Detected(id, f"the driver {name}" if name else "no driver of NVIDIA's or Intel's")
    if os.path.isdir(os.path.join(root, "proc/driver/nvidia")) or os.path.exists(os.path.join(root, "dev/nvidiactl")):
        return Detected("cuda", "NVIDIA's driver")
    cards = {_VENDORS.get(vendor) for vendor in _cards(root)}
    if "rocm" in cards and os.path.exists(os.path.join(root, "dev/kfd")):
        return Detected("rocm", "an AMD card and ROCm's driver")
    if "xpu" in cards and _is_new_intel(root):
        return Detected("xpu", "an Intel card with the xe driver")
    if "cuda" in cards:
        return Detected("cpu", "an NVIDIA card, but not NVIDIA's driver: install it to use the card")
    return Detected("cpu", "no graphics card that torch can use")


def _cards(root: str) -> list[str]:
    """The vendor ids of the graphics cards that Linux knows."""
    return [text for number in range(16) if (text := _read(root, number, "vendor"))]


def _is_new_intel(root: str) -> bool:
    """Whether an Intel card is driven by `xe`, which is for those that torch can use; older graphics have `i915`."""
    return any(_read(root, number, "vendor") == "0x8086" and "DRIVER=xe" in _read(root, number, "uevent").split() for number in range(16))


def _read(root: str, number: int, name: str) -> str:
    try:
        with open(os.path.join(root, f"sys/class/drm/card{number}/device/{name}"), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
