"""The pages name files that exist."""
from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = "addon|cli|calls|scene|session|engine|workers|library|geometry|protocol|core"
NAMED = re.compile(rf"`((?:blender_sd|scripts|tests|docs|\.ci|{PACKAGES})/[\w./-]*)`")
ELSEWHERE = {
    "cli/", "geometry/",  # to come
    "scripts/requirements/bpy-X.Y.txt",  # a pattern
    "scripts/presets/blender_sd",  # in Blender's folder for the person's scripts
}


def test_files_named_on_pages_exist():
    missing = []
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]):
        for name in sorted(set(NAMED.findall(page.read_text(encoding="utf-8"))) - ELSEWHERE):
            if not (ROOT / name).exists() and not (ROOT / "blender_sd" / name).exists():
                missing.append(f"{page.relative_to(ROOT)}: {name}")
    assert not missing, "\n".join(missing)
