"""The supervision of a real child process, with an engine that misbehaves on purpose."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from blender_sd.core.errors import EngineDied, EngineMissing
from blender_sd.protocol.messages import (
    Cancelled, ENDINGS, EngineConfig, Failed, Finished, Generate, Loading, Note, Ready, Source, Step,
)
from blender_sd.core.request import Request
from blender_sd.session import process
from blender_sd.session.process import Limits, ProcessPipeline
from tests.support.systems import gone, is_wine, kill, posix, priority

BOOT = str(Path(__file__).parents[1] / "support" / "fake_engine.py")
QUICK = Limits(start=20.0, silence=1.5, cancel_silence=1.0, cancel_loading=0.2, close=1.0)


@pytest.fixture
def pipeline(tmp_path):
    pipelines = []

    def make(python=sys.executable, boot=BOOT, limits=QUICK, **config):
        one = ProcessPipeline(python, EngineConfig(**config), boot=boot, limits=limits)
        pipelines.append(one)
        return one

    yield make
    for one in pipelines:
        pid = one.pid
        one.close()
        one.close()
        assert one.pid is None
        assert pid is None or gone(pid)


class Listener:
    """Collects events; asks for a cancel when it has seen `cancel_at`, a function of the event."""

    def __init__(self, cancel_at=lambda event: False):
        self.events = []
        self.cancel = threading.Event()
        self.cancel_at = cancel_at

    def __call__(self, event):
        self.events.append(event)
        if self.cancel_at(event):
            self.cancel.set()

    @property
    def endings(self):
        return [event for event in self.events if isinstance(event, ENDINGS)]


def run(pipeline, output, prompt="", job="job", listener=None, inputs=None, **request):
    listener = listener or Listener()
    order = Generate(job, Request(prompt=prompt, steps=request.pop("steps", 4), **request), "model", str(output), inputs
                     or {})
    pipeline.run(order, listener, listener.cancel.is_set)
    assert len(listener.endings) == 1 and listener.events[-1] is listener.endings[0]
    return listener


def works(pipeline, output):
    """Whether a plain order is carried out undamaged."""
    listener = run(pipeline, output, job="the next", steps=3)
    assert [event.step for event in listener.events if isinstance(event, Step)] == [1, 2, 3]
    assert all(getattr(event, "job", "the next") in ("the next",) for event in listener.events)
    (result,) = listener.events[-1].results
    return Request.from_json(Path(result.path).read_text(encoding="utf-8")) == result.request


def test_an_order_is_carried_out(pipeline, tmp_path):
    one = pipeline(device="cpu")
    listener = run(one, tmp_path, count=2, seed=5, inputs={"source": Source(pixels=np.zeros((4, 4, 4), np.uint8))})
    kinds = [type(event) for event in listener.events]
    assert kinds[:2] == [Loading, Ready] and kinds[-2:] == [Note, Finished] and kinds.count(Step) == 8
    assert [result.request.seed for result in listener.events[-1].results] == [5, 6]
    assert listener.events[3].preview.shape == (2, 3, 3)
    assert works(one, tmp_path)


def test_warm_is_idempotent_and_close_ends_the_process(pipeline):
    one = pipeline()
    assert one.pid is None
    first = one.warm()
    assert one.warm() is first and first.versions["pid"] == str(one.pid)
    pid = one.pid
    one.close()
    assert gone(pid)
    assert one.warm().versions["pid"] != str(pid)


def test_the_environment_is_scrubbed(pipeline, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", "")
    versions = pipeline().warm().versions
    assert (versions["PYTHONPATH"], versions["PYTHONHOME"], versions["HF_HUB_OFFLINE"]) == ("", "", "1")


def test_what_the_engine_prints_is_logged(pipeline, caplog):
    caplog.set_level("INFO", "blender_sd")
    one = pipeline()
    one.warm()
    one.close()
    assert "fake engine speaking" in caplog.text


# ---- it cannot start -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["nothing there", "no program", "no python", "folder", "nul"])
def test_an_interpreter_that_is_none(make, pipeline, tmp_path):
    path = tmp_path / "python"
    if make == "no program":
        path.write_text("this is no program")
    elif make == "no python":
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
    elif make == "folder":
        path.mkdir()
    one = pipeline(python=str(path) + ("\0" if make == "nul" else ""))
    with pytest.raises(EngineMissing) as caught:
        one.warm()
    assert "preferences" in caught.value.hint and one.pid is None
    ending = run(one, tmp_path).events[-1]
    assert ending.kind == EngineMissing.kind


def test_a_missing_boot_file(pipeline, tmp_path):
    with pytest.raises(EngineMissing, match="incomplete"):
        pipeline(boot=str(tmp_path / "boot.py")).warm()


@pytest.mark.parametrize(("mode", "says"), [("exit", "no torch here"), ("garbage", "not a message")])
def test_a_start_that_fails_says_why(mode, says, pipeline, monkeypatch):
    monkeypatch.setenv("SD_FAKE_START", mode)
    one = pipeline()
    with pytest.raises(EngineMissing) as caught:
        one.warm()
    assert says in caught.value.detail and one.pid is None


def test_the_engines_own_word_on_a_failed_start(pipeline, monkeypatch):
    monkeypatch.setenv("SD_FAKE_START", "missing")
    with pytest.raises(EngineMissing, match="torch is not there. Install it."):
        pipeline().warm()


def test_a_start_that_never_ends(pipeline, monkeypatch):
    monkeypatch.setenv("SD_FAKE_START", "never")
    one = pipeline(limits=Limits(start=0.5))
    with pytest.raises(EngineDied, match="did not start in time"):
        one.warm()
    assert one.pid is None


@pytest.mark.parametrize(("milliseconds", "starts"), [(700, True), (20, False)])
def test_a_start_may_take_as_long_as_it_gets_on(milliseconds, starts, pipeline, monkeypatch):
    """A crowded machine loads torch for minutes; a library that waits for ever leaves no more than the heartbeat's own
    work."""
    class Slow:
        pid, info, worked = 0, None, 0

        def __init__(self, *_):
            self.replies = iter([None] * 99 + [Ready("cpu", "fp32", {})])
            self.send = self.kill = self.close = lambda *_: None
            self.gone, self.last_words = lambda: True, lambda: ""

        def receive(self, timeout):
            self.worked += milliseconds  # between two heartbeats
            return next(self.replies)

    monkeypatch.setattr(process, "Child", Slow)
    monkeypatch.setattr(process._Clock, "tick", lambda clock: setattr(clock, "now", clock.now + 1.0) or clock.now)
    one = pipeline(limits=Limits(start=10.0))
    if starts:
        assert one.warm().device == "cpu"
    else:
        with pytest.raises(EngineDied, match="did not start in time"):
            one.warm()


def test_a_cancel_while_the_engine_starts_leaves_it_starting(pipeline, monkeypatch, tmp_path):
    monkeypatch.setenv("SD_FAKE_SLOW", "0.5")
    one = pipeline()
    listener = run(one, tmp_path, listener=Listener(lambda event: isinstance(event, Loading)))
    assert [type(event) for event in listener.events] == [Loading, Cancelled]
    pid = one.pid
    assert works(one, tmp_path) and one.pid == pid


# ---- it dies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "hint", "detail"), [
    ("crash", "restarts by itself", "about to crash"),
    pytest.param("memory", "ran out of memory",
                           "exit code -9", marks=posix("Windows does not end a process for want of memory")),
    ("garbage", "restarts by itself", "not a message"),
    pytest.param("hang", "restarts by itself", "", marks=pytest.mark.slow),
    pytest.param("orphan", "restarts by itself", "exit code 4", marks=posix("the fake engine leaves a fork behind")),
])
def test_a_death_in_the_middle_of_a_job(mode, hint, detail, pipeline, tmp_path):
    one = pipeline()
    first = int(one.warm().versions["pid"])
    ending = run(one, tmp_path, mode).events[-1]
    assert isinstance(ending, Failed) and ending.kind == EngineDied.kind
    assert hint in ending.hint and detail in ending.detail
    assert gone(first)
    assert works(one, tmp_path) and one.pid != first


def test_an_engine_killed_while_idle_is_replaced(pipeline, tmp_path):
    one = pipeline()
    one.warm()
    one._child.close(0.0)
    assert works(one, tmp_path)
    kill(one.pid)
    one._child.wait(5)
    assert works(one, tmp_path)


@posix("signals that Windows lacks")
@pytest.mark.parametrize("sign", ["SIGKILL", "SIGSTOP"])
def test_an_engine_that_is_lost_before_it_hears_of_the_order_fails_no_job(sign, pipeline, tmp_path):
    """However close to the order its end was: here it is not noticed before."""
    one = pipeline()
    one.warm()
    first, child = one.pid, one._child
    child.gone = lambda: False
    os.kill(first, getattr(signal, sign))
    assert works(one, tmp_path) and gone(first) and one.pid != first


def test_an_engine_that_gives_up_fails_the_job(pipeline, tmp_path):
    one = pipeline()
    ending = run(one, tmp_path, "engine failed").events[-1]
    assert (ending.job, ending.kind) == ("job", "out_of_memory")
    assert works(one, tmp_path)


def test_a_slow_step_is_no_hang(pipeline, tmp_path):
    one = pipeline(limits=Limits(silence=0.6))
    assert isinstance(run(one, tmp_path, "slow step").events[-1], Finished)


def test_events_of_another_job_are_dropped(pipeline, tmp_path):
    listener = run(pipeline(), tmp_path, "stale")
    assert isinstance(listener.events[-1], Finished)
    assert {event.job for event in listener.events if not isinstance(event, Ready)} == {"job"}


def test_an_order_too_long_to_send(pipeline, tmp_path):
    one = pipeline()
    ending = run(one, tmp_path, "brick " * 400_000).events[-1]
    assert isinstance(ending, Failed) and "too long" in ending.message
    assert works(one, tmp_path)


def test_a_source_larger_than_the_pipe(pipeline, tmp_path):
    source = Source(encoded=bytes(4 << 20))
    assert isinstance(run(pipeline(), tmp_path, inputs={"source": source}).events[-1], Finished)


# ---- cancel --------------------------------------------------------------------------------------------------------


def test_a_cancel_between_steps_keeps_the_engine(pipeline, tmp_path):
    one = pipeline()
    first = one.warm().versions["pid"]
    listener = run(one, tmp_path, "slow step", steps=500, listener=Listener(lambda event: isinstance(event, Step)))
    assert isinstance(listener.events[-1], Cancelled)
    assert works(one, tmp_path) and str(one.pid) == first


def test_a_cancel_that_a_loading_engine_does_not_hear_replaces_it(pipeline, tmp_path):
    one = pipeline()
    first = int(one.warm().versions["pid"])
    listener = run(one, tmp_path, "load",
                   listener=Listener(lambda event: getattr(event, "text", "").startswith("Loading")))
    assert isinstance(listener.events[-1], Cancelled)
    assert gone(first) and one.pid not in (None, first)
    assert works(one, tmp_path)


@pytest.mark.slow
def test_a_cancel_of_a_hung_engine(pipeline, tmp_path):
    one = pipeline()
    one.warm()
    listener = run(one, tmp_path, "hang", listener=Listener(lambda event: isinstance(event, Step)))
    assert isinstance(listener.events[-1], Cancelled)
    assert works(one, tmp_path)


def test_a_cancel_of_an_engine_that_lives_but_is_stuck(pipeline, tmp_path):
    """Its heart goes on beating, so it is not silent; what it is at never ends."""
    one = pipeline(limits=Limits(cancel=0.3))
    first = int(one.warm().versions["pid"])
    listener = run(one, tmp_path, "stuck", listener=Listener(lambda event: isinstance(event, Step)))
    assert isinstance(listener.events[-1], Cancelled) and gone(first)
    assert works(one, tmp_path)


def test_abort_ends_a_running_job_from_another_thread(pipeline, tmp_path):
    one = pipeline()
    listener = Listener()
    started = threading.Event()
    listener.cancel_at = lambda event: isinstance(event, Step) and started.set()
    thread = threading.Thread(target=run, args=(one, tmp_path),
                              kwargs={"steps": 500, "prompt": "plain", "listener": listener})
    thread.start()
    assert started.wait(10)
    pid = one.pid
    one.abort()
    thread.join(10)
    assert not thread.is_alive() and gone(pid)
    assert isinstance(listener.events[-1], Cancelled)
    assert isinstance(run(one, tmp_path).events[-1], Cancelled)  # for good


def test_the_engine_runs_below_blender(pipeline, monkeypatch):
    """Its start is the real one; on Windows the priority comes with the process, elsewhere `protocol/boot.py` lowers
    its own."""
    from blender_sd.protocol import boot
    from blender_sd.session import child

    if os.name == "nt":
        start, flags = subprocess.Popen, []
        monkeypatch.setattr(subprocess, "Popen",
                            lambda *a, **options: flags.append(options["creationflags"]) or start(*a, **options))
        one = child.Child(sys.executable, BOOT)
        try:
            assert flags[0] & subprocess.BELOW_NORMAL_PRIORITY_CLASS
            assert is_wine() or priority(one.pid) == "below normal", "Wine 10 takes no notice of that flag"
        finally:
            one.close(1.0)
    else:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        code = "import runpy, os; boot = runpy.run_path(%r); boot['lower_priority'](); print(os.getpriority(os.PRIO_PROCESS, 0))"  # noqa: E501
        done = subprocess.run([sys.executable, "-c", code % boot.__file__], capture_output=True, encoding="utf-8",
                              check=True)
        assert int(done.stdout) == min(19, before + boot.NICENESS)


def test_the_engine_speaks_utf_8_whatever_the_code_page(monkeypatch):
    from blender_sd.session import child

    commands = []
    monkeypatch.setattr(child, "_start", lambda command, variables: commands.append(command) or sys.exit())
    with pytest.raises(SystemExit):
        child.Child("python", "boot.py")
    assert commands == [["python", "-X", "utf8", "boot.py", "paint"]]
