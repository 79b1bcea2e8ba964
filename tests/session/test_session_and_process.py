"""Session and engine process together: cancels at random moments, sudden deaths, and that nothing survives."""
from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blender_sd.core.errors import EngineDied, JobCancelled
from blender_sd.protocol.messages import EngineConfig
from blender_sd.core.request import Request
from blender_sd.session import Limits, ProcessPipeline, Session
from tests.support.systems import gone, kill, posix

ROOT = Path(__file__).resolve().parents[2]
BOOT = str(ROOT / "tests" / "support" / "fake_engine.py")
QUICK = Limits(start=20.0, silence=2.0, cancel_silence=2.0, cancel_loading=0.2, close=1.0)
LIMIT = 30.0


@pytest.fixture
def engine(monkeypatch):
    """A session on the fake engine, and its pipelines."""
    pipelines = []

    def factory():
        pipelines.append(ProcessPipeline(sys.executable, EngineConfig(), boot=BOOT, limits=QUICK))
        return pipelines[-1]

    before = set(threading.enumerate())
    session = Session(factory)
    yield session, pipelines
    pids = [pipeline.pid for pipeline in pipelines if pipeline.pid]
    assert session.shutdown()
    assert all(gone(pid) for pid in pids)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("blender_sd")]


def check(job, output):
    """The finished job's pictures are its own and whole."""
    assert job.outputs == list(job.results) and len(job.results) == job.request.count
    for index, result in enumerate(job.results):
        assert result.request == job.request.single(index)
        assert Path(result.path).name == f"{job.id}-{index + 1}.txt" and Path(result.path).parent == output
        assert Request.from_json(Path(result.path).read_text(encoding="utf-8")) == result.request


@pytest.mark.slow
def test_200_cancels_at_random_moments_damage_no_following_job(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("SD_FAKE_STEP", "0.001")
    session, pipelines = engine
    dice = random.Random(7)

    def submit(number, steps=3):
        return session.submit(Request(prompt=f"wall {number}", seed=number, steps=steps), folder="model",
                              output=str(tmp_path))

    submit(0).result(LIMIT)
    first = pipelines[0].pid
    states = {"finished": 0, "cancelled": 0}
    for number in range(1, 201):
        job, follower = submit(number), submit(1000 + number, steps=1)
        moment = time.monotonic() + dice.uniform(0.0, 0.008)
        while not job.done and (left := moment - time.monotonic()) > 0:
            session.wait(left)
            session.pump()
        asked = job.cancel()
        try:
            job.result(LIMIT)
        except JobCancelled:
            assert asked and job.results == () and job.outputs == []
        else:
            assert not asked
            check(job, tmp_path)
        states[job.state] += 1
        follower.result(LIMIT)
        check(follower, tmp_path)
    assert states["cancelled"] > 100
    assert len(pipelines) == 1 and pipelines[0].pid == first


def test_an_engine_killed_in_the_middle_fails_that_job_alone(engine, tmp_path):
    session, pipelines = engine
    victim = session.submit(Request(steps=500), folder="model", output=str(tmp_path))
    follower = session.submit(Request(steps=2), folder="model", output=str(tmp_path))
    while victim.state != "running":
        assert session.wait(LIMIT)
        session.pump()
    kill(pipelines[0].pid)
    # Windows kills nobody for memory
    with pytest.raises(EngineDied, match="memory" if os.name == "posix" else "restarts by itself"):
        victim.result(LIMIT)
    follower.result(LIMIT)
    check(follower, tmp_path)


def test_warm_then_status(engine):
    session, _ = engine
    session.warm()
    while session.status == "starting":
        assert session.wait(LIMIT)
        session.pump()
    assert (session.status, session.engine_info.device) == ("ready", "cpu")


def test_a_job_cancelled_while_the_engine_starts(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("SD_FAKE_SLOW", "0.4")
    session, _ = engine
    job = session.submit(Request(steps=2), folder="model", output=str(tmp_path))
    while job.text != "Starting the engine":
        assert session.wait(LIMIT)
        session.pump()
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result(LIMIT)
    while session.status == "starting":  # the start goes on by itself
        assert session.wait(LIMIT)
        session.pump()
    assert session.status == "ready"


@pytest.mark.parametrize("prompt", ["plain", "load", "hang"])
def test_shutdown_in_the_middle_of_a_job(prompt, engine, tmp_path):
    session, pipelines = engine
    job = session.submit(Request(prompt=prompt, steps=500), folder="model", output=str(tmp_path))
    while job.state != "running" and not job.text.startswith("Loading"):
        assert session.wait(LIMIT)
        session.pump()
    pid = pipelines[0].pid
    assert session.shutdown()
    assert job.state == "cancelled" and gone(pid)


@pytest.mark.parametrize("end", ["exit", "killed", pytest.param("ctrl-c in the "
                                                                "group", marks=posix("groups of processes"))])
def test_no_engine_survives_its_blender(end, tmp_path):
    """However the process that owns the session ends, the engine's pipes break, and so its process ends."""
    code = (
        "import sys, time, signal; from blender_sd.session import *; from blender_sd.protocol.messages import "
        "EngineConfig\n"
        "from blender_sd.core.request import Request\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job starts with it ignored
        f"session = Session(lambda: ProcessPipeline(sys.executable, EngineConfig(), boot={BOOT!r}))\n"
        f"job = session.submit(Request(steps=500), folder='m', output={str(tmp_path)!r})\n"
        "while job.state != 'running': session.wait(10); session.pump()\n"
        "print(session.engine_info.versions['pid'], flush=True)\n"
        + ("" if end == "exit" else "time.sleep(60)\n"))
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, start_new_session=os.name == "posix")
    with parent:
        pid = int(parent.stdout.readline())
        if end == "killed":
            parent.kill()
        elif end == "ctrl-c in the group":
            os.killpg(parent.pid, signal.SIGINT)
        parent.wait(LIMIT)
    deadline = time.monotonic() + LIMIT
    while not orphan_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)  # the engine is not our child: there is nothing to wait on
    assert orphan_gone(pid)


def orphan_gone(pid):
    """As `gone`; where nobody reaps orphans (a container without init), a zombie counts as gone."""
    try:
        return gone(pid) or Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return gone(pid)
