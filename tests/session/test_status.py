"""What the session says of its engine, and how it ends."""
from __future__ import annotations

import logging
import os
import threading

import pytest

from blender_sd.core.errors import EngineDied, EngineMissing, ModelNotFound, SDError, WordBlocked
from blender_sd.protocol.messages import Cancelled, Failed, Ready
from tests.support.scripted import LIMIT, READY, REQUEST, Scripted, pump_until, submit
from tests.support.systems import posix


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


@pytest.mark.parametrize(("ready", "words"), [
    (READY, "Ready (processor)"), (Ready("cuda", "fp16", {}, "NVIDIA GeForce RTX "
                                                             "4090"), "Ready (NVIDIA GeForce RTX 4090)"),
    (Ready("cuda:1", "fp16", {}), "Ready (cuda:1)"), (Ready("mps", "fp16", {}, "Apple graphics"), "Ready (Apple graphics)")])  # noqa: E501
def test_the_status_names_what_paints(session, ready, words):
    one = session(Scripted(ready=ready))
    one.warm()
    pump_until(one, lambda: one.status == "ready")
    assert one.status_text == words


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


@posix("fork")
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


def test_a_blocked_word_is_named_to_the_person_and_in_no_log(session, caplog):
    caplog.set_level(logging.DEBUG)
    errors = [
        WordBlocked("The prompt holds a word that your studio has blocked: 'qwertyword'.", "Take it out."),
        SDError("It broke.")]
    pipeline = Scripted(lambda order, emit, cancelled: emit(Failed.of(order.job, errors.pop(0))))
    one = session(pipeline)
    jobs = [one.submit(REQUEST, folder="f", output="o") for _ in range(2)]
    for _ in jobs:
        pipeline.go.release()
    for job in jobs:
        with pytest.raises(SDError):
            job.result(LIMIT)
    assert "qwertyword" in str(jobs[0].error) and "qwertyword" not in caplog.text
    assert "(blocked_word)" in caplog.text and "(internal): It broke." in caplog.text
