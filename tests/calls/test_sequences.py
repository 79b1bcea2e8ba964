"""Restyling animations through the public call: a real Blender without a window records, a real engine paints."""
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd.calls import sequences
from blender_sd.calls.sequence_work import SequenceWork
from blender_sd.core.errors import EngineDied, InvalidRequest, OutputUnwritable, SourceUnusable
from blender_sd.core.regions import Region
from blender_sd.core.request import Request
from blender_sd.library import png
from blender_sd.library.shot_folders import is_recorded, saved_copy, shot_in
from blender_sd.library.shots import ShotWriter
from blender_sd.protocol import exr_files
from blender_sd.protocol.messages import Failed, Finished, Result, Source
from blender_sd.protocol.shots import Shot, ShotInfo, ShotOrder
from blender_sd.scene import movies
from tests.support import recorded
from tests.support.calls import PATIENCE, run_until

pytestmark = [pytest.mark.bpy, pytest.mark.slow]


@pytest.fixture
def moving(camera_scene):
    """A cube that goes right, three frames of 64²."""
    scene = camera_scene(64)
    scene.render.film_transparent = False
    scene.frame_start, scene.frame_end = 1, 3
    bpy.context.object.driver_add("location", 0).driver.expression = "frame / 10"
    return scene


@pytest.fixture
def settings(small):
    return {**small, "strength": 0.5}


def digest(paths) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def test_the_scenes_animation(sd, moving, settings, tmp_path):
    moving.frame_set(2)
    job = sd.restyle_sequence("clay", output=tmp_path / "out", place="sequencer", **settings)
    bpy.data.objects["Cube"].hide_render = True  # the copy protects the job
    paths = job.result(PATIENCE)
    assert [path.name for path in paths] == ["000001.png", "000002.png", "000003.png"]
    assert moving.frame_current == 2 and (job.frames, job.frames_done, job.progress) == (3, 3, 1)
    shot = Shot(shot_in(str(tmp_path / "out")))
    assert shot.info.link == "surface" and shot.info.objects == ("Cube",)
    request = png.request_in(png.read_text(str(paths[1])))
    assert (request.task.name, request.prompt, request.width, request.height) == ("restyle_sequence", "clay", 64, 64)
    kept, = [entry for entry in sd.history() if entry.task == "restyle sequence"]
    assert Path(kept.path).read_bytes() == paths[1].read_bytes() and sd.recall(kept.path) == sd.recall(paths[1])
    strip, = (moving.sequence_editor.strips if hasattr(moving.sequence_editor, "strips")
              else moving.sequence_editor.sequences)
    assert strip.frame_start == 1 and [element.filename for element in strip.elements] == [
        path.name for path in paths]


def test_it_goes_on_from_what_is_there(sd, moving, settings, tmp_path):
    out = tmp_path / "out"
    first = sd.restyle_sequence("clay", output=out, only="1-2", **settings).result(PATIENCE)
    before = [path.stat().st_mtime_ns for path in first]
    assert len(first) == 2 and is_recorded(str(out)) and saved_copy(str(out))
    os.remove(shot_in(str(out)) + "/shot.json")  # as where the process ended before the last step
    os.remove(shot_in(str(out)) + "/frames/000003.png")
    moving.camera.location.x = 100  # the scene as it was then counts
    rest = sd.restyle_sequence("clay", output=out, resume=True, **settings).result(PATIENCE)
    assert len(rest) == 3 and [path.stat().st_mtime_ns for path in first] == before
    known = len(sd.history())
    sd.restyle_sequence("clay", output=out, resume=True, **settings).result(PATIENCE)
    assert len(sd.history()) == known, "nothing was painted"
    whole = sd.restyle_sequence("clay", output=tmp_path / "whole", **settings)
    assert digest(rest) != digest(whole.result(PATIENCE)), "this one was rendered from elsewhere"
    assert sd.forget_shot(out) and not sd.forget_shot(out) and rest[0].exists()


def test_keyframes_first_and_one_of_them_by_hand(sd, moving, settings, tmp_path):
    out = tmp_path / "out"
    keys = sd.restyle_sequence("clay", output=out, keyframes_only=True, key_distance=2, **settings).result(PATIENCE)
    assert 1 <= len(keys) <= 3 and all(path.parent.name == ".sequence" for path in keys)
    own = np.full((64, 64, 4), (200, 30, 30, 255), np.uint8)
    painted = sd.restyle_sequence("clay", output=out, resume=True, keyframes={1: own}, key_distance=2,
                                  **settings).result(PATIENCE)
    image = bpy.data.images.load(str(painted[0]))
    shown = np.array(image.pixels[:]).reshape(64, 64, 4)[..., :3] * 255
    assert np.abs(shown - own[0, 0, :3]).mean() < 3


