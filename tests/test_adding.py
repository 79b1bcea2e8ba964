"""Adding stays cheap: a setting touches at most 5 source files, a task at most 6 (docs/architecture.md)."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "blender_sd"


def naming(pattern: str) -> list[str]:
    """Return the source files that name a setting or task, besides translations."""
    return [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))
            if "translations" not in path.parts and re.search(pattern, path.read_text("utf-8"))]


@pytest.mark.parametrize(("pattern", "most"), [
    (r"clip_skip", 5),
    (r"seed_walk|SeedWalk|SEED_WALK", 6),
])
def test_how_many_files_name_it(pattern, most):
    named = naming(pattern)
    assert 1 < len(named) <= most, named
