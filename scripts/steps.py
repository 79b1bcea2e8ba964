"""Run the steps of scripts/test.py. A step is a process with a log, a limit on its silence, and counts at its end.

A step that dies (a segfault of bpy, a kill, a hang) counts as a failure and shows the end of its log. A step may give
the tests that failed a second try, and then names those that needed it. Standard library only.
"""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from envs import EnvError

NO_TESTS = 5  # pytest's exit status if no test was collected
SECOND_TRY = "SD_SECOND_TRY"  # set to "1" in the environment of a second try
HEARTBEAT = 30.0  # seconds between two signs of life of a long step
TAIL = 60  # lines of a failed step's log that are shown

Log = Callable[[str], None]
_RUNNING: set[subprocess.Popen] = set()


@dataclass(frozen=True)
class Step:
    """Describe one process.

    Attributes:
        layer, name: Its layer and its own name.
        command, variables: The command, and additions to the environment.
        junit: Where pytest writes its counts; None for a plain check, which counts as one test.
        silence: Seconds without output after which the step is ended. The whole step may take as long as it needs.
        missing: Why the step cannot run on this machine, "" if it can.
        may_be_empty: Whether finding no test is fine, because a selection was requested.
        late: Whether it starts only after the others have ended, together with the other late ones.
        most_skipped: How many of its tests may be skipped; more are a failure. None for any number.
        prepare: Brings about what the command needs, such as an environment, before it is started. May raise EnvError.
        retried: The argument of `command` that names the tests. The modules of tests that failed take its place in a
            second run, since the tests of a module build on each other. "" for no second try.
    """

    layer: str
    name: str
    command: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    junit: Path | None = None
    silence: float = 600.0  # more than one window test needs on a machine three times as busy
    missing: str = ""
    may_be_empty: bool = False
    late: bool = False
    most_skipped: int | None = None
    prepare: Callable[[], object] | None = None
    retried: str = ""


@dataclass(frozen=True)
class Outcome:
    """Say how a step ended. `note`: what went wrong besides failing tests, or why it was skipped."""

    step: Step
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""


def run_all(steps: Iterable[Step], logs: Path, cwd: Path, log: Log, jobs: int, strict: bool) -> list[Outcome]:
    """Run the steps, up to `jobs` in parallel, those marked `late` after the others. Return the outcomes in the steps'
    order.

    `strict`: a step that cannot run here counts as failed instead of skipped.
    """
    steps = list(steps)
    logs.mkdir(parents=True, exist_ok=True)
    outcomes: dict[int, Outcome] = {}

    def work(index: int) -> None:
        outcomes[index] = run(steps[index], logs, cwd, log, strict)

    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    try:
        for late in (False, True):
            list(pool.map(work, [index for index, step in enumerate(steps) if step.late == late]))
    finally:  # Ctrl-C does not reach the processes of the steps, which have their own sessions
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(_RUNNING):
            end_tree(process)
    return [outcomes[index] for index in range(len(steps))]


def run(step: Step, logs: Path, cwd: Path, log: Log, strict: bool = False) -> Outcome:
    """Run one step to its end and report through `log`."""
    if step.missing:
        log(f"{step.name}: {'CANNOT RUN' if strict else 'SKIPPED'}: {step.missing}")
        return Outcome(step, failed=int(strict), skipped=int(not strict), note=step.missing)
    try:
        if step.prepare is not None:
            step.prepare()
    except EnvError as error:
        log(f"{step.name}: CANNOT RUN: {error}")
        return Outcome(step, failed=1, note=str(error).partition("\n")[0])
    log(f"{step.name}: started")
    path = logs / f"{step.name.replace(' ', '-')}.log"
    if step.junit is not None:
        step.junit.unlink(missing_ok=True)
    started = time.monotonic()
    status, note = _watch(step, path, cwd, log)
    seconds = time.monotonic() - started
    passed, failed, skipped, verdict = count(step, status)
    outcome = Outcome(step, passed, failed, skipped, seconds, note or verdict)
    tail = f"\n{failure_in(path)}\n" if failed else ""
    log(f"{tail}{step.name}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.0f} s"
        + (f": {outcome.note}" if outcome.note else "") + (f" (log: {path})" if failed else ""))
    return _second_try(outcome, logs, cwd, log) if failed and step.retried else outcome


def _second_try(first: Outcome, logs: Path, cwd: Path, log: Log) -> Outcome:
    """Run the modules of a step's failed tests once more, in a new process with a log of its own. Return the outcome of
    both runs: a test that passes now is counted as passed and named; one that fails twice has failed."""
    step = first.step
    failed = [test for test, verdict in read_tests(step.junit).items() if verdict == "failed"]
    if not failed:
        return first  # the process itself failed
    modules = dict.fromkeys(test.partition("::")[0] for test in failed)
    at = step.command.index(step.retried)
    junit = step.junit.with_name(f"{step.junit.stem}-second-try.xml")
    command = [argument.replace(str(step.junit), str(junit)) for argument in step.command]
    second = run(replace(step, name=f"{step.name} second try", command=(*command[:at], *modules, *command[at + 1:]),
                         junit=junit, variables={**step.variables, SECOND_TRY: "1"}, retried=""), logs, cwd, log)
    verdicts = read_tests(junit)
    saved = [test for test in failed if verdicts.get(test) == "passed"]
    note = "; ".join(filter(None, (first.note, f"passed on the second try: {', '.join(saved)}" if saved else "")))
    left = len(failed) - len(saved) + bool(first.note)  # a note: the process failed beside its tests
    return replace(first, passed=first.passed + len(saved), failed=left, seconds=first.seconds + second.seconds,
                   note=note)


