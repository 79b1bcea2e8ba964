"""scripts/envs.py: which environment a machine gets, and when it is made again. No pip runs here."""
from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import envs

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def env(tmp_path):
    return envs.Env(".venv-x", f"{sys.version_info[0]}.{sys.version_info[1]}", ("bpy-4.2.txt", "pytest.txt"), "4.2",
                    "1 MB", tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An environment as `envs` makes it: 3 s."""
    env = envs.Env("made", f"{sys.version_info[0]}.{sys.version_info[1]}", (), "", "", tmp_path_factory.mktemp("made"))
    envs._create(env)
    return env.folder


@pytest.fixture
def no_pip(monkeypatch, made):
    """Records what pip would have been asked; `fail` makes it break off. A new environment is a copy of `made`."""
    calls = []
    monkeypatch.setattr(envs, "_create", lambda env: shutil.copytree(made, env.folder, symlinks=True))

    def pip(env, arguments, log):
        calls.append(arguments)
        if getattr(pip, "fail", False):
            raise envs.EnvError("broken off")

    monkeypatch.setattr(envs, "_pip", pip)
    pip.calls = calls
    return pip


def test_every_blender_has_pins_for_its_python():
    for blender, python in envs.BLENDERS.items():
        text = (SCRIPTS / "requirements" / f"bpy-{blender}.txt").read_text(encoding="utf-8")
        assert f"bpy=={blender}." in text
        assert python in ("3.11", "3.13")


def test_all_requirements_are_exact():
    for path in (SCRIPTS / "requirements").glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line or line.startswith(("#", "-r ")) or "==" in line.split(";")[0], f"{path.name}: {line}"


@pytest.mark.parametrize("changed", ["common.txt", "bare.txt"])
def test_fingerprint_follows_all_files(tmp_path, env, changed):
    env = dataclasses.replace(env, bare=("bare.txt",))
    for name, text in (("bpy-4.2.txt", "-r common.txt\nbpy==4.2.0\n"), ("common.txt", "a==1\n"),
                       ("pytest.txt", "pytest==9\n"), ("bare.txt", "b==1\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    before = envs.fingerprint(env, tmp_path)
    assert envs.fingerprint(env, tmp_path) == before
    (tmp_path / changed).write_text("a==2\n", encoding="utf-8")
    assert envs.fingerprint(env, tmp_path) != before


@pytest.mark.slow
def test_ensure_makes_it_once(env, no_pip):
    python = envs.ensure(env, log=lambda text: None)
    assert python.exists() and envs.is_ready(env)
    assert envs.version_of([str(python)]) == env.python
    envs.ensure(env, log=lambda text: None)
    assert len(no_pip.calls) == 1


@pytest.mark.slow
def test_an_interrupted_creation_is_finished_by_the_next_call(env, no_pip):
    no_pip.fail = True
    with pytest.raises(envs.EnvError, match="broken off"):
        envs.ensure(env, log=lambda text: None)
    assert not envs.is_ready(env)
    no_pip.fail = False
    envs.ensure(env, log=lambda text: None)
    assert envs.is_ready(env) and len(no_pip.calls) == 2


@pytest.mark.slow
def test_changed_pins_install_again_into_the_same_folder(env, no_pip):
    envs.ensure(env, log=lambda text: None)
    kept = env.folder / "kept"
    kept.write_text("", encoding="utf-8")
    (env.folder / envs.STAMP).write_text(json.dumps({"python": env.python, "requirements": "older"}), encoding="utf-8")
    envs.ensure(env, log=lambda text: None)
    assert kept.exists() and len(no_pip.calls) == 2


@pytest.mark.slow
def test_pip_arguments_of_the_person_are_passed_on(env, no_pip, monkeypatch):
    monkeypatch.setenv("SD_PIP_ARGS", '--extra-index-url "https://example.org/a b"')
    envs.ensure(env, log=lambda text: None)
    assert no_pip.calls[0][-2:] == ["--extra-index-url", "https://example.org/a b"]


@pytest.mark.slow
def test_bare_packages_come_last_and_without_what_they_ask_for(env, no_pip):
    envs.ensure(dataclasses.replace(env, bare=("engine-bare.txt",)), log=lambda text: None)
    first, second = no_pip.calls
    assert "--no-deps" not in first and "--no-deps" in second and second[-1].endswith("engine-bare.txt")


def test_a_missing_python_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(envs, "_candidates", lambda version: iter([["/nonexistent/python"]]))
    env = envs.Env(".venv-y", "3.13", ("pytest.txt",), "5.2", "1 MB", tmp_path)
    with pytest.raises(envs.PythonMissing, match=r"Python 3\.13 was not found.*Blender 5\.2"):
        envs.ensure(env, log=lambda text: None)


def test_pyenv_root_is_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    (tmp_path / "versions" / "3.13.0" / "bin").mkdir(parents=True)
    assert [str(tmp_path / "versions" / "3.13.0" / "bin" / "python")] in list(envs._candidates("3.13"))


@pytest.mark.slow
def test_a_lock_that_another_process_holds_is_waited_for(env, no_pip):
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import envs; from pathlib import Path\n"
            "env = envs.Env('.venv-x', '3.11', (), '4.2', '', Path(sys.argv[2]))\n"
            "with envs._locked(env, print):\n    print('held', flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", code, str(SCRIPTS), str(env.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        lines = []

        def log(text):
            if "waiting" in text:
                other.stdin.close()  # the other process ends, and with it its lock
            lines.append(text)

        envs.ensure(env, log=log)
    assert any("another process" in text for text in lines) and envs.is_ready(env)
