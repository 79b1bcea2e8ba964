"""The Blender without a window that records shots: started, followed and ended as the engine's process is."""
from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from pathlib import Path

import bpy
import pytest

from blender_sd.protocol.messages import Cancelled, EngineConfig, Failed, Installed, Note, Record, Stage
from blender_sd.protocol.shots import Shot
from blender_sd.session.process import Limits, ProcessPipeline

pytestmark = pytest.mark.slow

LIMITS = Limits(start=60, silence=60, cancel=1.0)


@pytest.fixture
def blend(camera_scene, tmp_path) -> str:
    scene = camera_scene(64)
    bpy.context.object.driver_add("location", 0).driver.expression = "frame / 10"
    scene["strength"] = 0.0
    scene.driver_add('["strength"]').driver.expression = "frame / 10"
    path = str(tmp_path / "copy.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    return path


def run(pipeline: ProcessPipeline, request: Record, cancelled=lambda events: False) -> list:
    events: list = []
    pipeline.run(request, events.append, lambda: cancelled(events))
    return events


def test_it_records_a_saved_copy_and_reports_each_frame(blend, tmp_path):
    pipeline = ProcessPipeline(sys.executable, EngineConfig(), role="record", limits=LIMITS)
    folder = str(tmp_path / "shot")
    try:
        events = run(pipeline, Record("1", folder, (1, 2, 3), blend, "", "Scene",
                                      varying=('strength=["strength"]',), prompts='[[2, "clay"]]'))
        assert events[-1] == Installed("1", folder)
        assert [event for event in events if isinstance(event, Stage)] == [
            Stage("1", "Rendering", number, 3) for number in range(3)]
        shot = Shot(folder)
        assert shot.info.link == "surface" and shot.course.strength[3] == pytest.approx(0.3)
        assert shot.course.prompts == ((2, "clay"),)
        source = os.path.join(folder, "frames", "######.png")
        run(pipeline, Record("2", str(tmp_path / "files"), (1, 2, 3), blend, "", "", source,
                             varying=('strength=["strength"]',)))
        files = Shot(str(tmp_path / "files"))
        assert files.info.link == "flow" and files.course.strength[3] == pytest.approx(0.3)
        again = run(pipeline, Record("2", folder, (1, 2, 3), blend, "", "gone"))
        assert isinstance(again[-1], Failed) and "no scene called 'gone'" in again[-1].message
    finally:
        pipeline.close()


def test_cancelling_keeps_finished_frames_and_ends_the_process(blend, tmp_path):
    pipeline = ProcessPipeline(sys.executable, EngineConfig(), role="record", limits=LIMITS)
    folder = str(tmp_path / "shot")
    request = Record("1", folder, tuple(range(1, 500)), blend, "", "Scene")
    try:
        events = run(pipeline, request, lambda events: any(
            isinstance(event, Stage) and event.done == 3 for event in events))
        assert events[-1] == Cancelled("1")
        assert os.path.exists(os.path.join(folder, "frames", "000003.png"))
        assert not os.path.exists(os.path.join(folder, "shot.json"))
    finally:
        pipeline.close()


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for Blender's program")
def test_blenders_own_program_runs_it_whatever_it_prints_first(blend, tmp_path):
    program = tmp_path / "blender"
    program.write_text("#!/bin/sh\necho 'Blender 5.2.0 (hash 1234 built today)'\necho 'Read prefs: /a'\n"
                       f"shift 3\nexec '{sys.executable}' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    pipeline = ProcessPipeline(str(program), EngineConfig(), role="record", limits=LIMITS,
                               blender=("--background", "--offline-mode", "--python"))
    try:
        notes = run(pipeline, Record("1", str(tmp_path / "shot"), (1,), blend, "", "Scene"))
        assert isinstance(notes[-1], Installed) and not [event for event in notes if isinstance(event, Note)]
    finally:
        pipeline.close()


def test_an_abort_from_another_thread_ends_it_at_once(blend, tmp_path):
    pipeline = ProcessPipeline(sys.executable, EngineConfig(), role="record", limits=LIMITS)
    events: list = []
    began = threading.Event()

    def take(event: object) -> None:
        events.append(event)
        if isinstance(event, Stage):
            began.set()

    thread = threading.Thread(target=pipeline.run, args=(
        Record("1", str(tmp_path / "shot"), tuple(range(1, 500)), blend, "", "Scene"), take, lambda: False))
    thread.start()
    assert began.wait(60)
    pipeline.abort()
    thread.join(10)
    assert not thread.is_alive() and isinstance(events[-1], Cancelled)


@pytest.mark.skipif(os.name == "nt", reason="processes are killed by signal")
def test_kills_at_any_moment_change_nothing(blend, tmp_path):
    """Killed again and again, it ends with the files of an undisturbed run."""
    def killed(pipeline: ProcessPipeline, request: Record, at: int) -> list:
        events: list = []

        def take(event: object) -> None:
            events.append(event)
            if isinstance(event, Stage) and event.done == at:
                os.kill(pipeline.pid, signal.SIGKILL)

        pipeline.run(request, take, lambda: False)
        return events

    def recorded(folder: str, kills: tuple[int, ...]) -> dict[str, bytes]:
        pipeline = ProcessPipeline(sys.executable, EngineConfig(), role="record", limits=LIMITS)
        request = Record("1", folder, tuple(range(1, 7)), blend, "", "Scene")
        assert all(isinstance(killed(pipeline, request, at)[-1], Failed) for at in kills)
        assert isinstance(run(pipeline, request)[-1], Installed)
        pipeline.close()
        return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*")
                if path.is_file() and path.suffix != ".part"}  # a killed process's is deleted after a while

    assert recorded(str(tmp_path / "a"), (1, 3)) == recorded(str(tmp_path / "b"), ())
