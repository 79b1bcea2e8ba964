"""Live mode's clockwork: newest wins, no build-up, pauses, and honest figures."""
from __future__ import annotations

import numpy as np
import pytest

from blender_sd.protocol.messages import Finished, Result, Source
from blender_sd.session import live
from blender_sd.session.live import CANCEL, CAPTURE, Live, NOTHING, PAINTING, PAUSED, UP_TO_DATE
from tests.support.scripted import LIMIT, RESTYLE, Scripted, pump_until, submit


def painted(machine: Live, at: float, takes: float = 1.0) -> float:
    """A frame from its capture at `at` to its picture; when that came."""
    assert machine.turn(at) == CAPTURE
    machine.looked(at, 0.0, True)
    machine.ended(at + takes, True)
    return at + takes


def test_a_still_scene_is_painted_once_and_then_sleeps():
    machine = Live(0.0, idle=10.0)
    assert machine.state(0.0) == PAINTING
    done = painted(machine, 0.0)
    assert machine.state(done) == UP_TO_DATE and machine.turn(done) == NOTHING
    assert machine.pause(5.0) < 0.1
    assert machine.state(10.5) == PAUSED and machine.pause(10.5) >= 0.5 and machine.turn(10.5) == NOTHING
    machine.changed(20.0)
    assert machine.state(20.0) == PAINTING and machine.turn(20.0) == CAPTURE


def test_one_frame_at_a_time_and_the_newest_state_wins():
    machine = Live(0.0)
    assert machine.turn(0.0) == CAPTURE
    machine.looked(0.0, 0.0, True)
    for tick in range(1, 100):  # the view turns all the time
        machine.changed(tick / 100)
        assert machine.turn(tick / 100) == NOTHING, "a frame is in flight"
    machine.ended(1.0, True)
    assert machine.turn(1.0) == CAPTURE, "what has happened meanwhile is taken at once"
    machine.looked(1.0, 0.0, True)
    machine.ended(2.0, True)
    assert machine.turn(2.0) == NOTHING, "a hundred changes were one picture"
    assert machine.frames == 2 and machine.latency == pytest.approx(2.0 - 0.01)


def test_an_obsolete_frame_is_broken_off_only_at_rest_and_never_twice_in_a_row():
    machine = Live(0.0)
    now = painted(machine, 0.0, takes=4.0)
    machine.changed(now)
    assert machine.turn(now) == CAPTURE
    machine.looked(now, 0.0, True)
    machine.changed(now + 0.5)
    assert machine.turn(now + 0.5 + live.SETTLED / 2) == NOTHING, "still moving"
    at_rest = now + 0.5 + live.SETTLED
    assert machine.turn(at_rest) == CANCEL and machine.turn(at_rest) == NOTHING, "asked once"
    machine.ended(at_rest + 0.1, False)
    assert machine.turn(at_rest + 0.1) == CAPTURE
    machine.looked(at_rest + 0.1, 0.0, True)
    machine.changed(at_rest + 0.2)
    assert machine.turn(at_rest + 1.0) == NOTHING, "this one is let finish"
    machine.ended(at_rest + 4.1, True)
    assert machine.turn(at_rest + 4.1) == CAPTURE


def test_a_fast_frame_is_never_broken_off():
    machine = Live(0.0)
    now = painted(machine, 0.0, takes=0.3)
    machine.changed(now)
    machine.looked(now, 0.0, True)
    machine.changed(now + 0.01)
    assert machine.turn(now + 0.29) == NOTHING


def test_a_change_that_shows_nothing_costs_a_look_and_no_picture():
    machine = Live(0.0)
    now = painted(machine, 0.0)
    machine.changed(now + 1)
    assert machine.turn(now + 1) == CAPTURE
    machine.looked(now + 1, 0.0, False)
    assert machine.state(now + 1) == UP_TO_DATE and machine.frames == 1


def test_looking_takes_a_share_of_the_time_at_most():
    machine = Live(0.0)
    assert machine.turn(0.0) == CAPTURE
    machine.looked(0.0, 0.03, True)
    machine.changed(0.01)
    machine.ended(0.02, True)
    assert machine.turn(0.03 / live.SHARE - 0.031) == NOTHING
    assert machine.turn(0.03 / live.SHARE) == CAPTURE


def test_a_hindrance_pauses_and_what_was_missed_is_painted_after_it():
    machine = Live(0.0)
    now = painted(machine, 0.0)
    machine.changed(now)
    assert machine.turn(now, "The queue comes first") == NOTHING
    assert machine.state(now) == PAUSED and machine.hindrance == "The queue comes first"
    assert machine.turn(now + 5) == CAPTURE


def test_a_frame_that_gave_way_is_painted_again():
    machine = Live(0.0)
    now = painted(machine, 0.0)
    machine.changed(now)
    machine.looked(now, 0.0, True)
    machine.ended(now + 0.1, False)
    assert machine.behind and machine.turn(now + 0.2) == CAPTURE
    assert machine.frames == 1


def test_the_rate_is_that_of_the_last_frames():
    machine = Live(0.0)
    assert machine.rate == 0.0
    now = 0.0
    for takes in [8.0] + [0.25] * 8:
        machine.changed(now)
        now = painted(machine, now, takes)
    assert machine.rate == pytest.approx(4.0)


# ---- frames in the session's queue ---------------------------------------------------------------------------------


def frame(one):
    return one.submit(RESTYLE, folder="model", output="",
                      inputs={"source": Source(pixels=np.zeros((8, 8, 4), np.uint8))}, background=True)


def test_a_frame_gives_way_to_an_order_and_is_not_listed(session):
    pipeline = Scripted()
    one = session(pipeline)
    live_frame = frame(one)
    assert pipeline.started.acquire(timeout=LIMIT)
    order = submit(one)
    pump_until(one, lambda: live_frame.done)
    assert live_frame.state == "cancelled" and one.jobs == [order]
    pipeline.go.release()
    order.result(LIMIT)
    assert [given.output for given in pipeline.orders][0] == "", "a frame is written nowhere"


def test_waiting_frames_stand_behind_all_orders_whatever_is_moved(session):
    pipeline = Scripted()
    one = session(pipeline)
    first = submit(one)
    assert pipeline.started.acquire(timeout=LIMIT)
    live_frame, second, third = frame(one), submit(one), submit(one)
    one.move(second, +5)
    assert one.jobs == [first, third, second]
    pipeline.go.release()
    pipeline.go.release()
    pipeline.go.release()
    pipeline.go.release()
    pump_until(one, lambda: live_frame.done)
    assert [order.job for order in pipeline.orders] == [first.id, third.id, second.id, live_frame.id]
    assert live_frame.state == "finished"


def test_the_pixels_of_a_frame_come_with_its_result(session):
    pixels = np.arange(8 * 8 * 4, dtype=np.uint8).reshape(8, 8, 4)

    def give(order, emit, cancelled):
        emit(Finished(order.job, (Result("", order.request, 8, 8, pixels),)))

    pipeline = Scripted(give)
    pipeline.go.release()
    one = session(pipeline)
    live_frame = frame(one)
    pump_until(one, lambda: live_frame.done)
    assert np.array_equal(live_frame.results[0].pixels, pixels)
    assert one.jobs == []
