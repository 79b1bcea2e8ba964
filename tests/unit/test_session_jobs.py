"""The job's states, the inbox, and the session with pipelines inside the thread that the test drives step by step."""
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from blender_sd.protocol.errors import (
    EngineDied, EngineMissing, JobCancelled, ModelNotFound, SDError, SourceUnusable, TargetUnusable,
)
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Loading, Note, Ready, Result, Source, Step
from blender_sd.protocol.request import Request
from blender_sd.session.inbox import Inbox
from blender_sd.session.job import STATES, Job
from blender_sd.session.session import Session

READY = Ready("cpu", "fp32", {})
REQUEST = Request(prompt="bricks", steps=4)
RESTYLE = Request(task="image_to_image", prompt="paint", steps=4)
LIMIT = 20.0  # seconds that nothing here ever takes


class Scripted:
    """A pipeline in the thread. Each order waits for `go`, then does what `script` says; `started` tells the test."""

    def __init__(self, script=None, ready=READY):
        self.script = script or finish
        self.ready = ready
        self.orders = []
        self.started = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.closed = threading.Event()
        self.warmed = 0

    def __call__(self):
        return self

    def warm(self):
        self.warmed += 1
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready

    def run(self, order, emit, cancelled):
        self.orders.append(order)
        self.started.release()
        while not self.go.acquire(timeout=0.01):
            if cancelled():
                emit(Cancelled(order.job))
                return
        self.script(order, emit, cancelled)

    def close(self):
        self.closed.set()


def finish(order, emit, cancelled):
    for step in range(1, order.request.steps + 1):
        emit(Step(order.job, step, order.request.steps, 1, 1))
    emit(Finished(order.job, (Result(f"/pictures/{order.job}.png", order.request, 8, 8),)))


@pytest.fixture
def session():
    sessions = []

    def make(factory):
        sessions.append(Session(factory))
        return sessions[-1]

    yield make
    for one in sessions:
        assert one.shutdown()


def submit(session, request=REQUEST, **options):
    return session.submit(request, folder="model", output="out", **options)


def pump_until(session, condition):
    while not condition():
        assert session.wait(LIMIT), "nothing happened"
        session.pump()


# ---- Job -----------------------------------------------------------------------------------------------------------


def job_of(request=REQUEST, commit=None):
    return Job("1", request, owner=None, commit=commit)


def test_progress_and_time_left():
    job = job_of(Request(steps=4, count=2))
    assert (job.state, job.progress, job.eta, job.done) == ("queued", 0.0, None, False)
    job.apply(Loading("1", "Loading the model"), 0.0)
    assert (job.state, job.text) == ("loading", "Loading the model")
    job.apply(Step("1", 1, 4, 1, 2), 10.0)
    assert (job.state, job.progress, job.eta) == ("running", 1 / 8, None)
    job.apply(Step("1", 3, 4, 1, 2), 14.0)  # two steps in 4 s; 5 are left
    assert job.eta == pytest.approx(10.0) and job.progress == 3 / 8
    job.apply(Step("1", 1, 4, 2, 2), 50.0)  # decoding lies between
    assert job.eta == pytest.approx(6.0) and "picture 2 of 2" in job.text
    job.apply(Finished("1", ()), 60.0)
    assert (job.state, job.progress, job.eta, job.done) == ("finished", 1.0, None, True)


def test_strange_steps_keep_progress_in_bounds():
    job = job_of()
    for step in (Step("1", 0, 0, 0, 0), Step("1", 50, 4, 9, 1), Step("1", -3, 4, 1, 1)):
        job.apply(step, 1.0)
        assert job.progress <= 1.0 and (job.eta is None or job.eta >= 0)


def test_previews_and_notes():
    job = job_of()
    preview = np.zeros((2, 2, 3), np.uint8)
    job.apply(Step("1", 1, 4, 1, 1, preview), 1.0)
    job.apply(Step("1", 2, 4, 1, 1), 2.0)
    assert job.preview is preview and job.preview_serial == 1
    for _ in range(2):
        job.apply(Note("1", "The prompt was cut."), 3.0)
    assert job.notes == ["The prompt was cut."]
    job.apply(Cancelled("1"), 4.0)
    assert job.preview is None and job.preview_serial == 2


@pytest.mark.parametrize("ending", [Finished("1", ()), Cancelled("1"), Failed("1", "internal", "No.")])
def test_an_ended_job_hears_nothing_more(ending):
    job = job_of()
    assert job.apply(ending, 1.0) and job.done
    state = job.state
    for event in (Loading("1", "again"), Step("1", 1, 4, 1, 1), Finished("1", ()), Cancelled("1"), Failed("1", "internal", "")):
        assert not job.apply(event, 2.0) and job.state == state
    assert state in STATES


