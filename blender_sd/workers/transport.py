"""Transfer bytes over HTTP for the engine's installation, with the standard library.

Proxy and certificates come from pip's settings, environment variables and the system, whichever exist.
"""
from __future__ import annotations

import base64
import http.client
import logging
import netrc
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit, urlunsplit

from pip._vendor import certifi

from ..core.errors import ConnectionLost
from ..library.partial_files import BLOCK
from .pip_settings import Settings

log = logging.getLogger(__name__)

_KEYCHAINS = ("/Library/Keychains/System.keychain", "~/Library/Keychains/login.keychain-db")
_CERTIFICATE_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # OpenSSL itself reads SSL_CERT_FILE and SSL_CERT_DIR
_LIMIT = 30.0  # seconds for the system's tool that lists certificates
AGAIN = "Start the set-up again: it goes on where it stopped."


class Unreached(Exception):
    """An address gave no answer, a bad one, or only the beginning of one.

    `status` is that of the answer, 0 if there was none.
    """

    def __init__(self, url: str, error: BaseException | str) -> None:
        self.host = urlsplit(url).hostname or "The package index"
        self.status = error.code if isinstance(error, urllib.error.HTTPError) else 0
        super().__init__(f"{self.status} client error: {error}" if 400 <= self.status < 500 else str(error))

    @property
    def final(self) -> bool:
        """Whether the same request would get the same answer again."""
        return 400 <= self.status < 500 and self.status != 429

    def explained(self) -> ConnectionLost:
        """Return the error for people."""
        return unreachable(str(self), self.host)


class Web:
    """Make requests according to pip's settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        proxies = urllib.request.ProxyHandler({"http": settings.proxy, "https": settings.proxy} if settings.proxy
                                              else None)
        self._strict = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=trusted(settings)))
        self._lenient = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=_unchecked()))
        self._known = dict(filter(None, map(_login, (settings.index, *settings.more, *settings.links))))

    def page(self, url: str) -> tuple[bytes, str, str]:
        """Return (content, media type, address after redirects) of the index page at `url`. Raise Unreached."""
        accepted = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
        with self._asked(url, {"Accept": accepted}) as answer:
            return answer.read(), answer.headers.get_content_type(), answer.url

    def size(self, url: str) -> int:
        """Return the size of the file at `url` in bytes, 0 if the server does not tell. Never raise."""
        try:
            with self._asked(url, method="HEAD") as answer:
                return int(answer.headers.get("Content-Length") or 0)
        except (Unreached, ValueError) as error:
            log.info("no size of %s: %s", url, error)
            return 0

    @contextmanager
    def file(self, url: str, start: int = 0) -> Iterator[tuple[int, int, Iterator[bytes]]]:
        """Request the bytes of a file.

        Args:
            url: The file's address.
            start: The first byte.

        Yields:
            (the first byte of the answer: `start`, or 0 if the server does not support ranges; the number of bytes to
                come, 0 if unknown; the blocks).

        Raises:
            Unreached: There is no or a bad answer; also while blocks are read.
        """
        with self._asked(url, {"Range": f"bytes={start}-"} if start else {}) as answer:
            blocks = iter(lambda: answer.read(BLOCK), b"")
            yield (
                start if answer.status == 206 else 0,
                int(answer.headers.get("Content-Length") or 0),
                _guarded(url, blocks),
            )

    @contextmanager
    def _asked(
        self, url: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            opener = self._lenient if urlsplit(url).hostname in self._settings.trusted else self._strict
            answer = opener.open(self._request(url, headers or {}, method), timeout=self._settings.timeout)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unreached(url, error) from error
        with answer:
            yield answer

    def _request(self, url: str, headers: dict[str, str], method: str) -> urllib.request.Request:
        """Return the request. A name and a password go into a header that is not sent on to the target of a redirect.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
        headers = {"Accept-Encoding": "identity", "User-Agent": "blender_sd", **headers}
        request = urllib.request.Request(plain, headers=headers, method=method)
        login_in_url = _login(url)
        login = login_in_url[1] if login_in_url else self._known.get(host) or _from_netrc(host)
        if login:
            request.add_unredirected_header("Authorization", login)
        return request


