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
    assert status == 0 and [event["event"] for event in events] == ["made", "made"], events
    assert all((tmp_path / "library").rglob("*.blend"))
    status, events = materials("--only", "2")
    assert status == 0 and events == [{"event": "kept", "name": "Moss"}]


def test_what_cannot_be_made_is_named(materials):
    status, events = materials("--only", "3")
    assert status == 2 and "row 1 (Slate)" in events[0]["where"] or "prompt" in events[0]["message"]
    assert materials("--only", "9")[0] == 2
    assert [event["name"] for event in materials("--dry-run")[1]] == ["Brick", "Moss", "Slate"]
