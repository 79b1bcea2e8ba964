"""A small package index on 127.0.0.1 with wheels made on the spot, and ways to misbehave; a proxy that refuses; a lock
for its wheels.

The wheels stand for what the engine needs: they are named torch, diffusers … and hold one module each.
"""
from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

ENGINE = ("numpy", "pillow", "safetensors", "torch", "transformers", "diffusers")
MODULES = {"pillow": "PIL"}
_BLOCK = 1 << 14


def wheel(name: str, version: str = "1.0", size: int = 0, requires: tuple[str, ...] = (),
          files: dict[str, str] | None = None, tag: str = "py3-none-any", empty: bool = False) -> tuple[str, bytes]:
    """(file name, content) of a wheel with one module (none where `empty`), `size` bytes of noise beside it, and more
    `files`."""
    info = f"{name}-{version}.dist-info"
    module = MODULES.get(name, name.replace("-", "_"))
    noise = random.Random(name).randbytes(size)
    entries: dict[str, bytes] = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n".encode(), f"{info}/METADATA": "".join([
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            *(f"Requires-Dist: {one}\n" for one in requires)]).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()}
    if empty:
        del entries[f"{module}/__init__.py"]
    if size:
        entries[f"{module}/weights.bin"] = noise
    entries |= {path: text.encode() for path, text in (files or {}).items()}
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for path, data in entries.items()) + f"{info}/RECORD,,\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, content in {**entries, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return f"{name.replace('-', '_')}-{version}-{tag}.whl", data.getvalue()


def engine_wheels(size: int = 100_000, **changes: tuple[str, bytes]) -> dict[str, bytes]:
    """One wheel for each package of the engine; torch's holds `size` bytes."""
    return dict(changes.get(name) or wheel(name, size=size if name == "torch" else 0) for name in ENGINE)


def lock_of(wheels: dict[str, bytes], *builds: str, at: str = "https://files.invalid") -> str:
    """A lock file that names `wheels`, which lie `at` an address that nobody can reach. `builds`: see `build`."""
    packages = "".join(
        f'[[packages]]\nname = "{file.split("-")[0].replace("_", "-")}"\nversion = '
        f'"{file.split("-")[1]}"\n[[packages.wheels]]\n'
        f'url = "{at}/{file}"\nsize = {len(data)}\nhashes = {{sha256 = "{hashlib.sha256(data).hexdigest()}"}}\n'
        for file, data in wheels.items())
    return 'lock-version = "1.0"\ncreated-by = "tests"\n' + ("" if wheels else
                                                             "packages = []\n") + packages + "".join(builds)


def build(name: str, version: str, label: str, index: str) -> str:
    """A line of a lock for a package that only `index` has."""
    return (
        f'[[tool.blender_sd.builds]]\nname = "{name}"\nversion = "{version}"\nlabel = "{label}"\nindex = "{index}"\n')


def into(folder: Path, wheels: dict[str, bytes]) -> Path:
    """The wheels as files of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in wheels.items():
        (folder / name).write_bytes(data)
    return folder


class FakeIndex:
    """`files`: name -> content. `served`: bytes of content sent, by file. `seen`: (method, file, Range) of every
    request for a file. `cut[file] = [n, …]`: the first answers end after so many bytes. `hold(file, n)`: answers stop
    after n bytes until `go`. `status`: the answer to everything, where it is not 0. `no_ranges`, `no_hashes`,
    `no_heads`: what the server does not know. `json`: pages come as PEP 691 has them. `login`: "name:password" that
    every request must bring."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.served: Counter[str] = Counter()
        self.seen: list[tuple[str, str, str]] = []
        self.pages: list[str] = []
        self.cut: dict[str, list[int]] = {}
        self.held: dict[str, int] = {}
        self.broken: dict[str, int] = {}  # file -> how many answers come with a wrong byte
        self.status = 0
        self.no_ranges = self.no_hashes = self.no_heads = self.json = False
        self.login = ""
        self.reached, self.go = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def hold(self, file: str, after: int) -> None:
        self.held[file] = after
        self.reached.clear()
        self.go.clear()

    def environment(self) -> dict[str, str]:
        """What makes pip in a child process come here, and nowhere else."""
        return {
            "PIP_INDEX_URL": f"{self.url}/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "",
            "PIP_RETRIES": "0", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}

    def close(self) -> None:
        self.held.clear()
        self.go.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(index) -> type[BaseHTTPRequestHandler]:  # noqa: N805  the handler's own self is another
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_CONNECT(self) -> None:
                self.answer(index.status or 403)

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                parts = unquote(self.path).strip("/").split("/")
                if index.login and self.headers.get("Authorization") != "Basic " + base64.b64encode(
                        index.login.encode()).decode():
                    self.answer(401)
                elif index.status:
                    self.answer(index.status)
                elif parts[0] == "simple":
                    self.page(parts[1])
                elif parts[0] == "files" and parts[1] in index.files:
                    self.give(parts[1])
                else:
                    self.answer(404)

            def answer(self, status: int, body: bytes = b"", kind: str = "text/html") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def page(self, project: str) -> None:
                index.pages.append(project)
                links = [(name, "" if index.no_hashes else f"#sha256={hashlib.sha256(data).hexdigest()}")
                         for name, data in index.files.items()
                         if name.split("-")[0].replace("_", "-").lower() == project]
                if index.json and links:
                    files = [{
                        "filename": name, "url": f"/files/{name}",
                        "hashes": {"sha256": mark.partition("=")[2]} if mark else {}} for name, mark in links]
                    self.answer(200, json.dumps({"files": files}).encode(), "application/vnd.pypi.simple.v1+json")
                    return
                text = "".join(f'<a href="/files/{name}{mark}">{name}</a>' for name, mark in links)
                self.answer(200 if links else 404, f"<!DOCTYPE html><html><body>{text}</body></html>".encode())

            def give(self, name: str) -> None:
                data, wanted = index.files[name], self.headers.get("Range", "")
                index.seen.append((self.command, name, wanted))
                if self.command == "HEAD":
                    if index.no_heads:
                        self.answer(405)
                        return
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    return
                if index.broken.get(name, 0) > 0:
                    index.broken[name] -= 1
                    data = data[:-1] + bytes([data[-1] ^ 1])
                start = 0 if index.no_ranges or not wanted else int(wanted[6:].rstrip("-"))
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.end_headers()
                cuts = index.cut.get(name, [])
                end = min(len(data), start + cuts.pop(0)) if cuts else len(data)
                for at in range(start, end, _BLOCK):
                    if at - start >= index.held.get(name, len(data)):
                        index.reached.set()
                        index.go.wait(30)
                    block = data[at:min(at + _BLOCK, end)]
                    try:
                        self.wfile.write(block)
                    except OSError:
                        return  # the one who asked is gone
                    index.served[name] += len(block)
                if end < len(data):
                    self.close_connection = True

        return Handler
