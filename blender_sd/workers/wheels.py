"""Find the wheels of a lock, download them so that a later process can resume, and check their hashes.

The lock gives address, size and SHA-256 of a file. If pip is configured to use another index or folders of files, the
file of that name is taken from there, and must have the same hash. What the lock cannot contain, builds of torch that
only torch's own index has and their dependencies, is looked up in the index during the installation; the index gives a
SHA-256 for each file.

An importable pip is needed, for the libraries that it contains.
"""
from __future__ import annotations

import email
import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO
from urllib.parse import urlsplit

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

from ..core.errors import ConnectionLost, InvalidRequest
from ..library import files
from ..library.partial_files import BLOCK, Corrupt, Part, download
from ..library.paths import open_plain
from .lock import Build, Pin, Remote, usable, wheel_tags
from .package_indexes import PYPI, files_at, files_in, is_private, local_path, project_page
from .pip_settings import Settings
from .transport import Unreached, Web

log = logging.getLogger(__name__)

_MAX_METADATA = 8 << 20  # bytes, unpacked; it contains the package's whole description


@dataclass
class Wheel:
    """A wheel to be installed.

    Attributes:
        wanted: The package that it is for.
        file: The file.
        size: Its size in bytes; 0 if unknown.
        path: Where it is once it is downloaded.
    """

    wanted: Pin | Build
    file: Remote
    size: int = 0
    path: str = ""

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def is_local(self) -> bool:
        """Whether it is in a folder of this machine already."""
        return self.file.url.startswith("file:")


