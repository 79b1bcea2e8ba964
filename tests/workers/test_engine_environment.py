"""The engine's environment: its own Python, the programs that the set-up runs, and the Python that it was made from."""
from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from blender_sd.calls import config, interpreter
from blender_sd.protocol import missing_runtime, serving
from blender_sd.workers import programs, virtual_environments
from blender_sd.library import engine_environment
from blender_sd.library.engine_environment import Environment
from blender_sd.core.errors import EngineMissing, JobCancelled
from blender_sd.protocol.messages import Failed
from tests.support.systems import posix

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


# ---- programs --------------------------------------------------------------------------------------------------------


def module(folder: Path, name: str, text: str = "") -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


@pytest.fixture
def attempt(tmp_path):
    """Runs "try" with modules in `folder` in place of what the engine needs; gives its exit code and what it wrote."""
    for name in ("numpy", "PIL", "safetensors", "transformers", "diffusers"):
        module(tmp_path, name)
    module(tmp_path, "torch", "__version__ = '1.0'\n")
    starter = tmp_path / "starter"
    starter.write_text(f"import runpy, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
                       f"runpy.run_path({programs.WATCHED!r}, run_name='__main__')\n", encoding="utf-8")

    def run(patience: float = 60.0, look=lambda: None) -> tuple[int, str]:
        return programs.run(run.command, look, patience)

    run.folder, run.command = tmp_path, [sys.executable, "-I", "-X", "utf8", str(starter), "try"]
    return run


def test_in_the_child_descriptor_0_is_no_pipe_while_libraries_are_loaded(attempt):
    """libgfortran looks at it as numpy is imported; on Windows that waits for the thread that reads the pipe."""
    module(attempt.folder, "numpy", "import os, stat\nprint(stat.S_ISFIFO(os.fstat(0).st_mode), os.read(0, 1))\n")
    code, output = attempt()
    assert code == 0 and output.splitlines() == ["False b''", "1.0"]


