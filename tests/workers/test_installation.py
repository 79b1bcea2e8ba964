"""The engine's set-up from end to end: real processes, a real virtual environment, a small index on this machine and
tiny wheels."""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from blender_sd.workers import installation, virtual_environments
from blender_sd.library import engine_environment
from blender_sd.core.errors import ConnectionLost, EngineMissing, InvalidRequest, OutputUnwritable
from blender_sd.protocol.messages import CHECK, EngineConfig, Failed, INSTALL, Install, Installed
from blender_sd.session.installations import Installation, Installations
from blender_sd.session.process import ProcessPipeline
from tests.support.fake_index import FakeIndex, engine_wheels, into, lock_of, wheel
from tests.support.systems import kill

LIMIT = 240  # seconds; a busy machine
SIZE = 3_000_000
TORCH = "torch-1.0-py3-none-any.whl"

pytestmark = pytest.mark.slow


@pytest.fixture
def index(monkeypatch):
    server = FakeIndex(engine_wheels(SIZE))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield server
    server.close()


class Setup:
    """Orders to workers, in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place, self.lock = folder, folder / "engine", folder / "pylock.tiny.toml"
        self.all: list[Installations] = []

    def start(self, action: str = "install", wheels: Path | str = "") -> Installation:
        """As another Blender would: with a supervision of its own."""
        self.all.append(Installations())
        pipeline = ProcessPipeline(sys.executable, EngineConfig(), role=INSTALL)
        return self.all[-1].start(pipeline, action, place=str(self.place), lock=str(self.lock), wheels=str(wheels))

    def until(self, one: Installation, reached) -> None:
        while not reached(one) and not one.done:
            assert one._owner.wait(LIMIT), one
            one._owner.pump()

    def names(self) -> set[str]:
        return {path.name for path in self.place.iterdir()} - {engine_environment.BUSY}

    def python(self, name: str) -> str:
        """The interpreter of the environment `name`."""
        return engine_environment.python_in(str(self.place / name))

    def output(self, python: str) -> str:
        code = "import torch, os; print(torch.__version__, os.path.dirname(torch.__file__))"
        return subprocess.run([python, "-X", "utf8", "-c", code], check=True, capture_output=True,
                              encoding="utf-8").stdout

    def update_blender(self, name: str) -> None:
        """As far as the environment `name` can see: its Python is not where it was any more."""
        config = self.place / name / "pyvenv.cfg"
        text = config.read_text(encoding="utf-8")
        config.write_text("".join(f"home = {self.folder / 'gone'}\n" if line.startswith("home") else line
                                  for line in text.splitlines(keepends=True)), encoding="utf-8")
        for link in Path(self.python(name)).parent.glob("python*"):
            if link.is_symlink():
                link.unlink()
                link.symlink_to("/gone/python")


@pytest.fixture
def setup():
    # Windows wants a short path, as of a person's
    with tempfile.TemporaryDirectory(prefix="sd", ignore_cleanup_errors=True) as folder:
        one = Setup(Path(folder).resolve())
        one.lock.write_text(lock_of(engine_wheels(SIZE)))
        yield one
        for each in one.all:
            each.shutdown()


def test_from_nothing_to_an_engine_and_back(setup, index):
    seen: list[tuple[str, int, int]] = []
    one = setup.start()
    setup.until(one, lambda one: seen.append((one.stage, one.bytes_done, one.bytes_total)))
    python = one.result(LIMIT)
    stages = list(dict.fromkeys(stage.split(":")[0] for stage, _, _ in seen))
    assert [stage for stage in stages if stage != "Starting"] == [
        "Making the environment", "Looking for packages", "Downloading", "Unpacking", "Testing the engine"]
    total = sum(map(len, index.files.values()))
    assert all(done <= whole == total for stage, done, whole in seen if stage == "Downloading")
    assert python == setup.python("env1") and setup.output(python).startswith(f"1.0 {setup.place}")
    assert setup.names() == {"env1", engine_environment.STAMP}, "what was downloaded is gone"
    assert engine_environment.read(str(setup.place)).accelerator == "tiny"

    asked = len(index.seen), len(index.pages)
    assert setup.start().result(LIMIT) == python and asked == (len(index.seen), len(
        index.pages)), "what is sound is left alone"

    setup.update_blender("env1")
    assert setup.start().result(LIMIT) == python and asked == (len(index.seen), len(
        index.pages)) and setup.output(python)

    Path(virtual_environments.packages_in(str(setup.place / "env1")), "torch",
         "__init__.py").write_text("import gone", encoding="utf-8")
    repaired = setup.start().result(LIMIT)
    assert repaired == setup.python("env2") and setup.output(repaired)
    assert setup.names() == {"env2", engine_environment.STAMP}

    assert setup.start("remove").result(LIMIT) == "" and setup.names() == set()
    assert setup.start("remove").result(LIMIT) == ""


def test_a_download_that_is_killed_goes_on_where_it_stopped(setup, index):
    index.hold(TORCH, 2_000_000)
    one = setup.start()
    setup.until(one, lambda one: one.stage == "Downloading" and one.bytes_done > 1_000_000)
    kill(one._owner._running[one.id][0].pid)
    setup.until(one, lambda one: False)
    assert one.state == "failed" and "stopped" in str(one.error)
    part = setup.place / engine_environment.WHEELS / (TORCH + ".part")
    kept = part.stat().st_size
    assert kept > 1_000_000 and engine_environment.read(str(setup.place)) is None, "nothing half-made is the engine"
    index.held.clear()
    index.go.set()
    index.seen.clear()
    assert setup.output(setup.start().result(LIMIT))
    gets = [(name, wanted) for method, name, wanted in index.seen if method == "GET"]
    assert (TORCH, f"bytes={kept}-") in gets
    assert Counter(name for name, _ in gets).most_common(1)[0][1] == 1
    assert not any(name.startswith(("numpy", "pillow")) for name, _ in gets), "whole wheels are not fetched twice"


def test_one_that_is_killed_while_it_unpacks_fetches_nothing_again(setup, index):
    one = setup.start()
    setup.until(one, lambda one: one.stage == "Unpacking")
    kill(one._owner._running[one.id][0].pid)
    setup.until(one, lambda one: False)
    assert one.state == "failed" and engine_environment.read(str(setup.place)) is None
    index.seen.clear()
    python = setup.start().result(LIMIT)
    assert setup.output(python) and [method for method, _, _ in index.seen if method == "GET"] == []
    assert len(setup.names()) == 2, "the half-made environment was swept away"


def test_two_blenders_at_once(setup, index):
    index.hold(TORCH, 2_000_000)  # a worker reads a megabyte at a time
    first = setup.start()
    setup.until(first, lambda one: one.stage == "Downloading" and one.bytes_done > 500_000)
    second = setup.start()
    setup.until(second, lambda one: one.stage.startswith("Another Blender"))
    assert not second.done
    index.go.set()
    assert first.result(LIMIT) == second.result(LIMIT)
    assert Counter(name for method, name, _ in index.seen if method == "GET")[TORCH] == 1


def test_a_folder_of_wheels_needs_no_network(setup, index):
    folder = into(setup.folder / "given", engine_wheels(SIZE))
    index.status = 500
    assert setup.output(setup.start(wheels=folder).result(LIMIT))
    assert index.seen == index.pages == [] and len(list(folder.iterdir())) == 6

    (folder / "numpy-1.0-py3-none-any.whl").unlink()
    (folder / "pillow-1.0-py3-none-any.whl").unlink()
    with pytest.raises(InvalidRequest, match=r"lacks wheels for Python 3\.\d+ on .*: numpy 1.0, pillow 1.0"):
        setup.start("repair", folder).result(LIMIT)
    (folder / TORCH).write_bytes(b"broken")
    into(folder, dict([wheel("numpy"), wheel("pillow")]))
    with pytest.raises(InvalidRequest, match=f"{TORCH} is not the one"):
        setup.start("repair", folder).result(LIMIT)
    with pytest.raises(InvalidRequest, match="no wheels in the folder"):
        setup.start("repair", setup.folder / "nowhere").result(LIMIT)
    assert setup.output(engine_environment.read(str(setup.place)).python(str(
        setup.place))), "what was there is still there"


def test_what_the_network_and_the_platform_refuse(setup, index, monkeypatch):
    index.status = 403
    with pytest.raises(ConnectionLost, match="does not let this computer in"):
        setup.start().result(LIMIT)
    index.status = 0
    monkeypatch.setenv("PIP_PROXY", index.url)
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.invalid/simple")
    with pytest.raises(ConnectionLost, match="proxy does not let the set-up through"):
        setup.start().result(LIMIT)
    monkeypatch.delenv("PIP_PROXY")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        with pytest.raises(ConnectionLost, match="cannot be reached"):
            setup.start().result(LIMIT)
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/simple")
    other = wheel("torch", tag="cp27-cp27m-win32")
    index.files = {**{name: data for name, data in index.files.items() if name != TORCH}, other[0]: other[1]}
    setup.lock.write_text(lock_of(index.files))
    with pytest.raises(InvalidRequest,
                       match=r"127.0.0.1, which pip .* lacks packages for Python 3\.\d+ on .*: torch 1.0"):
        setup.start().result(LIMIT)
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.org/simple")
    setup.lock.write_text(lock_of(index.files, at=f"{index.url}/files"))
    with pytest.raises(EngineMissing, match=r"no packages for Python 3\.\d+ on .*: torch 1.0.*existing Python"):
        setup.start().result(LIMIT)
    assert not list(setup.place.glob("env*")), "no half-made environment stays"


def test_an_engine_that_does_not_start_is_not_used(setup, index):
    broken = wheel("torch", files={"torch/__init__.py": "raise OSError('libcuda.so is missing')"})
    index.files = engine_wheels(torch=broken)
    setup.lock.write_text(lock_of(index.files))
    with pytest.raises(EngineMissing, match="libcuda.so is missing"):
        setup.start().result(LIMIT)
    assert engine_environment.read(str(setup.place)) is None


# ---- in this process: what a machine cannot be brought to in a test --------------------------------------------------


def run_here(setup: Setup, wheels: Path) -> Installed | Failed:
    events: list = []
    order = Install("1", "install", str(setup.place), str(setup.lock), str(wheels))
    installation.Installer().run(order, events.append, lambda: False)
    return events[-1]


def test_a_full_disk_is_noticed_before_anything_is_written(setup, monkeypatch):
    folder = into(setup.folder / "given", engine_wheels(SIZE))
    usage = shutil.disk_usage(setup.folder)
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: usage._replace(free=SIZE))
    ending = run_here(setup, folder)
    assert ending.kind == OutputUnwritable.kind and "about 0.3 GB are needed" in ending.message
    assert "another folder for the engine" in ending.hint
    assert engine_environment.read(str(setup.place)) is None and not list(setup.place.glob("env*"))


def test_a_disk_that_fills_up_and_a_folder_that_cannot_be_written(setup, monkeypatch):
    folder = into(setup.folder / "given", engine_wheels(SIZE))
    monkeypatch.setattr(installation, "make_environment", lambda folder:
                        (_ for _ in ()).throw(OSError(28, "No space left on device")))
    ending = run_here(setup, folder)
    assert ending.kind == OutputUnwritable.kind and "is full" in ending.message and "goes on where it stopped" in ending.hint  # noqa: E501
    setup.place = setup.lock / "below"
    assert "cannot be written" in run_here(setup, folder).message


# ---- an existing Python ----------------------------------------------------------------------------------------------


def check(python: str) -> str:
    return Installations().start(ProcessPipeline(python, EngineConfig(), role=CHECK), "check").result(LIMIT)


def test_an_existing_python_is_looked_at_before_it_is_used(tmp_path):
    assert check(sys.executable) == sys.executable
    virtual_environments.make_environment(str(tmp_path / "bare"))
    with pytest.raises(EngineMissing,
                       match=r"cannot be the engine: it has no packages 'numpy', 'torch', 'diffusers', 'transformers'"):
        check(engine_environment.python_in(str(tmp_path / "bare")))
    with pytest.raises(EngineMissing, match="cannot run with the interpreter"):
        check(shutil.which("hostname" if os.name == "nt" else "true"))
    with pytest.raises(EngineMissing, match="cannot be started"):
        check(str(tmp_path / "nowhere"))


def test_only_folders_that_it_has_made_are_swept(setup, index):
    """A person's own environment of such a name, in the folder of their choice, stays."""
    setup.place.mkdir(parents=True, exist_ok=True)
    for name in ("env7", "wheels"):
        (setup.place / name).mkdir()
        (setup.place / name / "mine").write_text("mine")
    setup.start().result(LIMIT)
    setup.start("remove").result(LIMIT)
    assert {name for name in setup.names() if (setup.place / name / "mine").exists()} == {"env7", "wheels"}
