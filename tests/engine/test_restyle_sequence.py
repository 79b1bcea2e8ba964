"""Restyled shots: every family, the same frames however they are asked for, interruptions, settings over time."""
from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine.tasks.restyle_sequence import Stage
from blender_sd.protocol import shots
from blender_sd.protocol.messages import Cancelled, Failed, Finished, FrameDone, Note, Step
from blender_sd.protocol.shots import Course
from tests.support import shots as scenes

TOGETHER = ("sd", "sdxl", "sd3", "flux", "z_image", "qwen_image")
IN_TURN = ("flux2_klein", "flux_kontext", "qwen_edit_plus")


@pytest.fixture(scope="module")
def shot(tmp_path_factory):
    """The folder of a shot with five frames."""
    return scenes.small(5).write(str(tmp_path_factory.mktemp("shot") / "shot"))


@pytest.fixture
def restyle(engine, families, tmp_path):
    """Restyles a shot into a folder of its own name; returns the events."""
    def restyle(folder, name="sd", to="out", cancelled=lambda: False, on_event=None, **settings):
        output = tmp_path / to
        output.mkdir(exist_ok=True)
        events = []

        def take(event):
            events.append(event)
            if on_event:
                on_event(event)

        engine.run(scenes.order(folder, families(name), str(output), **{"key_distance": 2, "steps": 2, **settings}),
                   take, cancelled)
        return events

    return restyle


def pixels(folder, frames=range(1, 6)):
    return {frame: np.asarray(Image.open(folder / f"{frame:06d}.png")) for frame in frames}


def finished(events):
    assert isinstance(events[-1], Finished), events[-1]
    return [event for event in events if isinstance(event, FrameDone)]


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[frame], other[frame]) for frame in one)


@pytest.mark.slow
@pytest.mark.parametrize("name", (*TOGETHER, *IN_TURN))
def test_every_family_restyles_a_shot(restyle, shot, tmp_path, name):
    done = finished(restyle(shot, name))
    assert [event.frame for event in done] == [1, 2, 3, 4, 5] and [event.done for event in done] == [1, 2, 3, 4, 5]
    assert [event.key for event in done] == [True, False, True, False, True]
    assert all(picture.std() > 1 for picture in pixels(tmp_path / "out").values())


def test_frames_do_not_depend_on_how_they_are_asked_for(restyle, shot, tmp_path):
    finished(restyle(shot))
    for chunk in ([4, 5], [1], [2, 3]):
        finished(restyle(shot, to="chunks", frames=chunk))
    assert equal(pixels(tmp_path / "out"), pixels(tmp_path / "chunks"))


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupted_job_goes_on_and_makes_nothing_twice(restyle, shot, tmp_path, at):
    finished(restyle(shot))
    seen = []
    events = restyle(shot, to="broken", cancelled=lambda: len(seen) >= at,
                     on_event=lambda event: seen.append(event) if isinstance(event, FrameDone) else None)
    assert isinstance(events[-1], Cancelled)
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "broken").rglob("*.png")}
    assert there
    finished(restyle(shot, to="broken"))
    assert equal(pixels(tmp_path / "out"), pixels(tmp_path / "broken"))
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "broken").rglob("*.png")}
    assert {name: now[name] for name in there} == there
    again = restyle(shot, to="broken")
    assert len(finished(again)) == 5 and not any(isinstance(event, Step) for event in again)


def test_keyframes_alone_and_one_that_a_person_made(restyle, tmp_path):
    folder = scenes.small(5).write(str(tmp_path / "shot"))
    events = restyle(folder, keys_only=True)
    done = finished(events)
    assert [event.frame for event in done] == [1, 3, 5] and all(os.path.exists(event.path) for event in done)
    steps = [event for event in events if isinstance(event, Step)]
    assert steps and {event.images for event in steps} == {3} and max(event.image for event in steps) <= 3
    assert not list((tmp_path / "out").glob("*.png"))
    own = np.full((64, 64, 3), (200, 30, 90), np.uint8)
    scenes.ShotWriter(folder).picture(shots.KEYFRAMES, 3, scenes.png(own))
    finished(restyle(folder))
    made = pixels(tmp_path / "out")
    assert (made[3] == own).all()
    assert np.abs(made[2].astype(int) - own).mean() < 30 and np.abs(made[5].astype(int) - own).mean() < 60


