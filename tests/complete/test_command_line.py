"""`--command`, which PyPI's module of Blender lacks, with the extension installed by Blender's own command."""
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.calls import engine_python


# 64 × 64 pixels by Cycles, which needs no graphics card, with a cube that moves.
_SCENE = ("import bpy; scene = bpy.context.scene; scene.render.engine = 'CYCLES'; scene.cycles.samples = 1; "
          "scene.render.resolution_x = scene.render.resolution_y = 64; scene.render.resolution_percentage = 100; "
          "cube = bpy.data.objects['Cube']; cube.keyframe_insert('location', frame=1); cube.location.x = 2; "
          "cube.keyframe_insert('location', frame=2)")


@pytest.fixture(scope="module")
def blender(program, extension_zip, tmp_path_factory):
    """Call Blender without a window, with settings of its own, in which the extension is installed."""
    folder = tmp_path_factory.mktemp("command_line")

    def call(*arguments: str, share: Path | None = None) -> subprocess.CompletedProcess:
        shared = ("--share", str(folder), "--share", str(extension_zip.parent),
                  *(("--share", str(share)) if share else ()))
        return subprocess.run([*program, *shared, "--background", *arguments], capture_output=True, text=True,
                              timeout=300, env={**os.environ, "BLENDER_USER_RESOURCES": str(folder),
                                                "SD_ENGINE_PYTHON": engine_python()})

    done = call("--command", "extension", "install-file", "--repo", "user_default", "--enable", str(extension_zip))
    assert done.returncode == 0, done.stdout + done.stderr
    return call


def test_a_missing_file_is_named_and_the_status_is_2(blender):
    done = blender("--command", "sd_report", "missing.blend")
    assert done.returncode == 2
    assert "sd: There is no file '/missing.blend'." in done.stderr and "Traceback" not in done.stderr, done.stderr  # noqa: E501


def test_a_scene_without_generated_images_has_an_empty_report(blender):
    done = blender("--command", "sd_report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stdout.strip(), done.stderr


def test_help_names_the_options(blender):
    done = blender("--command", "sd", "report", "--help")
    assert done.returncode == 0 and "--csv" in done.stdout


@pytest.fixture(scope="module")
def shot(blender, tmp_path_factory):
    """Call `sd` on a scene of 64 × 64 pixels, with the engine of this Python, and return the exit code and events."""
    folder = tmp_path_factory.mktemp("shot")
    made = folder / "shot.blend"
    done = blender("--python-expr", f"{_SCENE}; bpy.ops.wm.save_as_mainfile(filepath={str(made)!r})", share=folder)
    assert made.is_file(), done.stdout + done.stderr

    def call(*arguments: str) -> tuple[int, list[dict]]:
        done = blender(str(made), "--command", "sd", *arguments, "--json", "--threads", "1", share=folder)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    call.folder = folder
    return call


def test_the_doctor_finds_the_engine(shot):
    status, events = shot("doctor")
    assert status == 0 and all(event["ok"] for event in events), events
    assert "Blender" in events[0]["value"]


def test_frames_of_the_camera_from_the_installed_zip(shot):
    arguments = ("restyle", "CAMERA", "mosaic", "--frames=1-2", "--seed", "1", "--steps", "2", "--output", "//out",
                 "--resume")
    status, events = shot(*arguments)
    assert status == 0 and [event["event"] for event in events] == ["made", "made", "end"], events
    assert sorted(path.name for path in (shot.folder / "out").glob("*.png")) == ["0001.png", "0002.png"]
    status, events = shot(*arguments)
    assert status == 0 and events[-1]["kept"] == 2, events


def test_another_version_is_refused(shot):
    status, events = shot("generate", "moss", "--expect-version", "0.0.1")
    assert status == 7 and "0.0.1" in events[0]["message"]
