"""Download models from the Hugging Face hub, in a process without torch that may be ended at any moment.

Unfinished downloads are in `.fetching/` beside the models, where nobody looks for models: complete files in `files/`,
others in `parts/`. The revision is recorded at the beginning, so that a later download resumes with the same one. When
everything is there, one rename makes it a model. `huggingface_hub.hf_hub_download` would throw away what a broken
download has got, so its `http_get` is used instead.
"""
from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import httpx2
from huggingface_hub import HfApi, constants, get_token, hf_hub_url, set_client_factory
from huggingface_hub import errors as hub_errors
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status
from huggingface_hub.utils._http import default_client_factory

from ..core import hub, texts
from ..core.errors import (
    ConnectionLost, HubRefused, InvalidRequest, JobCancelled, LicenceNotAccepted, ModelNotFound, ModelUnreadable,
    OnlineAccessOff, OutputUnwritable, SDError, error_of_kind,
)
from ..core.names import closest, suggestion
from ..library import files, licences, policy
from ..library.disk import FULL
from ..library.licences import Licence
from ..library.partial_files import Corrupt, download, with_retries
from ..protocol import endings, serving
from ..protocol.messages import Event, Fetch, Fetched, Found, Installed, Ready, text_of
from .hub_files import Choice, RemoteFile, check, choose

log = logging.getLogger(__name__)

_AGAIN = "Download it again: it goes on where it stopped."
_SPARE = 64 << 20  # bytes of the disk that stay free
_MAX_INDEX = 1 << 20  # bytes
_PIECE = 1 << 16  # bytes read at once of a file's beginning
_HERE = ("localhost", "127.0.0.1", "::1")  # a mirror on this computer needs no encryption
# In bytes: a tenth of the library's, since a broken connection loses the current chunk
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve the session; see `protocol.serving.serve`."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs each address, signed ones too
    set_client_factory(_client)
    return serving.serve(reader, writer, lambda config: Fetcher())


def _client() -> httpx2.Client:
    """Return the library's own client, but one that refuses unencrypted connections.

    Neither a mirror (HF_ENDPOINT) nor a redirect may lead to one.
    """
    client = default_client_factory()
    client.event_hooks = {**client.event_hooks, "request": [_check_encrypted, *client.event_hooks["request"]]}
    return client


def _check_encrypted(request: httpx2.Request) -> None:
    if request.url.scheme != "https" and request.url.host not in _HERE:
        raise HubRefused(
            f"The hub at {request.url.host} is asked without encryption, so nothing is downloaded from it.",
            "Set the environment variable HF_ENDPOINT to an address that begins with https://, or unset it.",
        )


