"""Models from the Hugging Face hub, in a process of its own, which holds no torch and can be ended at any moment.

What is being downloaded lies in `.fetching/` beside the models, where nobody looks for models: complete files in `files/`, the others in
`parts/`. The revision is written down at the beginning, so that whatever comes later goes on with the same one. When all is there, one
rename makes it a model. `huggingface_hub.hf_hub_download` throws away what a broken download has got, so its `http_get` is used instead.
"""
from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import httpx2
from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub import errors as hub_errors
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers

from ..protocol import cards, hub, policy
from ..protocol.cards import Licence
from ..protocol.errors import (
    ConnectionLost, HubRefused, InvalidRequest, JobCancelled, LicenceNotAccepted, ModelNotFound, ModelUnreadable, OnlineAccessOff,
    OutputUnwritable, SDError,
)
from ..protocol.files import write_whole
from ..protocol.messages import Cancelled, Event, Failed, Fetch, Fetched, Found, Installed, Ready, text_of
from . import process
from .disk import FULL
from .hub_files import Choice, RemoteFile, choose
from .partial import Part

log = logging.getLogger(__name__)

_AGAIN = "Download it again: it goes on where it stopped."
_SPARE = 64 << 20  # bytes of the disk that are left alone
_TRIES = 3  # in a row that bring nothing; `http_get` itself tries some failures five times more
_PAUSE = 1.0  # seconds between them
_MAX_INDEX = 1 << 20  # bytes
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20  # bytes; a tenth of the library's, since what is lost at a break is the chunk begun


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Speaks with the session; see `engine.process.serve`."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it names each address, signed ones too
    return process.serve(reader, writer, lambda config: Fetcher())


