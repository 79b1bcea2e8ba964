"""Run every check of the project, from a fresh clone on: python scripts/test.py.

    python scripts/test.py                       all layers: lint, unit, engine, Blender 4.2 4.5 5.0 5.2, window 4.2 5.2
    python scripts/test.py --fast                lint, quick unit and engine tests; no Blender
    python scripts/test.py --layer blender --blender 5.0 -k commit
    python scripts/test.py --layer unit -- --durations=5     (what follows "--" goes to pytest)
    python scripts/test.py --windows             plain tests, one chain and the installation under Wine (windows.py)
    python scripts/test.py --complete            languages and command line in a complete Blender (scripts/complete.py)

It creates the environments that it needs (scripts/envs.py), writes a log for each step into out/test/, and ends with a
table and the line "N passed, N failed". What this machine lacks is named and skipped; with CI=true in the environment
it counts as a failure.
"""
from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import complete
import envs
import steps
import windows
from steps import Step

ROOT = envs.ROOT
LOGS = ROOT / "out" / "test"
LAYERS = ("lint", "unit", "engine", "blender", "window")
MARKS = {"engine": "torch", "blender": "bpy", "window": "window", "complete": "complete",
         "unit": "not torch and not bpy and not window and not complete"}  # layer -> pytest's -m
WINDOW_BLENDERS = ("4.2", "5.2")
WINDOWS_SKIPPED = 25  # tests that run on POSIX only, each with its reason
WINDOWS_SILENCE = 3600.0  # seconds for one test under Wine on a busy machine: it unpacks and loads 1 GB of libraries
WINDOW_TOOLS = {"Xvfb": "xvfb", "openbox": "openbox", "xdotool": "xdotool", "nm": "binutils",
                "objdump": "binutils"}  # program -> Debian package


def options(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line; everything after "--" becomes `pytest`."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    own, extra = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(description="Run the project's checks and tests.")
    parser.add_argument(
        "--fast", action="store_true", help="lint, import contracts, types and the quick tests without Blender"
    )
    parser.add_argument("--layer", action="append", choices=LAYERS, help="only this layer (repeatable)")
    parser.add_argument(
        "--blender", action="append", choices=tuple(envs.BLENDERS), help="only this Blender (repeatable)"
    )
    parser.add_argument(
        "--windows", action="store_true", help="the plain tests and one chain under Wine, as on Windows"
    )
    parser.add_argument(
        "--complete", action="store_true", help="the languages and the command line in a complete Blender"
    )
    parser.add_argument("-k", metavar="EXPR", default="", help="only tests whose names match, as pytest's -k")
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(2, os.cpu_count() or 1),
        help="steps that run in parallel (default: %(default)s)",
    )
    chosen = parser.parse_args(own)
    alone = chosen.fast + chosen.windows + chosen.complete
    if alone > 1 or alone and (chosen.layer or chosen.blender):
        parser.error("--fast, --windows and --complete choose their layers themselves")
    chosen.pytest = extra
    return chosen


