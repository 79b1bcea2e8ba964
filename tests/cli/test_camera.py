"""The camera's frames and the .blend file, in the real Blender."""
from __future__ import annotations

import json

import pytest

from tests.support.drawing_pipeline import DrawingPipeline

pytestmark = pytest.mark.bpy


@pytest.fixture()
def shot(tmp_path, monkeypatch, camera_scene):
    """A saved scene with a moving cube, and how to restyle it; the pipeline and the renders are counted."""
    import bpy

    from blender_sd.calls.runtime import runtime
    from blender_sd.cli.main import main
    from blender_sd.scene import renders

    camera_scene(64)
    cube = bpy.data.objects["Cube"]
    for frame in (1, 5):
        cube.location.x = frame / 2
        cube.keyframe_insert("location", frame=frame)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    runtime.shutdown()
    pipeline = DrawingPipeline()
    monkeypatch.setattr(runtime, "pipeline_factory", lambda number=0: lambda: pipeline)
    rendered: list[int] = []
    real = renders._render
    monkeypatch.setattr(renders, "_render", lambda scene: (rendered.append(scene.frame_current), real(scene)))
    before = runtime.config

    def call(*arguments: str) -> int:
        return main(["restyle", "CAMERA", "mosaic", "--output", str(tmp_path / "out"), *arguments, "--json"])

    call.pipeline, call.rendered, call.folder = pipeline, rendered, tmp_path
    yield call
    runtime.shutdown()
    runtime.config, runtime.kept = before, None


def test_frames_of_the_camera_are_rendered_restyled_and_resumed(shot, capsys):
    arguments = ("--frames", "1-5x2", "--seed", "3", "--steps", "2", "--resume")
    assert shot(*arguments) == 0, capsys.readouterr()
    assert sorted(path.name for path in (shot.folder / "out").glob("*.png")) == ["0001.png", "0003.png", "0005.png"]
    assert shot.rendered == [1, 3, 5] and len({order.request.source for order in shot.pipeline.runs}) == 3
    assert shot.pipeline.runs[0].request.width == 64
    (shot.folder / "out" / "0003.png").unlink()
    capsys.readouterr()
    assert shot(*arguments, "--blend", str(shot.folder / "shot.blend")) == 0  # as a new process would
    end = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (end["kept"], end["made"]) == (2, 1) and shot.rendered == [1, 3, 5, 3]  # only the missing one


def test_a_changed_scene_is_rendered_again_and_painted_only_where_it_differs(shot, capsys):
    import bpy

    arguments = ("--frames", "1-5x4", "--seed", "3", "--steps", "2", "--resume")
    assert shot(*arguments) == 0
    bpy.data.objects["Cube"].location.x = 3.0
    bpy.data.objects["Cube"].keyframe_insert("location", frame=5)
    bpy.context.scene.frame_set(1)
    bpy.ops.wm.save_mainfile()
    assert shot(*arguments) == 0
    assert shot.rendered == [1, 5, 1, 5]
    assert len(shot.pipeline.runs) == 3, "frame 1 shows the same, so it is not painted again"


def test_a_scene_without_a_camera_is_refused_before_anything_starts(shot, capsys):
    import bpy

    bpy.context.scene.camera = None
    assert shot("--frames", "1-3") == 2
    assert "camera" in capsys.readouterr().err and not shot.rendered


def test_another_file_is_opened_and_a_missing_one_named(shot, capsys):
    assert shot("--blend", str(shot.folder / "shto.blend")) == 2
    assert "Did you mean 'shot.blend'?" in capsys.readouterr().err
    assert shot("--blend", str(shot.folder / "shot.blend"), "--dry-run") == 0


def test_a_changed_picture_beside_an_unchanged_scene_is_painted_again(shot, capsys):
    from blender_sd.cli.main import main
    from blender_sd.core.request import Request
    from tests.support.drawing_pipeline import png_of

    for seed in (1, 2):
        (shot.folder / "in_0001.png").write_bytes(png_of(Request(seed=seed)))
        assert main(["restyle", str(shot.folder / "in_####.png"), "x", "--frames", "1", "--seed", "3", "--resume",
                     "--steps", "2", "--output", str(shot.folder / "out")]) == 0
    assert len(shot.pipeline.runs) == 2


def test_an_image_of_the_file_is_a_source(shot, capsys):
    import bpy

    from blender_sd.cli.main import main

    bpy.data.images.new("old brick", 32, 32)
    assert main(["restyle", "old brick", "moss", "--output", str(shot.folder / "out"), "--name", "new"]) == 0
    assert (shot.folder / "out" / "new.png").exists(), capsys.readouterr()
