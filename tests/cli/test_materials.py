"""`sd materials` in the real Blender: a row's asset is made once, by whichever task has it."""
from __future__ import annotations

import json

import pytest

from tests.support.drawing_pipeline import DrawingPipeline

pytestmark = pytest.mark.bpy


@pytest.fixture()
def materials(tmp_path, monkeypatch, capsys):
    from blender_sd.calls.runtime import runtime
    from blender_sd.cli.main import main

    runtime.shutdown()
    pipeline = DrawingPipeline()
    monkeypatch.setattr(runtime, "pipeline_factory", lambda number=0: lambda: pipeline)
    before = runtime.config
    (tmp_path / "list.csv").write_text("name,prompt,seed\nBrick,red brick,1\nMoss,green moss,2\nSlate,,3\n", "utf-8")
    (tmp_path / "library").mkdir()

    def call(*arguments: str) -> tuple[int, list[dict]]:
        capsys.readouterr()
        status = main(["materials", str(tmp_path / "list.csv"), "--library", str(tmp_path / "library"), "--output",
                       str(tmp_path / "out"), "--steps", "2", *arguments, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]

    yield call
    runtime.shutdown()
    runtime.config = before


def test_rows_are_made_once(materials, tmp_path):
    status, events = materials("--only", "1-2")
    assert status == 0 and [event["event"] for event in events] == ["made", "made", "end"], events
    assert len(list((tmp_path / "library").rglob("*.blend"))) == 2
    status, events = materials("--only", "2")
    assert status == 0 and events == [{"event": "kept", "name": "Moss"}, {**events[-1], "made": 0, "kept": 1}]


def test_what_cannot_be_made_is_named_by_its_place_in_the_list(materials, tmp_path):
    status, events = materials("--only", "3")
    assert status == 2 and events[0]["where"] == "row 3 (Slate)" and "row 3" in events[0]["hint"], events
    status, events = materials("--only", "2-3")
    assert status == 1 and [event["event"] for event in events] == ["made", "error", "end"]
    assert materials("--only", "9")[0] == 2


def test_a_cell_that_cannot_be_used_is_no_default(materials, tmp_path):
    (tmp_path / "list.csv").write_text("name,prompt,steps\nBrick,red brick,many\n", "utf-8")
    status, events = materials()
    assert status == 2 and "'many' is no steps" in events[0]["message"]
    assert not list((tmp_path / "library").rglob("*.blend"))


def test_a_dry_run_checks_and_lists(materials, tmp_path):
    status, events = materials("--dry-run")
    assert status == 2 and [event.get("name", event.get("where")) for event in events] == [
        "Brick", "Moss", "row 3 (Slate)"]
    assert materials("--dry-run", "--only", "1-2")[0] == 0
    status, events = materials("--dry-run", "--only", "1", "--sampler", "eulr")
    assert status == 2 and "Did you mean" in events[0]["hint"]
    assert not list((tmp_path / "library").rglob("*.blend"))


@pytest.mark.parametrize("option", [("--count", "2"), ("--seed", "1"), ("--axis", "steps=1,2")])
def test_an_option_that_a_list_does_not_take_is_refused(materials, option):
    status, events = materials(*option)
    assert status == 2 and "A list of materials takes no" in events[0]["message"]