def _watch(step: Step, path: Path, cwd: Path, log: Log) -> tuple[int, str]:
    """Return the exit status of the step's process, and a note if it had to be ended."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", **step.variables}
    with open(path, "wb") as output:
        process = subprocess.Popen(step.command, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=os.name != "nt")
        _RUNNING.add(process)
        started = heard = time.monotonic()
        size = 0
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(min(HEARTBEAT, step.silence)), ""
                now, before, size = time.monotonic(), size, path.stat().st_size
                if size != before:
                    heard = now
                elif now - heard >= step.silence:
                    return -int(signal.SIGTERM), f"ended: no output for {now - heard:.0f} s"
                log(f"{step.name}: {now - started:.0f} s … {tail_of(path, 1)[:110]}")
        finally:
            end_tree(process)
            _RUNNING.discard(process)


def end_tree(process: subprocess.Popen) -> None:
    """End a process that was started in a session of its own, and everything that it started."""
    if os.name == "nt":
        if process.poll() is None:
            subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def count(step: Step, status: int) -> tuple[int, int, int, str]:
    """Return (passed, failed, skipped, note) for a step that ended with `status`."""
    if step.junit is None:
        return int(status == 0), int(status != 0), 0, ""
    if status == NO_TESTS:
        return (0, 0, 0, "nothing selected") if step.may_be_empty else (0, 1, 0, "no tests were found")
    counted = read_junit(step.junit)
    if counted is None:
        return 0, 1, 0, f"the process ended {how(status)} before its tests did"
    passed, failed, skipped = counted
    if status not in (0, 1) or (status == 1 and failed == 0):
        return passed, failed + 1, skipped, f"the process ended {how(status)} after its tests"
    if step.most_skipped is not None and skipped > step.most_skipped:
        return passed, failed + 1, skipped, f"{skipped} tests were skipped; {step.most_skipped} may be"
    return passed, failed, skipped, ""


def how(status: int) -> str:
    """Return an exit status in words: "with status 3", "by SIGSEGV"."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-status).name}"
    return f"with status {status}"


def read_junit(path: Path) -> tuple[int, int, int] | None:
    """Return (passed, failed, skipped) from pytest's JUnit file; None if it is missing or incomplete."""
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return None
    total, failures, errors, skipped = (sum(int(suite.get(key, 0)) for suite in suites)
                                        for key in ("tests", "failures", "errors", "skipped"))
    return total - failures - errors - skipped, failures + errors, skipped


def read_tests(path: Path) -> dict[str, str]:
    """Return "passed", "failed" or "skipped" by test ("tests/window/test_panel.py::test_preferences") from pytest's
    JUnit file; nothing if it is missing or incomplete."""
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return {}
    verdicts: dict[str, str] = {}
    for case in cases:
        test = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '')}"
        results = {child.tag for child in case}
        verdict = "failed" if results & {"failure", "error"} else "skipped" if "skipped" in results else "passed"
        if verdicts.get(test) != "failed":  # a test stands there twice if its clean-up fails too
            verdicts[test] = verdict
    return verdicts


def tail_of(path: Path, lines: int = TAIL) -> str:
    """Return the last lines of a log that are not empty."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def failure_in(path: Path) -> str:
    """Return the useful part of a failed step's log: pytest's own list of failures, or else the last lines."""
    failures = re.search(r"^=+ (FAILURES|ERRORS) =+$.*", tail_of(path, 10 * TAIL), re.MULTILINE | re.DOTALL)
    return failures[0] if failures else tail_of(path)


def table(outcomes: list[Outcome]) -> str:
    """Return a table with a row for each step."""
    width = max([len(outcome.step.name) for outcome in outcomes] + [5])
    rows = [f"{'layer':{width}}  passed  failed  skipped  seconds"]
    for outcome in outcomes:
        rows.append(
            f"{outcome.step.name:{width}}  {outcome.passed:6}  {outcome.failed:6}  {outcome.skipped:7}"
            f"  {outcome.seconds:7.1f}"
            + (f"  {outcome.note}" if outcome.note else "")
        )
    return "\n".join(rows)


def closing(outcomes: list[Outcome]) -> str:
    """Return the line with the totals: "12 passed, 0 failed" or "12 passed, 0 failed, 1 skipped"."""
    passed, failed, skipped = (
        sum(getattr(outcome, key) for outcome in outcomes) for key in ("passed", "failed", "skipped")
    )
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