def test_it_pauses_and_resumes(sd, moving, settings, tmp_path):
    moving.frame_end = 40
    job = sd.restyle_sequence("clay", output=tmp_path / "out", **settings)
    run_until(sd, lambda: job.text.startswith("Rendering"))
    assert sd.pause_job(job)
    run_until(sd, lambda: job.state == "paused")
    there = len(os.listdir(os.path.join(shot_in(str(tmp_path / "out")), "frames")))
    assert there < 40
    assert sd.resume_job(job)
    run_until(sd, lambda: job.frames_done > there)
    assert job.cancel()
    run_until(sd, lambda: job.done)
    assert job.state == "cancelled"


def test_frames_and_a_movie_become_a_movie(sd, moving, settings, tmp_path):
    moving.render.filepath, moving.render.image_settings.file_format = str(tmp_path / "in" / "f_####.png"), "PNG"
    bpy.ops.render.render(animation=True)
    movie = tmp_path / "a.mp4"
    job = sd.restyle_sequence("clay", tmp_path / "in", output=tmp_path / "out", movie=movie, exr=True, **settings)
    paths = job.result(PATIENCE)
    assert paths[-1] == movie and [path.suffix for path in paths] == 3 * [".png"] + 3 * [".exr"] + [".mp4"]
    assert any("linear Rec. 709" in note for note in job.notes)
    image = bpy.data.images.load(str(paths[0]))
    shown, light = np.array(image.pixels[:4])[0], exr_files.read_passes(paths[3].read_bytes()).channels["R"][-1, 0]
    assert ((shown + 0.055) / 1.055) ** 2.4 == pytest.approx(float(light), abs=0.01) or shown < 0.04
    assert Shot(shot_in(str(tmp_path / "out"))).info.link == "flow"
    again = sd.restyle_sequence("clay", movie, frames=(2, 3), output=tmp_path / "again", **settings).result(PATIENCE)
    assert [path.name for path in again] == ["000002.png", "000003.png"]
    with_surfaces = sd.restyle_sequence("clay", tmp_path / "in" / "f_####.png", of_scene=True,
                                        output=tmp_path / "scene", **settings)
    assert len(with_surfaces.result(PATIENCE)) == 3
    assert Shot(shot_in(str(tmp_path / "scene"))).info.link == "surface"


def test_settings_follow_properties_and_markers_hold_prompts(sd, moving, settings, tmp_path):
    moving["how strong"] = 0.0
    moving.driver_add('["how strong"]').driver.expression = "frame / 10"
    moving.timeline_markers.new("prompt: bronze", frame=2)
    moving.timeline_markers.new("a cut", frame=3)
    sd.restyle_sequence("clay", output=tmp_path / "out", varying={"strength": '["how strong"]'}, record_only=True,
                        **settings).result(PATIENCE)
    course = Shot(shot_in(str(tmp_path / "out"))).course
    assert course.strength == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3}) and course.prompts == ((2, "bronze"),)
    moving.timeline_markers[0].name = "prompt: gold"
    moving["guide"] = 2.0
    moving.keyframe_insert('["guide"]', frame=1)
    sd.restyle_sequence("clay", output=tmp_path / "out", resume=True, record_only=True, varying={
        "strength": '["how strong"]', "guidance": '["guide"]'}, **settings).result(PATIENCE)
    again = Shot(shot_in(str(tmp_path / "out"))).course
    assert again.prompts == ((2, "gold"),) and again.guidance[3] == 2 and again.strength == course.strength


def test_a_file_that_was_never_saved_and_one_that_was(sd, moving, settings, tmp_path):
    assert not bpy.data.filepath
    sd.restyle_sequence("clay", output=tmp_path / "a", record_only=True, **settings).result(PATIENCE)
    assert os.path.basename(saved_copy(str(tmp_path / "a"))) == "untitled.blend" and not bpy.data.filepath
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mine.blend"))
    (tmp_path / "blendcache_mine").mkdir()
    sd.restyle_sequence("clay", output=tmp_path / "b", record_only=True, **settings).result(PATIENCE)
    copy = saved_copy(str(tmp_path / "b"))
    assert os.path.basename(copy) == "mine.blend" and os.path.isdir(copy.replace("mine.blend", "blendcache_mine"))


