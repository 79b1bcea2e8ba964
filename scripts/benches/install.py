"""Measure the installation of the engine: from a folder of wheels to the first picture; and interrupted, then resumed.
"""
from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import envs

from . import common

DESCRIPTION = (
    "engine set-up for the processor: seconds and bytes, first picture, and what an interrupted one fetches twice"
)
LOCK = envs.ROOT / "blender_sd" / "workers" / "locks" / "pylock.cpu.toml"
PROMPT = "red brick wall"


def run(log: Callable[[str], None]) -> dict:
    sys.path.insert(0, str(envs.ROOT))
    wheels = _collect(log)
    size = sum(path.stat().st_size for path in wheels.glob("*.whl"))
    with tempfile.TemporaryDirectory(prefix="sd-bench-install-", ignore_cleanup_errors=True) as folder:
        log(f"from a folder of {len(list(wheels.glob('*.whl')))} wheels, {size / 1e6:.0f} MB")
        started = time.perf_counter()
        one = _set_up(Path(folder, "a"), LOCK, wheels)
        python = one.result()
        seconds = time.perf_counter() - started
        from blender_sd.library import engine_environment

        installed = engine_environment.read(str(Path(folder, "a"))).bytes
        log(f"set up in {seconds:.0f} s, {installed / 1e6:.0f} MB; painting")
        picture = _first_picture(python)
        download_twice, unpack_twice, at = _interrupted(Path(folder), wheels, log)
    return {
        "figures": {
            "wheels_mb": size / 1e6,
            "installed_mb": installed / 1e6,
            "set_up_s": seconds,
            "first_picture_s": picture,
            "killed_at_mb": at / 1e6,
            "fetched_twice_after_download_kill": download_twice,
            "fetched_after_unpack_kill": unpack_twice,
        },
        "bars": {
            "bytes fetched twice, killed in the download": common.bar(download_twice, "== 0"),
            "bytes fetched again, killed while unpacking": common.bar(unpack_twice, "== 0"),
        },
    }


def _collect(log: Callable[[str], None]) -> Path:
    """Return a folder with the wheels of the lock for the processor, downloaded by pip as configured here. Kept in
    .cache.
    """
    from blender_sd.workers.lock import read_lock

    folder = envs.ROOT / ".cache" / f"wheels-{sys.version_info[0]}.{sys.version_info[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = read_lock(str(LOCK))
    pins = [f"{pin.name}=={pin.version}" for pin in lock.pins] + [
        f"{one.name}{one.versions}+{one.label}" for one in lock.builds
    ]
    log("collecting wheels")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(folder),
        *pins,
    ]
    subprocess.run([*command, *shlex.split(os.environ.get("SD_PIP_ARGS", ""))], check=True, stdout=sys.stderr)
    return folder


def _set_up(place: Path, lock: Path, wheels: Path | str = "") -> Any:
    from blender_sd.protocol.messages import EngineConfig, INSTALL
    from blender_sd.session.installations import Installations
    from blender_sd.session.process import ProcessPipeline

    pipeline = ProcessPipeline(sys.executable, EngineConfig(), role=INSTALL)
    return Installations().start(pipeline, "install", place=str(place), lock=str(lock), wheels=str(wheels))


def _first_picture(python: str) -> float:
    """Return the seconds from starting the new engine to the starter model's first picture on disk."""
    with common.addon() as api:
        api.configure(engine_python=python)
        started = time.perf_counter()
        api.generate(PROMPT, seed=1, size=(256, 256), steps=20).result(600)
        return time.perf_counter() - started


def _until(one: Any, reached: Callable[[], bool]) -> None:
    while not reached():
        if one.done:
            raise RuntimeError(f"the set-up ended before it could be killed: {one.error}")
        one._owner.wait(1.0)
        one._owner.pump()


def _kill(one: Any) -> None:
    os.kill(one._owner._running[one.id][0].pid, 9)
    while not one.done:
        one._owner.wait(1.0)
        one._owner.pump()


def _interrupted(folder: Path, wheels: Path, log: Callable[[str], None]) -> tuple[int, int, int]:
    """Return (bytes fetched twice after a kill in the download, bytes fetched after a kill while unpacking, where the
    first kill came).
    """
    from blender_sd.library import engine_environment
    from tests.support.fake_index import FakeIndex

    index = FakeIndex({path.name: path.read_bytes() for path in wheels.glob("*.whl")})
    os.environ.update(index.environment())
    lock = folder / LOCK.name
    lock.write_text(LOCK.read_text().replace("https://download.pytorch.org/whl", f"{index.url}/simple"))
    shutil.copy(LOCK.with_name("pylock.engine.toml"), folder)
    place, total = folder / "b", sum(map(len, index.files.values()))
    try:
        moment = random.uniform(0.05, 0.95) * total
        one = _set_up(place, lock)
        _until(one, lambda: one.stage == "Downloading" and one.bytes_done >= moment)
        _kill(one)
        kept = sum(path.stat().st_size for path in (place / engine_environment.WHEELS).iterdir())
        log(f"killed in the download, with {kept / 1e6:.0f} of {total / 1e6:.0f} MB on disk")
        index.served.clear()
        one = _set_up(place, lock)
        _until(one, lambda: one.stage == "Unpacking")
        twice = sum(index.served.values()) - (total - kept)
        share = random.uniform(0.0, 0.9)
        _until(one, lambda: one.stage == "Unpacking" and one.progress >= share)
        _kill(one)
        log(f"killed while unpacking, at {share:.0%}")
        index.served.clear()
        _set_up(place, lock).result()
        return twice, sum(index.served.values()), kept
    finally:
        index.close()
