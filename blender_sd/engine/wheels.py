"""The wheels that a lock file names: read the lock, find each file, download it, check its hash.

pip finds and connects: its `PackageFinder` and its session know the person's index, proxy, certificates and credentials as pip's own
configuration and environment variables have them. pip's own downloads cannot go on after a break, so the bytes are read here. pip has
no public interface for this; what is used (`create_command`, `_build_package_finder`, `find_all_candidates`) has been there from pip
22.2 on, is what pip-tools lives on, and is tested with the pips of Python 3.11 and 3.13. `pip install --dry-run --report` is no way
out: it downloads every wheel whose index has no separate metadata.
"""
from __future__ import annotations

import contextlib
import copy
import email
import hashlib
import logging
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pip._internal.commands import create_command
from pip._internal.models.link import Link
from pip._vendor import requests
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.specifiers import SpecifierSet
from pip._vendor.packaging.utils import canonicalize_name
from pip._vendor.packaging.version import Version
from pip._vendor.urllib3.exceptions import HTTPError

from ..protocol.environment import lock_files
from ..protocol.errors import ConnectionLost, InvalidRequest
from ..protocol.messages import text_of
from .partial import BLOCK, Part

log = logging.getLogger(__name__)

_TRIES = 3  # in a row that bring nothing
_PAUSE = 1.0  # seconds between them
_AGAIN = "Start the set-up again: it goes on where it stopped."
_MAX_METADATA = 8 << 20  # bytes, unpacked; a package's whole description stands in it
_PLAIN = {"Accept-Encoding": "identity"}  # the bytes as they are, or no part of them could be asked for


@dataclass(frozen=True)
class Pin:
    """One line of a lock: `versions` is exact ("==1.2") where it is `pinned`. `hashes`: the SHA-256 of each file that it may
    be; none: the index is believed. `label`: the beginning of the build's local label ("rocm"), which then goes before the hash."""

    name: str
    versions: SpecifierSet
    hashes: frozenset[str] = frozenset()
    label: str = ""
    pinned: bool = True  # False: another wheel asks for it

    def __str__(self) -> str:
        return f"{self.name} {self.versions}{' +' + self.label if self.label else ''}".replace("==", "")

    def suits(self, candidate: Any) -> bool:
        """Whether pip's `candidate` is of the version and build that are meant."""
        local = candidate.version.local or ""
        if not self.versions.contains(candidate.version, prereleases=True):
            return False
        return not self.pinned or (local.startswith(self.label) if self.label else not local)


@dataclass
class Wheel:
    """One file to be had: from `link`, known by `hashes`, of `size` bytes (0: unknown). `path`: where it lies once it is here."""

    pin: Pin
    link: Link
    hashes: frozenset[str]
    size: int = 0
    path: str = ""

    @property
    def name(self) -> str:
        return self.link.filename


@dataclass(frozen=True)
class Lock:
    """What a lock names for this Python on this system. `indexes`: addresses to ask beside the person's own index."""

    pins: tuple[Pin, ...]
    indexes: tuple[str, ...] = ()


def read_lock(path: str) -> Lock:
    """Raises InvalidRequest for a file that is no lock."""
    pins: dict[str, Pin] = {}
    indexes: list[str] = []
    try:
        texts = [Path(name).read_text(encoding="utf-8") for name in lock_files(path)]
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"The lock file {path} cannot be read.", "Install the add-on again.", text_of(error)) from error
    for line in (line for text in texts for line in text.replace("\\\n", " ").splitlines()):
        if line.startswith("--extra-index-url "):
            indexes += line.split()[1:2]
        elif line.strip() and not line.startswith(("#", "-r ")):
            pin = _pin(line, path)
            if pin is not None:
                pins[pin.name] = pin
    return Lock(tuple(pins.values()), tuple(dict.fromkeys(indexes)))


def _pin(line: str, path: str) -> Pin | None:
    """What one line says; None where its marker leaves this system out."""
    text, *hashes = line.split("--hash=sha256:")
    try:
        wanted = Requirement(text.strip())
        if wanted.marker is not None and not wanted.marker.evaluate():
            return None
        (exact,) = wanted.specifier
        if exact.operator != "==":
            raise ValueError(f"{exact} is not exact")
        version = Version(exact.version)
    except (InvalidRequirement, ValueError) as error:
        raise InvalidRequest(f"The lock file {path} has a line that is no exact pin: {text.strip()[:100]}.",
                             "Write it with scripts/lock.py.", text_of(error)) from error
    return Pin(canonicalize_name(wanted.name), SpecifierSet(f"=={version.public}"), frozenset(one.strip() for one in hashes),
               version.local or "")