@pytest.mark.parametrize("ending", [Finished("1", (Result("/p/x.png", REQUEST, 8, 8),)), Cancelled("1"), Failed("1", "internal", "No.")])
def test_a_job_being_cancelled_ends_as_cancelled(ending):
    job = job_of(commit=lambda job: pytest.fail("nothing may be brought in"))
    job.cancelling = True
    job.apply(ending, 1.0)
    assert (job.state, job.results, job.outputs, job.error) == ("cancelled", (), [], None)


def test_a_failing_commit_keeps_the_results():
    def commit(job):
        raise TargetUnusable("The material is gone.", "Choose another.")

    job = job_of(commit=commit)
    results = (Result(os.path.join("/pictures", "x.png"), REQUEST, 8, 8),)
    job.apply(Finished("1", results), 1.0)
    assert (job.state, job.results) == ("failed", results)
    assert type(job.error) is TargetUnusable and job.error.hint == "Choose another. The picture is kept in /pictures."


def test_a_breaking_commit_fails_the_job_alone(caplog):
    job = job_of(commit=lambda job: 1 / 0)
    job.apply(Finished("1", ()), 1.0)
    assert job.state == "failed" and "ZeroDivisionError" in job.error.detail


# ---- Inbox ---------------------------------------------------------------------------------------------------------


def test_steps_are_coalesced_and_the_newest_preview_wins():
    inbox = Inbox()
    old, new = np.zeros((1, 1, 3), np.uint8), np.ones((1, 1, 3), np.uint8)
    for event in (Step("1", 1, 4, 1, 1, old), Step("1", 2, 4, 1, 1, new), Step("1", 3, 4, 1, 1), Note("1", "x"), Step("1", 4, 4, 1, 1),
                  Step("2", 1, 4, 1, 1)):
        inbox.put(event)
    events = [inbox.get()[1] for _ in range(4)]
    assert (events[0].step, events[0].preview is new) == (3, True)
    assert [getattr(event, "step", None) for event in events[1:]] == [None, 4, 1]
    assert inbox.get() is None and not inbox.wait(0)


# ---- Session -------------------------------------------------------------------------------------------------------


def test_a_job_from_start_to_end(session):
    pipeline = Scripted()
    one = session(pipeline)
    thread = []
    job = submit(one, commit=lambda job: thread.append(threading.get_ident()) or ["image"], label="Wall")
    assert (job.state, job.label, one.jobs) == ("queued", "Wall", [job])
    pipeline.go.release()
    assert job.result(LIMIT) == ["image"] and job.outputs == ["image"]
    assert thread == [threading.get_ident()]
    assert job.results[0].path.endswith(f"{job.id}.png")
    pump_until(one, lambda: one.status == "ready")
    assert one.engine_info == READY
    one.clear_finished()
    assert one.jobs == []


def test_without_commit_the_outputs_are_the_results(session):
    pipeline = Scripted()
    pipeline.go.release()
    job = submit(session(pipeline))
    assert job.result(LIMIT) == list(job.results) and len(job.results) == 1


def test_jobs_change_only_in_pump(session):
    pipeline = Scripted()
    one = session(pipeline)
    job = submit(one)
    pipeline.go.release()
    assert pipeline.started.acquire(timeout=LIMIT) and one.wait(LIMIT)
    assert job.state == "queued"
    job.cancel()
    assert job.state == "queued" and job.cancelling
    with pytest.raises(JobCancelled):
        job.result(LIMIT)
    assert job.state == "cancelled"


def test_the_budget_ends_a_pump(session):
    pipeline = Scripted()
    pipeline.go.release()
    one = session(pipeline)
    job = submit(one)
    pumps = 0
    while not job.done:
        assert one.wait(LIMIT)
        one.pump(0.0)
        pumps += 1
    assert pumps >= 5  # one event each: starting, preparing, prepared, a step, finished


def test_result_times_out_and_the_job_goes_on(session):
    pipeline = Scripted()
    job = submit(session(pipeline))
    with pytest.raises(TimeoutError):
        job.result(0.01)
    pipeline.go.release()
    assert job.result(LIMIT)


def test_a_commit_may_wait_for_another_job_but_not_its_own(session):
    pipeline = Scripted()
    one = session(pipeline)
    pipeline.go.release(2)
    seen = []

    def commit(job):
        with pytest.raises(RuntimeError):
            job.result()
        seen.append(submit(one).result(LIMIT))
        return ["outer"]

    assert submit(one, commit=commit).result(LIMIT) == ["outer"] and len(seen[0]) == 1


def test_the_queue_is_in_order_and_can_be_reordered(session):
    pipeline = Scripted()
    one = session(pipeline)
    jobs = [submit(one, Request(prompt=str(number), steps=1)) for number in range(4)]
    assert pipeline.started.acquire(timeout=LIMIT)
    one.move(jobs[3], -1)
    one.move(jobs[1], 99)
    one.move(jobs[0], 1)  # it runs already
    assert [job.request.prompt for job in one.jobs] == ["0", "3", "2", "1"]
    pipeline.go.release(4)
    for job in jobs:
        job.result(LIMIT)
    assert [order.request.prompt for order in pipeline.orders] == ["0", "3", "2", "1"]


