"""Rules of Blender that no test of behaviour can catch reliably, held by reading the source."""
from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "blender_sd"


def operators_in_overrides(source: str) -> list[int]:
    """The lines that call an operator within a `with … temp_override(…)` block."""
    found = []
    for block in ast.walk(ast.parse(source)):
        if isinstance(block, ast.With) and any("temp_override" in ast.unparse(item.context_expr)
                                               for item in block.items):
            found += [call.lineno for part in block.body for call in ast.walk(part)
                      if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("bpy.ops.")]
    return found


def test_the_rule_sees_what_it_looks_for():
    source = "with bpy.context.temp_override(window=w):\n    if bpy.ops.ed.undo_push(message='x'):\n        pass"
    assert operators_in_overrides(source) == [2]


def test_no_operator_in_a_context_override():
    """Blender on Python 3.11 crashes there while another thread runs Python: see `scene.compat.in_window`."""
    sources = {
        file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(PACKAGE.rglob("*.py"))}
    assert len(sources) > 150
    found = {name: operators_in_overrides(source) for name, source in sources.items() if "temp_override" in source}
    assert {name: lines for name, lines in found.items() if lines} == {}