class Index:
    """Where wheels come from: the person's package index and those of the lock, or the folder `wheels` alone (""= the index).

    Use it as a context. Its methods raise ConnectionLost and InvalidRequest."""

    def __init__(self, lock: Lock, wheels: str) -> None:
        self._offline = wheels
        usual = ["--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check"]
        with _without_configuration() if wheels else contextlib.nullcontext():  # nothing that the person's pip would ask besides
            self._command = create_command("install", isolated=bool(wheels))
            self._options, _ = self._command.parse_args([*usual, *(["--no-index", "--find-links", wheels] if wheels else [])])
        self._more = copy.copy(self._options)
        self._more.extra_index_urls = [*self._options.extra_index_urls, *([] if wheels else lock.indexes)]
        self._heard = _Heard()

    def __enter__(self) -> Index:
        self._context = self._command.main_context()
        self._context.__enter__()
        self._session = self._command.get_default_session(self._options)
        # The lock's indexes are asked only for what they are there for, so that nobody can put another package before PyPI's there.
        self._finder, self._wide = (self._command._build_package_finder(options, self._session) for options in (self._options, self._more))
        self._collector = logging.getLogger("pip._internal.index.collector")
        self._collector.addHandler(self._heard)
        self._collector.setLevel(logging.DEBUG)
        self._collector.propagate = False
        return self

    def __exit__(self, *error: Any) -> None:
        self._collector.removeHandler(self._heard)
        self._context.__exit__(*error)

    def find(self, pin: Pin) -> Wheel | None:
        """The file for `pin`, without its size; None where there is none for this Python on this system."""
        self._heard.texts.clear()
        finder = self._finder if pin.hashes else self._wide
        found = [one for one in finder.find_all_candidates(pin.name) if pin.suits(one)]
        known = [one for one in found if _digest(one.link) in (pin.hashes | {""})] if pin.hashes else found
        if found and not known:
            raise ConnectionLost(f"The package index offers another file of {pin} than the add-on was tested with.",
                                 "Use PyPI itself, or a mirror that does not change its files.", str([one.link for one in found]))
        best = finder.make_candidate_evaluator(pin.name, specifier=pin.versions).compute_best_candidate(known).best_candidate
        if best is None:
            if self._heard.texts and not self._offline:
                raise unreachable("\n".join(self._heard.texts))
            return None
        if best.link.is_file:
            return Wheel(pin, best.link, pin.hashes, os.path.getsize(best.link.file_path))
        return Wheel(pin, best.link, pin.hashes or frozenset(filter(None, [_digest(best.link)])))

    def measure(self, wheel: Wheel) -> None:
        """Asks for the size of `wheel`, where it is not known; it stays unknown where the index does not say."""
        if not wheel.size:
            try:
                answer = self._session.head(wheel.link.url_without_fragment, headers=_PLAIN, allow_redirects=True)
                wheel.size = int(answer.headers.get("Content-Length", 0)) if answer.ok else 0
            except (requests.RequestException, ValueError) as error:
                log.info("no size of %s: %s", wheel.name, error)

    def bring(self, wheel: Wheel, folder: str, told: Callable[[int], None]) -> None:
        """Has `wheel` on disk, checked, and sets its `path`: in `folder`, but where it lies in a folder of wheels already. `told` hears of
        each change in how many bytes are there, of what lay there before too (negative: thrown away). Raises OSError as well."""
        if wheel.link.is_file:
            wheel.path = wheel.link.file_path
            if wheel.hashes and _sha256(wheel.path) not in wheel.hashes:
                raise InvalidRequest(f"The file {wheel.path} is not the one that the add-on was tested with.",
                                     "Download it again; the lock file names its SHA-256.")
            told(wheel.size)
            return
        wheel.path = os.path.join(folder, wheel.name)
        if os.path.isfile(wheel.path) and (not wheel.hashes or _sha256(wheel.path) in wheel.hashes):
            told(os.path.getsize(wheel.path))
        else:
            self._download(wheel, wheel.path + ".part", told)

    def _download(self, wheel: Wheel, path: str, told: Callable[[int], None]) -> None:
        for again in (True, False):
            with Part(path, told) as part:
                told(part.size)
                self._patiently(wheel, part)
            if not wheel.hashes or part.sha256() in wheel.hashes:
                os.replace(path, wheel.path)
                return
            told(-part.size)
            os.remove(path)
            log.info("%s has the SHA-256 %s", wheel.name, part.sha256())
            if not again:
                raise ConnectionLost(f"The file {wheel.name} arrived broken, twice.", "Try again later, or over another network.",
                                     f"{part.sha256()} is none of {sorted(wheel.hashes)}")

    def _patiently(self, wheel: Wheel, part: Part) -> None:
        """Reads until the whole file is there; a connection that breaks is made anew, as long as that brings something."""
        fruitless = 0
        while part.size != wheel.size or not wheel.size:
            before = part.size
            try:
                if self._read_on(wheel, part):
                    return
                raise requests.ConnectionError("the file ended early")
            except (requests.RequestException, HTTPError) as error:
                fruitless = 0 if part.size > before else fruitless + 1
                answer = getattr(error, "response", None)
                final = answer is not None and answer.status_code < 500 and answer.status_code != 429
                if final or fruitless >= _TRIES:
                    raise unreachable(str(error), wheel.link.netloc, text_of(error)) from error
                log.info("trying again after %s", error)
                time.sleep(_PAUSE)

    def _read_on(self, wheel: Wheel, part: Part) -> bool:
        """One request; whether it brought all that was missing."""
        if wheel.size and part.size > wheel.size:
            part.truncate()
        headers = {**_PLAIN, **({"Range": f"bytes={part.size}-"} if part.size else {})}
        with self._session.get(wheel.link.url_without_fragment, headers=headers, stream=True) as answer:
            answer.raise_for_status()
            if part.size and answer.status_code != 206:  # the server knows no ranges
                part.truncate()
            length = int(answer.headers.get("Content-Length", 0))
            wheel.size = wheel.size or length and part.size + length
            for block in answer.raw.stream(BLOCK, decode_content=False):
                part.write(block)
        return not wheel.size or part.size == wheel.size