def test_keyframes_of_an_earlier_run_stay_unless_others_are_given(tmp_path):
    png_bytes = png.grey_png(8, 8, bytes(64))
    ShotWriter(str(tmp_path)).info(ShotInfo((1, 2), 64, 64))

    def write(keyframes) -> list[str]:
        work = SequenceWork(None, None, ShotOrder(str(tmp_path)), keyframes=keyframes, record_only=True)
        work.record("1", None, None)
        return sorted(os.listdir(tmp_path / "keyframes"))

    both = {1: Source(encoded=png_bytes), 2: Source(encoded=png_bytes)}
    assert write(both) == write(None) == ["000001.png", "000002.png"]
    assert write({2: both[2]}) == ["000002.png"] and write({}) == []


def test_paths_may_be_relative_and_end_with_a_slash(sd, moving, settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sequences._movie("a.mp4") == str(tmp_path / "a.mp4")
    job = sd.restyle_sequence("clay", output=f"out{os.sep}", record_only=True, movie="BESIDE", **settings)
    assert job.folder == str(tmp_path / "out")
    with pytest.raises(InvalidRequest, match="still being made"):
        sd.restyle_sequence("bronze", output="out", **settings)
    kept = [sd.region(object="Cube", keep=True)]
    with pytest.raises(InvalidRequest, match="has other regions"):
        sd.restyle_sequence("bronze", output="out", resume=True, regions=kept, **settings)
    assert job.cancel()


@pytest.mark.parametrize(("keywords", "error", "words"), [
    ({"frames": (9, 2)}, InvalidRequest, "runs backwards"),
    ({"frames": "1-3x0"}, InvalidRequest, "step of 0"),
    ({"frames": (1, 3, 0)}, InvalidRequest, "step of 0"),
    ({"only": "7"}, InvalidRequest, "no frame 7"),
    ({"keyframes": {9: np.zeros((64, 64, 3), np.uint8)}}, InvalidRequest, "no frame 9"),
    ({"source": "nowhere"}, SourceUnusable, "no folder, movie or pattern"),
    ({"source": 5}, InvalidRequest, "source of an animation"),
    ({"link": "magic"}, InvalidRequest, "linked by 'magic'"),
    ({"varying": {"steps": "a"}}, InvalidRequest, "cannot follow"),
    ({"prompts": [("one", "clay")]}, InvalidRequest, "prompts must be"),
    ({"prompts": [(1, 2)]}, InvalidRequest, "prompts must be"),
    ({"frames": ("a", "b")}, InvalidRequest, "frames must be"),
    ({"keyframes": {"one": np.zeros((64, 64, 3), np.uint8)}}, InvalidRequest, "no frame one|keyframes must be"),
    ({"movie": "a.gif"}, InvalidRequest, "cannot be written as 'a.gif'"),
    ({"movie": "/nowhere/a.mp4"}, OutputUnwritable, "no folder for the movie"),
    ({"size": (64, 0)}, InvalidRequest, "Height"),
    ({"place": "desk"}, InvalidRequest, "cannot be placed in 'desk'"),
    ({"resume": True}, InvalidRequest, "folder of the frames is needed"),
    ({"regions": [(Region("object", "Nothing"), None)]}, SourceUnusable, "Nothing"),
])
def test_bad_input_changes_nothing(sd, moving, settings, tmp_path, keywords, error, words):
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=words):
        sd.restyle_sequence("clay", **{**settings, **keywords})
    assert sorted(os.listdir(tmp_path)) == before and not os.listdir(tmp_path / "pictures") and not bpy.data.movieclips


def test_no_camera_and_gaps_are_refused_before_anything_is_made(sd, moving, settings, tmp_path):
    moving.camera = None
    with pytest.raises(SourceUnusable, match="no camera"):
        sd.restyle_sequence("clay", **settings)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (1, 2, 5):
        (folder / f"{number:04d}.png").write_bytes(png.grey_png(64, 64, bytes(64 * 64)))
    with pytest.raises(SourceUnusable, match="missing: 3-4"):
        sd.restyle_sequence("clay", folder, **settings)
    (folder / "0002.png").write_bytes(b"broken")
    job = sd.restyle_sequence("clay", folder, output=tmp_path / "out", skip_broken=True, **settings)
    assert [path.name for path in job.result(PATIENCE)] == ["000001.png", "000005.png"]
    assert [note for note in job.notes if "frame 2" in note.lower()], job.notes
    assert json.loads((tmp_path / "out" / ".shot" / "shot.json").read_text())["frames"] == [1, 5]


