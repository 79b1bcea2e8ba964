"""Jobs that make animations: what comes before and after painting, frame by frame, paused, resumed and cancelled."""
from __future__ import annotations

import pytest

from blender_sd.core.errors import JobCancelled, SourceUnusable
from blender_sd.core.request import Request
from blender_sd.protocol.messages import Cancelled, Finished, FrameDone, Result, Stage, Step
from blender_sd.protocol.shots import ShotOrder
from tests.support.scripted import LIMIT, Scripted, pump_until, submit

REQUEST = Request.of("restyle_sequence", prompt="clay", steps=4)


class Shot:
    """Records three frames; `there` are the finished ones. `refuse` is raised instead."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.refuse, self.recorded, self.finished = refuse, 0, 0

    def record(self, job, emit, cancelled) -> ShotOrder:
        if self.refuse is not None:
            raise self.refuse
        self.recorded += 1
        for done in range(3):
            emit(Stage(job, "Rendering", done, 3))
        return ShotOrder("/shot", (1, 2, 3))

    def finish(self, made, emit, cancelled) -> Finished:
        self.finished += 1
        return Finished(made.job, (*made.results, Result("/out/a.mp4", REQUEST, 8, 8)))


class Painting:
    """A script for `Scripted` that paints three frames and remembers those that are there."""

    def __init__(self) -> None:
        self.there: list[int] = []
        self.stop_after = 3

    def __call__(self, order, emit, cancelled) -> None:
        for done, frame in enumerate(order.shot.frames, 1):
            if frame not in self.there:
                if len(self.there) == self.stop_after:
                    while not cancelled():
                        pass
                    return emit(Cancelled(order.job))
                emit(Step(order.job, 1, 4, 1, 1))
                self.there.append(frame)
            emit(FrameDone(order.job, frame, f"/out/{frame}.png", done, 3))
        emit(Finished(order.job, ()))


def test_it_records_then_paints_then_finishes(session):
    pipeline, shot = Scripted(Painting()), Shot()
    one = session(pipeline)
    job = submit(one, REQUEST, sequence=shot)
    texts = []
    pump_until(one, lambda: texts.append((job.text, job.frames_done, job.frames)) or pipeline.orders)
    pipeline.go.release()
    pump_until(one, lambda: texts.append((job.text, job.frames_done, job.frames)) or job.done)
    assert job.state == "finished" and [result.path for result in job.results] == [
        "/out/1.png", "/out/2.png", "/out/3.png", "/out/a.mp4"]
    assert pipeline.orders[0].shot == ShotOrder("/shot", (1, 2, 3)) and shot.finished == 1 and job.progress == 1


def test_its_text_counts_frames(session):
    pipeline = Scripted(Painting())
    job = submit(session(pipeline), REQUEST, sequence=Shot())
    job.apply(Stage(job.id, "Rendering", 1, 3), 10.0)
    assert (job.text, job.state, job.progress, job.eta) == ("Rendering, frame 2 of 3", "running", 1 / 3, None)
    job.apply(Stage(job.id, "Rendering", 2, 3), 14.0)
    assert job.eta == 4
    job.apply(FrameDone(job.id, 1, "/out/1.png", 1, 3), 20.0)
    assert job.text == "Frame 1 of 3" and job.eta is None, "painting has another pace than rendering"
    job.apply(Step(job.id, 2, 4, 1, 1), 21.0)
    assert job.text == "Frame 2 of 3, step 2" and job.progress == 1 / 3
    job.apply(FrameDone(job.id, 2, "/out/2.png", 2, 3), 25.0)
    assert job.eta == 5


def test_it_pauses_and_goes_on_where_it_stopped(session):
    painting = Painting()
    painting.stop_after = 1
    pipeline, shot = Scripted(painting), Shot()
    one = session(pipeline)
    job = submit(one, REQUEST, sequence=shot)
    pipeline.go.release()
    pump_until(one, lambda: painting.there == [1] and job.frames_done == 1)
    assert one.pause(job) and not one.pause(job)
    pump_until(one, lambda: job.state == "paused")
    assert not job.done and one.jobs == [job] and not one.busy()
    painting.stop_after = 3
    assert one.resume(job) and not one.resume(job)
    pipeline.go.release()
    job.result(LIMIT)
    assert painting.there == [1, 2, 3] and shot.recorded == 2 and len(job.results) == 4


def test_a_paused_job_can_be_cancelled_and_a_waiting_one_paused(session):
    pipeline = Scripted(Painting())
    one = session(pipeline)
    first, job = submit(one, REQUEST, sequence=Shot()), submit(one, REQUEST, sequence=Shot())
    assert one.pause(job)
    pump_until(one, lambda: job.state == "paused")
    assert job.cancel()
    pump_until(one, lambda: job.done)
    assert job.state == "cancelled" and not one.pause(job) and not one.resume(job)
    pipeline.go.release()
    assert len(first.result(LIMIT)) == 4


def test_other_jobs_cannot_be_paused(session):
    pipeline = Scripted()
    one = session(pipeline)
    job = submit(one)
    assert not one.pause(job)
    pipeline.go.release()
    job.result(LIMIT)


def test_what_cannot_be_recorded_fails_before_an_engine_is_started(session):
    for refuse, wanted in ((SourceUnusable("The scene has no camera."), SourceUnusable),
                           (JobCancelled("Cancelled."), JobCancelled)):
        pipeline = Scripted(Painting())
        job = submit(session(pipeline), REQUEST, sequence=Shot(refuse))
        with pytest.raises(wanted):
            job.result(LIMIT)
        assert not pipeline.orders
