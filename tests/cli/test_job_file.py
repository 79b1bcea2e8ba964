"""Job files: what they hold, and where in them an error is."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from blender_sd.core.request import Request
from blender_sd.core.version import version
from tests.support.drawing_pipeline import png_of


@pytest.fixture()
def batch(sd, tmp_path):
    """Run `batch` on a job file with these jobs (or a whole file)."""
    def call(jobs, *arguments: str, **top):
        whole = jobs if isinstance(jobs, (dict, str)) else {"format": 2, **top, "jobs": jobs}
        (tmp_path / "jobs.json").write_text(whole if isinstance(whole, str) else json.dumps(whole), encoding="utf-8")
        return sd("batch", str(tmp_path / "jobs.json"), *arguments)
    return call


def test_jobs_by_the_names_of_the_api_and_of_a_request(batch, drawing, tmp_path):
    (tmp_path / "in").mkdir()
    for frame in (1, 3):
        (tmp_path / "in" / f"s_{frame:04d}.png").write_bytes(png_of(Request(seed=frame)))
    whole = json.loads(Request(prompt="exact", seed=9, steps=2).to_json())
    status, events = batch([
        {"name": "brick", "task": "generate", "prompt": "brick", "seed": 7, "size": [128, 64]},
        {"name": "s_####", "task": {"name": "restyle", "strength": 0.25}, "prompt": "mosaic", "seed": 1,
         "source": "in/s_####.png", "frames": "1-3x2"},
        {"name": "again", "request": whole},
        {"task": "upscale", "source": "in/s_0001.png", "scale": 3, "loras": []}],
        settings={"steps": 3, "strength": 0.9})
    assert status == 0, events
    again, named, nameless, *frames = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert [again, named, *frames] == ["again.png", "brick.png", "s_0001.png", "s_0003.png"]
    assert re.fullmatch(r"job_0004_[0-9a-f]{8}\.png", nameless)
    brick, first, _, exact, large = (order.request for order in drawing.runs)
    assert (brick.width, brick.height, brick.seed, brick.steps) == (128, 64, 7, 3)
    assert (first.task.name, first.task.strength, first.steps) == ("image_to_image", 0.25, 3)
    assert (exact.prompt, exact.seed, exact.steps) == ("exact", 9, 2)
    assert (large.width, large.task.strength) == (48, 0.9)
    assert [event.get("where") for event in events[:-1]] == ["jobs[0]", "jobs[1]", "jobs[1]", "jobs[2]", "jobs[3]"]


def test_regions_by_mask_in_a_job_and_as_options(batch, sd, drawing, tmp_path):
    for name in ("a.png", "m.png"):
        (tmp_path / name).write_bytes(png_of(Request()))
    status, events = batch([{"task": "restyle", "prompt": "x", "source": "a.png", "seed": 1, "regions": [
        {"mask": "m.png", "keep": True, "feather": 4}, {"mask": "m.png", "prompt": "oak, old", "strength": 0.2}]}])
    assert status == 0, events
    status, events = sd("restyle", str(tmp_path / "a.png"), "x", "--seed", "2", "--region",
                        f"mask={tmp_path / 'm.png'},keep,feather=4", "--region",
                        f"mask={tmp_path / 'm.png'},strength=0.2,prompt=oak, old")
    assert status == 0, events
    one, other = (order.request.regions for order in drawing.runs)
    assert one == other and one[0].mask.startswith("sha256:")
    assert [(region.kind, region.keep, region.feather, region.prompt, region.strength) for region in one] == [
        ("mask", True, 4, "", None), ("mask", False, 0, "oak, old", 0.2)]


@pytest.mark.parametrize(("job", "where", "words"), [
    ({"task": "restyle", "prompt": "x", "source": "a.png", "regions": [{"objct": "A"}]}, "jobs[1].regions[0]",
     "Did you mean 'object'?"),
    ({"task": "restyle", "prompt": "x", "source": "a.png", "regions": [{"object": "A", "mask": "b.png"}]},
     "jobs[1].regions[0]", "one thing"),
    ({"task": "restyle", "prompt": "x", "source": "a.png", "regions": [{"object": "A", "strength": 7}]},
     "jobs[1].regions[0]", "between 0 and 1"),
    ({"task": "restyle", "prompt": "x", "source": "there.png", "regions": [{"mask": "gone.png", "keep": True}]},
     "jobs[1].regions", "There is no file"),
    ({"task": "upscale", "source": "a.png", "regions": []}, "jobs[1].regions", "no setting called 'regions'"),
    ({"task": {"name": "restyle", "strength": 7}, "prompt": "x", "source": "a.png"}, "jobs[1].task.strength",
     "Strength must be between 0 and 1"),
    ({"task": {"name": "restyle", "strenght": 1}, "prompt": "x"}, "jobs[1].task.strenght", "Did you mean 'strength'?"),
    ({"task": "retsyle", "prompt": "x"}, "jobs[1].task", "Did you mean 'restyle'?"),
    ({"task": "texture_object", "prompt": "x", "objects": "Cube"}, "jobs[1].task", "There is no task"),
    ({"task": {"name": "nothing"}}, "jobs[1].task.name", "There is no task"),
    ({"prompt": "x", "stpes": 4}, "jobs[1].stpes", "Did you mean 'steps'?"),
    ({"prompt": "x", "steps": "4"}, "jobs[1].steps", "must be a number"),
    ({"prompt": 4}, "jobs[1].prompt", "must be text"),
    ({"prompt": "x", "sampler": "eulr"}, "jobs[1].sampler", "Did you mean"),
    ({"prompt": "x", "size": 4}, "jobs[1].size", "must be a list"),
    ({"prompt": "x", "size": [64, "b"]}, "jobs[1].size", "height must be a number"),
    ({"prompt": "x", "size": [64, 64, 64]}, "jobs[1].size", "must be two numbers"),
    ({"prompt": "x", "loras": [{"name": "gone"}]}, "jobs[1].loras", "no LoRA called 'gone'"),
    ({"prompt": "x", "axes": [{"setting": "foo", "values": [1]}]}, "jobs[1].axes", "no setting called 'foo'"),
    ({"prompt": "x", "controls": [{"kind": "depth", "image": "gone.png"}]}, "jobs[1].controls", "There is no file"),
    ({"prompt": "x", "controls": [{"kind": "depth", "image": "CAMERA"}]}, "jobs[1].controls", "needs Blender"),
    ({"task": "upscale", "source": "there.png", "scale": 0}, "jobs[1].scale", "above 0"),
    ({"task": {"name": "upscale", "scale": 999}, "source": "there.png"}, "jobs[1].task.scale", "must be between"),
    ({"task": "outpaint", "source": "there.png", "prompt": "x", "aspect": [0, 1]}, "jobs[1].aspect", "two positive"),
    ({"task": "make_seamless", "source": "there.png", "prompt": "x", "tiling": "none"}, "jobs[1].tiling", "No axis"),
    ({"prompt": "x", "loras": [["a", 1]]}, "jobs[1].loras[0]", "must be an object"),
    ({"prompt": "x", "loras": [{"nmae": "a"}]}, "jobs[1].loras[0].nmae", "Did you mean 'name'?"),
    ({"prompt": "x", "controls": [{"kind": "depth"}]}, "jobs[1].controls[0]", "'image' is missing"),
    ({"prompt": "x", "model": "no such thing"}, "jobs[1].model", "no model"),
    ({"task": "restyle", "prompt": "x", "source": "gone.png"}, "jobs[1].source", "There is no file"),
    ({"task": "restyle", "prompt": "x"}, "jobs[1].source", "There is no source image"),
    ({"task": "restyle", "prompt": "x", "source": "a_##.png", "frames": "5-1"}, "jobs[1].frames", "runs backwards"),
    ({"prompt": "x", "frames": "1-3"}, "jobs[1].frames", "Frames need CAMERA"),
    ({"prompt": "x", "name": "../../etc/x"}, "jobs[1].name", "cannot be the name of a file"),
    ({"prompt": "x", "name": "ok"}, "jobs[1].name", "Two results are called 'ok'"),
    ({"prompt": "x", "name": "OK.png"}, "jobs[1].name", "Two results are called 'OK'"),
    ({"prompt": "x", "name": "ok_####"}, "jobs[1].frames", "there are no frames"),
    ({"prompt": "x", "name": "", "frames": "1"}, "jobs[1].frames", "Frames need CAMERA"),
    ({"request": {"format": 99}}, "jobs[1].request", "format that this version does not know"),
    ({"request": json.loads(Request().to_json()), "steps": 3}, "jobs[1].steps", "takes only"),
    ("text", "jobs[1]", "must be an object"),
    ([1], "jobs[1]", "must be an object"),
])
def test_every_error_has_its_path_and_nothing_starts(batch, drawing, tmp_path, job, where, words):
    (tmp_path / "there.png").write_bytes(png_of(Request()))
    status, events = batch([{"prompt": "fine", "name": "ok"}, job])
    assert status == 2 and not drawing.runs
    assert events[0]["where"] == where and words in f"{events[0]['message']} {events[0]['hint']}", events


def test_numbered_pictures_have_names_of_their_own_too(batch, drawing):
    status, events = batch([{"prompt": "x", "name": "a", "count": 2}, {"prompt": "y", "name": "a_2"}])
    assert status == 2 and "Two results are called 'a_2'" in events[0]["message"] and not drawing.runs


def test_processes_without_names_share_a_folder(batch, drawing, tmp_path):
    for prompt in ("x", "y"):
        assert batch([{"prompt": prompt, "seed": 1}], "--resume")[0] == 0
    assert batch([{"prompt": "y", "seed": 1}], "--resume")[1][-1]["kept"] == 1
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_all_errors_are_named_at_once(batch):
    _, events = batch([{"prompt": "x", "steps": 0}, {"prompt": "x", "model": "gone"}, {"prompt": "x", "guidance": -1},
                       {"prompt": "fine"}])
    assert [event["where"] for event in events] == ["jobs[0].steps", "jobs[2].guidance", "jobs[1].model"]


@pytest.mark.parametrize(("whole", "status", "words"), [
    ({"format": 3, "jobs": [{}]}, 2, "jobs.json is a job file of format 3"),
    ({"jobs": [{}]}, 2, "does not name its format"),
    ({"format": 2, "version": "9.1.0", "jobs": [{}]}, 7, f"This is version {version()}"),
    ({"format": 2, "jobs": []}, 2, "holds no jobs"),
    ({"format": 2, "jbos": []}, 2, "Did you mean 'jobs'?"),
    ({"format": 2, "blend": 4, "jobs": [{"prompt": "x"}]}, 2, "blend must be a path"),
    ("{", 2, "is no JSON"), ("[]", 2, "is no job file"), ("\x00", 2, "no JSON"), ("[" * 100000, 2, "JSON"),
])
def test_what_is_no_job_file(batch, sd, whole, status, words):
    assert batch(whole)[0] == status and words in sd.err.err and "Traceback" not in sd.err.err


def test_a_missing_file(sd, tmp_path):
    assert sd("batch", str(tmp_path / "gone.json"))[0] == 2 and "cannot be read" in sd.err.err


def test_only_some_jobs_and_resume(batch, drawing, tmp_path):
    jobs = [{"prompt": "x", "seed": number} for number in range(4)]
    assert batch(jobs, "--only", "2-3", "--resume")[1][-1]["made"] == 2
    assert batch(jobs, "--resume")[1][-1] == {"event": "end", "status": 0, "made": 2, "kept": 2, "failed": 0,
                                              "cancelled": 0}
    assert batch(jobs, "--only", "5")[0] == 2
    assert batch([{"prompt": "x"}], "--resume")[0] == 2


def test_one_failure_does_not_stop_the_others_but_a_full_disk_does(batch, drawing):
    from blender_sd.core.errors import OutOfMemory, OutputUnwritable

    drawing.fail = {"huge": OutOfMemory("It does not fit."), "full": OutputUnwritable("The disk is full.")}
    status, events = batch([{"prompt": "huge"}, {"prompt": "fine"}])
    assert status == 1 and events[-1]["made"] == 1 and events[-1]["failed"] == 1
    status, events = batch([{"prompt": "full", "name": "a"}, *({"prompt": f"f{n}", "name": f"n{n}"} for n in range(9))])
    assert status == 5 and events[-1]["cancelled"] >= 8


def test_a_share_that_disappears_during_the_job(batch, drawing, tmp_path):
    import shutil

    drawing.on_step = lambda step: shutil.rmtree(tmp_path / "out", ignore_errors=True) if len(drawing.runs) else None
    drawing.fail = {}
    jobs = [{"prompt": f"p{number}", "seed": 1, "steps": 2} for number in range(6)]
    status, events = batch(jobs)
    assert status == 5 and events[-1]["made"] < 6 and events[-1]["cancelled"] and "Traceback" not in str(events)
    drawing.on_step = lambda step: None
    status, events = batch(jobs, "--resume")  # it is back
    assert status == 0 and len(list(Path(tmp_path / "out").glob("*.png"))) == 6


def test_paths_outside_the_policys_folders(batch, drawing, tmp_path, monkeypatch):
    policy = tmp_path / "policy.toml"
    policy.write_text('models = ["/mnt/studio/*"]\n', encoding="utf-8")
    monkeypatch.setenv("SD_POLICY", str(policy))
    status, events = batch([{"prompt": "x"}])
    assert status == 4 and not drawing.runs, events


def test_no_engine_says_what_to_run(no_blender, monkeypatch, tmp_path, capsys):
    from blender_sd.calls import interpreter
    from blender_sd.cli.main import main

    monkeypatch.delenv("SD_ENGINE_PYTHON", raising=False)
    monkeypatch.setattr(interpreter, "has_torch", lambda: False)
    assert main(["generate", "x", "--output", str(tmp_path / "out")]) == 3
    assert "SD_ENGINE_PYTHON" in capsys.readouterr().err
    assert main(["doctor", "--output", str(tmp_path / "out")]) == 3
    out = capsys.readouterr().out
    assert "NO  engine" in out and "ok  disk" in out and "ok  memory" in out
    assert main(["doctor", "--engine-python", "/gone/python", "--output", str(tmp_path / "out")]) == 3
    assert "NO  engine: The engine's interpreter is missing: /gone/python." in capsys.readouterr().out


def test_a_download_where_the_environment_forbids_it(sd, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, events = sd("fetch", "owner/name", output=False)
    assert status == 4 and "HF_HUB_OFFLINE" in events[0]["message"]
