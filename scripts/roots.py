"""Run programs in a Debian of their own folder: `windows.py` runs Wine in it, `complete.py` a complete Blender.

mmdebstrap makes it once. Commands run in namespaces of their own, so no mounts and processes are left when a command
ends, however it ends. This module uses only the standard library.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import envs

TOOLS = ("mmdebstrap", "unshare", "chroot")
LEFT_OUT = ("man", "doc")  # of /usr/share
VARIABLES = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR": "/tmp",
             "PYTHONUNBUFFERED": "1"}
_INSIDE = r"""
set -e; root=$1; shift
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /sys "$root/sys"  # Wine finds the processors there; without them Blender starts threads without end
while [ "$1" != -- ]; do mkdir -p "$root$2"; mount --bind "$1" "$root$2"; shift 2; done; shift
ulimit -n $(ulimit -H -n)  # each of Wine's threads has several
exec chroot "$root" "$@"
"""


def missing(what: str) -> str:
    """Return what this machine lacks for `what` and what to do about it; "" if nothing is missing."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return f"{what} needs Linux on x86-64"
    if os.geteuid() != 0:
        return f"{what} needs root, since it runs in a root folder of its own: start it with sudo"
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    if tools:
        return f"{', '.join(tools)} not found; install with: sudo apt-get install -y mmdebstrap util-linux coreutils"
    return ""


@contextlib.contextmanager
def held(home: Path, lacking: str = "") -> Iterator[IO[bytes]]:
    """Hold the lock of `home`, after waiting for other processes. Raise envs.EnvError with `lacking`, unless that is
    "".
    """
    if lacking:
        raise envs.EnvError(lacking)
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "ab") as file:
        while not envs.try_lock(file):
            envs.say(f"[{home.name}] waiting for another process that uses it")
            time.sleep(20)
        yield file


def ensure(home: Path, suite: str, packages: str) -> None:
    """Make the root folder of `home` if it is missing: Debian's `suite` with `packages`. Raise envs.EnvError."""
    def make(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        left_out = (f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT)
        run(["mmdebstrap", "--mode=root", "--variant=apt", "--components=main", f"--include={packages}", *left_out,
             "--aptopt=APT::Install-Recommends \"false\"",
             "--aptopt=Acquire::Check-Valid-Until \"false\"",  # a mirror that lags behind will do
             suite, str(folder)])

    step(home, "root", (suite, packages), make)


def step(home: Path, name: str, state: Iterable, make: Callable[[Path], None]) -> None:
    """Call `make` with the folder `name` of `home`, unless it exists and was made from the same `state`."""
    folder, stamp = home / name, home / f"{name}.json"
    mark = hashlib.sha256(json.dumps(list(state)).encode()).hexdigest()
    if folder.is_dir() and stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == mark:
        return
    envs.say(f"[{home.name}] making {name}")
    started = time.monotonic()
    stamp.unlink(missing_ok=True)
    make(folder)
    stamp.write_text(json.dumps(mark), encoding="utf-8")
    envs.say(f"[{home.name}] {name} is ready after {time.monotonic() - started:.0f} s")


def run(command: Sequence[str]) -> None:
    """Run a command. Raise envs.EnvError with the end of its output if it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode != 0:
        raise envs.EnvError(f"{Path(command[0]).name} failed:\n" + "\n".join(done.stdout.splitlines()[-20:]))


def passed_on(beginnings: tuple[str, ...]) -> dict[str, str]:
    """Return the caller's environment variables whose names begin with one of the prefixes."""
    return {name: value for name, value in os.environ.items() if name.startswith(beginnings)}


def command(home: Path, folders: Mapping[str, str], variables: Mapping[str, str], *inside: str) -> list[str]:
    """Return the command that runs `inside` in the root folder of `home`.

    `folders`: folders of this machine -> their paths in there. `variables`: its environment, besides VARIABLES.
    """
    return [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
        "env",
        "-i",
        *(f"{name}={value}" for name, value in {**VARIABLES, **variables}.items()),
        "bash",
        "-c",
        _INSIDE,
        "_",
        str(home / "root"),
        *(part for pair in folders.items() for part in pair),
        "--",
        *inside,
    ]