class Fetcher:
    """Carries out `Fetch` orders, one at a time. A `protocol.messages.Pipeline`."""

    def warm(self) -> Ready:
        return Ready("", "", {"huggingface_hub": importlib.metadata.version("huggingface_hub")})

    def run(self, order: Fetch, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Emits Found, Fetched for each megabyte, and one of Installed, Cancelled, Failed."""
        token = ""
        try:
            token = _token(order.token)
            ending: Event = Installed(order.job, str(_Download(order, token, emit, cancelled).carry_out()))
        except JobCancelled:
            ending = Cancelled(order.job)
        except Exception as error:
            known = _translated(error, order)
            detail = known.detail.replace(token, "…") if token else known.detail
            log.info("%s was not fetched: %s\n%s", order.repo, known, detail)
            ending = Failed(order.job, known.kind, known.message, known.hint, detail)
        emit(ending)

    def close(self) -> None:
        """Nothing is kept between orders."""


class _Download:
    """One order, carried out."""

    def __init__(self, order: Fetch, token: str, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        self._order, self._emit, self._cancelled = order, emit, cancelled
        self._token = token or False  # False: send none
        name = hub.folder_name(order.repo)
        self._home = Path(order.folder) / name
        which = "--" + hashlib.sha256(order.file.encode()).hexdigest()[:8] if order.file else ""
        self._begun = Path(order.folder) / hub.UNFINISHED / (name + which)
        self._revision = ""
        self._done = 0

    def carry_out(self) -> Path:
        order, rules = self._order, policy.current()
        rules.check_download(order.repo, order.file)
        info = self._look_up()
        files = [RemoteFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else "") for one in info.siblings or ()]
        choice = choose(order.repo, files, order.file, self._read_json)
        self._done = sum(self._here(path, file) for path, file in choice.files.items())
        licence, link = _licence(order.repo, info.card_data)
        self._emit(Found(order.job, licence, link, self._done, choice.bytes))
        rules.check_licence("", order.repo, Licence(licence))
        if not order.accepted:
            raise LicenceNotAccepted(f"The licence of {order.repo} was not accepted yet: {licence or 'its page names none'}.",
                                     f"Read it at {link} and accept it.")
        self._begun.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(str(self._begun) + ".lock", timeout=0):
            (self._begun / "revision").write_text(self._revision)
            self._check_space(choice)
            for path, file in choice.files.items():
                self._bring(path, file)
            return self._install(choice, licence, link)

    # ---- what there is -----------------------------------------------------------------------------------------------

    def _look_up(self) -> Any:
        """What the hub says of the repository, at the revision that was begun with, as long as the hub has it."""
        try:
            begun = (self._begun / "revision").read_text()
        except OSError:
            begun = ""
        try:
            info = self._model_info(begun or None)
        except hub_errors.RevisionNotFoundError:
            shutil.rmtree(self._begun, ignore_errors=True)
            info = self._model_info(None)
        self._revision = info.sha
        return info

    def _model_info(self, revision: str | None) -> Any:
        return _patiently(lambda: HfApi(token=self._token).model_info(
            self._order.repo, revision=revision, files_metadata=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT), lambda: 0)

    def _read_json(self, file: RemoteFile) -> dict[str, Any]:
        def read() -> bytes:
            data = io.BytesIO()
            self._get(file, data, 0)
            return data.getvalue()

        try:
            value = json.loads(_patiently(read, lambda: 0)) if file.size <= _MAX_INDEX else None
        except (ValueError, RecursionError) as error:
            log.info("%s: %s", file.path, error)
            value = None
        if not isinstance(value, dict):
            raise ModelUnreadable(f"The model's {file.path} on the hub is no model description.", "Choose another one.")
        return value

    def _here(self, path: str, file: RemoteFile) -> int:
        """How many bytes of `file` are on disk; what cannot be part of it is deleted."""
        for place in (self._complete(path), self._part(path)):
            if place.is_file():
                size = place.stat().st_size
                if size == file.size or size < file.size and place == self._part(path):
                    return size
                place.unlink()
        return 0

    def _complete(self, path: str) -> Path:
        return self._begun / "files" / path

    def _part(self, path: str) -> Path:
        return self._begun / "parts" / path

    def _check_space(self, choice: Choice) -> None:
        needed, free = choice.bytes - self._done + _SPARE, shutil.disk_usage(self._begun).free
        if free < needed:
            raise OutputUnwritable(
                f"The disk is too full: {needed / 1e9:.1f} GB are needed in {self._order.folder}, {free / 1e9:.1f} GB are free.",
                "Free some, or choose another Download Folder in the preferences.")

    # ---- bringing it -------------------------------------------------------------------------------------------------

    def _bring(self, path: str, file: RemoteFile) -> None:
        target, place = self._complete(path), self._part(path)
        if target.is_file():
            return
        for again in (True, False):
            with Part(place, self._told) as part:
                _patiently(lambda part=part: self._get(file, part, part.tell()), part.tell)
                sound = file.sha256 in ("", part.sha256())
            if sound:
                break
            place.unlink()
            self._told(-file.size)
            if not again:
                raise ConnectionLost(f"The file {file.path} arrived broken, twice.", "Try again later, or over another network.")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(place, target)

    def _get(self, file: RemoteFile, into: Any, at: int) -> None:
        url = hf_hub_url(self._order.repo, file.path, revision=self._revision)
        http_get(url, into, resume_size=at, expected_size=file.size, headers=build_hf_headers(token=self._token))

    def _told(self, count: int) -> None:
        """`count` more bytes are on disk (negative: were thrown away). Raises JobCancelled."""
        self._done += count
        if self._cancelled():
            raise JobCancelled("The download was cancelled.")
        self._emit(Fetched(self._order.job, self._done))

    def _install(self, choice: Choice, licence: str, link: str) -> Path:
        there = self._home.exists()  # another file of the repository came before
        self._write_down(self._home if there else self._begun / "files", licence, link)
        if there:
            for path in sorted(choice.files, key=lambda path: path == choice.key):
                (self._home / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self._complete(path), self._home / path)
        else:
            os.rename(self._begun / "files", self._home)
        shutil.rmtree(self._begun, ignore_errors=True)
        return self._home / choice.key if choice.single else self._home

    def _write_down(self, folder: Path, licence: str, link: str) -> None:
        """Leaves in `folder` what `protocol.cards` reads of the model's origin; what else stands in that file stays."""
        file = folder / cards.OWN
        try:
            known = json.loads(file.read_bytes()[:_MAX_INDEX])
        except (OSError, ValueError, RecursionError):
            known = {}
        known = {**(known if isinstance(known, dict) else {}), "licence": licence, "link": link, "repo": self._order.repo,
                 "revision": self._revision}
        write_whole(str(file), json.dumps(known, ensure_ascii=False, indent=1).encode())


def _patiently(call: Callable[[], Any], size: Callable[[], int]) -> Any:
    """What `call` returns; where the connection fails it is called again, as long as `size()` grows meanwhile."""
    fruitless = 0
    while True:
        before = size()
        try:
            return call()
        except (httpx2.TransportError, OSError) as error:
            fruitless = 0 if size() > before else fruitless + 1
            if not _may_pass(error) or fruitless >= _TRIES:
                raise
            log.info("trying again after %s", type(error).__name__)
            time.sleep(_PAUSE)


def _may_pass(error: Exception) -> bool:
    """Whether the same may work in a moment."""
    if isinstance(error, hub_errors.HfHubHTTPError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx2.TransportError) or _is_short(error)


def _is_short(error: Exception) -> bool:
    """Whether it is `http_get`'s word for a file that ended early: a bare OSError."""
    return type(error) is OSError and error.errno is None


# ---- words -----------------------------------------------------------------------------------------------------------


def _token(given: str) -> str:
    """The person's token: from the preferences, the variable HF_TOKEN, or `hf auth login`. Raises InvalidRequest for what can be none."""
    token = (given or get_token() or "").strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):  # a header with it would be refused, and quoted
        raise InvalidRequest("The access token holds characters that no token has.", "Copy it again from huggingface.co/settings/tokens.")
    return token


