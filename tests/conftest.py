"""What all tests share: their kinds, private folders, and Blender's factory file.

A kind is a marker: what a test needs beyond Python and numpy. A folder has one, and a file of another folder names its
own in `pytestmark`. `-m` decides before a file is imported: what it leaves out loads neither torch nor bpy.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.support.blender import camera_scene, cube, fresh_file  # noqa: F401  (fixtures)

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
# folder -> marker
KINDS = {"engine": "torch", "scene": "bpy", "addon": "bpy", "window": "window", "complete": "complete"}

if "BLENDER_USER_RESOURCES" not in os.environ:  # before any test imports bpy; scripts/test.py has set it
    _user = tempfile.TemporaryDirectory(prefix="blender_user_", ignore_cleanup_errors=True)
    os.environ["BLENDER_USER_RESOURCES"] = _user.name


_base = tempfile.TemporaryDirectory(prefix="blender_sd_base_", ignore_cleanup_errors=True)
os.environ["SD_BASE"] = os.path.join(_base.name, "base")


def kind_of(path: Path) -> str:
    """Return the marker of a test file or a folder: its folder's, or the one in its `pytestmark`; "" without any."""
    inside = path.relative_to(TESTS).parts if path.is_relative_to(TESTS) else ()
    if inside and inside[0] in KINDS:
        return KINDS[inside[0]]
    named = re.search(r"^pytestmark = .*\bpytest\.mark\.(torch|bpy)\b", path.read_text(
        encoding="utf-8"), re.M) if path.is_file() else None
    return named[1] if named else ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, unread, what `-m` would deselect after importing it."""
    if not config.option.markexpr or collection_path.suffix not in ("", ".py"):
        return None
    kind, wanted = kind_of(collection_path), Expression.compile(config.option.markexpr)
    if collection_path.is_dir() and not kind:
        return None
    fits = [
        wanted.evaluate(lambda name, slow=slow, **_: name == kind or name == "slow" and slow) for slow in (False, True)]
    return None if any(fits) else True


def pytest_itemcollected(item: pytest.Item) -> None:
    folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
    if folder in KINDS:
        item.add_marker(KINDS[folder])


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built extension: the one that scripts/test.py names in SD_EXTENSION_ZIP, else one built now."""
    named = os.environ.get("SD_EXTENSION_ZIP")
    if named:
        return Path(named)
    folder = tmp_path_factory.mktemp("extension")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "build.py"), "--output", str(folder)], check=True)
    return next(folder.glob("*.zip"))


_status = 0


def pytest_sessionfinish(exitstatus: int) -> None:
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End a run with bpy without Python's clean-up. The bpy module frees its editors when it is itself freed; where a
    test run still holds it then, 4.2 crashes and 4.5 hangs in their destructors, after all tests are done and
    reported."""
    if "bpy" in sys.modules:
        _base.cleanup()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status)
