"""The job's states and the inbox."""
from __future__ import annotations

import os

import numpy as np
import pytest
from scripted import REQUEST

from blender_sd.protocol.errors import TargetUnusable
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Loading, Note, Result, Step
from blender_sd.protocol.request import Request
from blender_sd.session.inbox import Inbox
from blender_sd.session.job import STATES, Job


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