def _licence(repo: str, card: Any) -> tuple[str, str]:
    """(the licence's name as the model card gives it, where to read it)."""
    name, link = getattr(card, "license", None), getattr(card, "license_link", None)
    if name == "other":
        name = getattr(card, "license_name", None) or name
    name = ", ".join(name) if isinstance(name, list) else name
    link = link if isinstance(link, str) else ""
    if not link.startswith("https://"):
        link = f"{hub.page(repo)}/blob/main/{link.removeprefix('./')}" if link else hub.page(repo)
    return (name if isinstance(name, str) else "")[:200], link[:500]


def _translated(error: Exception, order: Fetch) -> SDError:
    """`error` in words that say what to do."""
    page, detail = hub.page(order.repo), text_of(error)
    if isinstance(error, SDError):
        return error
    if isinstance(error, hub_errors.GatedRepoError):
        return HubRefused(f"{order.repo} is gated: it is given only to accounts that have accepted its licence.",
                          f"Open {page}, accept it there, and put a token of that account (huggingface.co/settings/tokens) into the "
                          "add-on's preferences.", detail)
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        return ModelNotFound(f"There is no repository {order.repo} on the hub, or it is private.",
                             "Check its name; for a private one, put an access token into the add-on's preferences.", detail)
    if isinstance(error, (hub_errors.RevisionNotFoundError, hub_errors.RemoteEntryNotFoundError)):
        return ModelNotFound(f"The hub no longer has what it listed of {order.repo}.", "Download it again.", detail)
    if isinstance(error, hub_errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return HubRefused(f"The hub does not give {order.repo} out with this access token.",
                              f"Look at {page} whether its licence must be accepted, and at the token in the add-on's preferences.", detail)
        return ConnectionLost(f"The hub answers with an error ({status}).", "Try again later: it goes on where it stopped.", detail)
    if isinstance(error, hub_errors.OfflineModeIsEnabled):
        return OnlineAccessOff("The environment variable HF_HUB_OFFLINE forbids downloads.", "Unset it and start Blender again.", detail)
    if isinstance(error, httpx2.TransportError) or _is_short(error):
        return ConnectionLost("The connection to the hub was lost.", f"Look at the network. {_AGAIN}", detail)
    if isinstance(error, filelock.Timeout):
        return InvalidRequest(f"Another program is downloading {order.repo} already.", "Wait until it has finished.", detail)
    if isinstance(error, hub_errors.HFValidationError):
        return InvalidRequest(f"'{order.repo}' is no repository of the hub.", "Write it as owner/name.", detail)
    if isinstance(error, OSError) and error.errno in FULL:
        return OutputUnwritable(f"The disk with {order.folder} is full.", f"Free some space. {_AGAIN}", detail)
    if isinstance(error, OSError):
        return OutputUnwritable(f"The folder {order.folder} cannot be written ({error.strerror or type(error).__name__}).",
                                "Choose another Download Folder in the preferences.", detail)
    return SDError(f"{order.repo} could not be downloaded.", "The log holds the details.", detail)
