"""The kinds of tests: a file that imports torch or bpy says so by its folder or its `pytestmark`, and `-m` leaves it
unread."""
from __future__ import annotations

import ast
import subprocess
import sys

from tests.conftest import ROOT, TESTS, kind_of

HEAVY = {
    "bpy": "bpy", "bmesh": "bpy", "mathutils": "bpy", "torch": "torch", "diffusers": "torch", "transformers": "torch",
    "c2pa": "torch"}


def imported(source: str) -> set[str]:
    """The modules that a file imports as it is read, by the first part of their names."""
    names = [one.name for node in ast.parse(source).body if isinstance(node, ast.Import) for one in node.names]
    names += [node.module or "" for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_what_is_imported_is_what_the_marker_says():
    wrong = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        needed = {HEAVY[name] for name in imported(file.read_text(encoding="utf-8")) if name in HEAVY}
        if not needed <= {kind_of(file)}:
            wrong[file.relative_to(TESTS).as_posix()] = needed
    assert wrong == {}


def test_a_file_of_another_kind_is_not_even_read(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_bytes((TESTS / "conftest.py").read_bytes())
    broken = "raise SystemExit('this was imported')\n"
    (tmp_path / "tests" / "test_far.py").write_text(f"import pytest\npytestmark = pytest.mark.bpy\n{broken}",
                                                    encoding="utf-8")
    (tmp_path / "tests" / "scene").mkdir()
    (tmp_path / "tests" / "scene" / "test_near.py").write_text(broken, encoding="utf-8")
    (tmp_path / "tests" / "test_plain.py").write_text("def test_plain(): pass\n", encoding="utf-8")
    done = subprocess.run([
        sys.executable, "-m", "pytest", "-q", "-c",
        str(ROOT / "pyproject.toml"), "--rootdir",
        str(tmp_path), "-m", "not bpy and not torch",
        str(tmp_path / "tests")], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
