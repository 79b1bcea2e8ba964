"""What can be asked without anything being loaded."""
from __future__ import annotations

import subprocess
import sys

import pytest

from blender_sd.cli.main import all_commands, main
from blender_sd.core.declarations import SETTINGS
from tests.support.calls import ROOT


def test_help_imports_neither_torch_nor_bpy_nor_numpy():
    code = ("import sys; from blender_sd.cli.main import main; main(['--help']);"
            "print({'torch', 'bpy', 'numpy'} & sys.modules.keys())")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n") and "Exit codes: 0 done" in done.stdout


def test_the_package_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "blender_sd", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip()[0].isdigit()


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_every_command_has_its_help(name, capsys):
    assert main([name, "--help"]) == 0 and all_commands()[name].HELP in capsys.readouterr().out.replace("\n", " ") or 1


def test_every_setting_of_a_task_is_an_option(capsys):
    main(["generate", "--help"])
    text = capsys.readouterr().out
    for declared in SETTINGS:
        if declared.task in ("", "text_to_image") and declared.name not in ("prompt", "width", "height"):
            assert f"--{declared.name.replace('_', '-')}" in text
