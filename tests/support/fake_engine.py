"""An engine without torch, for the tests of the supervision: it speaks the real protocol, and misbehaves when asked to.

The prompt of an order, or SD_FAKE_START for the start, says how. It is run as a script, as the real one is.
"""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from blender_sd.protocol.messages import (
    Alive, Cancel, Cancelled, Failed, Finished, Generate, Hello, Loading, Note, Ready, Result, Step,
)
from blender_sd.protocol.framing import read_message, write_message

STEP = float(os.environ.get("SD_FAKE_STEP", "0.002"))
out = sys.stdout.buffer
lock = threading.Lock()
orders: list[Generate] = []
news = threading.Condition()
cancelled: set[str] = set()
silent = threading.Event()


def send(message) -> None:
    with lock:
        write_message(out, message)


def beat() -> None:
    while not silent.wait(0.05):
        send(Alive())


def listen() -> None:
    while True:
        message = read_message(sys.stdin.buffer)
        if not isinstance(message, (Generate, Cancel)):
            os._exit(0)
        with news:
            if isinstance(message, Generate):
                orders.append(message)
            else:
                cancelled.add(message.job)
            news.notify_all()


def main() -> None:
    print("fake engine speaking", file=sys.stderr, flush=True)
    mode = os.environ.get("SD_FAKE_START", "")
    if mode == "exit":
        sys.exit("no torch here")
    if mode == "garbage":
        out.write(b"hello, I am not an engine\n" * 10)
        out.flush()
        time.sleep(60)
    hello = read_message(sys.stdin.buffer)
    assert isinstance(hello, Hello)
    if mode == "missing":
        send(Failed("", "engine_missing", "torch is not there.", "Install it."))
        return
    if mode == "never":
        threading.Thread(target=beat, daemon=True).start()
        time.sleep(60)
    time.sleep(float(os.environ.get("SD_FAKE_SLOW", "0")))
    environment = {name: os.environ.get(name, "") for name in ("PYTHONPATH", "PYTHONHOME", "HF_HUB_OFFLINE")}
    send(Ready("cpu", "fp32", {"pid": str(os.getpid()), "device": hello.config.device, **environment}))
    threading.Thread(target=beat, daemon=True).start()
    threading.Thread(target=listen, daemon=True).start()
    while True:
        with news:
            news.wait_for(lambda: orders)
            order = orders.pop(0)
        paint(order)


def paint(order: Generate) -> None:
    mode, job, request = order.request.prompt, order.job, order.request
    if mode == "load":  # deaf to a cancel
        send(Loading(job, "Loading a large model"))
        time.sleep(60)
    if mode == "stale":
        send(Step("an older job", 1, 1, 1, 1))
        send(Finished("an older job", ()))
    if mode == "engine failed":
        send(Failed("", "out_of_memory", "The device is gone.", "Restart."))
    results = []
    for image in range(1, request.count + 1):
        for step in range(1, request.steps + 1):
            time.sleep(STEP)
            misbehave(mode, step)
            if job in cancelled and mode != "finishes anyway":
                send(Cancelled(job))
                return
            send(Step(job, step, request.steps, image, request.count, np.full((2, 3, 3), step % 256, np.uint8)))
        single = request.single(image - 1)
        path = os.path.join(order.output, f"{job}-{image}.txt")
        Path(path).write_text(single.to_json(), encoding="utf-8")
        results.append(Result(path, single, single.width, single.height))
    if order.inputs:
        send(Note(job, f"source {request.source}"))
    send(Finished(job, tuple(results)))


def misbehave(mode: str, step: int) -> None:
    if step != 2:
        return
    if mode == "crash":
        sys.stderr.write("about to crash\n")
        sys.stderr.flush()
        os._exit(3)
    if mode == "memory":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "orphan":  # a grandchild keeps the pipes open
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
        os._exit(4)
    if mode == "hang":
        silent.set()
        time.sleep(60)
    if mode == "stuck":
        time.sleep(60)
    if mode == "slow step":
        time.sleep(0.9)
    if mode == "garbage":
        with lock:
            out.write(b"\0" * 500)
            out.flush()
        time.sleep(60)


if __name__ == "__main__":
    main()
