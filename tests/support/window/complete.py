"""A complete Blender, made by scripts/complete.py, in a window as tall as the whole tab."""
from __future__ import annotations

import sys
from pathlib import Path

from tests.support.window.harness import OPENER, BlenderWindow

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, str(ROOT / "scripts" / "complete.py"))
SHOTS = ROOT / "out" / "complete"


class CompleteWindow(BlenderWindow):
    """A complete Blender's window. `share`: a folder that it sees too, beside its own."""

    size = (1000, 4200)

    def __init__(self, share: Path, archives: list[Path], shots: Path) -> None:
        super().__init__(str(share), archives, shots)

    def _click_tab(self, name: str, kind: str) -> bool:
        """What this Blender shows cannot be read: the tab is opened by script."""
        left, _top, _right, _bottom = self.area(kind)["box"]
        self.run_script(f"""
area = next(a for a in bpy.context.window.screen.areas if a.x == {left} and a.ui_type == {kind!r})
next(region for region in area.regions if region.type == "UI").active_panel_category = {name!r}
""")
        return self.area(kind)["tab"] == name

    def _opener(self, python: str) -> list[str]:
        return [*PROGRAM, "--share", str(self.folder), "--share", python, "--python", str(OPENER), "--"]
