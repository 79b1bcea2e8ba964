"""The commands that make pictures, without Blender and without torch."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from blender_sd.core.errors import OutOfMemory, OutputUnwritable
from blender_sd.core.request import Request
from tests.support.calls import ROOT
from tests.support.drawing_pipeline import png_of


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def test_generate_names_and_reports_its_picture(sd, tmp_path):
    status, events = sd("generate", "red brick wall", "--seed", "7", "--steps", "3", "--name", "wall")
    assert status == 0 and [event["event"] for event in events] == ["made", "end"]
    assert events[0]["path"] == str(tmp_path / "out" / "wall.png") and events[0]["seed"] == 7
    assert names(tmp_path / "out") == ["wall.png"]


def test_several_pictures_are_numbered(sd, tmp_path):
    assert sd("generate", "moss", "--count", "3", "--name", "moss")[0] == 0
    assert names(tmp_path / "out") == ["moss_1.png", "moss_2.png", "moss_3.png"]


def test_options_are_the_settings_of_the_api(sd, drawing):
    status, _ = sd("generate", "moss", "--clip-skip", "1", "--guidance", "2.5", "--tiling", "xy", "--size", "128x64",
                   "--refine-scale", "2", "--axis", "steps=2,3")
    request = drawing.runs[0].request
    assert status == 0 and (request.guidance, request.tiling, request.width, request.height) == (2.5, "xy", 128, 64)
    assert request.task.refine_scale == 2.0 and request.axes[0].setting == "steps"


def test_resume_makes_nothing_again_and_only_what_is_missing(sd, drawing, tmp_path):
    arguments = ("generate", "moss", "--seed", "7", "--count", "2", "--name", "moss", "--resume")
    assert sd(*arguments)[1][-1]["made"] == 1
    status, events = sd(*arguments)
    assert status == 0 and (events[-1]["kept"], events[-1]["made"]) == (1, 0) and len(drawing.runs) == 1
    (tmp_path / "out" / "moss_2.png").write_bytes(b"\x89PNG cut off")
    assert sd(*arguments)[1][-1]["made"] == 1 and names(tmp_path / "out") == ["moss_1.png", "moss_2.png"]


def test_resume_makes_again_what_has_other_settings(sd, drawing):
    for steps in ("3", "4"):
        sd("generate", "moss", "--seed", "7", "--steps", steps, "--name", "moss", "--resume")
    assert len(drawing.runs) == 2


def test_resume_finds_a_picture_that_was_not_renamed_yet(sd, drawing, tmp_path):
    arguments = ("generate", "moss", "--seed", "7", "--name", "moss", "--resume")
    sd(*arguments)
    os.rename(tmp_path / "out" / "moss.png", tmp_path / "out" / "moss_7_0a1b2c.png")
    assert sd(*arguments)[1][-1]["kept"] == 1 and names(tmp_path / "out") == ["moss.png"]


def test_the_same_picture_under_two_names_is_two_files(sd, drawing, tmp_path):
    for name in ("one", "two"):
        sd("generate", "moss", "--seed", "7", "--name", name, "--resume")
    assert names(tmp_path / "out") == ["one.png", "two.png"] and len(drawing.runs) == 1


def test_resume_needs_a_seed(sd):
    status, events = sd("generate", "moss", "--resume")
    assert status == 2 and "--resume needs a seed" in events[0]["message"]


def test_restyle_takes_the_frames_of_a_sequence(sd, drawing, tmp_path):
    for frame in (1, 2, 3, 5):
        (tmp_path / f"shot_{frame:04d}.png").write_bytes(png_of(Request(seed=frame)))
    source = str(tmp_path / "shot_####.png")
    status, events = sd("restyle", source, "mosaic", "--frames", "1-5x2,2", "--name", "mosaic_####", "--seed", "4")
    assert status == 0, events
    assert names(tmp_path / "out") == [f"mosaic_{frame:04d}.png" for frame in (1, 2, 3, 5)]
    assert {order.request.seed for order in drawing.runs} == {4} and len(drawing.runs) == 4
    assert len({order.request.source for order in drawing.runs}) == 4


def test_a_missing_frame_is_named_before_anything_is_painted(sd, drawing, tmp_path):
    (tmp_path / "shot_0001.png").write_bytes(png_of(Request()))
    status, events = sd("restyle", str(tmp_path / "shot_####.png"), "mosaic", "--frames", "1-2")
    assert status == 2 and "shot_0002.png" in events[0]["message"] and not drawing.runs


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (("generate", "x", "--strenght", "1"), 2, "There is no option '--strenght'"),
    (("generate", "x", "--sampler", "eulr"), 2, "Did you mean"),
    (("generate", "x", "--steps", "0"), 2, "Steps must be between 1 and 500"),
    (("generate", "x", "--workers", "0"), 2, "--workers must be between"),
    (("generate", "x", "--name", "a/b"), 2, "cannot be the name of a file"),
    (("generate", "x", "--name", "a" * 300), 2, "is too long"),
    (("generate", "x", "--name", "a_####"), 2, "there are no frames"),
    (("materials", __file__), 2, "needs Blender"),
    (("materials", "gone.txt"), 2, "cannot be read"),
    (("generate", "x", "--lora", "gone"), 2, "no LoRA called 'gone'"),
    (("generate", "x", "--axis", "foo=1,2"), 2, "no setting called 'foo'"),
    (("generate", "x", "--control", "depth=gone.png"), 2, "There is no file"),
    (("generate", "x", "--control", "depth=CAMERA"), 2, "needs Blender"),
    (("generate", "x", "--reference", "gone.png"), 2, "There is no file"),
    (("generate", "x", "--engine-python", "/gone/python"), 3, "The engine's interpreter is missing: /gone/python"),
    (("restyle", "//gone.png", "x"), 2, "begins at the folder of the .blend file"),
    (("upscale", __file__, "x"), 2, "needs Blender"),
    (("generate", "x", "--model", "nothing like it"), 2, "no model"),
    (("restyle", "missing.png", "x"), 2, "There is no file"),
    (("restyle", "CAMERA", "x"), 2, "needs Blender"),
    (("restyle", "CAMERA", "x", "--frames", ""), 2, "needs Blender"),
    (("restyle", "CAMERA", "x", "--frames", "10-1"), 2, "runs backwards"),
    (("restyle", "CAMERA", "x", "--frames", ","), 2, "The frame range is empty"),
    (("restyle", "a.png", "x", "--frames", "1-3"), 2, "Frames need CAMERA"),
    (("generate", "x", "--blend", "scene.blend"), 2, "needs Blender"),
    (("generate", "x", "--expect-version", "9.9.9"), 7, "version 9.9.9 is asked for"),
    (("generate",), 2, "required: prompt"),
])
def test_what_cannot_be_used_is_named_and_nothing_starts(sd, drawing, arguments, status, words):
    code, _ = sd(*arguments)
    assert code == status and words in sd.err.err and not drawing.runs, sd.err
    assert "Traceback" not in sd.err.err


def test_a_dry_run_lists_and_makes_nothing(sd, drawing, tmp_path):
    status, events = sd("generate", "moss", "--count", "2", "--dry-run", "--seed", "3")
    assert status == 0 and events == [{**events[0], "event": "planned", "pictures": 2, "seed": 3}]
    assert not drawing.runs and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (("--engine-python", "/gone/python"), 3, "--engine-python"),
    (("--output", __file__), 5, "cannot be used"),
    (("--output", f"{__file__}/out"), 5, "cannot be made"),
    (("--output", "//out"), 2, "begins at the folder of the .blend file"),
])
def test_a_dry_run_looks_at_the_machine_too(sd, drawing, arguments, status, words):
    code, _ = sd("generate", "moss", "--dry-run", *arguments, output=False)
    assert code == status and words in sd.err.err and not drawing.runs


def test_relative_and_strange_paths(sd, drawing, tmp_path, monkeypatch):
    (tmp_path / "Fläche 煉瓦").mkdir()
    monkeypatch.chdir(tmp_path / "Fläche 煉瓦")
    (tmp_path / "Fläche 煉瓦" / "größe -3.png").write_bytes(png_of(Request()))
    status, events = sd("restyle", "größe #.png", "x", "--frames=-3", "--seed", "1", "--steps", "2", "--output", "aus",
                        "--name", "煉瓦_####", output=False)
    assert status == 0, events
    assert events[0]["path"] == str(tmp_path / "Fläche 煉瓦" / "aus" / "煉瓦_-0003.png") == events[0]["path"]
    assert os.path.isfile(events[0]["path"]) and events[0]["frame"] == -3


def test_a_failed_picture_has_its_exit_code(sd, drawing):
    drawing.fail = {"huge": OutOfMemory("It does not fit."), "full": OutputUnwritable("The disk is full.")}
    assert sd("generate", "huge")[0] == 6 and sd("generate", "full")[0] == 5


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_a_farms_signal_cancel_and_keep_what_is_finished(sd, drawing, tmp_path, number, code):
    def interrupt(step: int) -> None:
        if len(drawing.runs) == 1 and step == 2:
            os.kill(os.getpid(), number)

    for frame in (1, 2, 3):
        (tmp_path / f"a{frame}.png").write_bytes(png_of(Request(seed=frame)))
    drawing.on_step, drawing.pause = interrupt, 0.02
    before = signal.getsignal(signal.SIGINT)  # ignored in a shell's background job
    status, events = sd("restyle", str(tmp_path / "a#.png"), "x", "--frames", "1-3", "--seed", "1", "--steps", "20")
    assert status == code and events[-1] == {"event": "end", "status": code, "made": 1, "kept": 0, "failed": 0,
                                            "cancelled": 2}
    assert signal.getsignal(signal.SIGINT) is before
    drawing.on_step = lambda step: None
    again = sd("restyle", str(tmp_path / "a#.png"), "x", "--frames", "1-3", "--seed", "1", "--steps", "20", "--resume")
    assert again[1][-1]["kept"] == 1 and again[1][-1]["made"] == 2


def test_a_share_that_is_mounted_no_more_is_noticed(sd, drawing, tmp_path, monkeypatch):
    """Its folder is still there, but on the disk of the folder that it was mounted in."""
    from blender_sd.cli import painting

    real = painting._disk_of
    monkeypatch.setattr(painting, "_disk_of", lambda folder: real(folder) + bool(drawing.runs))
    for frame in (1, 2, 3):
        (tmp_path / f"a{frame}.png").write_bytes(png_of(Request(seed=frame)))
    status, events = sd("restyle", str(tmp_path / "a#.png"), "x", "--frames", "1-3", "--seed", "1", "--steps", "2")
    assert status == 5 and events[-1]["made"] == 0 and "The output folder is gone" in events[0]["message"]


def test_pictures_that_disappear_during_the_job(sd, drawing, tmp_path):
    (tmp_path / "share").mkdir()
    for frame in range(1, 9):
        (tmp_path / "share" / f"a{frame}.png").write_bytes(png_of(Request(seed=frame)))
    drawing.on_step = lambda step: shutil.rmtree(tmp_path / "share", ignore_errors=True)
    drawing.pause = 0.05
    arguments = ("restyle", str(tmp_path / "share" / "a#.png"), "x", "--frames", "1-8", "--seed", "1", "--steps", "2")
    status, events = sd(*arguments)
    assert status == 5 and "Traceback" not in sd.err.err
    assert 0 < events[-1]["made"] < 8 and events[-1]["cancelled"] > 0


def test_a_picture_that_another_process_has_named_meanwhile(tmp_path):
    from blender_sd.cli.painting import _name

    (tmp_path / "a.png").write_bytes(b"made")
    _name(str(tmp_path / "x_7_0a1b2c.png"), str(tmp_path / "a.png"))
    with pytest.raises(OutputUnwritable):
        _name(str(tmp_path / "x_7_0a1b2c.png"), str(tmp_path / "b.png"))


def test_a_name_that_a_terminal_cannot_show(no_blender, tmp_path):
    code = ("import sys; sys.modules['bpy'] = None; from blender_sd.cli.main import main;"
            "sys.exit(main(sys.argv[1:]))")
    done = subprocess.run([sys.executable, "-c", code, "generate", "x", "--blend", "Fläche_煉瓦.blend", "--json"],
                          cwd=ROOT, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert json.loads(done.stdout)["kind"] == "needs_blender"
    done = subprocess.run([sys.executable, "-c", code, "batch", "Fläche_煉瓦.json"], cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"cannot be read" in done.stderr


def test_workers_share_one_queue(no_blender, monkeypatch, tmp_path):
    from blender_sd.calls.runtime import runtime
    from blender_sd.cli.main import main
    from tests.support.drawing_pipeline import DrawingPipeline

    engines = [DrawingPipeline(0.01) for _ in range(2)]
    monkeypatch.setattr(runtime, "pipeline_factory", lambda number=0: lambda: engines[number])
    for frame in range(8):
        (tmp_path / f"a{frame}.png").write_bytes(png_of(Request(seed=frame)))
    assert main(["restyle", str(tmp_path / "a#.png"), "x", "--frames", "0-7", "--workers", "2", "--steps", "5",
                 "--output", str(tmp_path / "out"), "--quiet"]) == 0
    assert len(names(tmp_path / "out")) == 8 and all(len(engine.runs) >= 2 for engine in engines)


def test_a_picture_in_scene_linear_light_is_called_like_the_displayed_one():
    from blender_sd.cli.painting import _names

    assert _names("moss", [False, True]) == ["moss", "moss"]
    assert _names("moss", [False, True, False, True]) == ["moss_1", "moss_1", "moss_2", "moss_2"]