def test_nothing_passes_a_cut(restyle, tmp_path):
    scene = scenes.small(4, cuts=(3,))
    folder = scene.write(str(tmp_path / "shot"))
    finished(restyle(folder, key_distance=10))
    before = pixels(tmp_path / "out", range(1, 5))
    scenes.ShotWriter(folder).picture(shots.FRAMES, 1, scenes.png(255 - scene.picture(1)))
    finished(restyle(folder, key_distance=10, to="changed"))
    after = pixels(tmp_path / "changed", range(1, 5))
    assert not np.array_equal(before[1], after[1]) and not np.array_equal(before[2], after[2])
    assert np.array_equal(before[3], after[3]) and np.array_equal(before[4], after[4])


def test_at_no_consistency_each_frame_is_image_to_image(restyle, shot, tmp_path, engine, families):
    finished(restyle(shot, consistency=0.0, frames=[2]))
    source = Image.open(os.path.join(shot, "frames", "000002.png"))
    plain, = engine.restyle(source, "red brick wall", model=families("sd"), steps=2, guidance=3.0, seed=1)
    assert np.array_equal(pixels(tmp_path / "out", [2])[2], np.asarray(plain.convert("RGB")))
    assert not list((tmp_path / "out" / ".sequence").glob("*.png"))


def test_settings_over_time(restyle, tmp_path):
    course = Course(strength={1: 0.0, 5: 1.0}, guidance={1: 2.0, 5: 6.0}, seed={5: 9},
                    prompts=((1, "grass"), (5, "marble")), blend={1: 0.0, 3: 0.5})
    folder = scenes.small(5).write(str(tmp_path / "shot"), course)
    finished(restyle(folder, steps=4))
    made = pixels(tmp_path / "out")
    source = np.asarray(Image.open(os.path.join(folder, "frames", "000001.png")))
    assert np.abs(made[1].astype(int) - source).mean() < 2  # at strength 0 nothing is painted
    assert np.abs(made[5].astype(int) - np.asarray(Image.open(os.path.join(folder, "frames", "000005.png")))).mean() > 5


def test_broken_frames_are_named_and_can_be_left_out(restyle, tmp_path):
    folder = scenes.small(5).write(str(tmp_path / "shot"))
    scenes.ShotWriter(folder).picture(shots.FRAMES, 3, b"\x89PNG broken")
    events = restyle(folder)
    assert isinstance(events[-1], Failed) and "Frame 3" in events[-1].message
    events = restyle(folder, skip_broken=True)
    assert [event.frame for event in finished(events)] == [1, 2, 4, 5]
    assert any("Frame 3 is left out" in event.text for event in events if isinstance(event, Note))
    os.remove(os.path.join(folder, "frames", "000002.png"))
    assert "Frame 2 of the shot is missing" in restyle(folder, to="fresh")[-1].message


def test_what_cannot_be_asked_for(restyle, shot):
    assert "no frame 9" in restyle(shot, frames=[9])[-1].message
    assert "cannot be read" in restyle(shot + "-gone")[-1].message


def test_sixteen_bits_and_alpha(restyle, tmp_path):
    scene = scenes.small(3)
    folder = scene.write(str(tmp_path / "shot"))
    for frame in (1, 2, 3):
        alpha = np.full((64, 64, 1), 255, np.uint8)
        alpha[:20] = 40
        scenes.ShotWriter(folder).picture(shots.FRAMES, frame, scenes.png(np.dstack([scene.picture(frame), alpha])))
    finished(restyle(folder, frame_bits="16"))
    from blender_sd.library.png import read_head

    assert read_head(str(tmp_path / "out" / "000002.png")).text["blender_sd_frame"]
    data = (tmp_path / "out" / "000002.png").read_bytes()
    assert data[24] == 16 and data[25] == 6  # bits, and red, green, blue, alpha


