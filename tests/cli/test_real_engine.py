"""The command line with the real engine, in a Python without Blender."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from blender_sd.core.roles import MAPS
from tests.support.calls import ROOT, engine_python

pytestmark = [pytest.mark.torch, pytest.mark.slow]
_START = "import sys; sys.modules['bpy'] = None; from blender_sd.cli.main import main; sys.exit(main(sys.argv[1:]))"
_PATIENCE = 180  # seconds; far more than any run here takes


@pytest.fixture()
def command(tmp_path):
    """Start a command; its pictures go to `tmp_path/out`."""
    def start(*arguments: str) -> subprocess.Popen:
        variables = {**os.environ, "SD_BASE": str(tmp_path / "base"), "SD_ENGINE_PYTHON": engine_python()}
        return subprocess.Popen(
            [sys.executable, "-c", _START, *arguments, "--threads", "1", "--json", "--output", str(tmp_path / "out")],
            cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return start


def ended(process: subprocess.Popen) -> tuple[int, list[dict]]:
    out, err = process.communicate(timeout=_PATIENCE)
    assert "Traceback" not in err, err
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def until_step(process: subprocess.Popen) -> None:
    for line in process.stderr:
        if "Step" in line:
            return
    raise AssertionError("no step came")


def test_pixels_are_those_of_the_engines_own_call_and_are_recognised(command):
    from PIL import Image

    from blender_sd.engine import Engine

    arguments = ("generate", "red brick wall", "--seed", "5", "--steps", "2", "--size", "64", "--tiling", "xy",
                 "--name", "wall", "--resume")
    status, events = ended(command(*arguments))
    assert status == 0 and events[0]["event"] == "made", events
    engine = Engine(threads=1)
    expected = engine.generate("red brick wall", seed=5, steps=2, size=(64, 64), tiling="xy")[0]
    engine.close()
    with Image.open(events[0]["path"]) as image:
        assert image.tobytes() == expected.tobytes()
    status, events = ended(command(*arguments))
    assert status == 0 and events[-1]["kept"] == 1 and events[-1]["made"] == 0


def test_a_grid_is_recognised(command):
    arguments = ("generate", "moss", "--seed", "5", "--size", "64", "--axis", "steps=1,2", "--resume", "--name", "grid")
    status, events = ended(command(*arguments))
    assert status == 0 and [event.get("role") for event in events[:-1]] == ["contact sheet", "picture", "picture"]
    assert ended(command(*arguments))[1][-1]["kept"] == 1


def test_upscale_and_inpaint_of_files(command, tmp_path):
    assert ended(command("generate", "moss", "--seed", "5", "--size", "64", "--steps", "1", "--name", "m"))[0] == 0
    source = str(tmp_path / "out" / "m.png")
    status, events = ended(command("upscale", source, "--scale", "2", "--steps", "2", "--name", "large"))
    assert status == 0 and (events[0]["width"], events[0]["height"]) == (128, 128), events
    assert ended(command("inpaint", source, source, "stone", "--steps", "2", "--name", "patched"))[0] == 0


def test_materials_of_words_and_of_a_file(command):
    arguments = ("material", "red brick wall", "--seed", "5", "--steps", "1", "--size", "64")
    status, events = ended(command(*arguments))
    made = {event["role"]: event["path"] for event in events if event["event"] == "made"}
    assert status == 0 and set(made) == {"picture", *MAPS}, events
    status, events = ended(command("material", "--image", made["picture"], "--map-source", "estimated", "--map-bits",
                                   "8"))
    maps = {event["role"]: event["path"] for event in events if event["event"] == "made"}
    assert status == 0 and list(maps) == list(MAPS), events
    assert events[-1] == {"event": "end", "status": 0, "made": len(MAPS), "kept": 0, "failed": 0, "cancelled": 0}
    status, events = ended(command("material", "bricks", "--image", made["picture"], "--seamless", "--steps", "2"))
    assert status == 0 and [event["role"] for event in events if event["event"] == "made"] == ["picture", *MAPS], events
    status, events = ended(command("material", "--image", maps["normal"]))
    assert status != 0 and "normal map" in json.dumps(events)
    assert ended(command("material"))[0] == 2 and ended(command(*arguments, "--preset", "unity"))[0] != 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_cancels_and_a_second_one_ends_at_once(command, tmp_path):
    long = ("generate", "moss", "--seed", "1", "--steps", "400", "--size", "256")
    process = command(*long)
    until_step(process)
    process.send_signal(signal.SIGINT)
    status, events = ended(process)
    assert status == 130 and events[-1]["cancelled"] == 1 and not list(Path(tmp_path / "out").glob("*.png"))
    process = command(*long)
    until_step(process)
    engine, = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.wait(timeout=_PATIENCE)
    assert process.returncode in (-signal.SIGINT, 130) and time.monotonic() - began < 5
    process.communicate()
    psutil.wait_procs([engine], timeout=10)
    assert not engine.is_running(), "the engine lives on"


def test_two_workers_are_two_engines_over_one_queue(command, tmp_path):
    (tmp_path / "jobs.json").write_text(json.dumps({"format": 2, "settings": {"steps": 2, "size": [64, 64]}, "jobs": [
        {"prompt": "moss", "seed": seed, "name": f"m{seed}"} for seed in range(6)]}), encoding="utf-8")
    process = command("batch", str(tmp_path / "jobs.json"), "--workers", "2")
    engines: set[int] = set()
    while process.poll() is None and len(engines) < 2:
        with contextlib.suppress(psutil.NoSuchProcess):
            engines |= {child.pid for child in psutil.Process(process.pid).children()}
        time.sleep(0.1)
    status, events = ended(process)
    assert status == 0 and events[-1]["made"] == 6 and len(engines) == 2, events
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [f"m{seed}.png" for seed in range(6)]
