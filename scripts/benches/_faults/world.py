"""The ground on which faults happen: Blender (bpy) with the add-on on, a real engine process, a folder; and the check
after each fault.
"""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import psutil

from .. import common

HERE = Path(__file__).resolve().parent
RUN = "SD_FAULT_RUN"  # in the environment of every process that descends from the bench
PATIENCE = 120.0  # seconds; whoever waits longer is stuck
GONE = 5.0  # seconds that a process may outlive what it belongs to


class Lost(AssertionError):
    """A finished picture is not on disk, not whole, or not in the history."""


class Orphan(AssertionError):
    """A process is left over."""


class Stuck(AssertionError):
    """A job, the session or the panel does not come to its end."""


class Wrong(AssertionError):
    """The next job fails, or paints other pixels; or an error is not what a person should read."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `inflict(world, turn)` does it once; afterwards `World.check` looks at what is left."""

    name: str
    turns: int
    inflict: Callable[[World, int], None]


@dataclass
class World:
    """`kills`, `cancels`: how many were given so far. `engine_end`: the longest that an engine outlived its Blender, in
    seconds.
    """

    api: ModuleType
    root: Path
    model: str
    log: Callable[[str], None]
    expected: bytes = b""
    kills: int = 0
    cancels: int = 0
    engine_end: float = 0.0
    hit_at: float = 0.0
    remarks: set[str] = field(default_factory=set)
    _jobs: list = field(default_factory=list)
    _turn: int = 0

    # ---- doing -------------------------------------------------------------------------------------------------------

    @property
    def runtime(self):
        """The add-on's one runtime."""
        from blender_sd.calls.runtime import runtime

        return runtime

    @property
    def history(self) -> ModuleType:
        """The calls about the history."""
        from blender_sd.calls import history

        return history

    @property
    def output(self) -> Path:
        return Path(self.runtime.config.output)

    def begin(self) -> None:
        """An empty output folder, and nothing that is known from the turn before."""
        self.forget()
        self._turn += 1
        self.use(self.root / f"pictures-{self._turn}")
        self.hit_at = 0.0

    def forget(self) -> None:
        """The jobs so far, and with them where their pictures are."""
        self.api.clear_jobs()
        self._jobs.clear()

    def use(self, folder: Path) -> None:
        """Let pictures go to `folder`. The engine runs on: its log stays where it is."""
        folder.mkdir(exist_ok=True)
        self.runtime.config = self.runtime.config.changed(output=str(folder))

    def order(self, seed: int = 7, *, steps: int = 4, size: int = 64, **settings):
        job = self.api.generate(
            "red brick wall", seed=seed, size=(size, size), steps=steps, model=self.model, **settings
        )
        return self.known(job)

    def known(self, job):
        """`job`, whose pictures are looked for by the check."""
        self._jobs.append(job)
        return job

    def plan(self, at: str, do: str, after: int = 0) -> None:
        """Have the engine do `do` to itself at the point `at`; see `engine_side`."""
        path = Path(os.environ["SD_FAULT_PLAN"])
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"at": at, "do": do, "after": after}), encoding="utf-8")
        part.replace(path)

    def struck(self, job) -> None:
        """Wait until the engine has carried out the plan, which is while `job` goes on."""
        path = os.environ["SD_FAULT_PLAN"]
        self.until(lambda: job.done or not os.path.exists(path), "the engine comes to the plan's point")
        if os.path.exists(path):
            os.unlink(path)
            raise Wrong(f"the plan was not carried out; {job} {job.error}")
        self.hit()

    def stopped(self, job) -> psutil.Process:
        """The engine, once the plan has stopped it in `job`."""
        engine = psutil.Process(self.engine())
        self.struck(job)
        self.until(lambda: engine.status() == psutil.STATUS_STOPPED, "the engine stops")
        return engine

    def pause(self, seconds: float) -> None:
        """Pump for so long."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, "a pause")

    def hit(self) -> None:
        """The fault happens now: from here the seconds are counted until the next job is done."""
        self.hit_at = self.hit_at or time.monotonic()

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.kills += 1
        self.hit()

    def engine(self) -> int | None:
        """The engine process's id."""
        worker = self.runtime.session and next(iter(self.runtime.session._workers), None)
        return getattr(worker and worker._pipeline, "pid", None)

    def until(self, done: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        try:
            common.wait_until(self.api, done, patience)
        except TimeoutError:
            raise Stuck(f"{what}: waited for {patience:g} s") from None

    def ends(self, job, *kinds: str, patience: float = PATIENCE) -> None:
        """Wait for the end of `job`, which is one of `kinds`: a state, or the kind of its error. What it says is fit
        for people.
        """
        self.until(lambda: job.done, f"{job} ends", patience)
        end = job.error.kind if job.error else job.state
        if end not in kinds:
            raise Wrong(f"{job} ended as {end}, not {kinds}: {job.error} {job.error and job.error.detail}")
        if job.error and not (job.error.message and job.error.hint and "Traceback" not in str(job.error)):
            raise Wrong(f"not fit for people: {job.error}")

    def ready(self) -> None:
        """The engine runs and has painted."""
        self.order(1, steps=1).result(PATIENCE)

    def child(self, **settings) -> Blender:
        """Another Blender process on the same output folder; see `blender_side`."""
        return Blender(self, settings)

    # ---- checking ----------------------------------------------------------------------------------------------------

    def check(self) -> float:
        """After a fault: nothing lost, nobody left over, nothing stuck, and the next job gives the right pixels.
        Returns the seconds from the fault to that job's end."""
        job = self.order()
        self.until(lambda: job.done, "the next job")
        seconds = time.monotonic() - self.hit_at if self.hit_at else 0.0
        if job.state != "finished" or pixels_of(job.results[0].path) != self.expected:
            raise Wrong(f"the next job: {job}, {job.error} {job.error and job.error.detail}")
        self._check_panel()
        self.check_pictures()
        self._check_processes()
        return seconds

    def _check_panel(self) -> None:
        from blender_sd.addon import tick
        import bpy

        self.until(lambda: self.api.engine_status()[0] == "ready", "the engine's status", 20)
        self.until(lambda: all(job.done for job in self.api.jobs()), "the jobs")
        tick.tick()
        state = bpy.context.window_manager.sd
        if state.active or state.engine != "ready" or self.runtime.session._workers[0]._busy:
            raise Stuck(f"the panel shows active={state.active} engine={state.engine}")

    def check_pictures(self) -> None:
        """All that was reported is on disk, whole, and in the history; and there is nothing half."""
        reported = {result.path for job in self._jobs for result in job.results if result.path}
        here = {path for path in reported if Path(path).parent == self.output}
        found = {entry.path for entry in self.history.history()}
        for path in reported:
            whole(Path(path))
        if here - found:
            raise Lost(f"not in the history: {here - found}")
        self.check_folder(self.output)

    @staticmethod
    def check_folder(folder: Path) -> None:
        """Whatever can be seen in an output folder is a whole picture; half ones are hidden, and swept later."""
        for path in folder.iterdir():
            if (
                path.is_file()
                and not path.name.startswith(".")
                and path.suffix not in (".log", ".1")
                and path.name != "sources"
            ):
                whole(path)

    def _check_processes(self) -> None:
        end = time.monotonic() + GONE
        while left := ours() - {os.getpid(), self.engine()}:
            if time.monotonic() > end:
                raise Orphan(f"left over: {[psutil.Process(pid).cmdline() for pid in left]}")
            time.sleep(0.05)  # they are no children of ours: there is nothing to wait on

    def gone(self, pid: int) -> float:
        """Wait for the end of an engine whose Blender has just died; how many seconds that took."""
        start = time.monotonic()
        while running(pid):
            if time.monotonic() - start > 4 * GONE:
                raise Orphan(f"the engine {pid} outlives its Blender")
            time.sleep(0.02)
        seconds = time.monotonic() - start
        self.engine_end = max(self.engine_end, seconds)
        return seconds


class Blender:
    """A Blender process of its own (`blender_side`), which says what it does on its standard output, a line of JSON
    each.
    """

    def __init__(self, world: World, settings: dict) -> None:
        self.world = world
        given = {
            "output": str(world.output),
            "python": world.runtime.config.engine_python,
            "model": world.model,
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "blender_side.py"), json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.engine = 0
        self.events: list[dict] = []

    def says(self, word: str) -> dict:
        """Wait until it says `word`; what else it says with it."""
        for line in self.process.stdout:
            if line.startswith("{"):
                event = json.loads(line)
                self.events.append(event)
                self.engine = event.get("engine") or self.engine
                if event["word"] == word:
                    return event
        raise Wrong(f"Blender ended with {self.process.wait(PATIENCE)} before it said '{word}': {self.events}")

    def kill(self) -> None:
        self.world.kill(self.process.pid)
        self.end()

    def end(self) -> int:
        """Wait for its end, and for its engine's; its exit status."""
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        if self.engine:
            self.world.gone(self.engine)
        return status


# ---- looking ---------------------------------------------------------------------------------------------------------


def pixels_of(path: str | os.PathLike) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.tobytes()


def whole(path: Path) -> None:
    """Raises Lost unless `path` is a complete picture with its settings."""
    from PIL import Image

    from blender_sd.library import png

    try:
        with Image.open(path) as picture:
            picture.load()  # raises for a truncated file
        assert png.request_in(png.read_text(path))
    except Exception as error:
        raise Lost(f"{path}: {error}") from error


def running(pid: int) -> bool:
    """Whether the process does anything: where nobody reaps orphans (a container without init), their zombies stay."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ours() -> set[int]:
    """All processes that descend from this bench, orphans included."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(RUN) == os.environ[RUN]:
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


# ---- making ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def made(log: Callable[[str], None]) -> Iterator[World]:
    """A world with the add-on on and a tiny model; the engine, the add-on and the folders are gone afterwards."""
    os.environ[RUN] = uuid.uuid4().hex
    with (
        common.addon(threads=1) as api,
        tempfile.TemporaryDirectory(prefix="sd-faults-", ignore_cleanup_errors=True) as folder,
    ):
        import bpy

        import blender_sd

        root = Path(folder)
        os.environ["SD_FAULT_PLAN"] = str(root / "plan.json")
        python = root / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "engine_side.py"}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        bpy.ops.wm.read_factory_settings(use_empty=False)
        blender_sd.register()
        try:
            (root / "own").mkdir()
            api.configure(engine_python=str(python), output=str(root / "own"))
            world = World(api, root, common.tiny_model(root / "tiny"), log)
            world.begin()
            job = world.order()
            job.result(PATIENCE)
            world.expected = pixels_of(job.results[0].path)
            yield world
        finally:
            api.shutdown()
            blender_sd.unregister()
            for mount in root.glob("mount*"):
                subprocess.run(["umount", str(mount)], capture_output=True, check=False)
            for pid in ours() - {os.getpid()}:  # what a failed turn has left
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
            shutil.rmtree(root, ignore_errors=True)