class Index:
    """Find and download wheels. The methods raise ConnectionLost and InvalidRequest.

    Args:
        settings: pip's settings; with them, the lock's addresses and indexes are used.
        wheels: A folder of wheels to use instead of everything else; "" for none.
    """

    def __init__(self, settings: Settings, wheels: str = "") -> None:
        self._folder = wheels
        self._settings = Settings(links=(wheels,), only_links=True) if wheels else settings
        self._web = Web(self._settings)
        self._page = cache(lambda url: files_at(self._web, url))
        self._listed = cache(files_in)

    @property
    def mirror(self) -> str:
        """What is used instead of PyPI, in words; "" for nothing."""
        if self._settings.only_links:
            return "The folder " + ", ".join(place.rpartition("@")[2] for place in self._settings.links)
        return urlsplit(self._settings.index).hostname or self._settings.index

    def find(self, wanted: Pin | Build) -> Wheel | None:
        """Return the file for `wanted`, or None if there is none for this Python on this system."""
        try:
            file = self._find_pin(wanted) if isinstance(wanted, Pin) else self._find_build(wanted)
        except Unreached as error:
            raise error.explained() from error
        if file is None:
            return None
        path = local_path(file.url)
        return Wheel(wanted, file, os.path.getsize(path) if path else file.size)

    def _find_pin(self, pin: Pin) -> Remote | None:
        suited, named = usable(pin.files), self._named(pin.name)
        for file in suited:
            for other in (offer for offer in named if offer.name == file.name):
                path = local_path(other.url)
                if path:
                    # files of a folder that was chosen for this are checked in `bring`
                    if self._folder or _sha256(path) == file.sha256:
                        return Remote(file.name, other.url, file.size, file.sha256)
                elif other.sha256 in ("", file.sha256):
                    return Remote(file.name, other.url, file.size, file.sha256)
                else:
                    raise ConnectionLost(
                        f"The package index offers another file of {pin} than the add-on was tested with.",
                        "Use PyPI itself, or a mirror that does not change its files.",
                        other.url,
                    )
        elsewhere = bool(self._settings.index or self._settings.only_links)
        return suited[0] if suited and not elsewhere else None

    def _named(self, project: str) -> list[Remote]:
        """Return the files of `project` that the folders and indexes in pip's configuration offer, in that order.

        As with pip, only the main index must exist.
        """
        offers: list[Remote] = []
        for place in self._settings.links:
            is_page = place.startswith(("http://", "https://"))
            listed = self._tried(place) if is_page else self._listed(place)
            offers += [file for file in listed if _project_of(file.name) == project]
        if self._settings.index and not self._settings.only_links:
            offers += self._page(project_page(self._settings.index, project))
            for index in self._settings.more:
                offers += self._tried(project_page(index, project))
        return offers

    def _tried(self, url: str) -> list[Remote]:
        try:
            return self._page(url)
        except Unreached as error:
            log.warning("%s is left out: %s", urlsplit(url).hostname, error)  # the address may contain a password
            return []

    def _find_build(self, build: Build) -> Remote | None:
        """Return the newest matching file of pip's configured sources.

        If these have none, PyPI and the build's index are used.
        """
        best = _newest(self._named(build.name), build)
        if best is None and not self._settings.only_links:
            others = [] if self._settings.index else [*self._settings.more, *([] if build.label else [PYPI])]
            pages = (self._page(project_page(index, build.name)) for index in (build.index, *others) if index)
            # the lock's own index comes first
            best = next((newest for page in pages if (newest := _newest(page, build))), None)
        if best is not None and not local_path(best.url) and not (best.sha256 and is_private(best.url)):
            raise ConnectionLost(
                f"The package index does not vouch for {best.name}: it states no SHA-256, or is not asked over https.",
                "Use torch's own index, or install from a folder of wheels.",
                best.url,
            )
        return best

    def measure(self, wheel: Wheel) -> None:
        """Ask for the size of `wheel` if it is unknown; it stays unknown if the index does not tell."""
        wheel.size = wheel.size or self._web.size(wheel.file.url)

    def bring(self, wheel: Wheel, folder: str, on_change: Callable[[int], None]) -> None:
        """Download `wheel` to a folder, check it, and set its `path`.

        A file in a folder of wheels is copied, since others could replace it there between the check and the
        installation.

        Args:
            wheel: The wheel.
            folder: The folder to download to.
            on_change: Called with each change of the number of bytes that are there, including those that existed
                before; negative for deleted ones.

        Raises:
            OSError: The file cannot be written.
        """
        wheel.path = os.path.join(folder, wheel.name)
        if wheel.is_local:
            self._copy(wheel, local_path(wheel.file.url))
            on_change(wheel.size)
        elif os.path.isfile(wheel.path) and _sha256(wheel.path) == wheel.file.sha256:
            on_change(os.path.getsize(wheel.path))
        else:
            self._download(wheel, wheel.path + ".part", on_change)

    def _copy(self, wheel: Wheel, source: str) -> None:
        """Copy the file `source` to the wheel's path, hashing it meanwhile.

        Raise InvalidRequest if it is not the file in the lock.
        """
        if os.path.exists(wheel.path) and os.path.samefile(source, wheel.path):
            sha256 = _sha256(source)
        else:
            digest = hashlib.sha256()

            def fill(file: BinaryIO, _path: str) -> None:
                with open_plain(source) as opened:
                    while block := opened.read(BLOCK):
                        digest.update(block)
                        file.write(block)

            fresh = files.write_new([files.temporary(wheel.path)], fill)
            sha256 = digest.hexdigest()
            if wheel.file.sha256 in ("", sha256):
                files.replace(fresh, wheel.path)
            else:
                os.remove(fresh)
        if wheel.file.sha256 not in ("", sha256):
            raise InvalidRequest(f"The file {source} is not the one that the add-on was tested with.",
                                 "Download it again; the lock file names its SHA-256.")

    def _download(self, wheel: Wheel, path: str, on_change: Callable[[int], None]) -> None:
        if os.path.exists(path):
            on_change(os.path.getsize(path))
        try:
            download(path, wheel.path, lambda part: self._receive(wheel, part), sha256=wheel.file.sha256,
                     on_change=on_change, is_temporary=lambda error: isinstance(error, Unreached) and not error.final)
        except Unreached as error:
            raise error.explained() from error
        except Corrupt as error:
            raise ConnectionLost(f"The file {wheel.name} arrived broken, twice.",
                                 "Try again later, or over another network.",
                                 f"{error.sha256} is not {wheel.file.sha256}") from error

    def _receive(self, wheel: Wheel, part: Part) -> None:
        """Make one request for what is missing of the file. Raise Unreached if that does not bring all of it."""
        if wheel.size and part.size > wheel.size:
            part.truncate()
        if wheel.size and part.size == wheel.size:
            return
        with self._web.file(wheel.file.url, part.size) as (start, length, blocks):
            if part.size and not start:  # the server does not support ranges
                part.truncate()
            wheel.size = wheel.size or length and part.size + length
            for block in blocks:
                part.write(block)
        if wheel.size and part.size != wheel.size:
            raise Unreached(wheel.file.url, "the file ended early")


def asked_for(path: str, index: str = "") -> Iterator[Build]:
    """Yield the dependencies of a wheel on this system, without extras.

    Args:
        path: The wheel.
        index: An index to look for them in, too.
    """
    with zipfile.ZipFile(path) as archive:
        name = next((entry for entry in archive.namelist() if _is_metadata(entry)), None)
        if name and archive.getinfo(name).file_size > _MAX_METADATA:
            raise InvalidRequest(f"The file {path} is no wheel of a package.", "Download it again.",
                                 f"{name} is too long")
        lines = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist", []) if name else []
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield Build(canonicalize_name(wanted.name), wanted.specifier, index=index)


def _is_metadata(entry: str) -> bool:
    return entry.count("/") == 1 and entry.endswith(".dist-info/METADATA")


def _newest(offered: list[Remote], build: Build) -> Remote | None:
    """Return the file of the newest version that fits `build`.

    Of several, the one that fits this Python best is preferred, then the first.
    """
    ranked = []
    for number, file in enumerate(offered):
        _, version, rank = wheel_tags(file.name)
        if rank is not None and build.suits(version):
            ranked.append((version, -rank, -number, file))
    return max(ranked)[3] if ranked else None


def _project_of(name: str) -> str:
    tags = wheel_tags(name)
    return tags[0] if tags else ""


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
