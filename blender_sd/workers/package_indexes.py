"""List the wheels that package indexes (PEP 503 and 691), pages and folders of links offer."""
from __future__ import annotations

import json
import logging
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

from .lock import Remote, name_in, wheel_tags
from .transport import Unreached, Web

log = logging.getLogger(__name__)

PYPI = "https://pypi.org/simple"
_LOCAL = ("localhost", "127.0.0.1", "::1")


def project_page(index: str, project: str) -> str:
    """Return the address of the page on which `index` lists the files of `project` (its canonical name)."""
    page = f"{index.rstrip('/')}/{project}/"
    return page + "index.html" if page.startswith("file:") else page


def files_at(web: Web, url: str) -> list[Remote]:
    """Return the wheels that the page at `url` offers, [] if there is no such page. Raise Unreached."""
    try:
        content, kind, at = web.page(url)
    except Unreached as error:
        if error.status in (404, 410) or url.startswith("file:"):
            return []
        raise
    try:
        return links(content, kind, at)
    except ValueError as error:
        raise Unreached(url, f"the page is no list of files: {error}") from error


def links(content: bytes, kind: str, at: str) -> list[Remote]:
    """Return the wheels that a page links to.

    Args:
        content: The page.
        kind: Its media type.
        at: Its address.

    Raises:
        ValueError: It is no such page.
    """
    try:
        files = _json_links(content, at) if kind.endswith("json") else _html_links(content, at)
        return [file for file in files if wheel_tags(file.name) and _may_lead_to(at, file.url)]
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(repr(error)) from error


def files_in(place: str) -> list[Remote]:
    """Return the wheels in the folder `place` (a path, or an address that begins with file:), without their hashes."""
    folder = local_path(place) or os.path.expanduser(place)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        log.info("%s: %s", place, error)
        return []
    return [Remote(name, Path(folder, name).absolute().as_uri()) for name in names if wheel_tags(name)]


def local_path(url: str) -> str:
    """Return the path in an address that begins with file:, otherwise ""."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return ""
    return url2pathname(f"//{parts.netloc}{parts.path}" if os.name == "nt" and parts.netloc else parts.path)


def is_private(url: str) -> bool:
    """Return whether nobody between this computer and the server can change what `url` returns."""
    parts = urlsplit(url)
    return parts.scheme in ("https", "file") or parts.hostname in _LOCAL


def _may_lead_to(page: str, url: str) -> bool:
    scheme = urlsplit(url).scheme
    return scheme in ("https", "http") or scheme == "file" == urlsplit(page).scheme


def _json_links(content: bytes, at: str) -> list[Remote]:
    return [Remote(file["filename"], urljoin(at, file["url"]), int(file.get("size") or 0),
                   str(file["hashes"].get("sha256", "")).lower()) for file in json.loads(content)["files"]]


def _html_links(content: bytes, at: str) -> list[Remote]:
    parser = _Links(at)
    parser.feed(content.decode("utf-8", "replace"))
    return parser.files


class _Links(HTMLParser):
    """Collect the links of a page; the fragment of a link may contain the file's hash."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self.files: list[Remote] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if href and tag == "base":
            self._base = urljoin(self._base, href)
        elif href and tag == "a":
            url, mark = urldefrag(urljoin(self._base, href))
            kind, _, digest = mark.partition("=")
            self.files.append(Remote(name_in(url), url, 0, digest.lower() if kind == "sha256" else ""))
