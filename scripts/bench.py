"""Measure a figure that the project promises: python scripts/bench.py NAME; `--list` names the benches.

Every module `scripts/benches/NAME.py` has `DESCRIPTION: str` and `run(log: Callable[[str], None]) -> dict`. A long one
may have `PARTS: tuple[str, ...]`; its `run(log, parts)` then measures only those, for `bench.py NAME PART…`. It returns

    {"figures": {name: number, …}, "bars": {name: {"value": 3.1, "bar": "<= 10", "holds": True}, …}}

Progress goes to stderr. The last line of stdout is JSON: {"name", "ok", "figures", "bars"}, or {"name", "ok": false,
"error"} where the bench itself failed. The exit status is 0 only if every bar holds.
"""
from __future__ import annotations

import argparse
import ast
import importlib
import json
import sys
import time
import traceback
from pathlib import Path

import envs

BENCHES = Path(__file__).resolve().parent / "benches"


def available(folder: Path = BENCHES) -> dict[str, str]:
    """Return name -> description of every bench, read from the source: listing imports neither torch nor bpy."""
    return {path.stem: _description(path) for path in sorted(folder.glob("[!_]*.py")) if _description(path)}


def _description(path: Path) -> str:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "DESCRIPTION" for target in targets):
            return ast.literal_eval(node.value)
    return ""  # a helper shared by benches


def measure(name: str, parts: list[str]) -> dict:
    """Run the bench `name`, or only some of its parts, and return the object of the last line."""
    started = time.monotonic()

    def log(text: str) -> None:
        print(f"[{name} {time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    try:
        module = importlib.import_module(f"benches.{name}")
        known = getattr(module, "PARTS", ())
        if unknown := [part for part in parts if part not in known]:
            raise ValueError(f"there is no part '{unknown[0]}'; the parts are: {', '.join(known) or 'none'}")
        report = module.run(log, parts or known) if known else module.run(log)
        holds = all(bar["holds"] for bar in report["bars"].values())
        return {"name": name, "ok": holds, "figures": report["figures"], "bars": report["bars"]}
    except Exception as error:  # a bench that breaks has a result too
        traceback.print_exc()
        return {"name": name, "ok": False, "error": f"{type(error).__name__}: {error}"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure one figure of the project.")
    parser.add_argument("name", nargs="?", help="which bench")
    parser.add_argument("parts", nargs="*", help="only these parts of it, where it has parts")
    parser.add_argument("--list", action="store_true", help="name all benches and exit")
    arguments = parser.parse_args()
    benches = available()
    if arguments.list:
        for name, description in benches.items():
            print(f"{name:12} {description}")
        return 0
    if arguments.name not in benches:
        parser.error(f"choose a bench: {', '.join(benches) or 'there is none'}")
    envs.run_inside()
    sys.path.insert(0, str(envs.ROOT))  # for blender_sd; scripts/ is on the path already
    result = measure(arguments.name, arguments.parts)
    for name, bar in result.get("bars", {}).items():
        print(f"{'holds' if bar['holds'] else 'FAILS'}  {name}: {bar['value']} (bar: {bar['bar']})", file=sys.stderr)
    sys.stderr.flush()
    print(json.dumps(result, default=float), flush=True)
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