def test_cancelling_waiting_and_running_jobs(session):
    pipeline = Scripted()
    one = session(pipeline)
    running, waiting, last = (submit(one) for _ in range(3))
    assert pipeline.started.acquire(timeout=LIMIT)
    assert waiting.cancel() and waiting.cancel()
    assert running.cancel()
    pipeline.go.release(2)  # the running one may or may not take it
    assert len(last.result(LIMIT)) == 1
    assert (running.state, waiting.state) == ("cancelled", "cancelled")
    assert [order.job for order in pipeline.orders] == [running.id, last.id]
    assert not running.cancel() and not last.cancel() and last.state == "finished"


def test_cancel_all(session):
    pipeline = Scripted()
    one = session(pipeline)
    jobs = [submit(one) for _ in range(3)]
    assert pipeline.started.acquire(timeout=LIMIT)
    one.cancel_all()
    pump_until(one, lambda: all(job.done for job in jobs))
    assert {job.state for job in jobs} == {"cancelled"} and len(pipeline.orders) == 1


def test_a_cancel_that_comes_after_the_end_was_sent(session):
    pipeline = Scripted()
    pipeline.go.release()
    one = session(pipeline)
    done = threading.Event()
    pipeline.script = lambda *order: (finish(*order), done.set())
    job = submit(one, commit=lambda job: pytest.fail("cancelled"))
    assert done.wait(LIMIT)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.result(LIMIT)
    assert job.results == ()


def test_a_pipeline_that_breaks_its_word(session):
    def stale(order, emit, cancelled):
        emit(Finished("another", ()))
        emit(Failed.of(order.job, ModelNotFound("There is no such model.")))
        emit(Finished(order.job, ()))
        raise ValueError("after the end")

    scripts = [lambda *order: 1 / 0, lambda *order: None, stale, finish]
    pipeline = Scripted(lambda *order: scripts.pop(0)(*order))
    pipeline.go.release(4)
    one = session(pipeline)
    broken, silent, refused, good = (submit(one) for _ in range(4))
    with pytest.raises(SDError, match="unexpected") as caught:
        broken.result(LIMIT)
    assert "ZeroDivisionError" in caught.value.detail
    with pytest.raises(SDError, match="without a word"):
        silent.result(LIMIT)
    with pytest.raises(ModelNotFound):
        refused.result(LIMIT)
    assert good.result(LIMIT)


# ---- sources -------------------------------------------------------------------------------------------------------


def test_the_sources_hash_is_filled_in(session):
    pipeline = Scripted()
    pipeline.go.release(2)
    one = session(pipeline)
    caller = threading.get_ident()
    threads = []
    jobs = [submit(one, RESTYLE, source=Source(encoded=b"file")),
            submit(one, RESTYLE, source=lambda: threads.append(threading.get_ident()) or Source(pixels=np.zeros((2, 3, 4), np.uint8)))]
    for job in jobs:
        job.result(LIMIT)
    expected = ["sha256:" + hashlib.sha256(data).hexdigest() for data in (b"file", b"2x3x4\n" + bytes(24))]
    assert [job.request.source for job in jobs] == expected
    assert [order.request.source for order in pipeline.orders] == expected
    assert len(threads) == 1 and threads[0] != caller


def test_the_hash_tells_shapes_and_layouts_apart():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    digest = Source(pixels=pixels).digest()
    assert digest != Source(pixels=pixels.reshape(3, 2, 4)).digest()
    assert digest == Source(pixels=np.asfortranarray(pixels)).digest()


def _raises(error):
    def read():
        raise error
    return read


@pytest.mark.parametrize("source", [
    Source(), Source(pixels=np.zeros((2, 2, 3), np.uint8)), Source(pixels=np.zeros((2, 2, 4), np.float32)), Source(encoded=b""),
    Source(pixels=np.zeros((0, 2, 4), np.uint8)), lambda: None, lambda: "path", _raises(FileNotFoundError(2, "No such file")),
    _raises(SourceUnusable("Empty.")),
])
def test_unusable_sources(source, session):
    pipeline = Scripted()
    with pytest.raises(SourceUnusable):
        submit(session(pipeline), RESTYLE, source=source).result(LIMIT)
    assert pipeline.orders == []


def test_a_restyle_without_a_source_is_refused_at_once(session):
    one = session(Scripted())
    with pytest.raises(SourceUnusable):
        submit(one, RESTYLE)
    assert one.jobs == []


# ---- the engine's status ---------------------------------------------------------------------------------------------


