"""Read pip's settings on this machine: index, proxy, certificates and so on.

pip's own command `config list` reports those in files and in environment variables alike. Standard library only.
"""
from __future__ import annotations

import ast
import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

_LIMIT = 120.0  # seconds that pip may take to list its settings
_ORDER = ("global", "install", ":env:")  # later sections override earlier ones
_PYPI = "pypi.org"


@dataclass(frozen=True)
class Settings:
    """Hold pip's settings.

    Attributes:
        index: The index to ask; "" for PyPI.
        more: More indexes.
        links: Folders and pages with files.
        only_links: Whether no index is asked.
        proxy, certificates, client_certificate: "" for the system's.
        trusted: Hosts whose certificates need not be valid.
        timeout: Seconds without an answer after which a request fails.
    """

    index: str = ""
    more: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    only_links: bool = False
    proxy: str = ""
    certificates: str = ""
    client_certificate: str = ""
    trusted: frozenset[str] = frozenset()
    timeout: float = 60.0


def read(pip: str) -> Settings:
    """Ask the pip in the wheel `pip` for its settings. Return the defaults if it does not answer."""
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        done = subprocess.run([sys.executable, "-I", "-X", "utf8", f"{pip}/pip", "config", "list"],
                              stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=_LIMIT, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("pip's settings are not known: %s", error)
        return Settings()
    if done.returncode != 0:
        log.warning("pip's settings are not known: %s", done.stderr.decode("utf-8", "replace").strip())
    return parsed(done.stdout.decode("utf-8", "replace"))


def parsed(text: str) -> Settings:
    """Parse the output of "pip config list"."""
    sections: dict[str, dict[str, str]] = {section: {} for section in _ORDER}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        try:
            plain = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            continue
        if section in sections and isinstance(plain, str):
            sections[section][name.removeprefix("default-")] = plain
    return _settings({name: value for section in _ORDER for name, value in sections[section].items()})


def _settings(values: Mapping[str, str]) -> Settings:
    def listed(name: str) -> tuple[str, ...]:
        return tuple(values.get(name, "").split())

    index = values.get("index-url", "").strip().rstrip("/")
    try:
        timeout = float(values.get("timeout", ""))
    except ValueError:
        timeout = 0.0
    return Settings(
        index="" if f"//{_PYPI}/" in index else index, more=tuple(url.rstrip("/") for url in listed("extra-index-url")),
        links=listed("find-links"), only_links=values.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        proxy=values.get("proxy", ""), certificates=values.get("cert", ""),
        client_certificate=values.get("client-cert", ""),
        trusted=frozenset(host.rpartition("//")[2].partition(":")[0] for host in listed("trusted-host")),
        **({"timeout": timeout} if timeout > 0 else {}))