@pytest.mark.parametrize(("link", "how"), [(shots.FLOW, "optical flow"), (shots.VECTOR, "Vector pass")])
def test_without_surfaces_frames_are_tracked(restyle, tmp_path, link, how):
    pytest.importorskip("cv2")
    scene = scenes.small(5, step=0.0)  # nothing moves: all frames are alike
    folder = scene.write(str(tmp_path / "shot"), link=link, surfaces=False)
    if link == shots.VECTOR:
        for frame in range(1, 6):
            scenes.ShotWriter(folder).vectors(frame, np.zeros((64, 64, 4), np.float32))
    events = restyle(folder, key_distance=4)
    finished(events)
    assert any(how in event.text for event in events if isinstance(event, Note))
    made = pixels(tmp_path / "out")
    assert all(np.abs(made[frame].astype(int) - made[1]).mean() < 2 for frame in made)


def test_frames_that_are_followed_through_a_changed_one_are_made_again(restyle, tmp_path):
    folder = scenes.small(5, step=0.0).write(str(tmp_path / "shot"), link=shots.VECTOR, surfaces=False)
    writer = scenes.ShotWriter(folder)
    for frame in range(1, 6):
        writer.vectors(frame, np.zeros((64, 64, 4), np.float32))
    finished(restyle(folder, key_distance=4))
    moved = np.zeros((64, 64, 4), np.float32)
    moved[20:40, 20:40] = 0.6
    writer.vectors(2, moved)
    finished(restyle(folder, key_distance=4))
    finished(restyle(folder, key_distance=4, to="fresh"))
    assert equal(pixels(tmp_path / "out"), pixels(tmp_path / "fresh"))


def test_half_consistent_frames_are_painted_over_once_more(restyle, shot, tmp_path):
    finished(restyle(shot, steps=4, strength=1.0))
    finished(restyle(shot, to="half", steps=4, strength=1.0, consistency=0.5))
    firm, half = pixels(tmp_path / "out"), pixels(tmp_path / "half")
    changes = [np.abs(half[frame].astype(int) - firm[frame]).mean() for frame in firm]
    assert all(change > 2 for change in changes)
    kept = [pixels(tmp_path / name / ".sequence", (1, 3, 5)) for name in ("out", "half")]
    assert equal(*kept)  # keyframes themselves are the same


def test_regions_lie_where_each_frame_has_them(restyle, tmp_path):
    from blender_sd.core.regions import Region

    scene = scenes.small(3)
    folder = scene.write(str(tmp_path / "shot"))
    for frame in (1, 2, 3):
        mask = np.zeros((64, 64, 3), np.uint8)
        mask[:, : 16 * frame] = 255
        scenes.ShotWriter(folder).picture(f"{shots.REGIONS}/0", frame, scenes.png(mask))
    finished(restyle(folder, key_distance=2, steps=4, strength=1.0, regions=(Region("object", "Cube", keep=True),)))
    made = pixels(tmp_path / "out", (1, 2, 3))
    for frame, picture in made.items():
        source, edge = scene.picture(frame), 16 * frame
        assert np.array_equal(picture[:, :edge], source[:, :edge])
        assert not np.array_equal(picture[:, edge + 8:], source[:, edge + 8:])


def test_a_cancel_within_a_step_ends_it(restyle, shot):
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) > 200

    events = restyle(shot, steps=50, strength=1.0, cancelled=cancelled)
    assert isinstance(events[-1], Cancelled)


def test_frames_of_one_stretch_are_followed_along_the_same_ways(tmp_path):
    scene = scenes.small(4, cuts=(3,))
    folder = scene.write(str(tmp_path / "shot"), link=shots.FLOW, surfaces=False)
    message = scenes.order(folder, "sd", "")
    stage = Stage(message.shot, message.request, lambda: False)
    ways = {frame: stage.moment(frame)._tracks for frame in (1, 2, 3, 4)}
    assert ways[1] is ways[2] and ways[3] is ways[4] and ways[1] is not ways[3]
