"""Read lock files, which list the engine's packages.

The format is PEP 751's with two additions under `tool.blender_sd`:

    include    other lock files in the same folder whose packages belong to this one too
    builds     packages whose files only their own index knows: name, version, label, index, marker

An importable pip is needed, for the `packaging` library that it contains.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pip._vendor.packaging import tags
from pip._vendor.packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from pip._vendor.packaging.specifiers import InvalidSpecifier, SpecifierSet
from pip._vendor.packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from pip._vendor.packaging.version import InvalidVersion, Version

from ..core import toml
from ..core.errors import InvalidRequest
from ..core.names import FORBIDDEN
from ..library.engine_environment import lock_files
from ..protocol.messages import text_of

_WRONG = (KeyError, TypeError, ValueError, AttributeError, RecursionError, InvalidMarker, UndefinedEnvironmentName,
          InvalidSpecifier)


@dataclass(frozen=True)
class Remote:
    """A file: its name, address, size in bytes (0 if unknown) and SHA-256 ("" if unknown)."""

    name: str
    url: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Pin:
    """A package of one version, with its wheels."""

    name: str
    version: str
    files: tuple[Remote, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Build:
    """A package whose files an index lists.

    Attributes:
        name: Its canonical name.
        versions: The versions that fit.
        label: How the local part of its version begins ("rocm"); "" for no local part, None for any.
        index: An index to ask besides the person's own; "" for none.
    """

    name: str
    versions: SpecifierSet
    label: str | None = None
    index: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.versions}{' +' + self.label if self.label else ''}".replace("==", "")

    def suits(self, version: Version) -> bool:
        """Return whether a file of `version` fits."""
        local = version.local or ""
        labelled = self.label is None or (local.startswith(self.label) if self.label else not local)
        return labelled and self.versions.contains(version, prereleases=True)


@dataclass(frozen=True)
class Lock:
    """The packages that a lock file lists for this Python on this system."""

    pins: tuple[Pin, ...]
    builds: tuple[Build, ...] = ()


def read_lock(path: str) -> Lock:
    """Read the lock file `path` and those that it includes. Raise InvalidRequest for a file that is no lock."""
    pins: dict[str, Pin] = {}
    builds: list[Build] = []
    for name, content in _contents(path):
        try:
            for package in content["packages"]:
                if applies(package.get("marker", "")):
                    pins[canonicalize_name(package["name"])] = _pin(package)
            for package in content.get("tool", {}).get("blender_sd", {}).get("builds", ()):
                if applies(package.get("marker", "")):
                    builds.append(_build(package))
        except _WRONG as error:
            raise InvalidRequest(f"The lock file {name} is not as such files are (PEP 751).",
                                 "Write it with uv, pip or scripts/lock.py.",
                                 text_of(error)) from error
    return Lock(tuple(pins.values()), tuple(builds))


def _contents(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        for name in lock_files(path):
            yield name, toml.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"The lock file {path} cannot be read.", "Install the add-on again.",
                             text_of(error)) from error


def _pin(entry: dict[str, Any]) -> Pin:
    """Parse an entry of "packages". Raise one of _WRONG."""
    files = tuple(map(_remote, entry.get("wheels", ())))
    if not files:
        raise ValueError(f"{entry['name']} has no wheels")
    return Pin(canonicalize_name(entry["name"]), str(Version(entry["version"])), files)


def _remote(entry: dict[str, Any]) -> Remote:
    url, size, sha256 = entry["url"], entry.get("size", 0), entry["hashes"]["sha256"]
    name = entry.get("name") or name_in(url)
    if type(size) is not int or size < 0 or len(sha256) != 64 or urlsplit(url).scheme not in ("https", "http", "file"):
        raise ValueError(f"{name} has no sound address, size and SHA-256")
    if wheel_tags(name) is None:
        raise ValueError(f"{name} is no wheel")
    return Remote(name, url, size, sha256.lower())


def _build(entry: dict[str, Any]) -> Build:
    if urlsplit(entry["index"]).scheme not in ("https", "http", "file"):
        raise ValueError(f"{entry['index']} is no index")
    versions = SpecifierSet(f"=={Version(entry['version']).public}")
    return Build(canonicalize_name(entry["name"]), versions, entry["label"] + "", entry["index"])


def applies(marker: str) -> bool:
    """Return whether the environment marker `marker` ("" for none) holds for the running Python."""
    return not marker or Marker(marker).evaluate({"extra": ""})


def name_in(url: str) -> str:
    """Return the file name in an address."""
    return unquote(urlsplit(url).path).rpartition("/")[2]


@cache
def _ranks() -> dict[tags.Tag, int]:
    return {tag: rank for rank, tag in enumerate(tags.sys_tags())}


def wheel_tags(name: str) -> tuple[str, Version, int | None] | None:
    """Parse the name of a wheel.

    Returns:
        (package, version, rank), where rank is how well it fits the running Python: 0 is best, None means not at all.
            None if it is no wheel's name.
    """
    try:
        package, version, _, compatible = parse_wheel_filename(name)
    except (InvalidWheelFilename, InvalidVersion, ValueError):
        return None
    if FORBIDDEN.search(name):
        return None
    return package, version, min((rank for tag in compatible if (rank := _ranks().get(tag)) is not None), default=None)


def usable(files: tuple[Remote, ...]) -> list[Remote]:
    """Return the files that the running Python can use, the best first."""
    ranked = [(tags[2], number) for number, file in enumerate(files)
              if (tags := wheel_tags(file.name)) and tags[2] is not None]
    return [files[number] for _, number in sorted(ranked)]
