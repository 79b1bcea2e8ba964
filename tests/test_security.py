"""What docs/security.md says of the code itself, of paths in strangers' files, of folders, and of packages: each
tried."""
from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from blender_sd.calls import config
from blender_sd.calls.runtime import runtime
from blender_sd.library import licences
from blender_sd.core.nets import EMBEDDING, IP_ADAPTER, LORA, UPSCALER
from blender_sd.core.errors import InvalidRequest, ModelNotFound, StyleUnusable
from blender_sd.protocol.messages import CHECK, FETCH, Fetch, INSTALL, PAINT, text_of
from blender_sd.core.style_format import read_style
from blender_sd.library import model_folders
from blender_sd.session import child
from blender_sd.library.controlnets import resolve_controlnet
from blender_sd.library.models import resolve_model
from blender_sd.library.adapters import resolve_file
from tests.support import fuzz_targets as fuzz
from tests.support.systems import link as make_link

PACKAGE = Path(__file__).resolve().parents[1] / "blender_sd"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# ---- the source ------------------------------------------------------------------------------------------------------

# What would run text as code or through a shell, unpickle, listen, or trust its input.
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.spawnl", "os.execv", "torch.load", "np.load",
    "numpy.load", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp", "runpy.run_path",
    "code.interact", "asyncio.start_server", "ssl._create_unverified_context"}
IMPORTS = {
    "pickle", "marshal", "shelve", "dill", "cloudpickle", "socket", "socketserver", "http.server", "xmlrpc", "ftplib",
    "telnetlib", "multiprocessing", "yaml", "joblib"}
KEYWORDS = {("shell", True), ("trust_remote_code", True), ("allow_pickle", True), ("weights_only", False),
            ("verify", False), ("use_safetensors", False), ("local_files_only", False), ("close_fds", False)}
STARTS = {"subprocess.Popen", "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}


def found_in(source: str) -> list[str]:
    """What of the above stands in the source, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [
                f"{node.lineno}: import {one.name}" for one in node.names
                if IMPORTS & {one.name, one.name.partition(".")[0]}]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [f"{node.lineno}: from {node.module}"
                      ] if IMPORTS & {node.module, node.module.partition(".")[0]} else []
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "bpy.app.driver_namespace":
            found.append(f"{node.lineno}: driver_namespace")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += [f"{node.lineno}: {name}(…)"] if name in CALLS or name.endswith(".driver_add") else []
            found += [f"{node.lineno}: {word.arg}={word.value.value}" for word in node.keywords
                      if isinstance(word.value, ast.Constant) and (word.arg, word.value.value) in KEYWORDS]
            if name in STARTS and (not node.args or isinstance(node.args[0], (ast.Constant, ast.JoinedStr, ast.BinOp))):
                found.append(f"{node.lineno}: a command that is one text")
    return found


def test_the_scan_sees_what_it_looks_for():
    assert len(found_in("import pickle\nfrom http.server import x\neval('1')\nos.system('x')\nf(shell=True)\n"
                        "torch.load(f, weights_only=False)\nsubprocess.run(f'ls {x}')\n"
                        "bpy.app.driver_namespace['x'] = 1\nx.driver_add('y')")) == 10
    assert found_in("re.compile('x'); net.eval(); subprocess.run(['ls', x]); f(verify=True)") == []


def test_no_code_of_others_is_run():
    found = {file.relative_to(PACKAGE).as_posix(): found_in(file.read_text(encoding="utf-8")) for file in SOURCES}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_locks_and_hub_are_asked_by_tls():
    from blender_sd.core import hub

    assert hub.HOST.startswith("https://")
    for lock in (PACKAGE / "workers" / "locks").glob("*.toml"):
        assert set(re.findall(r"(\w+)://", lock.read_text())) <= {"https"}


# ---- paths -----------------------------------------------------------------------------------------------------------

ELSEWHERE = [
    r"\\evil\share\model", "//evil/share/model", r"\\?\UNC\evil\share\x.safetensors", r"\\.\pipe\x", "/\\evil\\x",
    "file://evil/x", "FILE:///x", "smb://evil/x", "http://evil/x.safetensors", " //evil/x", '"//evil/x"',
    r"\\nas\models\..\..\evil\x"]


@pytest.fixture
def untouched(monkeypatch):
    """The paths that the disk was asked for."""
    asked = []
    for name in ("isfile", "isdir", "exists", "realpath"):
        real = getattr(os.path, name)
        monkeypatch.setattr(os.path, name,
                            lambda path, *rest, real=real, **more: asked.append(str(path)) or real(path, *rest, **more))
    return asked


@pytest.mark.parametrize("path", ELSEWHERE)
def test_a_path_on_another_computer_is_not_even_looked_at(untouched, tmp_path, path):
    """Windows would sign in there, and give away what the person's password can be found with."""
    calls = [
        lambda: resolve_model(path, [str(tmp_path), r"\\nas\models"]),
        lambda: resolve_controlnet(path, [str(tmp_path)]),
        *(lambda kind=kind: resolve_file(kind, path, [str(tmp_path)])
          for kind in (LORA, EMBEDDING, IP_ADAPTER, UPSCALER))]
    for call in calls:
        with pytest.raises(ModelNotFound, match="another computer"):
            call()
    assert not [one for one in untouched if "evil" in one or "pipe" in one]


def test_paths_that_are_here_or_in_the_model_folders():
    for path in ("starter", "owner/name", "A model: the second", r"C:\models\x", "/models/x", "~/models", "old bricks",
                 "./x", "..\\x"):
        model_folders.refuse_elsewhere(path, [])
    for path in (r"\\nas\models\x.safetensors", "//NAS/models/sub/x", r"\\nas\models"):
        model_folders.refuse_elsewhere(path, ["", "/local", r"\\nas\models"])
    with pytest.raises(ModelNotFound):
        model_folders.refuse_elsewhere(r"\\nas\modelsX\x", [r"\\nas\models"])


@pytest.mark.parametrize("name", ["//evil/x", r"\\evil\x", "../x", "C:\\x", "~/x", "<lora:/etc/x:1>"])
def test_a_style_names_no_path(name):
    text = f"prompt = {json.dumps(name)}" if name.startswith("<") else f"model = {json.dumps(name)}"
    with pytest.raises(StyleUnusable, match="path"):
        read_style(text.encode(), "x")


def test_a_licence_of_a_stranger_opens_a_page_and_nothing_else(tmp_path):
    for link in ("file:///etc/passwd", "javascript:x", "http://x", "\\\\evil\\x", "ms-settings:x"):
        (tmp_path / "blender_sd.json").write_text(json.dumps({"licence": "a", "link": link}))
        assert licences.licence_of(str(tmp_path)) == licences.Licence("a", "")
    (tmp_path / "blender_sd.json").write_text(json.dumps({"licence": "a", "link": "https://example.org"}))
    assert licences.licence_of(str(tmp_path)).link == "https://example.org"


def test_links_in_model_folders_are_followed_as_hugging_faces_cache_needs(tmp_path):
    """A decision, not a hole: weights are read into memory and go nowhere from there. Lists of words do
    (`test_fuzz_found`)."""
    blob = tmp_path / "blobs" / "x"
    blob.parent.mkdir()
    blob.write_bytes(fuzz.SEEDS["safetensors"][1])
    (tmp_path / "models").mkdir()
    if not make_link(tmp_path / "models" / "a.safetensors", blob):
        pytest.skip("no right to make links")
    assert resolve_file(LORA, "a", [str(tmp_path / "models")]).name == "a"


# ---- tokens, folders -------------------------------------------------------------------------------------------------


def test_only_the_process_that_downloads_has_a_token(monkeypatch):
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, "hf_canary")
    for role in (PAINT, CHECK, INSTALL):
        assert "hf_canary" not in child.environment(role).values()
    assert child.environment(FETCH)["HF_TOKEN"] == "hf_canary"
    assert child.environment(PAINT)["DIFFUSERS_DISABLE_REMOTE_CODE"] == "1"


