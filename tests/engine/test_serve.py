"""The engine process as the session sees it: a program at the end of two pipes."""
from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from blender_sd.protocol.messages import (
    Alive, Cancel, Cancelled, ENDINGS, EngineConfig, Failed, Finished, Generate, Hello, Loading, PROTOCOL, Ready,
    Shutdown, Source, Step,
)
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from blender_sd.protocol.framing import read_message
from tests.support.engine import small
from tests.support.engine_process import CONFIG, Child, PACKAGE

pytestmark = pytest.mark.slow  # each engine imports torch


@pytest.fixture
def start():
    children = []

    def start(**options):
        children.append(Child(**options))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture(scope="module")
def child():
    child = Child(cwd=os.path.abspath(os.sep))
    child.send(Hello(CONFIG))
    ready = child.read()
    assert isinstance(ready, Ready), child.log
    child.ready = ready
    yield child
    child.close()


def test_it_introduces_itself(child):
    assert (child.ready.device, child.ready.precision) == ("cpu", "fp32")
    assert {"torch", "diffusers", "transformers"} <= child.ready.versions.keys()


@pytest.mark.parametrize("task", ["text_to_image", IMAGE_TO_IMAGE])
def test_the_pixels_are_those_of_the_engine_in_this_process(child, engine, sd, tmp_path, task):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    request = small(sd, task=task, width=64, height=48, sampler="dpmpp_sde", count=2, tiling="x")
    child.send(
        Generate("there", request, sd, str(tmp_path),
                 {"source": Source(pixels=pixels)} if task == IMAGE_TO_IMAGE else {}))
    results = child.until(ENDINGS)[-1].results
    common = {
        "seed": 7,
        "steps": 3,
        "guidance": 5,
        "size": (64, 48),
        "model": sd,
        "sampler": "dpmpp_sde",
        "count": 2,
        "tiling": "x",
    }
    here = engine.generate("red brick", **common) if task != IMAGE_TO_IMAGE else engine.restyle(
        pixels, "red brick", **common)
    assert len(results) == 2
    for result, picture in zip(results, here, strict=True):
        with Image.open(result.path) as image:
            assert image.mode == picture.mode and image.tobytes() == picture.tobytes()


def test_without_an_output_folder_the_pixels_come_with_the_result(child, engine, sd, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    child.send(
        Generate("frame", small(sd, task=IMAGE_TO_IMAGE, width=64, height=48), sd, "",
                 {"source": Source(pixels=pixels)}))
    result, = child.until(ENDINGS)[-1].results
    here = engine.restyle(
        pixels, "red brick", seed=7, steps=3, guidance=5, sampler="dpmpp_2m", size=(64, 48), model=sd
    )[0]
    assert result.path == "" and np.array_equal(result.pixels, np.array(
        here.convert("RGBA"))) and not list(tmp_path.iterdir())


def test_a_running_and_a_waiting_job_are_cancelled_and_the_next_is_carried_out(child, sd, tmp_path):
    child.send(Generate("long", small(sd, steps=500), sd, str(tmp_path)))
    child.send(Generate("waiting", small(sd), sd, str(tmp_path)))
    child.send(Generate("next", small(sd), sd, str(tmp_path)))
    child.until(Step)
    child.send(Cancel("waiting"))
    child.send(Cancel("never heard of"))
    child.send(Cancel("long"))
    endings = []
    while len(endings) < 3:
        endings.append(child.until(ENDINGS)[-1])
    assert {(type(event), event.job) for event in endings} == {(Cancelled, "waiting"), (Cancelled, "long"),
                                                               (Finished, "next")}
    assert isinstance(endings[-1], Finished)
    assert len(list(tmp_path.iterdir())) == 1


def test_failures_come_with_their_kind_and_the_engine_goes_on(child, sd, tmp_path):
    child.send(Generate("bad", small(sd), str(tmp_path / "gone"), str(tmp_path)))
    failed = child.until(ENDINGS)[-1]
    assert isinstance(failed, Failed) and (failed.job, failed.kind) == ("bad", "model_not_found")
    child.send(Generate("good", small(sd), sd, str(tmp_path)))
    assert isinstance(child.until(ENDINGS)[-1], Finished)


def test_its_heart_beats(child):
    assert isinstance(read_message(child.process.stdout), Alive)


def test_it_stops_at_shutdown_even_while_it_starts(start):
    child = start()
    child.send(Hello(CONFIG))
    child.send(Shutdown())
    assert child.exit() == 0


def test_it_stops_when_nobody_reads_any_more(start):
    child = start()
    child.send(Hello(CONFIG))
    child.process.stdout.close()
    assert child.exit() == 0  # at the next heartbeat


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"SDB1\xff\xff\xff\xff"])
def test_nonsense_ends_it(start, nonsense):
    child = start()
    child.process.stdin.write(nonsense)
    child.process.stdin.flush()
    assert child.exit() == 2 and child.log


