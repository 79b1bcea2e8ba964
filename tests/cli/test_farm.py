"""Flamenco's job type: what it compiles to, and its tasks really carried out, with kills and repeats."""
from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blender_sd.cli.commands import animate
from blender_sd.cli.main import main
from blender_sd.core.request import Request
from blender_sd.core.version import version
from tests.support.calls import ROOT
from tests.support.drawing_pipeline import png_of

pytest.importorskip("quickjs")
from tests.support.flamenco import compiled  # noqa: E402  (needs quickjs)

WORKER = ROOT / "tests" / "support" / "farm_worker.py"


@pytest.fixture()
def script(tmp_path, capsys):
    """The job type as `sd farm flamenco` writes it."""
    assert main(["farm", "flamenco", str(tmp_path / "scripts")]) == 0
    return Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")


def started(task, pause: float = 0.0) -> subprocess.Popen:
    """Start the command of a task as Flamenco's worker does."""
    (name, parameters), = task.commands
    assert name == "exec" and parameters["exe"] == "{blender}" and task.type == "blender"
    variables = {**os.environ, "SD_TEST_PAUSE": str(pause)}
    return subprocess.Popen([sys.executable, str(WORKER), *parameters["args"]], env=variables, cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def done(task) -> int:
    process = started(task)
    out, err = process.communicate(timeout=120)
    assert b"Traceback" not in err, err.decode()
    return process.returncode


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_frames_become_chunks_and_a_movie(script):
    tasks = compiled(script, {"prompt": "mosaic", "output": "/share/out", "frames": "1-10, 20", "chunk_size": 4,
                              "blendfile": "/share/a b.blend", "movie": True, "fps": 25,
                              "options": '--strength 0.4 --model "my model"'})
    assert [task.name for task in tasks] == ["restyle-1-4", "restyle-5-8", "restyle-9,10,20", "movie"]
    assert tasks[0].commands[0][1]["args"] == [
        "-b", "/share/a b.blend", "--command", "sd", "restyle", "CAMERA", "mosaic", "--frames=1-4", "--output",
        "/share/out", "--seed", "1", "--resume", "--strength", "0.4", "--model", "my model", "--expect-version",
        version()]
    movie = tasks[-1]
    assert movie.type == "ffmpeg" and movie.needs == tuple(task.name for task in tasks[:-1])
    assert movie.commands[0][0] == "frames-to-video" and movie.commands[0][1]["inputGlob"] == "/share/out/*.png"


def test_an_animation_is_recorded_before_its_keyframes_and_these_before_its_chunks(script):
    record, keyframes, *chunks, movie = compiled(script, {
        "work": "animation", "prompt": "clay", "output": "/share/out", "frames": "1-6", "chunk_size": 4, "movie": True,
        "blendfile": "/share/a.blend", "options": "--consistency 0.9"})
    assert [task.name for task in chunks] == ["animate-1-4", "animate-5-6"] and movie.name == "movie"
    assert not record.needs and keyframes.needs == ("record",) and {task.needs for task in chunks} == {("keyframes",)}
    common = ["-b", "/share/a.blend", "--command", "sd", "animate", "SCENE", "clay", "--output", "/share/out", "--seed",
              "1", "--resume"]
    for task, own in ((record, ["--frames=1-6", "--record-only"]), (keyframes, ["--keyframes-only"]),
                      (chunks[0], ["--only=1-4"])):
        arguments = task.commands[0][1]["args"]
        assert arguments == [*common, *own, "--consistency", "0.9", "--expect-version", version()]
        animate.add_arguments(parser := argparse.ArgumentParser())
        parser.parse_args(arguments[5:-2])  # the command takes them


def test_jobs_and_materials_become_a_task_each(script):
    jobs = compiled(script, {"work": "jobs", "list": "/share/jobs.json", "count": 2})
    assert [task.commands[0][1]["args"][3:7] for task in jobs] == [
        ["batch", "/share/jobs.json", "--only", str(number)] for number in (1, 2)]
    rows = compiled(script, {"work": "materials", "list": "/share/m.csv", "count": 3, "library": "/share/lib"})
    assert [task.name for task in rows] == ["material-1", "material-2", "material-3"]


@pytest.mark.parametrize(("settings", "words"), [
    ({"output": "/x", "frames": "1-2"}, "'prompt' must be set"), ({"prompt": "x", "frames": "1"}, "'output' must"),
    ({"work": "jobs", "list": "a.json"}, "'count' must"),
    ({"work": "materials", "list": "a", "count": 1}, "'library'")])
def test_what_is_missing_is_named(script, settings, words):
    import quickjs

    with pytest.raises(quickjs.JSException, match=words):
        compiled(script, settings)


def test_a_worker_of_another_version_refuses_with_both_versions(script):
    other = script.replace(f'"{version()}"', '"7.7.7"')
    task, = compiled(other, {"work": "jobs", "list": "/none.json", "count": 1})
    process = started(task)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7 and version() in err.decode() and "7.7.7" in err.decode()


@pytest.mark.slow
def test_killed_and_repeated_tasks_leave_the_pictures_of_one_undisturbed_run(script, tmp_path):
    for frame in range(1, 13):
        (tmp_path / f"in_{frame:04d}.png").write_bytes(png_of(Request(seed=frame)))

    def tasks_for(folder: str):
        return compiled(script, {"prompt": "mosaic", "source": str(tmp_path / "in_####.png"), "frames": "1-12",
                                 "chunk_size": 4, "output": str(tmp_path / folder), "options": "--steps 5 --quiet"})

    for task in tasks_for("calm"):
        assert done(task) == 0
    dice = random.Random(5)
    for task in tasks_for("stormy"):
        for _ in range(2):
            process = started(task, 0.03)
            time.sleep(0.4 + dice.random())
            process.kill()
            process.communicate()
        with ThreadPoolExecutor() as pool:  # the manager gives it to two workers at once, and once more
            assert set(pool.map(done, (task, task))) == {0}
        assert done(task) == 0
    assert sorted(pictures(tmp_path / "calm")) == [f"{frame:04d}.png" for frame in range(1, 13)]
    assert pictures(tmp_path / "stormy") == pictures(tmp_path / "calm")


def guide(language: str) -> str:
    """The recipe in that language in the farm's guide."""
    text = (ROOT / "docs" / "guide" / "farm.md").read_text(encoding="utf-8")
    return re.search(rf"```{language}\n(.*?)```", text, re.S)[1]


def recipes() -> dict[str, list[str]]:
    """The command of each recipe of the guide, for the frames 3 to 4."""
    deadline = re.search(r"args: (\[.*?\])\n", guide("yaml"), re.S)[1]
    for name, value in (("Param.BlendFile", "shot.blend"), ("Param.Prompt", "a b"), ("Task.Param.Frame", "3-4"),
                        ("Param.Output", "OUTPUT")):
        assert "{{" + name + "}}" in deadline
        deadline = deadline.replace("{{" + name + "}}", value)
    command, = (node for node in ast.parse(guide("python")).body
                if isinstance(node, ast.Assign) and node.targets[0].id == "command")
    cue = shlex.join(ast.literal_eval(command.value.args[0]))
    cue = cue.replace("#FRAME_START#", "3").replace("#FRAME_END#", "4").replace("/share/out", "OUTPUT")
    program, *cue_arguments = shlex.split(cue)
    assert program == "blender" and "command: blender\n" in guide("yaml")
    return {"deadline": json.loads(deadline), "opencue": cue_arguments}


@pytest.mark.parametrize("system", ["deadline", "opencue"])
def test_the_guides_recipes_run(system, tmp_path):
    for frame in (3, 4):
        (tmp_path / f"in_{frame:04d}.png").write_bytes(png_of(Request(seed=frame)))
    places = {"CAMERA": str(tmp_path / "in_####.png"), "OUTPUT": str(tmp_path / "out")}
    arguments = [places.get(argument, argument) for argument in recipes()[system]]
    process = subprocess.run([sys.executable, str(WORKER), *arguments], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert sorted(pictures(tmp_path / "out")) == ["0003.png", "0004.png"]


def test_jobs_of_a_file_are_made_by_their_tasks(script, tmp_path):
    (tmp_path / "jobs.json").write_text(json.dumps({"format": 2, "output": "out", "jobs": [
        {"prompt": "a", "seed": 1, "name": "a"}, {"prompt": "b", "seed": 1, "name": "b"}]}), encoding="utf-8")
    for task in compiled(script, {"work": "jobs", "list": str(tmp_path / "jobs.json"), "count": 2}):
        assert done(task) == 0
    assert sorted(pictures(tmp_path / "out")) == ["a.png", "b.png"]