def test_a_token_is_in_no_words(monkeypatch):
    order = Fetch("1", "a/b", "", "/m", True, "hf_canary")
    monkeypatch.setattr(runtime, "config", config.Config(hub_token="hf_canary"))
    assert "hf_canary" not in f"{order!r} {order} {runtime.config!r} {runtime.config.engine_config('', '')!r}"
    with pytest.raises(InvalidRequest) as caught:
        runtime.configure(hub_tokens=order.token)
    assert "hf_canary" not in text_of(caught.value), "tracebacks hold no values"
    assert "hf_canary" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has lists of who may, which go with the person's own folder")
def test_the_own_folder_for_pictures_and_logs_is_the_persons_alone(tmp_path, monkeypatch):
    before = os.umask(0o022)
    try:
        monkeypatch.setattr(runtime, "config", config.Config())
        monkeypatch.setattr(runtime.folders, "own_folder", lambda name: tmp_path / "user" / name)
        assert stat.S_IMODE(runtime.folders.output_folder().stat().st_mode) == 0o700
        # a studio's share stays one
        monkeypatch.setattr(runtime, "config", config.Config(output=str(tmp_path / "chosen")))
        assert stat.S_IMODE(runtime.folders.output_folder().stat().st_mode) == 0o755
    finally:
        os.umask(before)


# ---- packages --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../../evil.py", "/tmp/evil.py", "a/../../../evil.py"])
def test_a_wheel_writes_nothing_outside_its_environment(tmp_path, name):
    """pip unpacks them; the options are those of `workers.installation`."""
    info = "a-1.0.dist-info"
    entries = {"a.py": b"", name: b"evil", f"{info}/METADATA": b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\n",
               f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for path, data in entries.items()) + f"{info}/RECORD,,\n"
    file = tmp_path / "wheels" / "a-1.0-py3-none-any.whl"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        for path, data in {**entries, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    target = tmp_path / "deep" / "er" / "site"
    options = ("--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--disable-pip-version-check",
               "--ignore-installed")
    done = subprocess.run([
        sys.executable, "-m", "pip", "--isolated", "install", *options, "--target",
        str(target), str(file)], capture_output=True)
    assert done.returncode != 0
    assert not list(tmp_path.rglob("evil.py")) and not Path("/tmp/evil.py").exists()


# ---- the page --------------------------------------------------------------------------------------------------------


def test_what_the_page_names_is_there():
    page = (PACKAGE.parent / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert len(named) > 40 and len(SOURCES) > 150
    for file, test in named:
        source = (PACKAGE.parent / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in source, f"{file}::{test}"
