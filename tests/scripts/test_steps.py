"""scripts/steps.py and scripts/test.py: what is counted, and that nothing that goes wrong is counted as passed."""
from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path

import pytest

import envs
import steps
from steps import Outcome, Step

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

_PASSING = "def test_a(): pass\ndef test_b(): pass\n"


def run_pytest(tmp_path, code, **more):
    (tmp_path / "test_it.py").write_text(code, encoding="utf-8")
    junit = tmp_path / "it.xml"
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path),
               str(tmp_path / "test_it.py"), f"--junitxml={junit}")
    lines = []
    outcome = steps.run(Step("unit", "unit", command, junit=junit, **more), tmp_path, tmp_path, lines.append)
    return outcome, "\n".join(lines)


def counts(outcome):
    return outcome.passed, outcome.failed, outcome.skipped


@pytest.mark.slow
def test_tests_are_counted(tmp_path):
    code = _PASSING + "import pytest\ndef test_c(): assert 0\n@pytest.mark.skip\ndef test_d(): pass\n"
    assert counts(run_pytest(tmp_path, code)[0]) == (2, 1, 1)


@pytest.mark.slow
def test_a_failure_is_shown_without_what_passed(tmp_path):
    lines = run_pytest(tmp_path, _PASSING + "def test_c(): assert 'this' == 'that'\n")[1]
    assert "'this' == 'that'" in lines and "test session starts" not in lines


@pytest.mark.slow
def test_a_crash_is_a_failure_with_the_logs_tail(tmp_path):
    code = _PASSING + "import os\ndef test_crash(): print('last words'); os.abort()\n"
    outcome, lines = run_pytest(tmp_path, code)
    assert outcome.failed == 1
    assert "test_crash" in lines


@pytest.mark.slow
def test_a_crash_after_the_tests_is_a_failure_too(tmp_path):
    code = _PASSING + "import atexit, os\natexit.register(os.abort)\n"
    assert counts(run_pytest(tmp_path, code)[0]) == (2, 1, 0)


_FIRST_TRY = "import os\nfirst = 'SD_SECOND_TRY' not in os.environ\n"
# a clicks, b needs what a did and loses its click; the clean-up of d fails too
_CLICKS = _FIRST_TRY + """
import pytest
done = []
@pytest.fixture
def clean():
    yield
    assert not first
def test_a(): done.append("a")
def test_b(): assert done == ["a"] and not first
def test_c(): assert 0, "always"
def test_d(clean): assert not first
"""


@pytest.mark.slow
def test_a_test_that_fails_once_passes_by_name_and_one_that_fails_twice_fails(tmp_path):
    outcome, printed = run_pytest(tmp_path, _CLICKS, retried=str(tmp_path / "test_it.py"))
    assert counts(outcome) == (3, 1, 0)
    assert outcome.note == "passed on the second try: test_it.py::test_b, test_it.py::test_d"
    assert outcome.note in steps.table([outcome])
    assert "first" in (tmp_path / "unit.log").read_text() and "always" in (tmp_path / "unit-second-try.log").read_text()
    assert counts(run_pytest(tmp_path, _CLICKS)[0]) == (1, 4, 0), "only steps that ask for it get a second try"


@pytest.mark.slow
def test_a_second_try_that_breaks_saves_nothing(tmp_path):
    code = _FIRST_TRY + "def test_a(): assert not first\ndef test_b(): first or os.abort()\n"
    outcome, printed = run_pytest(tmp_path, code, retried=str(tmp_path / "test_it.py"))
    assert counts(outcome) == (1, 1, 0) and not outcome.note


@pytest.mark.slow
def test_a_crash_beside_a_failed_test_is_not_forgiven(tmp_path):
    code = _FIRST_TRY + "import atexit\nif first: atexit.register(os.abort)\ndef test_a(): assert not first\n"
    outcome, printed = run_pytest(tmp_path, code, retried=str(tmp_path / "test_it.py"))
    assert counts(outcome) == (1, 1, 0)
    assert "the process ended" in outcome.note and "test_a" in outcome.note


@pytest.mark.slow
def test_no_tests_are_a_failure_unless_some_were_selected(tmp_path):
    assert counts(run_pytest(tmp_path, "")[0]) == (0, 1, 0)
    assert counts(run_pytest(tmp_path, "", may_be_empty=True)[0]) == (0, 0, 0)