def test_the_child_ends_with_its_parent(attempt):
    module(attempt.folder, "numpy", "import time\nprint('there', flush=True)\ntime.sleep(600)\n")
    with subprocess.Popen(attempt.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline().strip() == b"there"
        child.stdin.close()
        assert child.wait(60) == 1


@pytest.mark.slow
def test_a_program_that_hangs_is_ended_and_one_that_goes_on_is_not(attempt):
    module(attempt.folder, "numpy", "import time\nprint('there', flush=True)\ntime.sleep(600)\n")
    with pytest.raises(EngineMissing, match="did not go on for 0 minutes") as caught:
        attempt(patience=0.1)
    assert "virus scanner" in caught.value.hint
    module(attempt.folder, "numpy", "import time\ntime.sleep(3)\n")
    steps = iter(range(1000))
    assert attempt(patience=2.5, look=lambda: next(steps))[0] == 0

    def cancel():
        raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        attempt(look=cancel)


@pytest.mark.parametrize("words", [
    "OSError: [WinError 126] Das angegebene Modul wurde nicht gefunden. Error loading \"C:\\x\\torch\\lib\\c10.dll\"",
    "OSError: [WinError 127] The specified procedure could not be found. Error loading "
    "\"C:\\x\\torch\\lib\\torch_cpu.dll\"",
    "OSError: [WinError 1114] A dynamic link library (DLL) initialization routine failed.",
    "ImportError: DLL load failed while importing _C: The specified module could not be found.",
])
def test_a_missing_visual_c_runtime_is_recognised(words, monkeypatch):
    assert "vc_redist.x64.exe" in missing_runtime.missing_runtime(words).hint
    sent = []
    monkeypatch.setattr(serving, "EventWriter", None)
    line = type("Line", (), {"send": lambda self, message: sent.append(message)})()

    def broken():
        raise OSError(words)

    assert serving._work(broken, line, None) == 1
    assert isinstance(sent[0], Failed) and "Visual C++" in sent[0].message and words in sent[0].detail


@pytest.mark.parametrize("words", ["OSError: libcuda.so.1: cannot open shared object file",
                                   "[WinError 1260] blocked by group policy"])
def test_other_failures_are_not_taken_for_it(words):
    assert missing_runtime.missing_runtime(words) is None


# ---- making one ------------------------------------------------------------------------------------------------------


@posix("the interpreters that do not work are shell scripts")
def test_an_environment_without_a_working_interpreter_is_noticed_at_once(tmp_path, monkeypatch):
    """As where Python came without venv's launcher for Windows, which `venv` only logs."""
    texts = iter(("", "#!/bin/sh\nexit 3\n", "#!/bin/sh\necho /\n"))

    def create(self, folder):
        program = Path(engine_environment.python_in(folder))
        program.parent.mkdir(parents=True)
        if text := next(texts):
            program.write_text(text, encoding="utf-8")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    monkeypatch.setattr(virtual_environments.venv.EnvBuilder, "create", create)
    for number in range(3):
        with pytest.raises(EngineMissing, match="the interpreter in it does not work"):
            virtual_environments.make_environment(str(tmp_path / str(number)))


@pytest.mark.skipif(os.name != "nt", reason="Windows alone has launchers")
def test_an_environment_works_without_venvs_launcher(tmp_path, monkeypatch):
    create = virtual_environments.venv.EnvBuilder.create
    monkeypatch.setattr(virtual_environments.venv.EnvBuilder, "create",
                        lambda self, folder: create(self, folder) or os.remove(engine_environment.python_in(folder)))
    assert os.path.isdir(os.path.join(virtual_environments.make_environment(str(tmp_path / "env")), "pip"))


def test_pythons_own_files_are_copied_where_there_is_no_launcher(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("python.exe", "python311.dll", "python3.dll", "vcruntime140.dll", "vcruntime140_1.dll", "blender.dll",
                 "python311.zip"):
        (home / name).write_text(name)
    engine_environment.copy_python(str(tmp_path / "env"), str(home / "python.exe"))
    programs = Path(engine_environment.python_in(str(tmp_path / "env"))).parent
    copied = {"python311.dll", "python3.dll", "vcruntime140.dll", "vcruntime140_1.dll"}
    assert {path.name for path in programs.iterdir()} == copied | {os.path.basename(engine_environment.python_in(""))}


# ---- a Python that has moved -----------------------------------------------------------------------------------------


@pytest.fixture
def moved(tmp_path) -> Path:
    """The environment of an engine; the Python that it was made from is not at its old place any more."""
    env = tmp_path / "engine" / "env1"
    python = Path(engine_environment.python_in(str(env)))
    python.parent.mkdir(parents=True)
    for name in (python.name, "python3"):
        if os.name == "nt":
            python.with_name(name).write_bytes(b"")
        else:
            python.with_name(name).symlink_to(engine_environment.running_python())
    (env / "pyvenv.cfg").write_text(
        "home = /private/var/folders/AppTranslocation/1/d/Blender.app/bin\ninclude-system-site-packages = false\n"
        f"version = {VERSION}.1\nexecutable = /private/var/gone/python\n", encoding="utf-8")
    engine_environment.write(str(env.parent), Environment("env1", "cpu", "digest", "", VERSION, 5))
    return env


def test_an_environment_is_pointed_to_where_its_python_is_now(moved):
    assert os.path.exists(engine_environment.python_in(str(moved))), "the program is there: its home is not"
    assert engine_environment.is_orphan(str(moved))
    engine_environment.rehome(str(moved), engine_environment.running_python())
    assert not engine_environment.is_orphan(str(moved))
    text = (moved / "pyvenv.cfg").read_text(encoding="utf-8")
    assert "/private" not in text and "include-system-site-packages = false" in text and f"version = {VERSION}.1" in text  # noqa: E501


@posix("only there does an environment hold links")
def test_a_stale_link_makes_an_orphan_too(moved):
    engine_environment.rehome(str(moved), engine_environment.running_python())
    for path in (moved / "bin").glob("python*"):
        path.unlink()
        path.symlink_to("/gone/python3")
    assert engine_environment.is_orphan(str(moved))
    engine_environment.rehome(str(moved), engine_environment.running_python())
    done = subprocess.run([moved / "bin" / "python3", "-I", "-X", "utf8", "-c", "import sys; print(sys.prefix)"],
                          capture_output=True)
    assert done.stdout.decode().strip() == str(moved)
    shutil.rmtree(moved / "bin")
    assert engine_environment.is_orphan(str(moved))


def test_the_engine_is_found_after_blender_has_moved(moved, monkeypatch):
    place = str(moved.parent)
    monkeypatch.delenv(interpreter.PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(interpreter, "has_torch", lambda: False)
    with pytest.raises(EngineMissing):
        # other computers may use that folder as it is
        interpreter.engine_python(config.Config(engine_place=place), place)
    engine_environment.write(place, Environment("env1", "cpu", "digest", "", "2.7", 5))
    with pytest.raises(EngineMissing):
        interpreter.engine_python(config.Config(), place)
    engine_environment.write(place, Environment("env1", "cpu", "digest", "", VERSION, 5))
    assert interpreter.engine_python(config.Config(), place) == engine_environment.python_in(str(moved))
    assert not engine_environment.is_orphan(str(moved))
