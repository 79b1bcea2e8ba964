"""scripts/steps.py and scripts/test.py: what is counted, and that nothing that goes wrong is counted as passed."""
from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import steps  # noqa: E402
from steps import Outcome, Step  # noqa: E402

_PASSING = "def test_a(): pass\ndef test_b(): pass\n"


def run_pytest(tmp_path, code, **more):
    (tmp_path / "test_it.py").write_text(code, encoding="utf-8")
    junit = tmp_path / "it.xml"
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path / "test_it.py"),
               f"--junitxml={junit}")
    told = []
    outcome = steps.run(Step("unit", "unit", command, junit=junit, **more), tmp_path, tmp_path, told.append)
    return outcome, "\n".join(told)


def counts(outcome):
    return outcome.passed, outcome.failed, outcome.skipped


def test_tests_are_counted(tmp_path):
    code = _PASSING + "import pytest\ndef test_c(): assert 0\n@pytest.mark.skip\ndef test_d(): pass\n"
    assert counts(run_pytest(tmp_path, code)[0]) == (2, 1, 1)


def test_a_failure_is_shown_without_what_passed(tmp_path):
    told = run_pytest(tmp_path, _PASSING + "def test_c(): assert 'this' == 'that'\n")[1]
    assert "'this' == 'that'" in told and "test session starts" not in told


def test_a_crash_is_a_failure_with_the_logs_tail(tmp_path):
    code = _PASSING + "import os\ndef test_crash(): print('last words'); os.abort()\n"
    outcome, told = run_pytest(tmp_path, code)
    assert outcome.failed == 1
    assert "test_crash" in told


def test_a_crash_after_the_tests_is_a_failure_too(tmp_path):
    code = _PASSING + "import atexit, os\natexit.register(os.abort)\n"
    assert counts(run_pytest(tmp_path, code)[0]) == (2, 1, 0)


def test_no_tests_are_a_failure_unless_some_were_selected(tmp_path):
    assert counts(run_pytest(tmp_path, "")[0]) == (0, 1, 0)
    assert counts(run_pytest(tmp_path, "", may_be_empty=True)[0]) == (0, 0, 0)


def test_old_counts_are_never_taken_for_new_ones(tmp_path):
    assert counts(run_pytest(tmp_path, _PASSING)[0]) == (2, 0, 0)
    assert counts(run_pytest(tmp_path, "import os\nos.abort()\n")[0]) == (0, 1, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_hang_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "HEARTBEAT", 0.1)
    wait = "import threading; threading.Event().wait()"
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {wait!r}]); print(child.pid, flush=True); child.wait()"
    outcome = steps.run(Step("lint", "lint", (sys.executable, "-c", code), timeout=1.0), tmp_path, tmp_path, lambda text: None)
    assert counts(outcome) == (0, 1, 0)
    assert "limit" in outcome.note
    child = int((tmp_path / "lint.log").read_text())
    deadline = time.monotonic() + 10
    while running(child) and time.monotonic() < deadline:  # a kill is a request; the system carries it out when it comes to it
        time.sleep(0.01)
    assert not running(child)


def running(pid):
    """Whether the process still does anything; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_cannot_run_is_skipped_aloud_or_fails_in_ci(tmp_path):
    step = Step("window", "window 5.2", missing="Xvfb not found; install with: sudo apt-get install xvfb")
    for strict, expected in ((False, (0, 0, 1)), (True, (0, 1, 0))):
        told = []
        assert counts(steps.run(step, tmp_path, tmp_path, told.append, strict)) == expected
        assert "apt-get" in told[0]


def test_late_steps_run_after_the_others(tmp_path):
    order = tmp_path / "order"
    write = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    todo = [Step("x", name, (sys.executable, "-c", write, str(order), name), late=late)
            for name, late in (("w", True), ("a", False), ("v", True))]
    outcomes = steps.run_all(todo, tmp_path, tmp_path, lambda text: None, jobs=2, strict=True)
    assert [outcome.step.name for outcome in outcomes] == ["w", "a", "v"]
    assert order.read_text() in ("awv", "avw")


@pytest.mark.parametrize("skipped, line", [(0, "3 passed, 1 failed"), (2, "3 passed, 1 failed, 2 skipped")])
def test_closing_line(skipped, line):
    step = Step("unit", "unit")
    assert steps.closing([Outcome(step, passed=3), Outcome(step, failed=1, skipped=skipped)]) == line


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("sd_test_runner", SCRIPTS / "test.py")  # `test` is a module of Python's own
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def planned(runner, tmp_path, monkeypatch, *arguments):
    monkeypatch.setattr(runner.envs, "ensure", lambda env: env.executable)
    monkeypatch.setattr(runner, "missing_for_windows", lambda: "")
    return runner.Plan(runner.options(list(arguments)), tmp_path).steps()


def test_everything_is_run_by_default(runner, tmp_path, monkeypatch):
    names = [step.name for step in planned(runner, tmp_path, monkeypatch)]
    assert names == ["lint", "contracts", "docs", "unit", "engine", "blender 4.2", "blender 4.5", "blender 5.0", "blender 5.2",
                     "window 4.2", "window 5.2"]


def test_fast_leaves_out_blender_and_what_is_slow(runner, tmp_path, monkeypatch):
    todo = planned(runner, tmp_path, monkeypatch, "--fast")
    assert [step.name for step in todo] == ["lint", "contracts", "docs", "unit", "engine"]
    assert all("not slow" in step.command for step in todo[3:])


def test_one_layer_in_one_blender_with_arguments_for_pytest(runner, tmp_path, monkeypatch):
    step, = planned(runner, tmp_path, monkeypatch, "--layer", "blender", "--blender", "5.0", "-k", "commit", "--", "-x", "--durations=3")
    assert step.name == "blender 5.0" and step.may_be_empty
    assert step.command[-4:] == ("-k", "commit", "-x", "--durations=3")
    assert step.variables["SD_ENGINE_PYTHON"]


def test_a_blender_without_its_python_is_skipped_aloud(runner, tmp_path, monkeypatch):
    def ensure(env):
        if env.python == "3.13":
            raise runner.envs.PythonMissing("Python 3.13 was not found")
        return env.executable

    planned(runner, tmp_path, monkeypatch, "--fast")
    monkeypatch.setattr(runner.envs, "ensure", ensure)
    missing = {step.name: step.missing for step in runner.Plan(runner.options(["--layer", "blender"]), tmp_path).steps()}
    assert "3.13" in missing["blender 5.2"] and not missing["blender 4.2"]
