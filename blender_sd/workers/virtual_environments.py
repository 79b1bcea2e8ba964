"""Create virtual environments of the running Python, with the pip that it contains."""
from __future__ import annotations

import ensurepip
import glob
import logging
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile

from ..core.errors import EngineMissing
from ..library import engine_environment
from ..protocol.boot import venv_remedy
from ..protocol.messages import text_of

log = logging.getLogger(__name__)

_LIMIT = 120.0  # seconds that the new interpreter may take to print its prefix
_PREFIX = "import sys; print(sys.prefix)"


def bundled_pip() -> str:
    """Return the wheel of pip that Python contains; some systems keep it elsewhere. Raise EngineMissing."""
    folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR")]
    for folder in filter(None, folders):
        wheels = glob.glob(os.path.join(glob.escape(folder), "pip-*.whl"))
        if wheels:
            return wheels[0]
    raise EngineMissing(f"Blender's Python ({sys.executable}) has no pip.", venv_remedy())


def import_pip() -> str:
    """Make pip and the libraries that it contains importable, and return its wheel. Raise EngineMissing."""
    wheel = bundled_pip()
    if "pip" not in sys.modules and wheel not in sys.path:
        sys.path.append(wheel)
    return wheel


def packages_in(folder: str) -> str:
    """Return the folder of packages of the virtual environment `folder`, which need not exist."""
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    return sysconfig.get_path("purelib", scheme, {"base": folder, "platbase": folder})


def make_environment(folder: str) -> str:
    """Create a virtual environment with pip, check its interpreter, and return its folder of packages.

    Raises:
        EngineMissing: Its interpreter does not work.
        OSError: It cannot be created.
    """
    venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
    # venv only logs that its launcher is missing
    if os.name == "nt" and not os.path.exists(engine_environment.python_in(folder)):
        engine_environment.copy_python(folder, engine_environment.running_python())
    _check(engine_environment.python_in(folder), folder)
    purelib = packages_in(folder)
    with zipfile.ZipFile(bundled_pip()) as archive:  # takes half a second instead of ensurepip's twenty
        archive.extractall(purelib)
    return purelib


def _check(python: str, folder: str) -> None:
    """Raise EngineMissing unless `python` starts and finds the environment `folder`."""
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}
    try:
        done = subprocess.run([python, "-I", "-X", "utf8", "-c", _PREFIX], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=_LIMIT, **options)
        output, works = done.stdout.decode("utf-8", "replace").strip(), done.returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        output, works = text_of(error), False
    if not works or not os.path.samefile(output.splitlines()[-1], folder):
        raise EngineMissing(
            "Blender's Python cannot make a virtual environment here: the interpreter in it does not work.",
            "Use an existing Python for the engine, or install Blender from blender.org.",
            f"{python}\n{output}",
        )
