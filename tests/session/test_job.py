"""The job's states and the inbox."""
from __future__ import annotations

import os

import numpy as np
import pytest

from blender_sd.core.errors import TargetUnusable
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Loading, Note, Result, Step
from blender_sd.core.request import Request
from blender_sd.session.inbox import Inbox
from blender_sd.session.job import Job, STATES
from tests.support.scripted import REQUEST


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


def _etas(*times, steps=20, loads=()):
    """The estimate after each step; `times`: when step 0, 1, 2 … are done. `loads`: before which steps something is
    loaded."""
    job, etas = job_of(Request(steps=steps)), []
    for step, at in enumerate(times):
        if step in loads:
            job.apply(Loading("1", "Moving the model"), at - 1.0)
        job.apply(Step("1", step, steps, 1, 1), at)
        etas.append(job.eta)
    return etas


def test_no_estimate_before_two_steps_agree():
    assert _etas(0.0, 2.2, 2.6, 3.0) == [None, None, None, pytest.approx(6.8)], "the first step says nothing"
    assert _etas(0.0, 2.2, 4.4, 4.8,
                 5.2) == [None] * 4 + [pytest.approx(6.4)], "a slow second step agrees with no other"
    uneven = _etas(0.0, 1.0, 2.0, 4.0, 5.0, 7.0, 8.0)
    assert uneven[:-1] == [None] * 6 and uneven[-1] == pytest.approx(14.0), "the median of five stands"


def test_what_is_loaded_meanwhile_restarts_the_estimate():
    assert _etas(0.0, 1.0, 2.0, 3.0, 20.0, 25.0, 30.0, loads=(4,)) == [
        None, None, None, pytest.approx(17.0), None, None, pytest.approx(70.0)]


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
    for event in (Loading("1", "again"), Step("1", 1, 4, 1,
                                              1), Finished("1", ()), Cancelled("1"), Failed("1", "internal", "")):
        assert not job.apply(event, 2.0) and job.state == state
    assert state in STATES


@pytest.mark.parametrize("ending", [Finished("1", (Result("/p/x.png", REQUEST, 8, 8),)), Cancelled("1"), Failed("1", "internal", "No.")])  # noqa: E501
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
    for event in (Step("1", 1, 4, 1, 1, old), Step("1", 2, 4, 1, 1, new), Step("1", 3, 4, 1, 1), Note("1", "x"),
                  Step("1", 4, 4, 1, 1), Step("2", 1, 4, 1, 1)):
        inbox.put(event)
    events = [inbox.get()[1] for _ in range(4)]
    assert (events[0].step, events[0].preview is new) == (3, True)
    assert [getattr(event, "step", None) for event in events[1:]] == [None, 4, 1]
    assert inbox.get() is None and not inbox.wait(0)