def test_an_object_is_kept_as_it_is_in_every_frame(sd, moving, settings, tmp_path):
    out = tmp_path / "out"
    kept = [sd.region(object="Cube", keep=True)]
    paths = sd.restyle_sequence("clay", output=out, frames=(1, 2), regions=kept, **settings).result(PATIENCE)
    for path in paths:
        shot = out / ".shot"
        files = (shot / "frames" / path.name, path, shot / "regions" / "0" / path.name)
        came, went, mask = (np.array(bpy.data.images.load(str(file)).pixels[:]).reshape(64, 64, 4) for file in files)
        inside, changed = mask[..., 0] == 1, np.abs(came - went)[..., :3]
        assert inside.any() and changed[inside].mean() < 0.02 < changed[~inside].mean()


def test_another_prompt_leaves_finished_frames_where_they_are(sd, moving, settings, tmp_path):
    del settings["seed"]
    first = sd.restyle_sequence("clay", seed=3, output=tmp_path / "out", spare=True, **settings)
    before = digest(first.result(PATIENCE))
    again = sd.restyle_sequence("clay", output=tmp_path / "out", resume=True, spare=True, **settings)
    assert again.folder == first.folder and again.request.seed == 3, "the seed of the earlier run"
    assert digest(again.result(PATIENCE)) == before
    other = sd.restyle_sequence("marble", output=tmp_path / "out", resume=True, spare=True, **settings)
    paths = other.result(PATIENCE)
    assert other.folder != first.folder and os.path.basename(other.folder) == "marble"
    assert digest(first.outputs) == before != digest(paths)
    frame = shot_in(other.folder) + "/frames/000001.png"
    assert os.path.samefile(frame, shot_in(first.folder) + "/frames/000001.png"), "nothing is rendered again"
    assert sd.forget_shot(first.folder) and is_recorded(other.folder)


def test_parts_of_an_animation_have_the_same_settings(sd, moving, settings, tmp_path):
    out, varying = tmp_path / "out", {"strength": '["how strong"]'}
    moving["how strong"] = 0.5
    moving.keyframe_insert('["how strong"]', frame=1)
    sd.restyle_sequence("clay", output=out, prompts=[(2, "gold")], varying=varying, record_only=True,
                        **settings).result(PATIENCE)
    moving.timeline_markers.new("prompt: bronze", frame=2)

    def part(prompt="clay", **keywords):
        job = sd.restyle_sequence(prompt, output=out, resume=True, only="1", **{**settings, **keywords})
        return job.result(PATIENCE)

    made, = part()
    course = Shot(shot_in(str(out))).course
    assert course.prompts == ((2, "gold"),) and course.strength[1] == 0.5
    assert digest([made]) == digest(part(prompts=[(2, "gold")], varying=varying))
    moving["how strong"] = 0.7
    moving.keyframe_insert('["how strong"]', frame=1)
    for keywords, word in (({"prompts": [(2, "bronze")]}, "list of prompts"), ({"prompt": "marble"}, "prompt"),
                           ({"varying": varying}, "settings that vary"), ({"varying": {}}, "settings that vary"),
                           ({"seed": 123456}, "seed"), ({"strength": 0.1}, "strength")):
        with pytest.raises(InvalidRequest, match=f"begun with another .*{word}"):
            part(**keywords)
    assert Shot(shot_in(str(out))).course == course
    whole = sd.restyle_sequence("clay", output=out, resume=True, record_only=True, **settings)
    whole.result(PATIENCE)
    assert Shot(shot_in(str(out))).course.prompts == ((2, "gold"),), "what a call gave stays until another gives more"


def test_motion_and_what_the_frames_show_are_part_of_a_recording(sd, moving, settings, tmp_path):
    out = tmp_path / "out"
    sd.restyle_sequence("clay", output=out, record_only=True, **settings).result(PATIENCE)
    for keywords, word in (({"link": "flow"}, "Motion"), ({"link": "vector"}, "Motion")):
        with pytest.raises(InvalidRequest, match=f"another setting of {word}"):
            sd.restyle_sequence("clay", output=out, resume=True, **{**settings, **keywords})
    for link in (None, "auto", "surface"):
        sd.restyle_sequence("clay", output=out, resume=True, record_only=True, link=link, **settings).result(PATIENCE)
    moving.render.filepath, moving.render.image_settings.file_format = str(tmp_path / "in" / "f_####.png"), "PNG"
    moving.render.fps = 30
    bpy.ops.render.render(animation=True)
    files = sd.restyle_sequence("clay", tmp_path / "in", output=tmp_path / "files", record_only=True, **settings)
    files.result(PATIENCE)
    assert Shot(shot_in(str(tmp_path / "files"))).info.fps == (30, 1), "as the scene"
    with pytest.raises(InvalidRequest, match="They Show This Scene"):
        sd.restyle_sequence("clay", tmp_path / "in", output=tmp_path / "files", resume=True, of_scene=True, **settings)


