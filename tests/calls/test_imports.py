"""The calls load in any Python: Blender's side is imported by the function that needs it."""
from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CALLS = ROOT / "blender_sd" / "calls"


def at_import(tree: ast.Module) -> list[str]:
    """Return the names of what a module imports when it is imported itself."""
    names = []
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)
    return names


def test_bpy_and_scene_are_imported_inside_functions_only():
    blender = ("bpy", "bmesh", "mathutils", "gpu")
    offenders = [(file.name, name) for file in sorted(CALLS.glob("*.py"))
                 for name in at_import(ast.parse(file.read_text(encoding="utf-8")))
                 if name.split(".")[0] in blender or name.startswith(("..scene", "...scene"))]
    assert offenders == []


def test_every_public_call_loads_without_blender():
    code = ("import sys\nsys.modules['bpy'] = None\nimport blender_sd as sd\n"
            "for name in sd.__all__:\n    getattr(sd, name)\n"
            "bad = {'torch', 'diffusers'} & set(sys.modules)\nsys.exit(repr(bad) if bad else 0)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
