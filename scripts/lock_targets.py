"""Know the systems and Pythons that the engine must support, and find those for which a lock lacks a wheel."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

PYTHONS = ((3, 11), (3, 12), (3, 13))  # Blender 4.2 to 5.0, Linux distributions' own builds, Blender 5.2
# The oldest system of each kind (glibc 2.28, as Blender itself needs; macOS 14, as torch 2.13 needs), and one newer
# than any that exists.
_GLIBC, _NEW_GLIBC = 28, 60
_MACOS, _NEW_MACOS = (14, 0), (40, 0)


@dataclass(frozen=True)
class Target:
    """Describe one system with one Python. `accelerators`: the locks that it can use."""

    system: str  # sys.platform
    machine: str  # platform.machine()
    python: tuple[int, int]
    accelerators: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.system} {self.machine}, Python {self.python[0]}.{self.python[1]}"

    def tags(self, newest: bool = False) -> frozenset[Tag]:
        """Return the tags of the wheels that can be installed there; with `newest`, also those for newer systems only.
        """
        platforms = list(self._platforms(newest))
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        return frozenset(
            [*cpython_tags(self.python, platforms=platforms), *compatible_tags(self.python, interpreter, platforms)]
        )

    def _platforms(self, newest: bool) -> Iterable[str]:
        if self.system == "darwin":
            return mac_platforms(_NEW_MACOS if newest else _MACOS, self.machine)
        if self.system == "win32":
            return ["win_amd64"]
        return [f"manylinux_2_{minor}_{self.machine}" for minor in range(_NEW_GLIBC if newest else _GLIBC, 4, -1)] + [
            f"manylinux{year}_{self.machine}" for year in (2014, 2010, 1)] + [f"linux_{self.machine}"]

    def meets(self, marker: str) -> bool:
        """Return whether the environment marker `marker` ("" = none) holds there."""
        if not marker:
            return True
        version = f"{self.python[0]}.{self.python[1]}"
        return Marker(marker).evaluate(
            {
                "python_version": version,
                "python_full_version": f"{version}.0",
                "sys_platform": self.system,
                "platform_machine": self.machine,
                "platform_system": {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}[self.system],
                "os_name": "nt" if self.system == "win32" else "posix",
                "platform_release": "",
                "platform_version": "",
                "implementation_name": "cpython",
                "implementation_version": f"{version}.0",
                "platform_python_implementation": "CPython",
            }
        )


_SYSTEMS = (("linux", "x86_64", ("cpu", "cuda", "rocm", "xpu")), ("linux", "aarch64", ("cpu", "cuda")),
            ("win32", "AMD64", ("cpu", "cuda", "xpu")), ("darwin", "arm64", ("cpu", "mps")))
TARGETS = tuple(
    Target(system, machine, python, accelerators) for system, machine, accelerators in _SYSTEMS for python in PYTHONS
)


def file_name(wheel: Mapping[str, Any]) -> str:
    """Return the file name of a wheel's entry in a lock."""
    return wheel.get("name") or unquote(urlsplit(wheel["url"]).path).rpartition("/")[2]


def fits(wheel: Mapping[str, Any], target: Target, newest: bool = False) -> bool:
    """Return whether the wheel can be installed on `target`; with `newest`, also on a newer system of that kind."""
    return not target.tags(newest).isdisjoint(parse_wheel_filename(file_name(wheel))[3])


def gaps(packages: Iterable[Mapping[str, Any]], targets: Iterable[Target]) -> list[str]:
    """Return a line for each target and package that is required there but has no wheel."""
    packages = list(packages)
    return [f"{one['name']} {one['version']} has no wheel for {target}" for target in targets for one in packages
            if target.meets(one.get("marker", "")) and not any(fits(wheel, target) for wheel in one.get("wheels", ()))]


def left_out(wanted: Mapping[str, list[str]], optional: Mapping[str, str], targets: Iterable[Target]) -> list[str]:
    """Return a line for each requirement whose markers leave a target out, unless it is optional.

    `wanted`: name -> the marker of each of its lines. `optional`: name -> the feature that is missing without it.
    """
    return [
        f"{name} is left out on {target}; if that is intended, end its line with '# optional: FEATURE'"
        for target in targets
        for name, markers in wanted.items()
        if name not in optional and not any(target.meets(marker) for marker in markers)
    ]
