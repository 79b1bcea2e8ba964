"""Short of something: memory, room on the disk, the right to write, the folder itself."""
from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from .world import Fault, Lost, World, Wrong

_LARGE = 1536  # pixels; the tiny model's activations then take some 200 MB


# ---- memory ----------------------------------------------------------------------------------------------------------


def _limited(world: World, turn: int) -> None:
    """The system gives the engine no more address space (RLIMIT_AS) than it has and a little."""
    world.ready()
    engine = psutil.Process(world.engine())
    engine.rlimit(psutil.RLIMIT_AS, (engine.memory_info().vms + (16 << 20), -1))
    job = world.order(turn, size=_LARGE, steps=1)
    world.hit()
    world.ends(job, "out_of_memory", "engine_died", "finished")
    world.remarks.add(f"memory limited by RLIMIT_AS: the job ended as {job.error.kind if job.error else job.state}")
    with contextlib.suppress(psutil.NoSuchProcess):
        engine.rlimit(psutil.RLIMIT_AS, (-1, -1))


def _ended_by_the_system(world: World, turn: int) -> None:
    """The engine in a control group with a limit: the kernel kills what goes beyond it."""
    group = Path(f"/sys/fs/cgroup/memory/sd-faults-{os.getpid()}-{turn}")
    try:
        group.mkdir()
    except OSError as error:
        world.remarks.add(
            f"memory control group: not possible here ({error.strerror}), so the kernel's kill was not tried"
        )
        return
    try:
        world.ready()
        pid = world.engine()
        (group / "cgroup.procs").write_text(str(pid))
        used = int((group / "memory.usage_in_bytes").read_text())
        (group / "memory.limit_in_bytes").write_text(str(used + (24 << 20)))
        job = world.order(turn, size=_LARGE, steps=1)
        world.hit()
        world.ends(job, "engine_died")
        if "memory" not in job.error.hint:
            raise Wrong(f"memory is not named: {job.error}")
        world.kills += 1
    finally:
        world.until(lambda: not (group / "cgroup.procs").read_text().split(), "the control group is empty")
        group.rmdir()


def _memory_error(world: World, turn: int) -> None:
    world.ready()
    world.plan("step", "memory", 2)
    job = world.order(turn, steps=8)
    world.struck(job)
    world.ends(job, "out_of_memory", "finished")


