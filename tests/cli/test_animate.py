"""The command `animate`: what it hands on, what it reports, and that it records without an engine."""
from __future__ import annotations

import json
import sys

import bpy
import pytest

from blender_sd.calls import sequences
from blender_sd.calls.runtime import runtime
from blender_sd.cli import exits
from blender_sd.cli.commands import animate
from blender_sd.cli.main import all_commands, main
from blender_sd.core.errors import SourceUnusable
from blender_sd.protocol.shots import Shot

pytestmark = pytest.mark.bpy


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """Run it with `--json`, and return its exit code and what it printed."""
    monkeypatch.setenv("SD_BASE", str(tmp_path / "base"))
    before = runtime.config, runtime.tell, runtime.interrupted

    def call(*arguments: str) -> tuple[int, list[dict]]:
        capsys.readouterr()
        status = main(["animate", *arguments, "--engine-python", sys.executable, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]

    yield call
    runtime.config, runtime.tell, runtime.interrupted = before


def test_it_is_a_command_with_prompts_and_properties():
    assert all_commands()["animate"] is animate
    assert animate._prompt("12=old = gold") == (12, "old = gold") and animate._varying('a=["b=c"]') == ("a", '["b=c"]')
    for read, wrong in ((animate._prompt, ("12", "x=clay", "1=")), (animate._varying, ("a", "=b", "a="))):
        for text in wrong:
            with pytest.raises(Exception, match="is not"):
                read(text)


def test_options_reach_the_call(command, monkeypatch, tmp_path):
    asked = {}

    def call(*arguments, **keywords):
        asked.update(keywords, arguments=arguments)
        raise SourceUnusable("No such thing.")

    monkeypatch.setattr(sequences, "restyle_sequence", call)
    status, _ = command("SCENE", "clay", "--output", str(tmp_path / "out"), "--frames", "1-8x2", "--only", "3",
                        "--control", "depth=CAMERA,weight=0.5", "--control", f"canny={tmp_path}",
                        "--resume", "--link", "vector", "--prompt-from", "5=gold", "--varying", "strength=a.b",
                        "--strength", "0.4", "--consistency", "0.5", "--seed", "3", "--movie", "a.mp4")
    assert status == exits.UNUSABLE and asked["arguments"] == ("clay", "SCENE")
    wanted = {"frames": "1-8x2", "only": "3", "resume": True, "link": "vector", "prompts": [(5, "gold")],
              "varying": {"strength": "a.b"}, "strength": 0.4, "consistency": 0.5, "seed": 3, "movie": "a.mp4",
              "output": str(tmp_path / "out"), "of_scene": None, "keyframes_only": False}
    assert {name: asked[name] for name in wanted} == wanted
    assert [(control.kind, control.weight, image) for control, image in asked["controls"]] == [
        ("depth", 0.5, "CAMERA"), ("canny", 1.0, str(tmp_path))]


def test_what_is_left_out_is_left_to_what_was_recorded(command, monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(sequences, "restyle_sequence", lambda *_, **keywords: asked.update(keywords) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command("SCENE", "clay", "--output", str(tmp_path), "--resume", "--only", "3")
    assert {asked[name] for name in ("link", "of_scene", "prompts", "varying")} == {None} and "seed" not in asked


@pytest.mark.parametrize("here", [False, True])
def test_it_records_the_scene_in_this_blender_or_in_another(command, camera_scene, tmp_path, monkeypatch, here):
    scene = camera_scene(64)
    scene.frame_start, scene.frame_end, scene.frame_current = 1, 2, 2
    blend = str(tmp_path / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    monkeypatch.setattr(runtime.scene.sequences, "records_here", lambda: here)
    status, printed = command("SCENE", "clay", "--output", str(tmp_path / "out"), "--record-only", "--blend", blend)
    assert status == exits.DONE and printed[-1]["made"] == 0
    assert Shot(str(tmp_path / "out" / ".shot")).info.frames == (1, 2) and bpy.context.scene.frame_current == 2


def test_bad_input_ends_with_its_code(command, tmp_path, camera_scene):
    camera_scene(64)
    for arguments, wanted in ((["SCENE", "clay", "--frames", "9-2"], exits.UNUSABLE),
                              ([str(tmp_path / "nowhere"), "clay"], exits.UNUSABLE)):
        assert command(*arguments, "--output", str(tmp_path / "out"))[0] == wanted
    assert not (tmp_path / "out").exists()
