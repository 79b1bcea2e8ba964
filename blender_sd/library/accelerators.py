"""Find out what this machine can paint with from driver files and Windows' registry, without starting any program."""
from __future__ import annotations

import glob
import os
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass

from ..core.errors import EngineMissing


@dataclass(frozen=True)
class Accelerator:
    """Describe a build of torch.

    Attributes:
        id: Its name in settings and lock files, which never changes.
        label: Its name in menus.
        text: The hardware that it is for.
        download: The rough size of the download in bytes, with everything else that the engine needs.
        installed: The rough size on disk in bytes, with everything else that the engine needs.
        systems: The systems that torch has this build for, as in `sys.platform`.
        arm_linux: Whether torch has it for Linux on ARM too.
    """

    id: str
    label: str
    text: str
    download: float
    installed: float
    systems: tuple[str, ...]
    arm_linux: bool = False


ACCELERATORS = {accelerator.id: accelerator for accelerator in (
    Accelerator("cuda", "NVIDIA (CUDA)", "A GeForce, RTX, Quadro or data-centre card with NVIDIA's driver", 2.9e9,
                7.0e9,
                ("linux", "win32"), arm_linux=True),
    Accelerator("rocm", "AMD (ROCm)", "A Radeon or Instinct card that ROCm supports", 5.0e9, 18.0e9, ("linux",)),
    Accelerator("xpu", "Intel (XPU)", "An Arc card, or the graphics of a Core Ultra processor", 2.5e9, 7.0e9,
                ("linux", "win32")),
    Accelerator("mps", "Apple (MPS)", "The graphics of Apple's own processors", 0.3e9, 1.1e9, ("darwin",)),
    Accelerator("cpu", "Processor Only",
                "Works on every machine, but slowly: for the starter model, and for trying things out",
                0.3e9, 1.1e9, ("linux", "win32", "darwin"), arm_linux=True),
)}
_VENDORS = {"0x10de": "cuda", "0x1002": "rocm", "0x8086": "xpu"}
_LINUX = ("x86_64", "aarch64")  # processors that torch has builds for
_OLDEST_MACOS = 14  # the oldest macOS that torch's builds run on (see their tags in the lock)
# How the PCI ids begin of Intel GPUs that torch's XPU build supports: Arc A, Lunar Lake, Meteor and Arrow Lake, Panther
# Lake, Arc B. Older ones (UHD, Iris Xe) have other ids. Source: include/drm/intel/pciids.h of Linux.
_NEW_INTEL = re.compile(r"ven_8086&dev_(56|64|7d|b0|e2)")
_LEVEL_ZERO = "ze_intel_gpu64.dll"  # with the rest of Intel's driver, in a folder named after its .inf file
# Microsoft: "Display Adapters"
_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_MOST_ADAPTERS = 16


@dataclass(frozen=True)
class Detected:
    """The accelerator `id` that suits a machine, and the reason, in words."""

    id: str
    reason: str


def obstacle(system: str = sys.platform, architecture: str = "", release: str = "") -> EngineMissing | None:
    """Return the error that says why no engine can be installed on this machine, or None if one can.

    Args:
        system: The system, as in `sys.platform`.
        architecture: The processor that the running Python is built for; "" for this machine's.
        release: The version of macOS; "" for this machine's.
    """
    if system == "win32":
        if (architecture or sysconfig.get_platform().rpartition("-")[2]) == "arm64":
            return EngineMissing("PyTorch and other packages of the engine have no build for Windows on ARM.",
                                 "Install the Blender for x64 processors, which Windows runs on this computer too.")
    elif system == "darwin":
        if (architecture or platform.machine()) != "arm64":
            return EngineMissing(
                "PyTorch has no build for Macs with Intel processors, for which this Blender is made.",
                "On a Mac with an Apple processor install the Blender for Apple Silicon; on another use an existing "
                "Python that has an older PyTorch.",
            )
        release = release or platform.mac_ver()[0]
        major = int(release.partition(".")[0]) if release.partition(".")[0].isdigit() else _OLDEST_MACOS
        if 11 <= major < _OLDEST_MACOS:
            return EngineMissing(f"PyTorch needs macOS {_OLDEST_MACOS} or newer; this is macOS {release}.",
                                 "Update macOS, or use an existing Python that has an older PyTorch.")
    elif system == "linux" and (architecture := architecture or platform.machine()) not in _LINUX:
        return EngineMissing(f"PyTorch has no build for Linux on {architecture}.",
                             "Use an existing Python, if you have one with PyTorch.")
    return None