class Fetcher:
    """Run `Fetch` requests, one at a time. It implements `protocol.pipeline.Pipeline`."""

    def warm(self) -> Ready:
        return Ready("", "", {"huggingface_hub": importlib.metadata.version("huggingface_hub")})

    def run(self, request: Fetch, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Emit Found, Fetched for each megabyte, and one of Installed, Cancelled, Failed."""
        token = ""

        def work() -> Event:
            nonlocal token
            token = _token(request.token)
            return Installed(request.job, str(_Download(request, token, emit, cancelled).run()))

        def explained(error: BaseException) -> SDError:
            known = _translated(error, request)
            detail = known.detail.replace(token, "…") if token else known.detail
            log.info("%s was not downloaded: %s\n%s", request.repo, known, detail)
            return error_of_kind(known.kind, known.message, known.hint, detail)

        endings.finish(request.job, work, emit, explained)

    def close(self) -> None:
        """Do nothing: nothing is kept between requests."""


class _Download:
    """Run one request."""

    def __init__(self, request: Fetch, token: str, emit: Callable[[Event], None],
                 cancelled: Callable[[], bool]) -> None:
        self._request, self._emit, self._cancelled = request, emit, cancelled
        self._token = token or False  # False sends none
        name = hub.folder_name(request.repo)
        self._home = Path(request.folder) / name
        which = "--" + hashlib.sha256(request.file.encode()).hexdigest()[:8] if request.file else ""
        self._unfinished = Path(request.folder) / hub.UNFINISHED / (name + which)
        self._revision = ""
        self._done = 0

    def run(self) -> Path:
        request, rules = self._request, policy.current()
        rules.check_download(request.repo, request.file)
        info = self._look_up()
        listed = [RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else "")
                  for file in info.siblings or ()]
        choice = choose(request.repo, listed, request.file, self._read_json)
        self._done = sum(self._here(path, file) for path, file in choice.files.items())
        licence, link = _licence(request.repo, info.card_data)
        self._emit(Found(request.job, licence, link, self._done, choice.bytes))
        rules.check_licence("", request.repo, Licence(licence))
        if not request.accepted:
            raise LicenceNotAccepted(
                f"The licence of {request.repo} was not accepted yet: {licence or 'its page names none'}.",
                f"Read it at {link} and accept it.")
        check(choice, self._start_of, self._read_json)
        files.make_folders(str(self._unfinished.parent.parent))
        files.make_folder(str(self._unfinished.parent))
        files.make_folder(str(self._unfinished))
        with filelock.FileLock(str(self._unfinished) + ".lock", timeout=0):
            files.write_whole(str(self._unfinished / "revision"), self._revision.encode())
            self._check_space(choice)
            for path, file in choice.files.items():
                self._download(path, file)
            return self._install(choice, licence, link)

    # ---- what there is -----------------------------------------------------------------------------------------------

    def _look_up(self) -> Any:
        """Return the hub's description of the repository, at the revision of an earlier attempt while the hub has it.
        """
        try:
            revision = (self._unfinished / "revision").read_text(encoding="utf-8")
        except OSError:
            revision = ""
        try:
            info = self._model_info(revision or None)
        except hub_errors.RevisionNotFoundError:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            info = self._model_info(None)
        self._revision = info.sha
        return info

    def _model_info(self, revision: str | None) -> Any:
        return with_retries(lambda: HfApi(token=self._token).model_info(
            self._request.repo, revision=revision, files_metadata=True,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT), lambda: 0, _is_temporary)

    def _read_json(self, file: RemoteFile) -> dict[str, Any]:
        def read() -> bytes:
            data = io.BytesIO()
            self._get(file, data, 0)
            return data.getvalue()

        try:
            value = json.loads(with_retries(read, lambda: 0, _is_temporary)) if file.size <= _MAX_INDEX else None
        except (ValueError, RecursionError) as error:
            log.info("%s: %s", file.path, error)
            value = None
        if not isinstance(value, dict):
            raise ModelUnreadable(f"The model's {file.path} on the hub is no model description.", "Choose another one.")
        return value

    def _start_of(self, file: RemoteFile, count: int) -> bytes:
        """Return the first `count` bytes of a file, or all of a shorter one."""
        def read() -> bytes:
            url = hf_hub_url(self._request.repo, file.path, revision=self._revision)
            headers = {**build_hf_headers(token=self._token), "Range": f"bytes=0-{count - 1}"}
            start = b""
            with get_session().stream("GET", url, headers=headers, follow_redirects=True,
                                      timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as answer:
                hf_raise_for_status(answer)
                for piece in answer.iter_bytes(_PIECE):  # a mirror may answer with the whole file
                    start += piece
                    if len(start) >= count:
                        break
            if len(start) < min(count, file.size):
                raise OSError("the answer ended early")
            return start[:count]

        return with_retries(read, lambda: 0, _is_temporary)

    def _here(self, path: str, file: RemoteFile) -> int:
        """Return how many bytes of `file` are on disk, deleting what cannot be part of it."""
        for place in (self._complete(path), self._part(path)):
            if place.is_file():
                size = place.stat().st_size
                if size == file.size or size < file.size and place == self._part(path):
                    return size
                files.remove(place)
        return 0

    def _complete(self, path: str) -> Path:
        return self._unfinished / "files" / path

    def _part(self, path: str) -> Path:
        return self._unfinished / "parts" / path

    def _check_space(self, choice: Choice) -> None:
        needed, free = choice.bytes - self._done + _SPARE, shutil.disk_usage(self._unfinished).free
        if free < needed:
            raise OutputUnwritable(
                f"The disk is too full: {needed / 1e9:.1f} GB are needed in {self._request.folder}, {free / 1e9:.1f} "
                "GB are free.",
                "Free some, or choose another Download Folder in the preferences.")

    # ---- downloading -------------------------------------------------------------------------------------------------

    def _download(self, path: str, file: RemoteFile) -> None:
        target, place = self._complete(path), self._part(path)
        if target.is_file():
            return
        try:
            download(place, target, lambda part: self._get(file, part, part.size), sha256=file.sha256,
                     on_change=self._count, is_temporary=_is_temporary)
        except Corrupt as error:
            raise ConnectionLost(f"The file {file.path} arrived broken, twice.",
                                 "Try again later, or over another network.", str(error)) from error

    def _get(self, file: RemoteFile, into: Any, at: int) -> None:
        url = hf_hub_url(self._request.repo, file.path, revision=self._revision)
        http_get(url, into, resume_size=at, expected_size=file.size, headers=build_hf_headers(token=self._token))

    def _count(self, count: int) -> None:
        """Add `count` bytes on disk (negative if they were deleted) and report the sum. Raise JobCancelled."""
        self._done += count
        if self._cancelled():
            raise JobCancelled("The download was cancelled.")
        self._emit(Fetched(self._request.job, self._done))

    def _install(self, choice: Choice, licence: str, link: str) -> Path:
        there = self._home.exists()  # another file of the repository was downloaded before
        self._record_origin(self._home if there else self._unfinished / "files", licence, link)
        if there:
            for path in sorted(choice.files, key=lambda path: path == choice.key):
                files.make_folders(str((self._home / path).parent))
                files.replace(self._complete(path), self._home / path)
        else:
            files.replace(self._unfinished / "files", self._home)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        return self._home / choice.key if choice.single else self._home

    def _record_origin(self, folder: Path, licence: str, link: str) -> None:
        """Record in `folder` the origin that `library.licences` reads, keeping other content of that file."""
        file = folder / licences.OWN
        try:
            known = json.loads(file.read_bytes()[:_MAX_INDEX])
        except (OSError, ValueError, RecursionError):
            known = {}
        known = {**(known if isinstance(known, dict) else {}), "licence": licence, "link": link,
                 "repo": self._request.repo, "revision": self._revision}
        files.write_whole(str(file), json.dumps(known, ensure_ascii=False, indent=1).encode())


def _is_temporary(error: Exception) -> bool:
    """Return whether the same call may succeed in a moment."""
    if isinstance(error, hub_errors.HfHubHTTPError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx2.TransportError) or _is_short(error)


def _is_short(error: Exception) -> bool:
    """Return whether it is `http_get`'s error for a file that ended early: a plain OSError."""
    return type(error) is OSError and error.errno is None


# ---- texts -----------------------------------------------------------------------------------------------------------


def _token(given: str) -> str:
    """Return the person's token: from the preferences, the variable HF_TOKEN, or `hf auth login`.

    Raise InvalidRequest for an impossible one.
    """
    token = (given or get_token() or "").strip()
    # a header with it would be refused, and quoted in the error
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidRequest("The access token holds characters that no token has.",
                             "Copy it again from huggingface.co/settings/tokens.")
    return token


def _licence(repo: str, card: Any) -> tuple[str, str]:
    """Return the name of the licence in the model card, and where to read it."""
    name, link = getattr(card, "license", None), getattr(card, "license_link", None)
    if name == "other":
        name = getattr(card, "license_name", None) or name
    name = ", ".join(name) if isinstance(name, list) else name
    link = link if isinstance(link, str) else ""
    if not texts.web(link):
        link = f"{hub.page(repo)}/blob/main/{link.removeprefix('./')}" if link else hub.page(repo)
    return texts.line(name if isinstance(name, str) else "")[:200], texts.web(link) or hub.page(repo)


def _translated(error: BaseException, request: Fetch) -> SDError:
    """Return the error for people, which says what to do."""
    page, detail = hub.page(request.repo), text_of(error)
    if isinstance(error, SDError):
        return error
    if isinstance(error, hub_errors.GatedRepoError):
        return HubRefused(
            f"{request.repo} is gated: it is given only to accounts that have accepted its licence.",
            f"Open {page}, accept it there, and put a token of that account (huggingface.co/settings/tokens) into the "
            "add-on's preferences.",
            detail,
        )
    if isinstance(error, hub_errors.RepositoryNotFoundError):
        near = suggestion(request.repo, closest(request.repo, (model.id for model in hub.MODELS)), "Check its name.")
        return ModelNotFound(f"There is no repository {request.repo} on the hub, or it is private.",
                             f"{near} For a private one, put an access token into the add-on's preferences.", detail)
    if isinstance(error, (hub_errors.RevisionNotFoundError, hub_errors.RemoteEntryNotFoundError)):
        return ModelNotFound(f"The hub no longer has what it listed of {request.repo}.", "Download it again.", detail)
    if isinstance(error, hub_errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return HubRefused(
                f"The hub does not give {request.repo} out with this access token.",
                f"Look at {page} whether its licence must be accepted, and at the token in the add-on's preferences.",
                detail,
            )
        return ConnectionLost(f"The hub answers with an error ({status}).",
                              "Try again later: it goes on where it stopped.", detail)
    if isinstance(error, hub_errors.OfflineModeIsEnabled):
        return OnlineAccessOff("The environment variable HF_HUB_OFFLINE forbids downloads.",
                               "Unset it and start Blender again.", detail)
    if isinstance(error, httpx2.TransportError) or _is_short(error):
        return ConnectionLost("The connection to the hub was lost.", f"Look at the network. {_AGAIN}", detail)
    if isinstance(error, filelock.Timeout):
        return InvalidRequest(f"Another program is downloading {request.repo} already.", "Wait until it has finished.",
                              detail)
    if isinstance(error, hub_errors.HFValidationError):
        return InvalidRequest(f"'{request.repo}' is no repository of the hub.", "Write it as owner/name.", detail)
    if isinstance(error, OSError) and error.errno in FULL:
        return OutputUnwritable(f"The disk with {request.folder} is full.", f"Free some space. {_AGAIN}", detail)
    if isinstance(error, OSError):
        return OutputUnwritable(
            f"The folder {request.folder} cannot be written ({error.strerror or type(error).__name__}).",
            "Choose another Download Folder in the preferences.",
            detail,
        )
    return SDError(f"{request.repo} could not be downloaded.", "The log holds the details.", detail)