@pytest.mark.slow
def test_old_counts_are_never_taken_for_new_ones(tmp_path):
    assert counts(run_pytest(tmp_path, _PASSING)[0]) == (2, 0, 0)
    assert counts(run_pytest(tmp_path, "import os\nos.abort()\n")[0]) == (0, 1, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_hang_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "HEARTBEAT", 0.1)
    wait = "import threading; threading.Event().wait()"
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {wait!r}]); print(child.pid, flush=True); child.wait()"  # noqa: E501
    outcome = steps.run(Step("lint", "lint", (sys.executable, "-c", code), silence=1.0), tmp_path, tmp_path,
                        lambda text: None)
    assert counts(outcome) == (0, 1, 0)
    assert "no output" in outcome.note
    child = int((tmp_path / "lint.log").read_text())
    deadline = time.monotonic() + 10
    # a kill is a request; the system carries it out when it comes to it
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(child)


def test_a_step_that_keeps_talking_may_take_its_time(tmp_path, monkeypatch):
    """The process ends when it has been watched for five times its limit, on the watcher's own clock."""
    now, waits = [0.0], []
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])

    class Talking:
        pid = 0

        def __init__(self, command, **given):
            self.output = given["stdout"]

        def wait(self, timeout=None):
            if len(waits) == 5:
                return 0
            waits.append(timeout)
            now[0] += timeout
            self.output.write(b"a test passed\n")
            self.output.flush()
            raise steps.subprocess.TimeoutExpired("talking", timeout)

    monkeypatch.setattr(steps.subprocess, "Popen", Talking)
    monkeypatch.setattr(steps, "end_tree", lambda process: None)
    outcome = steps.run(Step("lint", "lint", ("talking",), silence=20.0), tmp_path, tmp_path, lambda text: None)
    assert counts(outcome) == (1, 0, 0) and now[0] == 100.0