def test_a_movie_of_every_second_frame_is_as_long(sd, moving, settings, tmp_path):
    moving.frame_end, moving.frame_step = 5, 2
    movie = tmp_path / "a.mp4"
    sd.restyle_sequence("clay", output=tmp_path / "out", movie=movie, **settings).result(PATIENCE)
    assert movies.facts_of(str(movie)) == ((64, 64), 3, (12, 1))
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_what_a_killed_process_left_of_a_movie_is_deleted(tmp_path):
    shot = recorded.alike(str(tmp_path / "out"), 2)
    work = SequenceWork(None, None, ShotOrder(shot), str(tmp_path / "a.mp4"))
    made = Finished("1", tuple(Result(f"{tmp_path}/{number:06d}.png", Request.of("restyle_sequence"), 8, 8)
                               for number in (1, 2)))

    class Killed:
        def run(self, request, emit, cancelled):
            with open(request.fresh, "wb") as file:
                file.write(b"half a movie")
            emit(Failed.of("1", EngineDied("The process ended.")))

        def close(self):
            pass

    work.pipeline = Killed
    with pytest.raises(EngineDied):
        work.finish(made, lambda event: None, lambda: False)
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_a_history_that_cannot_be_written_costs_no_frame(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000001.png").write_bytes(b"a finished frame")
    made = Finished("1", (Result(str(tmp_path / "out" / "000001.png"), Request.of("restyle_sequence"), 8, 8),))
    for refused in (lambda: tmp_path / "missing", lambda: tmp_path / "out" / "000001.png"):
        notes = []
        work = SequenceWork(None, None, ShotOrder(str(tmp_path)), history=refused)
        assert work.finish(made, notes.append, lambda: False) is made
        assert [note.text for note in notes] == [
            "The history does not show this animation: its folder cannot be written to."]


def test_scripts_run_only_in_the_copy_that_was_saved(sd, moving, settings, tmp_path, monkeypatch):
    """The copy is looked at when it is opened, however long the job has waited."""
    text = bpy.data.texts.new("mark.py")
    text.write(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    text.use_module = True
    job = sd.restyle_sequence("clay", output=tmp_path / "a", record_only=True, **settings)
    job.result(PATIENCE)
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    own = SequenceWork._trusted

    def exchanged(self, job, emit):  # between the queue's check and the opening
        trusted = own(self, job, emit)
        with open(self.copy.path, "ab") as file:
            file.write(b"\0")
        return trusted

    monkeypatch.setattr(SequenceWork, "_trusted", exchanged)
    job = sd.restyle_sequence("clay", output=tmp_path / "b", record_only=True, **settings)
    job.result(PATIENCE)
    assert not (tmp_path / "ran").exists() and [note for note in job.notes if "changed the copy" in note]


def test_going_on_with_ten_thousand_frames_blocks_nothing(sd, moving, settings, tmp_path):
    recorded.alike(str(tmp_path / "out"), 10_000, finished=True)
    moving.frame_end = 10_000
    moving["how strong"] = 0.5
    moving.keyframe_insert('["how strong"]', frame=1)
    started = time.monotonic()
    job = sd.restyle_sequence("clay", output=tmp_path / "out", resume=True, record_only=True,
                              varying={"strength": '["how strong"]'}, **settings)
    blocked = time.monotonic() - started
    job.result(PATIENCE)
    assert blocked < 1 and len(Shot(shot_in(str(tmp_path / "out"))).course.strength) == 10_000


def test_regions_of_a_style_that_the_file_lacks_are_left_out(sd, moving, settings, tmp_path):
    sd.save_style("bottles", regions=[{"object": "Bottle", "keep": True}, {"object": "Cube", "keep": True}])
    job = sd.restyle_sequence("clay", output=tmp_path / "out", style="bottles", record_only=True, **settings)
    job.result(PATIENCE)
    assert [region.name for region in job.request.regions] == ["Cube"]
    assert [note for note in job.notes if "Bottle" in note and "does not have" in note]
    folder = shot_in(str(tmp_path / "out")) + "/frames"
    files = sd.restyle_sequence("clay", folder, output=tmp_path / "b", style="bottles", record_only=True, **settings)
    files.result(PATIENCE)
    assert not files.request.regions and len([note for note in files.notes if "is not looked for" in note]) == 2