def _guarded(url: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from blocks
    except (OSError, http.client.HTTPException) as error:
        raise Unreached(url, error) from error


def _login(url: str) -> tuple[str, str] | None:
    """Return (host, Authorization header) if `url` contains a user name, otherwise None."""
    parts = urlsplit(url)
    if not parts.username:
        return None
    return parts.hostname or "", _basic(unquote(parts.username), unquote(parts.password or ""))


def _from_netrc(host: str) -> str:
    try:
        login = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError, UnicodeError):
        return ""
    return _basic(login[0], login[2] or "") if login else ""


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# ---- certificates ----------------------------------------------------------------------------------------------------


def trusted(settings: Settings) -> ssl.SSLContext:
    """Return a TLS context that trusts the system's store, Mozilla's list (which pip contains) and configured files.

    Python reads Windows' store by itself, but not macOS' keychains.

    Raises:
        ConnectionLost: A configured file cannot be read.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=certifi.contents())
    if sys.platform == "darwin" and (text := keychain_certificates()):
        context.load_verify_locations(cadata=text)
    for path in filter(None, (settings.certificates, *map(os.environ.get, _CERTIFICATE_FILES))):
        try:
            context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
        except (OSError, ssl.SSLError) as error:
            raise ConnectionLost(f"The certificates in {path} cannot be read.",
                                 "Correct the path in PIP_CERT, in pip's configuration (cert) or in "
                                 "REQUESTS_CA_BUNDLE.", str(error)) from error
    if settings.client_certificate:
        try:
            context.load_cert_chain(settings.client_certificate)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionLost(f"Your certificate {settings.client_certificate} cannot be read.",
                                 "Correct client-cert in pip's configuration.", str(error)) from error
    return context


def _unchecked() -> ssl.SSLContext:
    """Return a TLS context for hosts that pip is configured to trust (trusted-host).

    Their files must match the lock's hashes all the same.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def keychain_certificates() -> str:
    """Return, in PEM, the certificates in macOS' keychains that macOS trusts, such as a company's."""
    kept = []
    for keychain in map(os.path.expanduser, _KEYCHAINS):
        text = _security("find-certificate", "-a", "-p", keychain)
        kept += [f"{body}-----END CERTIFICATE-----\n" for body in text.split("-----END CERTIFICATE-----\n")
                 if "BEGIN CERTIFICATE" in body]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "one.pem")
        trusted_ones = []
        for certificate in kept:
            with open(path, "w", encoding="ascii") as file:
                file.write(certificate)
            if _security("verify-cert", "-l", "-L", "-R", "offline", "-c", path):
                trusted_ones.append(certificate)
    return "".join(trusted_ones)


def _security(*words: str) -> str:
    """Return what macOS' tool `security` prints, "" if it fails."""
    try:
        done = subprocess.run(["/usr/bin/security", *words], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=_LIMIT, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.info("security %s: %s", words[0], error)
        return ""
    return done.stdout.decode("utf-8", "replace")


# ---- texts -----------------------------------------------------------------------------------------------------------


def unreachable(words: str, host: str = "The package index", detail: str = "") -> ConnectionLost:
    """Return the error for people about a server that could not be used.

    Args:
        words: The text of the failure.
        host: The server.
        detail: The detail for the log; by default the text of the failure.
    """
    low, detail = words.lower(), detail or words
    if "proxy" in low or "tunnel connection failed" in low or "407 client" in low:
        return ConnectionLost(
            "The proxy does not let the set-up through.",
            "Set the environment variable HTTPS_PROXY (http://name:password@proxy:port) and start Blender again, or "
            "install from a folder of wheels.",
            detail,
        )
    if "certificate" in low:
        return ConnectionLost(
            f"{host} is not trusted: this computer does not know who issued its certificate.",
            "Name your company's certificate file in the environment variable PIP_CERT and start Blender again.",
            detail,
        )
    if "401 client" in low or "403 client" in low:
        return ConnectionLost(f"{host} does not let this computer in.",
                              "Look at pip's configuration (index-url), or install from a folder of wheels.", detail)
    return ConnectionLost(f"{host} cannot be reached, or stopped answering.", f"Look at the network. {AGAIN}", detail)