def test_an_event_sent_as_a_command_ends_it(start):
    child = start()
    child.send(Hello(CONFIG))
    child.send(Alive())
    assert child.exit() == 2 and b"not a command" in child.log


def test_another_protocol_is_a_failure_with_a_remedy(start):
    child = start()
    child.send(Hello(CONFIG, PROTOCOL + 1))
    failed = child.read()
    assert isinstance(failed, Failed) and failed.job == "" and "Restart" in failed.hint
    assert child.exit() == 2


def test_a_wrong_device_is_a_failure_of_the_engine(start):
    child = start()
    child.send(Hello(EngineConfig(device="abacus")))
    failed = child.read()
    assert isinstance(failed, Failed) and (failed.job, failed.kind) == ("", "invalid_request")
    assert child.exit() == 1


def test_an_interpreter_without_torch_says_what_it_lacks(start, tmp_path):
    """-S hides site-packages: a Python with the standard library alone."""
    child = start(flags=("-S",))
    child.send(Hello(CONFIG))
    failed = child.read()
    assert isinstance(failed, Failed) and (failed.job, failed.kind) == ("", "engine_missing")
    assert "numpy" in failed.message and sys.executable in failed.hint
    assert child.exit() == 1


@pytest.mark.parametrize("body", ["raise OSError('a DLL failed to load')", "import no_such_module"])
def test_an_interpreter_whose_libraries_are_broken_says_so(start, tmp_path, body):
    (tmp_path / "torch.py").write_text(body)
    child = start(env={**os.environ, "PYTHONPATH": str(tmp_path)})
    child.send(Hello(CONFIG))
    failed = child.read()
    assert isinstance(failed, Failed) and failed.kind == "engine_missing" and "Traceback" in failed.detail
    assert child.exit() == 1


def test_neighbours_in_the_extension_folder_cannot_shadow_libraries_and_prints_cannot_break_the_stream(
        start, sd, tmp_path):
    extensions = tmp_path / "user_default"
    shutil.copytree(PACKAGE, extensions / "blender_sd", ignore=shutil.ignore_patterns("__pycache__", "starter"))
    for evil in ("torch", "diffusers", "numpy", "json"):
        (extensions / f"{evil}.py").write_text("raise SystemError('shadowed')")
    loud = tmp_path / "loud"
    loud.mkdir()
    (loud / "sitecustomize.py").write_text(
        "import atexit, threading, os, time\n"
        "def shout():\n"
        "    time.sleep(0.5)\n"
        "    while True:\n"
        "        print('to stdout', flush=True); os.write(1, b'to descriptor 1\\n'); time.sleep(0.05)\n"
        "threading.Thread(target=shout, daemon=True).start()\n")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    child = start(package=extensions / "blender_sd", cwd=extensions / "blender_sd",
                  env={**os.environ, "PYTHONPATH": str(loud)})
    child.send(Hello(CONFIG))
    assert isinstance(child.read(), Ready)
    child.send(Generate("job", small(sd), sd, str(pictures)))
    events = child.until(ENDINGS)
    assert isinstance(events[-1], Finished), child.log
    assert isinstance(events[0], Loading)
    child.send(Shutdown())
    assert child.exit() == 0
    assert b"to descriptor 1" in child.log


def test_it_stops_in_the_middle_of_a_job_when_the_session_goes_away(child, sd, tmp_path):
    """The last of those that share the child."""
    child.send(Generate("long", small(sd, steps=500), sd, str(tmp_path)))
    child.until(Step)
    child.process.stdin.close()
    assert child.exit() == 0
    assert not list(tmp_path.iterdir())
