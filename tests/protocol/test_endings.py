"""A job ends with exactly one ending, whatever is raised, and the next one has its turn."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest

from blender_sd.protocol import endings
from blender_sd.core.errors import JobCancelled, ModelUnreadable, SDError
from blender_sd.protocol.messages import Cancelled, Check, Failed, Installed, Note, Ready
from blender_sd.session.session import Session

PACKAGE = Path(__file__).resolve().parents[2] / "blender_sd"
PIPELINE = ("self", "emit", "cancelled")  # of the arguments of `Pipeline.run`, whatever the request is called


class PanicException(BaseException):
    """What a panic in Rust comes as."""


class Wordless(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise PanicException("no words")


RAISED = [
    ValueError("x"),
    MemoryError(),
    RecursionError(),
    SystemExit(1),
    KeyboardInterrupt(),
    GeneratorExit(),
    PanicException("x"),
    Wordless()]


def ending_of(work, **options) -> list:
    events: list = []
    endings.finish("job", work, events.append, **options)
    return events


def raising(error: BaseException):
    def work(*_):
        raise error

    return work


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_one_failed_comes_and_nothing_is_raised(error):
    (failed,) = ending_of(raising(error))
    assert isinstance(failed, Failed) and failed.job == "job" and failed.message
    (again,) = ending_of(raising(ValueError("x")), explained=raising(error))
    assert isinstance(again, Failed)


def test_errors_in_words_and_cancels_stay_what_they_are():
    assert ending_of(raising(JobCancelled("x"))) == [Cancelled("job")]
    assert ending_of(raising(ModelUnreadable("a", "b"))) == [Failed("job", ModelUnreadable.kind, "a", "b")]
    assert ending_of(lambda: Installed("job", "x")) == [Installed("job", "x")]


def test_an_ending_that_cannot_be_sent_becomes_one_that_can():
    sent = []

    def emit(event):
        if isinstance(event, Installed):
            raise ValueError("too long")
        sent.append(event)

    endings.finish("job", lambda: Installed("job", "x"), emit)
    assert len(sent) == 1 and isinstance(sent[0], Failed)


class Odd:
    """A pipeline that does `act` when it is to carry out an order."""

    def __init__(self, act) -> None:
        self.act = act

    def warm(self) -> Ready:
        return Ready("", "", {})

    def run(self, order, emit, cancelled) -> None:
        self.act(order, emit)

    def close(self) -> None:
        raise SystemExit


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_a_pipeline_that_breaks_its_word(error):
    def late(order, emit):
        emit(Installed(order.job, "x"))
        emit(Failed(order.job, "internal", "twice"))
        emit(Note(order.job, "late"))
        raise error

    for act, wanted in ((raising(error), Failed), (lambda *_: None, Failed), (late, Installed)):
        events: list = []
        endings.run(Odd(act), Check("job"), events.append, lambda: False)
        assert [type(event) for event in events] == [wanted]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_the_session_s_thread_lives_on(error):
    from blender_sd.core.request import Request

    def act(order, emit):
        if order.request.prompt == "bad":
            raise error
        emit(Failed(order.job, "model_not_found", "in turn"))

    def factory():
        pipelines.append(1)
        if len(pipelines) == 1:
            raise error
        return Odd(act)

    pipelines: list = []
    session = Session(factory)
    try:
        for prompt, kind in (("first", SDError.kind), ("bad", SDError.kind), ("good", "model_not_found")):
            job = session.submit(Request(prompt=prompt), folder="/m", output="")
            with pytest.raises(SDError) as caught:
                job.result(20)
            assert caught.value.kind == kind and job.state == "failed"
    finally:
        session.shutdown()


def _but_request(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(arg.arg for number, arg in enumerate(function.args.args) if number != 1)


def calls(node: ast.AST) -> set[str]:
    return {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}


def test_every_pipeline_and_everyone_who_runs_one_goes_through_the_guard():
    """Each `run` of a pipeline finishes by `endings.finish`; nobody else calls a pipeline's `run`."""
    pipelines, runners = {}, []
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "run" and _but_request(node) == PIPELINE:
                pipelines[name] = "endings.finish" in calls(node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run" and len(
                    node.args) in (3, 4):
                runners.append((name, ast.unparse(node.func)))
    assert pipelines.pop("protocol/pipeline.py") is False  # the protocol's own words, without a body
    assert sorted(pipelines) == [
        "engine/engine.py", "scene/shot_process.py", "session/process.py", "workers/content_credentials.py",
        "workers/downloads.py", "workers/installation.py", "workers/interpreter_check.py"]
    assert all(pipelines.values()), pipelines
    assert [runner for runner in runners if runner[1] != "programs.run"] == [("calls/second_blender.py", "endings.run"),
                                                                             ("protocol/endings.py", "pipeline.run"),
                                                                             ("protocol/serving.py", "endings.run"),
                                                                             ("session/transfers.py", "endings.run"),
                                                                             ("session/worker.py", "endings.run")]
