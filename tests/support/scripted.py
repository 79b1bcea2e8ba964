"""A pipeline inside the thread that a test drives step by step, and what such tests share."""
from __future__ import annotations

import threading

from blender_sd.protocol.messages import Cancelled, Finished, Ready, Result, Step
from blender_sd.core.request import Request

READY = Ready("cpu", "fp32", {})
REQUEST = Request(prompt="bricks", steps=4)
RESTYLE = Request.of("image_to_image", prompt="paint", steps=4)
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


def submit(session, request=REQUEST, **options):
    return session.submit(request, folder="model", output="out", **options)


def pump_until(session, condition):
    while not condition():
        assert session.wait(LIMIT), "nothing happened"
        session.pump()