# ---- the disk --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _small_disk(world: World, kilobytes: int = 256) -> Iterator[Path]:
    """A file system of its own, to which pictures go."""
    folder, own = world.root / "mount", world.output
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder))
    try:
        world.use(folder)
        yield folder
        world.check_pictures()  # as long as they can be looked at
        world.forget()
    finally:
        world.use(own)
        _run("umount", "-l", str(folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(command)} needs root: {done.stderr.strip()}")


def _fill(folder: Path) -> Path:
    """A file that takes all room."""
    filler = folder / ".filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def _full_before(world: World, turn: int) -> None:
    """Check that a full disk is reported before any painting, and that all goes on once it has room again."""
    world.ready()
    with _small_disk(world) as folder:
        filler = _fill(folder)
        job = world.order(turn)
        world.hit()
        world.ends(job, "output_unwritable")
        if "full" not in job.error.message or job.step:
            raise Wrong(f"a full disk is not named, or was painted for: {job.error}")
        filler.unlink()
        world.ends(world.order(turn), "finished")


def _full_meanwhile(world: World, turn: int) -> None:
    """The disk fills while the first of two pictures is painted. The engine's log is on it too."""
    own = world.output
    with _small_disk(world) as folder:
        world.api.configure(output=str(folder))  # not `use`: a new engine, whose log goes there
        world.ready()
        with _held(world, "decode", turn, count=2) as job:
            filler = _fill(folder)
        _rescued(world, job, 2)
        filler.unlink()
        world.ends(world.order(turn), "finished")
    world.api.configure(output=str(own))  # another engine again


@contextlib.contextmanager
def _held(world: World, point: str, seed: int, **settings) -> Iterator:
    """A job whose engine waits at `point` meanwhile."""
    world.plan(point, "stop")
    job = world.order(seed, **settings)
    engine = world.stopped(job)
    try:
        yield job
    finally:
        engine.resume()


def _rescued(world: World, job, pictures: int) -> None:
    """Check that what could not be written is packed into the open file, with its settings, and that a note says so."""
    world.ends(job, "finished")
    if [result.path for result in job.results] != [""] * pictures or not all(
        image.packed_file for image in job.outputs
    ):
        raise Lost(f"not rescued: {job.results}")
    if [world.api.recall(image) for image in job.outputs] != [result.request for result in job.results]:
        raise Lost("the settings are lost")
    for image, result in zip(job.outputs, job.results, strict=True):
        values = np.empty(len(image.pixels), np.float32)
        image.pixels.foreach_get(values)
        if not np.array_equal(np.rint(values * 255).reshape(result.pixels.shape)[::-1], result.pixels):
            raise Lost("other pixels")
    if not any("save" in note for note in job.notes):
        raise Wrong(f"no note says that the picture is only in the file: {job.notes}")


def _while(change: Callable[[Path], None], undo: Callable[[Path], None] = lambda folder: None):
    """The folder changes while a picture is painted."""

    def inflict(world: World, turn: int) -> None:
        world.ready()
        with _small_disk(world) as folder:
            place = folder / "pictures"
            world.use(place)
            with _held(world, "step", turn) as job:
                change(place)
            _rescued(world, job, 1)
            undo(place)
            world.ends(world.order(turn), "finished")

    return inflict


def _before(change: Callable[[Path], None], undo: Callable[[Path], None], *ends: str):
    """The folder is changed before a job is ordered: refused in words, or done."""
    from blender_sd.core.errors import OutputUnwritable

    def inflict(world: World, turn: int) -> None:
        world.ready()
        with _small_disk(world) as folder:
            place = folder / "pictures"
            world.use(place)
            change(place)
            world.hit()
            try:
                world.ends(world.order(turn), *ends)
            except OutputUnwritable as error:  # at once, to whoever ordered
                if "refused" not in ends:
                    raise Wrong(f"refused: {error}") from error
            undo(place)
            world.ends(world.order(turn), "finished")

    return inflict


def _read_only(place: Path) -> None:
    _run("mount", "-o", "remount,ro", str(place.parent))


def _writable(place: Path) -> None:
    _run("mount", "-o", "remount,rw", str(place.parent))


def _file_instead(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("a file where the folder was", encoding="utf-8")


def _back(place: Path) -> None:
    place.unlink()


def _sources_is_a_file(world: World, turn: int) -> None:
    """The folder for copies of input pictures cannot be made; the picture is made all the same."""
    world.ready()
    (world.output / "sources").write_text("a file")
    world.hit()
    source = np.full((64, 64, 4), 90, np.uint8)
    job = world.known(world.api.restyle(source, "red brick wall", seed=turn, steps=4, size=(64, 64), model=world.model))
    world.ends(job, "finished")
    if not any("copy" in note for note in job.notes):
        raise Wrong(f"no note says that no copy was kept: {job.notes}")


FAULTS = (
    Fault("memory limited (RLIMIT_AS)", 2, _limited),
    Fault("memory: killed by the system (control group)", 2, _ended_by_the_system),
    Fault("memory: MemoryError in a step", 2, _memory_error),
    Fault("disk full before the job", 2, _full_before),
    Fault("disk full during the job, log included", 2, _full_meanwhile),
    Fault("output folder read-only before the job", 2, _before(_read_only, _writable, "output_unwritable", "refused")),
    Fault("output folder read-only during the job", 2, _while(_read_only, _writable)),
    Fault("output folder deleted before the job", 2, _before(shutil.rmtree, lambda place: None, "finished")),
    Fault("output folder deleted during the job", 2, _while(shutil.rmtree)),
    Fault("output folder replaced by a file during the job", 2, _while(_file_instead, _back)),
    Fault("folder for sources is a file", 2, _sources_is_a_file),
)
