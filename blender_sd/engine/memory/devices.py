"""The device that paints, its precision, its number of threads and its memory."""
from __future__ import annotations

import math
import os
from dataclasses import dataclass

import torch

from ...core.errors import InvalidRequest
from ...core.names import suggestion
from ...geometry import slices
from ...library import control_groups
from ...protocol.messages import EngineConfig

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {dtype: name for name, dtype in PRECISIONS.items()}
_GIB = 1 << 30
AVX512_BF16, AMX = "_is_avx512_bf16_supported", "_is_amx_tile_supported"  # names of functions in torch.cpu
# Below this many bytes of weights in fp32, a step on a CPU is too short for half precision to save time. The embedded
# starter model lies above: a 256² picture takes 2.2 times less processor time in bf16 (with AMX).
_SMALL_MODEL = 16 << 20


@dataclass(frozen=True)
class Device:
    """Where models run.

    Attributes:
        torch: The torch device.
        precision: The precision that the person chose: auto, fp32, bf16 or fp16.
    """

    torch: torch.device
    precision: str

    @property
    def kind(self) -> str:
        """Return torch's name for the type of device: cpu, cuda, mps or xpu."""
        return self.torch.type

    def dtype(self, transformer: bool, weight_bytes: int) -> torch.dtype:
        """Return the precision for one model.

        Args:
            transformer: Whether the denoiser is a transformer. Those were trained in bf16 and overflow in fp16; UNets
                run in fp16 everywhere.
            weight_bytes: Size of the weights in fp32, in bytes.
        """
        if self.precision != "auto":
            return PRECISIONS[self.precision]
        if self.kind == "cpu":
            return torch.bfloat16 if cpu_has_bf16() and weight_bytes > _SMALL_MODEL else torch.float32
        if transformer and self._gpu_has_bf16():
            return torch.bfloat16
        return torch.float16

    @property
    def card(self) -> str:
        """Return the name of the graphics card, as its driver gives it; "" for a processor."""
        if self.kind in ("cuda", "xpu"):
            return getattr(torch, self.kind).get_device_name(self.torch)
        return "Apple graphics" if self.kind == "mps" else ""

    def usual_precision(self) -> str:
        """Return the name of the precision in which most models run on this device, for `Ready`."""
        return name_of(self.dtype(transformer=False, weight_bytes=_SMALL_MODEL + 1))

    def free_bytes(self) -> int:
        """Return how much memory a new model or picture could take now, in bytes."""
        if self.kind == "cuda":
            return torch.cuda.mem_get_info(self.torch)[0] + _cached_by_torch(self.torch)
        if self.kind == "xpu":
            return torch.xpu.mem_get_info(self.torch)[0]
        if self.kind == "mps":
            # RAM is shared with the system: free is what others leave of it, at most what Metal grants this process.
            # What torch has cached can be used again.
            taken = torch.mps.driver_allocated_memory()
            cached = taken - torch.mps.current_allocated_memory()
            return min(free_ram(), max(0, torch.mps.recommended_max_memory() - taken)) + cached
        return free_ram()

    def total_bytes(self) -> int:
        """Return the device's whole memory in bytes."""
        if self.kind == "cuda":
            return torch.cuda.mem_get_info(self.torch)[1]
        if self.kind == "xpu":
            return torch.xpu.mem_get_info(self.torch)[1]
        if self.kind == "mps":
            return min(total_ram(), torch.mps.recommended_max_memory())
        return total_ram()

    def lay_out(self, part: torch.nn.Module) -> None:
        """Put weights into the memory layout that is fastest on this device: on a processor, convolutions channels
        last.

        Activations follow the weights. Measured on an AMD EPYC with AVX512-BF16, in bf16: pictures of the starter model
        take 0.91 of the processor time (its decoder alone 0.68), steps of a full-size SD 1.5 0.96; in fp32 the
        starter's 0.89.
        """
        if self.kind == "cpu":
            for module in part.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.to(memory_format=torch.channels_last)

    def release(self) -> None:
        """Return memory that torch keeps cached to the device."""
        if self.kind in ("cuda", "mps", "xpu"):
            getattr(torch, self.kind).empty_cache()

    def _gpu_has_bf16(self) -> bool:
        if self.kind == "cuda":  # ROCm too: torch calls it cuda; emulated bf16 (before Ampere) would be slow
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return self.kind == "xpu" or (self.kind == "mps" and torch.backends.mps.is_macos_or_newer(14, 0))


