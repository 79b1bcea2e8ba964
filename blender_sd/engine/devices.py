"""Which device paints, in which precision, on how many threads, and how much memory it has."""
from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from ..protocol.errors import InvalidRequest
from ..protocol.messages import EngineConfig

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {dtype: name for name, dtype in PRECISIONS.items()}
_GIB = 1 << 30
AVX512_BF16, AMX = "_is_avx512_bf16_supported", "_is_amx_tile_supported"  # what torch.cpu calls the questions
# Below this many bytes of weights in fp32, a step on a CPU is too short for half precision to save time. The embedded
# starter model lies above: a 256² picture takes 2.2 times less processor time in bf16 (with AMX).
_SMALL_MODEL = 16 << 20


@dataclass(frozen=True)
class Device:
    """Where models run. `precision` is what the person asked for: auto, fp32, bf16 or fp16."""

    torch: torch.device
    precision: str

    @property
    def kind(self) -> str:
        return self.torch.type

    def dtype(self, transformer: bool, weight_bytes: int) -> torch.dtype:
        """The precision for one model: `transformer` families were trained in bf16 and overflow in fp16; UNet
        families run in fp16 everywhere. `weight_bytes`: the weights' size in fp32."""
        if self.precision != "auto":
            return PRECISIONS[self.precision]
        if self.kind == "cpu":
            return torch.bfloat16 if cpu_has_bf16() and weight_bytes > _SMALL_MODEL else torch.float32
        if transformer and self._gpu_has_bf16():
            return torch.bfloat16
        return torch.float16

    def usual_precision(self) -> str:
        """What most models of this device run in; said in `Ready`."""
        return name_of(self.dtype(transformer=False, weight_bytes=_SMALL_MODEL + 1))

    def free_bytes(self) -> int:
        """Memory that a new model or picture could take now, in bytes."""
        if self.kind == "cuda":
            return torch.cuda.mem_get_info(self.torch)[0] + _cached_by_torch(self.torch)
        if self.kind == "xpu":
            return torch.xpu.mem_get_info(self.torch)[0]
        return free_ram()

    def total_bytes(self) -> int:
        if self.kind == "cuda":
            return torch.cuda.mem_get_info(self.torch)[1]
        if self.kind == "xpu":
            return torch.xpu.mem_get_info(self.torch)[1]
        return total_ram()

    def lay_out(self, part: torch.nn.Module) -> None:
        """Lays out a loaded part's weights as this device likes them: on a processor those of convolutions channels last; what
        flows through then lies so too. Measured on an AMD EPYC with AVX512-BF16, in bf16: pictures of the starter model take
        0.91 of the processor time (its decoder alone 0.68), steps of a full-size SD 1.5 0.96; in fp32 the starter's 0.89."""
        if self.kind == "cpu":
            for module in part.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.to(memory_format=torch.channels_last)

    def release(self) -> None:
        """Gives memory that torch keeps cached back to the device."""
        if self.kind in ("cuda", "mps", "xpu"):
            getattr(torch, self.kind).empty_cache()

    def _gpu_has_bf16(self) -> bool:
        if self.kind == "cuda":  # ROCm too: torch calls it cuda; emulated bf16 (before Ampere) would be slow
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return self.kind == "xpu" or (self.kind == "mps" and torch.backends.mps.is_macos_or_newer(14, 0))


def choose(config: EngineConfig) -> Device:
    """The device that `config` names, or the best there is. Raises InvalidRequest for one that this machine lacks."""
    if config.precision != "auto" and config.precision not in PRECISIONS:
        raise InvalidRequest(f"There is no precision called '{config.precision:.40}'.", "Choose auto, fp32, bf16 or fp16.")
    name = _best() if config.device == "auto" else config.device
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"There is no device called '{name:.40}'.", "Choose auto, cpu, cuda, mps or xpu.", str(error)) from None
    if not _available(device):
        raise InvalidRequest(f"This machine has no device '{name}' that torch can use.", "Choose 'auto' in the preferences.")
    return Device(device, config.precision)


def _best() -> str:
    return next((kind for kind in ("cuda", "xpu", "mps") if _available(torch.device(kind))), "cpu")


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
    """Whether torch finds AVX512_BF16 or AMX in the processor; False where this torch cannot tell."""
    check = getattr(torch.cpu, feature, None)
    return check is not None and check()


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 matrices itself (AVX512-BF16 or AMX on x86, the BF16 extension on Arm)."""
    if cpu_has(AVX512_BF16) or cpu_has(AMX):
        return True
    if os.path.exists("/proc/cpuinfo") and os.uname().machine == "aarch64":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return any(line.startswith("Features") and " bf16" in line for line in file)
    return False


def name_of(dtype: torch.dtype) -> str:
    """"fp32", "bf16" or "fp16"."""
    return _NAMES.get(dtype, str(dtype).removeprefix("torch."))


def set_threads(wanted: int) -> int:
    """Lets torch use `wanted` CPU threads, or for 0 all cores: the engine process has a lower priority than Blender, which so
    takes what it needs. How many those are. Their number shows in a picture's last bits, so it does not depend on where
    the engine runs."""
    count = wanted if wanted > 0 else _cores()
    torch.set_num_threads(count)
    return count


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def budget_bytes(device: Device, memory_mb: int) -> int:
    """How many bytes of models may stay loaded."""
    return memory_mb << 20 if memory_mb > 0 else device.total_bytes() // 2


def free_ram() -> int:
    """RAM that can be had without swapping, in bytes, a container's limit heeded."""
    try:
        import psutil

        free = psutil.virtual_memory().available
    except ImportError:
        free = _sysconf("SC_AVPHYS_PAGES", 4 * _GIB)
    limit = _container_limit()
    return free if limit is None else max(0, min(free, limit[0] - limit[1]))


def total_ram() -> int:
    try:
        import psutil

        total = psutil.virtual_memory().total
    except ImportError:
        total = _sysconf("SC_PHYS_PAGES", 8 * _GIB)
    limit = _container_limit()
    return total if limit is None else min(total, limit[0])


def _sysconf(name: str, otherwise: int) -> int:
    if not hasattr(os, "sysconf") or name not in os.sysconf_names:
        return otherwise
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")


def _container_limit() -> tuple[int, int] | None:
    """(limit, used) of the control group in bytes; None where there is none (Linux, cgroup v2)."""
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
        with open("/sys/fs/cgroup/memory.stat", encoding="ascii") as file:
            stat = dict(line.split() for line in file)
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None
    return int(limit), int(stat.get("anon", 0))  # page cache does not count: it gives way


def _cached_by_torch(device: torch.device) -> int:
    return torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