def available(system: str = sys.platform, machine: str = "") -> list[Accelerator]:
    """Return the accelerators that torch supports on a system, whether or not the hardware exists.

    Args:
        system: The system, as in `sys.platform`.
        machine: The processor, as in `platform.machine()`; "" for this machine's.
    """
    arm_linux = system == "linux" and (machine or platform.machine()) == "aarch64"
    return [accelerator for accelerator in ACCELERATORS.values()
            if system in accelerator.systems and (accelerator.arm_linux or not arm_linux)]


def present(root: str = "/", system: str = sys.platform, machine: str = "") -> list[Accelerator]:
    """Return those of `available` whose hardware this machine has, the detected one first. `cpu` is always among them.

    A card counts even without its driver, which can be installed later; only `detect` decides what is chosen. The
    arguments are those of `detect`.
    """
    best = detect(root, system, machine).id
    ids = {best, "cpu"}
    if system.startswith("linux"):
        ids.update(_VENDORS[vendor] for vendor in _cards(root) if vendor in _VENDORS)
    elif system == "win32":
        adapters = _adapters()
        ids.update(id for id, has in (("cuda", _has_nvidia(adapters)), ("xpu", any(map(_NEW_INTEL.search, adapters))))
                   if has)
    return sorted((accelerator for accelerator in available(system, machine) if accelerator.id in ids),
                  key=lambda accelerator: accelerator.id != best)


def detect(root: str = "/", system: str = sys.platform, machine: str = "") -> Detected:
    """Return the accelerator that suits a machine best.

    Args:
        root: The root of its file system (on Linux).
        system: The system, as in `sys.platform`.
        machine: The processor, as in `platform.machine()`; "" for this machine's.
    """
    machine = machine or platform.machine()
    if system == "darwin":
        return (
            Detected("mps", "an Apple processor")
            if machine == "arm64"
            else Detected("cpu", "no graphics that torch can use")
        )
    if system == "win32":
        return _detect_on_windows()
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


# ---- Windows ---------------------------------------------------------------------------------------------------------


def _detect_on_windows() -> Detected:
    adapters = _adapters()
    if os.path.exists(os.path.join(_system_folder(), "nvcuda.dll")):
        return Detected("cuda", "NVIDIA's driver")
    new_intel = any(map(_NEW_INTEL.search, adapters))
    if new_intel and _has_level_zero():
        return Detected("xpu", "new graphics of Intel's and its driver")
    if _has_nvidia(adapters):
        return Detected("cpu", "an NVIDIA card, but not NVIDIA's driver: install it to use the card")
    if new_intel:
        return Detected("cpu", "new graphics of Intel's, but not Intel's own driver: install it to use them")
    if any("ven_1002" in adapter for adapter in adapters):
        return Detected("cpu", "an AMD card: PyTorch has no build for it on Windows, so the processor paints")
    return Detected("cpu", "no graphics card that torch can use")


def _has_nvidia(adapters: list[str]) -> bool:
    return any("ven_10de" in adapter for adapter in adapters)


def _has_level_zero() -> bool:
    store = os.path.join(glob.escape(_system_folder()), "DriverStore", "FileRepository", "iigd_*", _LEVEL_ZERO)
    return bool(glob.glob(store)) or os.path.exists(os.path.join(_system_folder(), _LEVEL_ZERO))


def _system_folder() -> str:
    return os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32")


def _adapters() -> list[str]:
    r"""Return the hardware ids of the graphics adapters that Windows knows.

    They are in lower case, such as "pci\ven_8086&dev_56a0".
    """
    try:
        import winreg
    except ImportError:  # a test simulates Windows
        return []
    ids = []
    for number in range(_MOST_ADAPTERS):
        try:
            with winreg.OpenKey(  # type: ignore[attr-defined]  # Windows
                    winreg.HKEY_LOCAL_MACHINE, rf"{_ADAPTERS}\{number:04}") as key:  # type: ignore[attr-defined]
                value = winreg.QueryValueEx(key, "MatchingDeviceId")[0]  # type: ignore[attr-defined]  # Windows
                ids.append(str(value).lower())
        except OSError:
            continue  # no such number, or not a device
    return ids


# ---- Linux -----------------------------------------------------------------------------------------------------------


def _cards(root: str) -> list[str]:
    """Return the vendor ids of the graphics cards that Linux knows."""
    return [text for number in range(16) if (text := _read(root, number, "vendor"))]


def _is_new_intel(root: str) -> bool:
    """Return whether an Intel card uses the driver `xe`, which is for those that torch supports; older ones use `i915`.
    """
    return any(_read(root, number, "vendor") == "0x8086" and "DRIVER=xe" in _read(root, number, "uevent").split()
               for number in range(16))


def _read(root: str, number: int, name: str) -> str:
    try:
        with open(os.path.join(root, f"sys/class/drm/card{number}/device/{name}"), encoding="ascii",
                  errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