def running(pid):
    """Whether the process still does anything; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_cannot_run_is_skipped_aloud_or_fails_in_ci(tmp_path):
    step = Step("window", "window 5.2", missing="Xvfb not found; install with: sudo apt-get install xvfb")
    for strict, expected in ((False, (0, 0, 1)), (True, (0, 1, 0))):
        lines = []
        assert counts(steps.run(step, tmp_path, tmp_path, lines.append, strict)) == expected
        assert "apt-get" in lines[0]


def test_late_steps_run_after_the_others(tmp_path):
    order = tmp_path / "order"
    write = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    todo = [Step("x", name, (sys.executable, "-c", write, str(order), name), late=late)
            for name, late in (("w", True), ("a", False), ("v", True))]
    outcomes = steps.run_all(todo, tmp_path, tmp_path, lambda text: None, jobs=2, strict=True)
    assert [outcome.step.name for outcome in outcomes] == ["w", "a", "v"]
    assert order.read_text() in ("awv", "avw")


@pytest.mark.slow
def test_more_skipped_tests_than_allowed_are_a_failure(tmp_path):
    source = "import pytest\n\n@pytest.mark.skip\ndef test_one(): pass\n\n@pytest.mark.skip\ndef test_two(): pass\n"
    for most, failed in ((None, 0), (2, 0), (1, 1)):
        assert counts(run_pytest(tmp_path, source, most_skipped=most)[0]) == (0, failed, 2)


@pytest.mark.parametrize("skipped, line", [(0, "3 passed, 1 failed"), (2, "3 passed, 1 failed, 2 skipped")])
def test_closing_line(skipped, line):
    step = Step("unit", "unit")
    assert steps.closing([Outcome(step, passed=3), Outcome(step, failed=1, skipped=skipped)]) == line


@pytest.fixture(scope="module")
def runner():
    # `test` is a module of Python's own
    spec = importlib.util.spec_from_file_location("sd_test_runner", SCRIPTS / "test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def planned(runner, tmp_path, monkeypatch, *arguments):
    monkeypatch.setattr(runner.envs, "ensure", lambda env: env.executable)
    monkeypatch.setattr(runner, "missing_for_windows", lambda: "")
    return runner.Plan(runner.options(list(arguments)), tmp_path).steps()


def test_everything_is_run_by_default(runner, tmp_path, monkeypatch):
    names = [step.name for step in planned(runner, tmp_path, monkeypatch)]
    assert names == [
        "lint", "contracts", "types", "docs", "unit", "engine", "blender 4.2", "blender 4.5", "blender 5.0",
        "blender 5.2", "window 4.2", "window 5.2"]


def test_fast_leaves_out_blender_and_what_is_slow(runner, tmp_path, monkeypatch):
    todo = planned(runner, tmp_path, monkeypatch, "--fast")
    assert [step.name for step in todo] == ["lint", "contracts", "types", "docs", "unit", "engine"]
    assert [step.command[-1] for step in todo[4:]] == [f"{runner.MARKS['unit']} and not slow", "torch and not slow"]


def test_one_layer_in_one_blender_with_arguments_for_pytest(runner, tmp_path, monkeypatch):
    step, = planned(runner, tmp_path, monkeypatch, "--layer", "blender", "--blender", "5.0", "-k", "commit", "--", "-x",
                    "--durations=3")
    assert step.name == "blender 5.0" and step.may_be_empty
    assert step.command[-4:] == ("-k", "commit", "-x", "--durations=3")
    assert step.variables["SD_ENGINE_PYTHON"]


def test_what_the_version_cannot_change_is_run_in_the_newest_blender_or_where_it_is_asked_for(
        runner, tmp_path, monkeypatch):
    todo = planned(runner, tmp_path, monkeypatch)
    whole = [step.name for step in todo if step.command[-1] in ("bpy", "window")]
    assert whole == ["blender 5.2", "window 5.2"]
    assert all(step.command[-1].endswith(" and not newest") for step in todo if step.name[-3:] in ("4.2", "4.5", "5.0"))
    (tmp_path / "asked").mkdir()
    step, = planned(runner, tmp_path / "asked", monkeypatch, "--layer", "blender", "--blender", "4.2")
    assert step.command[-1] == "bpy"


def test_windows_alone_get_a_second_try(runner, tmp_path, monkeypatch):
    todo = planned(runner, tmp_path, monkeypatch)
    assert {step.layer for step in todo if step.retried} == {"window"}
    assert all(step.command.count(step.retried) == 1 for step in todo if step.retried)


def test_environments_are_made_while_others_work_each_before_its_first_step(runner, tmp_path, monkeypatch):
    """The default one is made first, beside the first of the others; the last one is held back here."""
    made, go = [], threading.Event()

    def ensure(env):
        if env.blender == "5.2":
            assert go.wait(30)
        made.append(env.name)

    monkeypatch.setattr(runner.envs, "ensure", ensure)
    monkeypatch.setattr(runner.envs, "lacks_python", lambda env: "")
    monkeypatch.setattr(runner, "missing_for_windows", lambda: "")
    plan = runner.Plan(runner.options([]), tmp_path)
    todo = {step.name: step for step in plan.steps()}
    plan.make()
    todo["blender 4.5"].prepare()
    assert plan.default.name in made and made.index(".venv-types") < made.index(".venv-bpy42")
    assert ".venv-bpy52" not in made and todo["unit"].prepare is None
    go.set()
    todo["window 5.2"].prepare()
    assert sorted(made) == sorted([plan.default.name, ".venv-types", ".venv-bpy42", ".venv-bpy45", ".venv-bpy52"])


def test_a_step_whose_environment_cannot_be_made_fails(tmp_path):
    def prepare():
        raise envs.EnvError("pip could not fill .venv-x:\nand why")

    messages = []
    outcome = steps.run(Step("blender", "blender 4.2", ("nothing",), prepare=prepare), tmp_path, tmp_path,
                        messages.append)
    assert counts(outcome) == (0, 1, 0) and outcome.note == "pip could not fill .venv-x:" and "and why" in messages[0]


def test_a_blender_without_its_python_is_skipped_aloud(runner, tmp_path, monkeypatch):
    default = runner.envs.default_env()
    there, lacking = (next(blender for blender, python in runner.envs.BLENDERS.items()
                           if (python == default.python) is has) for has in (True, False))

    monkeypatch.setattr(runner.envs, "ensure", lambda env: env.executable)
    monkeypatch.setattr(runner.envs, "is_ready", lambda env: False)
    monkeypatch.setattr(runner.envs, "find_python", lambda version: ["python"] if version == default.python else None)
    missing = {
        step.name: step.missing for step in runner.Plan(runner.options(["--layer", "blender"]), tmp_path).steps()}
    assert "was not found" in missing[f"blender {lacking}"] and not missing[f"blender {there}"]
