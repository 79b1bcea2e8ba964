"""Name the platforms on which a feature does not exist."""
from __future__ import annotations

import platform
import sys

_WITHOUT_EMBREE = {("linux", "aarch64"): "Linux on ARM", ("win32", "arm64"): "Windows on ARM"}


def without_embree(system: str = sys.platform, machine: str | None = None) -> str:
    """Return the name of this platform if embree, which casts rays, has no package for it; else "".

    Args:
        system: As in `sys.platform`.
        machine: As in `platform.machine()`; None for this machine's.
    """
    return _WITHOUT_EMBREE.get((system, (platform.machine() if machine is None else machine).lower()), "")
