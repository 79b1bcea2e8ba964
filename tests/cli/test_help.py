"""What can be asked without anything being loaded."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest

from blender_sd.cli import commands, exits
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
    assert main([name, "--help"]) == 0
    assert all_commands()[name].HELP in " ".join(capsys.readouterr().out.split())


def test_a_new_command_costs_one_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "fresco.py").write_text(
        "from .. import exits\n"
        "from ..options import add_painting, add_settings\n"
        "HELP = 'paint a fresco'\n"
        "def add_arguments(parser):\n"
        "    parser.add_argument('prompt')\n"
        "    add_painting(parser)\n"
        "    add_settings(parser, 'text_to_image', 'the fresco')\n"
        "def run(asked):\n"
        "    print(asked.prompt, asked.clip_skip, asked.workers)\n"
        "    return exits.NO_MEMORY\n", encoding="utf-8")
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    try:
        assert main(["--help"]) == 0 and "paint a fresco" in capsys.readouterr().out
        assert main(["fresco", "brick", "--clip-skip", "2"]) == exits.NO_MEMORY
        assert capsys.readouterr().out == "brick 2 1\n"
        assert main(["fresco", "brick", "--expect-version", "0.0.1"]) == exits.OTHER_VERSION
    finally:
        sys.modules.pop(f"{commands.__name__}.fresco", None)
        vars(commands).pop("fresco", None)


def test_arguments_that_cannot_be_parsed_are_an_error_in_json_too(capsys):
    assert main(["generate", "x", "--steps", "many", "--json"]) == exits.UNUSABLE
    printed = capsys.readouterr()
    event = json.loads(printed.out)
    assert event["event"] == "error" and event["status"] == exits.UNUSABLE and "--steps" in event["message"]
    assert "usage:" in printed.err and "Traceback" not in printed.err


def test_every_setting_of_a_task_is_an_option(capsys):
    main(["generate", "--help"])
    text = capsys.readouterr().out
    for declared in SETTINGS:
        if declared.task in ("", "text_to_image") and declared.name not in ("prompt", "width", "height"):
            assert f"--{declared.name.replace('_', '-')}" in text