def choose(config: EngineConfig) -> Device:
    """Return the device that `config` names, or for "auto" the best one available. Several engines take one card each,
    in turn.

    Raises:
        InvalidRequest: The device does not exist on this machine, or the precision is unknown.
    """
    if config.precision != "auto" and config.precision not in PRECISIONS:
        raise InvalidRequest(f"There is no precision called '{config.precision:.40}'.",
                             suggestion(config.precision, ("auto", *PRECISIONS)))
    name = _best() if config.device == "auto" else config.device
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"There is no device called '{name:.40}'.",
                             suggestion(name, ("auto", "cpu", "cuda", "mps", "xpu")),
                             str(error)) from None
    if device.index is None and config.engines > 1 and (cards := _count(device.type)) > 1:
        device = torch.device(device.type, config.engine % cards)
    if not _available(device):
        raise InvalidRequest(f"This machine has no device '{name}' that torch can use.",
                             "Choose 'auto' in the preferences.")
    return Device(device, config.precision)


def _best() -> str:
    return next((kind for kind in ("cuda", "xpu", "mps") if _available(torch.device(kind))), "cpu")


def _count(kind: str) -> int:
    """Return how many devices of a kind this machine has, at least 1."""
    return max(1, getattr(torch, kind).device_count()) if kind in ("cuda", "xpu") else 1


def _available(device: torch.device) -> bool:
    if device.type == "cpu":
        return True
    if device.type == "mps":
        return torch.backends.mps.is_available()
    if device.type not in ("cuda", "xpu"):
        return False
    module = getattr(torch, device.type)
    return module.is_available() and (device.index or 0) < module.device_count()


def cpu_has(feature: str) -> bool:
    """Return whether the processor has `feature` (AVX512_BF16 or AMX); False where torch cannot tell."""
    check = getattr(torch.cpu, feature, None)
    return check is not None and check()


def cpu_has_bf16() -> bool:
    """Return whether the processor multiplies bf16 matrices itself.

    That is AVX512-BF16 or AMX on x86, and the BF16 extension on Arm.
    """
    if cpu_has(AVX512_BF16) or cpu_has(AMX):
        return True
    if os.path.exists("/proc/cpuinfo") and os.uname().machine == "aarch64":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return any(line.startswith("Features") and " bf16" in line for line in file)
    return False


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a precision: "fp32", "bf16" or "fp16"."""
    return _NAMES.get(dtype, str(dtype).removeprefix("torch."))


def set_threads(wanted: int, engines: int = 1) -> int:
    """Let torch and bakes use `wanted` CPU threads, or all cores for 0 (of several `engines`, a share of them). Return
    the number in use.

    All cores are safe: the engine process has a lower priority than Blender. The number shows in the last bits of a
    picture, so it must not depend on whether the engine runs in a process or in a thread.
    """
    count = wanted if wanted > 0 else max(1, _cores() // engines)
    torch.set_num_threads(count)
    slices.use(count)
    return count


def _cores() -> int:
    """Return how many cores this process may use: those it may run on, or what its control group grants if less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, control_groups.processors() or cores)


def budget_bytes(device: Device, memory_mb: int, engines: int = 1, named: bool = False) -> int:
    """Return how many bytes of models may stay loaded: `memory_mb` MiB, or half of the device's memory for 0; of
    several `engines`, those on the same device share it.

    Args:
        device: The device that this engine has.
        memory_mb: MiB, as the person set them; 0 for the default.
        engines: How many engines this machine runs. They take the cards in turn, unless one card is `named`.
        named: Whether the device was chosen with its number, so that all engines are on it.
    """
    if memory_mb > 0:
        return memory_mb << 20
    sharing = engines if named else math.ceil(engines / _count(device.torch.type))
    return device.total_bytes() // 2 // sharing


def free_ram() -> int:
    """Return how much RAM can be used without swapping, in bytes; a container's limit counts."""
    try:
        import psutil

        free = psutil.virtual_memory().available
    except ImportError:
        free = _sysconf("SC_AVPHYS_PAGES", 4 * _GIB)
    limit = control_groups.memory()
    return free if limit is None else max(0, min(free, limit[0] - limit[1]))


def total_ram() -> int:
    """Return the machine's RAM, or the container's limit if that is lower, in bytes."""
    try:
        import psutil

        total = psutil.virtual_memory().total
    except ImportError:
        total = _sysconf("SC_PHYS_PAGES", 8 * _GIB)
    limit = control_groups.memory()
    return total if limit is None else min(total, limit[0])


def _sysconf(name: str, fallback: int) -> int:
    if not hasattr(os, "sysconf") or name not in os.sysconf_names:
        return fallback
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")


def _cached_by_torch(device: torch.device) -> int:
    return torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