def test_warming(session):
    pipeline = Scripted()
    one = session(pipeline)
    assert one.status == "off"
    one.warm()
    one.warm()
    assert one.status == "starting"
    pump_until(one, lambda: one.status == "ready")
    one.warm()
    assert one.engine_info is READY and pipeline.warmed == 1


def test_a_failed_start_is_shown_and_not_repeated(session):
    pipeline = Scripted(ready=EngineMissing("No torch.", "Install it."))
    one = session(pipeline)
    one.warm()
    pump_until(one, lambda: one.status == "failed")
    one.warm()
    assert (one.status, one.engine_error.message, pipeline.warmed) == ("failed", "No torch.", 1)
    repaired = Scripted()
    one.use(repaired)
    pump_until(one, lambda: one.status == "off")
    one.warm()
    pump_until(one, lambda: one.status == "ready")
    assert pipeline.closed.is_set()


def test_a_factory_that_fails(session):
    def factory():
        raise EngineMissing("There is no interpreter.")

    one = session(factory)
    with pytest.raises(EngineMissing):
        submit(one).result(LIMIT)
    assert one.status == "failed"


@pytest.mark.parametrize(("error", "status"), [(EngineMissing("No."), "failed"), (EngineDied("Dead."), "off")])
def test_what_a_failed_job_says_of_the_engine(error, status, session):
    pipeline = Scripted(lambda order, emit, cancelled: (emit(READY), emit(Failed.of(order.job, error))))
    pipeline.go.release()
    one = session(pipeline)
    with pytest.raises(type(error)):
        submit(one).result(LIMIT)
    assert one.status == status


def test_the_status_is_never_left_at_starting(session):
    pipeline = Scripted(lambda order, emit, cancelled: emit(Failed.of(order.job, ModelNotFound("None."))))
    pipeline.go.release()
    one = session(pipeline)
    with pytest.raises(ModelNotFound):
        submit(one).result(LIMIT)
    pump_until(one, lambda: one.status == "ready")


def test_changing_the_pipeline(session):
    old, new = Scripted(), Scripted()
    one = session(old)
    first = submit(one)
    assert old.started.acquire(timeout=LIMIT)
    one.use(new)
    second = submit(one)
    old.go.release()
    new.go.release()
    first.result(LIMIT), second.result(LIMIT)
    assert old.closed.is_set() and not new.closed.is_set()
    assert ([order.job for order in old.orders], [order.job for order in new.orders]) == ([first.id], [second.id])


# ---- the end -------------------------------------------------------------------------------------------------------


def test_shutdown_ends_everything(session):
    pipeline = Scripted()
    one = session(pipeline)
    jobs = [submit(one) for _ in range(3)]
    assert pipeline.started.acquire(timeout=LIMIT)
    assert one.shutdown() and one.shutdown()
    assert {job.state for job in jobs} == {"cancelled"} and pipeline.closed.is_set() and one.status == "off"
    with pytest.raises(SDError, match="shut down"):
        submit(one)
    one.warm()
    assert one.status == "off"


def test_shutdown_aborts_a_pipeline_that_does_not_listen(session):
    class Deaf(Scripted):
        aborted = threading.Event()

        def run(self, order, emit, cancelled):
            self.started.release()
            assert self.aborted.wait(LIMIT)
            emit(Cancelled(order.job))

        def abort(self):
            self.aborted.set()

    pipeline = Deaf()
    one = session(pipeline)
    job = submit(one)
    assert pipeline.started.acquire(timeout=LIMIT)
    assert one.shutdown(1.0) and job.state == "cancelled"


def test_a_session_that_was_never_used_ends(session):
    one = session(Scripted())
    assert not one.pump() and not one.wait(0) and one.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_leaves_the_engine_alone(session):
    pipeline = Scripted()
    one = session(pipeline)
    one.warm()
    pump_until(one, lambda: one.status == "ready")
    child = os.fork()
    if child == 0:
        os._exit(0 if one.shutdown() and not pipeline.closed.is_set() else 1)
    assert os.waitpid(child, 0)[1] == 0
    pipeline.go.release()
    assert submit(one).result(LIMIT)


# ---- the room's walls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["session", "protocol"])
def test_the_room_imports_neither_torch_nor_bpy(room):
    code = (
        f"import sys, pkgutil, importlib, blender_sd.{room} as room\n"
        "for part in pkgutil.iter_modules(room.__path__, room.__name__ + '.'): importlib.import_module(part.name)\n"
        "own = {name for name in sys.modules if name.startswith('blender_sd.')}\n"
        "bad = {'torch', 'bpy', 'diffusers', 'PIL', 'transformers'} & set(sys.modules)\n"
        "bad |= {name for name in own if name.split('.')[1] not in ('session', 'protocol')}\n"
        "sys.exit(repr(bad) if bad else 0)")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