class Plan:
    """Turn the options into steps, and create the environments for them: the default one with `make`, the others
    meanwhile, each before its first step."""

    def __init__(self, chosen: argparse.Namespace, scratch: Path) -> None:
        self.chosen = chosen
        self.scratch = scratch
        self.default = envs.default_env()
        self.python = str(self.default.executable)
        self._maker = ThreadPoolExecutor(max_workers=1)  # one beside the default environment: the machine has two cores
        self._made: dict[envs.Env, Future] = {self.default: Future()}
        self.tiny_models = scratch / "tiny models"
        self.narrowed = bool(chosen.k or chosen.pytest)

    def steps(self) -> list[Step]:
        if self.chosen.fast:
            layers: tuple[str, ...] = ("lint", "unit", "engine")
        elif self.chosen.windows:
            layers = ("windows",)
        elif self.chosen.complete:
            layers = ("complete",)
        else:
            layers = tuple(layer for layer in LAYERS if layer in (self.chosen.layer or LAYERS))
            if self.chosen.blender and not self.chosen.layer:
                layers = ("blender", "window")
        return [step for layer in layers for step in getattr(self, layer)()]

    def make(self) -> None:
        """Create the default environment, which all steps need. Raise EnvError."""
        self._made[self.default].set_result(envs.ensure(self.default))

    def _waits_for(self, env: envs.Env) -> Callable[[], object]:
        """Begin to create an environment. Return a call that ends when it is there."""
        if env not in self._made:
            self._made[env] = self._maker.submit(envs.ensure, env)
        return self._made[env].result

    def lint(self) -> list[Step]:
        types = envs.types_env()
        contracts = Path(self.python).with_name("lint-imports.exe" if envs.WINDOWS else "lint-imports")
        return [
            Step("lint", "lint", (self.python, "-m", "ruff", "check", "--no-cache", "--output-format=concise", ".")),
            Step(
                "lint",
                "contracts",
                (str(contracts), "--no-cache", "--no-logo"),
                {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            ),
            Step("lint", "types", (str(types.executable), "-m", "mypy"), prepare=self._waits_for(types)),
            Step("lint", "docs", (self.python, "scripts/docs.py", "--output", str(self.scratch / "docs"))),
        ]

    def unit(self) -> list[Step]:
        return [self._pytest("unit", "unit", self.python)]

    def engine(self) -> list[Step]:
        return [self._pytest("engine", "engine", self.python)]

    def blender(self) -> list[Step]:
        return [self._in_blender("blender", blender) for blender in self.chosen.blender or envs.BLENDERS]

    def window(self) -> list[Step]:
        return [self._in_blender("window", blender) for blender in self.chosen.blender or WINDOW_BLENDERS]

    def windows(self) -> list[Step]:
        """Return the steps under Wine. They run one after the other, since each waits for the lock."""
        missing = windows.missing()
        if missing:
            return [Step("windows", "windows", missing=missing)]
        python = (self.python, "scripts/windows.py", "--share", str(self.scratch))
        chain = [
            self._pytest(
                "windows",
                name,
                *python,
                variables={"SD_EXTENSION_ZIP": f"Z:{self.scratch / 'extension.zip'}", **variables},
                tests="tests/test_installed_picture.py",
                most_skipped=0,
            )
            for name, variables in (
                ("windows chain", {"SD_ENGINE_PYTHON": windows.PYTHON_EXE}),
                ("windows set-up", {"SD_SETUP_WHEELS": windows.OFFER}),
            )
        ]
        return [self._pytest("windows", "windows unit", *python, marks=MARKS["unit"], most_skipped=WINDOWS_SKIPPED),
                *(dataclasses.replace(step, silence=WINDOWS_SILENCE) for step in chain)]

    def complete(self) -> list[Step]:
        missing = complete.missing() or missing_for_windows()
        if missing:
            return [Step("complete", "complete", missing=missing)]
        step = self._pytest(
            "complete",
            "complete",
            self.python,
            variables={"SD_EXTENSION_ZIP": str(self.scratch / "extension.zip")},
            most_skipped=0,
        )
        return [dataclasses.replace(step, silence=complete.MAKING)]

    def _in_blender(self, layer: str, blender: str) -> Step:
        name = f"{layer} {blender}"
        env = envs.blender_env(blender)
        missing = missing_for_windows() if layer == "window" else ""
        missing = missing or envs.lacks_python(env)
        if missing:
            return Step(layer, name, missing=missing)
        python, prepare = str(env.executable), self._waits_for(env)
        older = not self.chosen.blender and blender != tuple(envs.BLENDERS)[-1]
        marks = f"{MARKS[layer]} and not newest" if older else MARKS[layer]
        variables = {"SD_ENGINE_PYTHON": self.python, "SD_EXTENSION_ZIP": str(self.scratch / "extension.zip"),
                     "SD_TINY_MODELS": str(self.tiny_models)}
        if layer == "blender":
            return self._pytest(layer, name, python, variables=variables, marks=marks, prepare=prepare)
        variables |= {"SD_WINDOW_PYTHON": python, "SD_WINDOW_BLENDER": blender}
        return self._pytest(layer, name, self.python, variables=variables, marks=marks, prepare=prepare, late=True,
                            retried=True)

    def _pytest(self, layer: str, name: str, *python: str, variables: dict[str, str] | None = None, late: bool = False,
                tests: str = "tests", marks: str = "", most_skipped: int | None = None,
                prepare: Callable[[], object] | None = None, retried: bool = False) -> Step:
        junit = self.scratch / f"{name.replace(' ', '-')}.xml"
        command = [*python, "-m", "pytest", tests, "-v", "--tb=short", f"--junitxml={junit}"]
        marks = " and ".join(filter(None, (marks or MARKS.get(layer, ""), "not slow" if self.chosen.fast else "")))
        if marks:
            command += ["-m", marks]
        if self.chosen.k:
            command += ["-k", self.chosen.k]
        user = self.scratch / f"user-{name.replace(' ', '-')}"  # Blender's settings, never your own
        user.mkdir()
        return Step(
            layer,
            name,
            (*command, *self.chosen.pytest),
            {"BLENDER_USER_RESOURCES": str(user), **(variables or {})},
            junit,
            may_be_empty=self.narrowed,
            late=late,
            most_skipped=most_skipped,
            prepare=prepare,
            retried=tests if retried else "",
        )


def missing_for_windows() -> str:
    """Return what this machine lacks for the window tests and what to do about it; "" if nothing is missing."""
    if not sys.platform.startswith("linux"):
        return "window tests drive Blender under Xvfb, which needs Linux"
    absent = [tool for tool in WINDOW_TOOLS if shutil.which(tool) is None]
    packages = dict.fromkeys(name for tool in absent for name in WINDOW_TOOLS[tool].split())
    return (
        f"{', '.join(absent)} not found; install with: sudo apt-get install -y {' '.join(packages)}" if absent else ""
    )


def build(plan: Plan, todo: list[Step]) -> list[steps.Outcome]:
    """Build, as steps of their own and if any step uses them, the zip that the Blender and window tests install, and
    the tiny models that both paint with."""
    layers = {step.layer for step in todo if not step.missing}
    outcomes = []
    if layers & {"blender", "window", "windows", "complete"}:
        folder = plan.scratch / "built"
        command = (plan.python, "scripts/build.py", "--output", str(folder))
        outcomes.append(steps.run(Step("build", "build", command), LOGS, ROOT, say))
        for archive in folder.glob("*.zip"):
            archive.replace(plan.scratch / "extension.zip")
    if layers & {"blender", "window"}:
        command = (plan.python, "-m", "tests.support.tiny_models", str(plan.tiny_models))
        outcomes.append(steps.run(Step("build", "tiny models", command), LOGS, ROOT, say))
    return outcomes


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    chosen = options(sys.argv[1:])
    strict = os.environ.get("CI", "").lower() in ("1", "true")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="blender_sd_test_", ignore_cleanup_errors=True) as folder:
        try:
            plan = Plan(chosen, Path(folder))
            todo = plan.steps()
            plan.make()
        except envs.EnvError as error:
            print(f"error: {error}\n0 passed, 1 failed")
            return 1
        LOGS.mkdir(parents=True, exist_ok=True)
        outcomes = build(plan, todo)
        outcomes += steps.run_all(todo, LOGS, ROOT, say, chosen.jobs, strict)
    print(f"\n{steps.table(outcomes)}\n\nlogs: {LOGS}, {time.monotonic() - started:.0f} s in all")
    print(steps.closing(outcomes))
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