@contextlib.contextmanager
def _without_configuration() -> Iterator[None]:
    before = os.environ.get("PIP_CONFIG_FILE")
    os.environ["PIP_CONFIG_FILE"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["PIP_CONFIG_FILE"]
        else:
            os.environ["PIP_CONFIG_FILE"] = before


class _Heard(logging.Handler):
    """Keeps what pip says of addresses that it could not read: it goes on as if nothing were there."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Could not fetch URL") and "404" not in text:
            self.texts.append(text)


def asked_for(path: str) -> Iterator[Pin]:
    """What the wheel at `path` asks for on this system, without extras."""
    with zipfile.ZipFile(path) as archive:
        name = next((one for one in archive.namelist() if one.count("/") == 1 and one.endswith(".dist-info/METADATA")), None)
        if name and archive.getinfo(name).file_size > _MAX_METADATA:
            raise InvalidRequest(f"The file {path} is no wheel of a package.", "Download it again.", f"{name} is too long")
        lines = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist", []) if name else []
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield Pin(canonicalize_name(wanted.name), wanted.specifier, pinned=False)


def unreachable(words: str, host: str = "The package index", detail: str = "") -> ConnectionLost:
    """What pip's or requests' `words` of a failure mean to a person."""
    low, detail = words.lower(), detail or words
    if "proxy" in low or "407 client" in low:
        return ConnectionLost("The proxy does not let the set-up through.", "Set the environment variable HTTPS_PROXY "
                              "(http://name:password@proxy:port) and start Blender again, or install from a folder of wheels.", detail)
    if "certificate" in low:
        return ConnectionLost(f"{host} is not trusted: its certificate is signed by nobody known.",
                              "Name your company's certificate file in the environment variable PIP_CERT and start Blender again.", detail)
    if "401 client" in low or "403 client" in low:
        return ConnectionLost(f"{host} does not let this computer in.",
                              "Look at pip's configuration (index-url), or install from a folder of wheels.", detail)
    return ConnectionLost(f"{host} cannot be reached, or stopped answering.", f"Look at the network. {_AGAIN}", detail)


def _digest(link: Link) -> str:
    """The SHA-256 that the index states, "" where it states none."""
    return link.hash or "" if link.hash_name == "sha256" else ""


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
