"""The session: its queue, its sources and the room it may touch."""
from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from blender_sd.core.errors import JobCancelled, ModelNotFound, SDError, SourceUnusable
from blender_sd.protocol.messages import Failed, Finished, Source
from blender_sd.core.request import Request
from tests.support.scripted import LIMIT, READY, RESTYLE, Scripted, finish, pump_until, submit


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


def test_a_job_that_has_ended_holds_nothing_of_the_scene(session):
    class Plan:
        """What was read of the scene."""

    pipeline, plan = Scripted(), Plan()
    held = weakref.ref(plan)
    job = submit(session(pipeline), commit=lambda job, plan=plan: [type(plan).__name__])
    job.covers = lambda plan=plan: [plan]
    del plan
    assert held() is not None
    pipeline.go.release()
    assert job.result(LIMIT) == ["Plan"]
    gc.collect()
    assert held() is None


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

    def read():
        threads.append(threading.get_ident())
        return Source(pixels=np.zeros((2, 3, 4), np.uint8))

    jobs = [submit(one, RESTYLE, inputs={"source": Source(encoded=b"file")}),
            submit(one, RESTYLE, inputs={"source": read})]
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
    Source(), Source(pixels=np.zeros((2, 2, 3), np.uint8)), Source(pixels=np.zeros((2, 2, 4), np.float32)), Source(encoded=b""),  # noqa: E501
    Source(pixels=np.zeros((0, 2, 4), np.uint8)), lambda: None, lambda: "path", _raises(FileNotFoundError(2, "No such file")),  # noqa: E501
    _raises(SourceUnusable("Empty.")),
])
def test_unusable_sources(source, session):
    pipeline = Scripted()
    with pytest.raises(SourceUnusable):
        submit(session(pipeline), RESTYLE, inputs={"source": source}).result(LIMIT)
    assert pipeline.orders == []


def test_a_restyle_without_a_source_is_refused_at_once(session):
    one = session(Scripted())
    with pytest.raises(SourceUnusable):
        submit(one, RESTYLE)
    assert one.jobs == []


# ---- the layers ----------------------------------------------------------------------------------------------------


_LAYERS = {"core": {"core"}, "protocol": {"core", "protocol"}, "library": {"core", "protocol", "library"},
           "session": {"core", "protocol", "library", "session"}, "workers": {"core", "protocol", "library", "workers"}}


@pytest.mark.parametrize("package", _LAYERS)
def test_the_package_imports_neither_torch_nor_bpy_nor_what_is_above(package):
    code = (
        f"import sys, pkgutil, importlib, blender_sd.{package} as package\n"
        "for part in pkgutil.iter_modules(package.__path__, package.__name__ + '.'): "
        "importlib.import_module(part.name)\n"
        "own = {name for name in sys.modules if name.startswith('blender_sd.')}\n"
        "bad = {'torch', 'bpy', 'diffusers', 'PIL', 'transformers'} & set(sys.modules)\n"
        f"bad |= {{name for name in own if name.split('.')[1] not in {_LAYERS[package]}}}\n"
        "sys.exit(repr(bad) if bad else 0)")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
