"""Downloads that are cancelled, cut off or short of disk space: what stays, and what is asked for again."""
from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from blender_sd.core.errors import ConnectionLost, InvalidRequest, OutputUnwritable
from blender_sd.session.downloads import clear_unfinished, unfinished_bytes
from blender_sd.library.models import find_models
from tests.support.downloads import CHUNK, LARGE, MODEL, WAIT, WEIGHTS, cancelled, offered, wait_for, weights
from tests.support.downloads import fetch, hub, place  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.torch, pytest.mark.slow]  # each starts a process, and most lose a connection on purpose


def test_after_a_cancel_only_the_rest_is_downloaded(hub, fetch, place):
    hub.add("owner/model", MODEL)
    one = cancelled(hub, fetch)
    assert one.state == "cancelled" and offered(place) == [] and not [
        m for m in find_models([str(place)]) if m.id != "starter"]
    kept = unfinished_bytes(str(place))
    assert kept >= 2 << 20
    hub.served.clear()
    again = fetch()
    assert Path(again.result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) - (2 << 20)
    assert hub.served["LICENSE"] == 0  # it was complete
    assert unfinished_bytes(str(place)) == 0


def test_a_resumed_download_keeps_to_the_revision_that_it_began_with(hub, fetch):
    hub.add("owner/model", MODEL)
    cancelled(hub, fetch)
    hub.add("owner/model", {**MODEL, WEIGHTS: weights(6 << 20), "LICENSE": b"be better"})
    path = Path(fetch().result(WAIT))
    assert (path / WEIGHTS).read_bytes() == LARGE and (path / "LICENSE").read_bytes() == b"be good"


def test_where_the_hub_has_that_revision_no_longer_it_starts_again(hub, fetch):
    hub.add("owner/model", MODEL)
    cancelled(hub, fetch)
    newer = weights(6 << 20)
    hub.add("owner/model", {**MODEL, WEIGHTS: newer})
    hub.older.clear()
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == newer


# a reset takes along what was not read yet
@pytest.mark.parametrize("reset, lost", [(False, 2 * CHUNK), (True, 3 << 20)])
def test_a_lost_connection_is_taken_up_again(hub, fetch, reset, lost):
    hub.add("owner/model", MODEL)
    hub.cut[WEIGHTS], hub.reset = [2 << 20, 1 << 20], reset
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) + lost


def test_a_connection_that_stays_lost_says_so_and_keeps_what_came(hub, fetch, place):
    hub.add("owner/model", MODEL)
    hub.cut[WEIGHTS], hub.reset = [4 << 20, *[0] * 9], True
    hub.hold(WEIGHTS, 3 << 20)
    one = fetch()
    wait_for(one, 2 << 20)  # a broken connection takes with it what was not read yet
    hub.held.clear()
    hub.go.set()
    with pytest.raises(ConnectionLost, match="goes on where it stopped"):
        one.result(WAIT)
    assert one.state == "failed" and offered(place) == []
    hub.served.clear()
    hub.cut.clear()
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) - (2 << 20)


def test_a_server_that_cannot_resume_sends_the_file_again(hub, fetch, place):
    hub.add("owner/model", MODEL)
    part = place / ".fetching" / "owner--model" / "parts" / WEIGHTS
    part.parent.mkdir(parents=True)
    part.write_bytes(LARGE[:1000])
    hub.no_ranges = True
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] == len(LARGE)


def test_bytes_that_are_not_the_hubs_are_thrown_away(hub, fetch, place):
    """Such as those of a disk that lost power."""
    hub.add("owner/model", MODEL)
    part = place / ".fetching" / "owner--model" / "parts" / WEIGHTS
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 1000)
    one = fetch()
    assert Path(one.result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] == 2 * len(LARGE) - 1000 and one.bytes_done == one.bytes_total


def test_the_process_that_dies_is_one_download_that_failed(hub, fetch, place):
    hub.add("owner/model", MODEL)
    hub.hold(WEIGHTS, 3 << 20)
    one = fetch()
    assert hub.reached.wait(WAIT)
    pipeline, _ = one._owner._running[one.id]
    os.kill(pipeline.pid, 9)
    with pytest.raises(Exception, match="The download stopped unexpectedly"):
        one.result(WAIT)
    hub.go.set()
    hub.held.clear()
    assert offered(place) == [] and Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE


def test_a_hub_that_does_not_answer(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the port of nobody
    with pytest.raises(ConnectionLost):
        fetch().result(WAIT)


def test_a_disk_that_gets_full_leaves_nothing_that_looks_like_a_model(hub, fetch, place):
    """The limit on the size of files stands in for the disk's end: both are errors of a write."""
    hub.add("owner/model", MODEL)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
    try:
        one = fetch()
        with pytest.raises(OutputUnwritable, match="is full.*goes on where it stopped"):
            one.result(WAIT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert offered(place) == []
    hub.served.clear()
    assert Path(fetch().result(WAIT), WEIGHTS).read_bytes() == LARGE
    assert hub.served[WEIGHTS] <= len(LARGE) - (2 << 20)


def test_a_model_larger_than_the_disk_is_not_begun(hub, fetch, place):
    hub.add("owner/model", MODEL)
    hub.claimed[WEIGHTS] = 1 << 60
    with pytest.raises(OutputUnwritable, match="too full: 115292150"):
        fetch().result(WAIT)
    assert offered(place) == [] and not hub.served[WEIGHTS]


def test_unfinished_downloads_can_be_deleted(hub, fetch, place):
    hub.add("owner/model", MODEL)
    cancelled(hub, fetch)
    clear_unfinished(str(place))
    assert unfinished_bytes(str(place)) == 0 and not (place / ".fetching").exists()
    clear_unfinished(str(place))


def test_the_same_repository_is_not_downloaded_twice_at_once(hub, fetch):
    hub.add("owner/model", MODEL)
    hub.hold(WEIGHTS, 1 << 20)
    one = fetch()
    with pytest.raises(InvalidRequest, match="already"):
        fetch()
    assert hub.reached.wait(WAIT)
    hub.go.set()
    assert one.result(WAIT)
