"""A small Hugging Face hub on 127.0.0.1: the routes that huggingface_hub calls to look at and download a model, and
ways to misbehave.

Large files are answered as the real one does, with a redirect to another host, which here is the same server by its
name "localhost".
"""
from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

GOOD_TOKEN = "hf_good"
_BLOCK = 1 << 16


@dataclass
class Repo:
    """`files`: path -> content. `card`: the model card's metadata. `gated`: given only to GOOD_TOKEN."""

    files: dict[str, bytes]
    card: dict = field(default_factory=lambda: {"license": "apache-2.0"})
    gated: bool = False

    @property
    def sha(self) -> str:
        digest = hashlib.sha1()
        for path in sorted(self.files):
            digest.update(path.encode() + self.files[path])
        return digest.hexdigest()


class FakeHub:
    """`repos`: id -> Repo; a changed one keeps its older revisions. `served`: bytes of content sent, by path;
    `peeked`: of beginnings that were asked for alone. `seen`:
    (path, headers) of every request. `cut[path] = [n, …]`: the first answers for the file end after so many bytes;
    `reset`: with a broken connection instead of an early end. `hold(path, n)`: answers stop after n bytes until
    `go`."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.older: dict[tuple[str, str], Repo] = {}
        self.served: Counter[str] = Counter()
        self.peeked: Counter[str] = Counter()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.cut: dict[str, list[int]] = {}
        self.claimed: dict[str, int] = {}
        self.reset = False
        self.cdn = ""  # the address given for large files; "": here
        self.no_ranges = False
        self.held: dict[str, int] = {}
        self.reached, self.go = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, id: str, files: dict[str, bytes], **kwargs) -> Repo:
        if id in self.repos:
            self.older[id, self.repos[id].sha] = self.repos[id]
        self.repos[id] = Repo(files, **kwargs)
        return self.repos[id]

    def at(self, id: str, revision: str) -> Repo | None:
        repo = self.repos.get(id)
        return repo if repo and revision in ("main", repo.sha) else self.older.get((id, revision))

    def hold(self, path: str, after: int) -> None:
        self.held[path] = after
        self.reached.clear()
        self.go.clear()

    def environment(self) -> dict[str, str]:
        """What makes huggingface_hub in a child process come here, and nowhere else."""
        return {"HF_ENDPOINT": self.url, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}

    def close(self) -> None:
        self.held.clear()
        self.go.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805  the handler's own self is another
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.seen.append((path, {name.lower(): value for name, value in self.headers.items()}))
                parts = path.strip("/").split("/")
                if parts[:2] == ["api", "models"]:
                    self.tell("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
                elif parts[0] == "cdn":
                    self.give(hub.at("/".join(parts[1:3]), parts[3]).files["/".join(parts[4:])], "/".join(parts[4:]))
                elif len(parts) > 4 and parts[2] == "resolve":
                    self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
                else:
                    self.refuse(404, "EntryNotFound")

            def refuse(self, status: int, code: str = "") -> None:
                self.send_response(status)
                if code:
                    self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def tell(self, id: str, revision: str) -> None:
                repo = hub.at(id, revision)
                if repo is None:
                    self.refuse(*((404, "RevisionNotFound") if id in hub.repos else (401, "RepoNotFound")))
                    return
                siblings = [
                    {
                        "rfilename": path, "size": hub.claimed.get(path, len(data)),
                        "blobId": hashlib.sha1(data).hexdigest()} |
                    ({"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}
                     if is_large(path) else {}) for path, data in repo.files.items()]
                body = json.dumps({
                    "id": id, "sha": repo.sha, "gated": "auto" if repo.gated else False, "private": False,
                    "cardData": repo.card, "siblings": siblings}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def resolve(self, id: str, revision: str, path: str) -> None:
                repo = hub.at(id, revision)
                authorised = self.headers.get("Authorization") == f"Bearer {GOOD_TOKEN}"
                if repo is None or path not in repo.files:
                    self.refuse(404, "EntryNotFound")
                elif repo.gated and not authorised:
                    self.refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
                elif is_large(path):
                    self.send_response(302)
                    self.send_header("Location",
                                     f"{hub.cdn or f'http://localhost:{hub.port}'}/cdn/{id}/{revision}/{path}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self.give(repo.files[path], path)

            def give(self, data: bytes, path: str) -> None:
                asked = self.headers.get("Range") or ""
                last = asked.partition("-")[2]
                wanted = "" if hub.no_ranges and not last else asked
                first = wanted.removeprefix("bytes=").partition("-")[0]
                start, data, whole = int(first or 0), data[:int(last) + 1] if last else data, len(data)
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(data) - start))
                if wanted:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{whole}")
                self.end_headers()
                if last:  # the beginning of a file, of which only the header is wanted
                    hub.peeked[path] += len(data)
                    self.wfile.write(data)
                    return
                cuts = hub.cut.get(path, [])
                end = min(len(data), start + cuts.pop(0)) if cuts else len(data)
                for at in range(start, end, _BLOCK):
                    if at - start >= hub.held.get(path, len(data)):
                        hub.reached.set()
                        hub.go.wait(30)
                    block = data[at:min(at + _BLOCK, end)]
                    try:
                        self.wfile.write(block)
                    except OSError:
                        return  # the one who asked is gone
                    hub.served[path] += len(block)
                if end < len(data):
                    if hub.reset:
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()

        return Handler


def is_large(path: str) -> bool:
    return path.endswith((".safetensors", ".bin"))
