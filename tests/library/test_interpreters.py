"""Which environments are offered for the engine, what a folder stands for, and the message when Python cannot make
environments."""
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from blender_sd.protocol import boot
from blender_sd.library.engine_environment import python_in
from blender_sd.core.errors import EngineMissing
from blender_sd.library.interpreters import PACKAGES, environments, interpreter_at


def environment(folder: Path, packages: tuple[str, ...] = PACKAGES, settings: str = "") -> str:
    """Make what looks like a virtual environment; its interpreter. Running it would fail: nothing here may be
    started."""
    python = Path(python_in(str(folder)))
    python.parent.mkdir(parents=True)
    python.write_text("not a program", encoding="utf-8")
    python.chmod(0o755)
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\n{settings}", encoding="utf-8")
    for name in packages:
        (folder / "lib" / "python3.11" / "site-packages" / name).mkdir(parents=True)
    return str(python)


@pytest.mark.parametrize("chosen", [".", "programs", "python", "project"])
def test_a_folder_or_its_interpreter_stands_for_an_environment(tmp_path, chosen):
    python = environment(tmp_path / ".venv")
    path = {".": tmp_path / ".venv", "programs": os.path.dirname(python), "python": python, "project": tmp_path}[chosen]
    assert interpreter_at(str(path)) == python or os.path.samefile(interpreter_at(str(path)), python)
    assert interpreter_at(f"{path}{os.sep}") == interpreter_at(str(path)) or chosen == "python"


def test_a_folder_without_python_is_refused(tmp_path):
    with pytest.raises(EngineMissing, match="no Python in the folder") as caught:
        interpreter_at(str(tmp_path))
    assert "bin or Scripts" in caught.value.hint
    assert interpreter_at(str(tmp_path / "nowhere")) == str(tmp_path
                                                            / "nowhere"), "the check says that it cannot be started"


def test_the_usual_places(tmp_path):
    home, scene, active = tmp_path / "home", tmp_path / "scene", tmp_path / "active"
    expected = [
        environment(scene / ".venv"),
        environment(active),
        environment(home / ".venv"),
        environment(home / "torch-env"),
        environment(tmp_path / "listed"),
        environment(home / "miniconda3" / "envs" / "sd"),
        environment(home / ".pyenv" / "versions" / "3.12.4"),
        environment(home / "ComfyUI" / "venv")]
    (home / ".conda").mkdir()
    (home / ".conda" / "environments.txt").write_text(f"{tmp_path / 'listed'}\n/gone\n")
    environment(home / "venv", packages=("torch",))
    found = environments(str(scene), str(home), {"VIRTUAL_ENV": str(active), "CONDA_PREFIX": str(active)})
    assert [one.python for one in found] == expected
    assert found[0].folder == str(scene / ".venv")


def test_nothing_is_found_in_an_empty_home(tmp_path):
    assert environments("", str(tmp_path), {}) == []


def test_packages_that_an_environment_shares_with_its_python_count(tmp_path):
    base = tmp_path / "base"
    environment(base)
    shared = environment(tmp_path / "home" / ".venv", (),
                         f"home = {base / 'bin'}\ninclude-system-site-packages = true\n")
    environment(tmp_path / "home" / "venv", (), f"home = {base / 'bin'}\ninclude-system-site-packages = false\n")
    assert [one.python for one in environments("", str(tmp_path / "home"), {})] == [shared]


@pytest.mark.parametrize("release, words", [
    ('ID=debian\nVERSION_ID="12"\n', "sudo apt install "
                                     "python{}-venv"), ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "python3-venv"),
    ("ID=fedora\n", "your system's package"), (None, "your system's package"),
])
def test_a_python_without_ensurepip_names_the_package(monkeypatch, tmp_path, release, words):
    file = tmp_path / "os-release"
    if release is not None:
        file.write_text(release, encoding="utf-8")
    monkeypatch.setattr(boot, "OS_RELEASE", str(file))
    remedy = boot.venv_remedy()
    assert words.format(f"{sys.version_info[0]}.{sys.version_info[1]}") in remedy and "python3-venv" in remedy
    assert "Use an Existing Python" in remedy
