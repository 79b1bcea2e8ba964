"""Pictures on disk: complete, self-describing, never overwritten, nothing left where writing fails."""
from __future__ import annotations

import dataclasses
import errno
import os
import re
import struct
import time

import numpy as np
import pytest
from PIL import Image

from blender_sd.engine.output import pictures
from blender_sd.core import webui_text
from blender_sd.library import png
from blender_sd.library.content_digests import ContentDigests
from blender_sd.core.errors import OutputUnwritable
from blender_sd.protocol.messages import Failed, Finished, Note, Source, Step
from blender_sd.core.image_origin import Origin
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from tests.support.requests import as_sent
from tests.support.engine import small


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_file_tells_how_it_was_made(run, sd, tmp_path):
    request = small(sd, prompt="rote Ziegel “grün” ✓", count=2)
    results = run(request, job="job-1")[-1].results
    for index, result in enumerate(results):
        text = png.read_text(result.path)
        assert png.request_in(text) == result.request and as_sent(result.request) == request.single(index)
        assert result.request.model_name == "sd" and result.request.model_digest == ContentDigests().digest(sd)
        assert text["parameters"] == webui_text.parameters_text(request.single(index), "sd")
        assert "trainedAlgorithmicMedia" in text["XML:com.adobe.xmp"] and "composite" not in text["XML:com.adobe.xmp"]
        assert re.fullmatch(rf"rote_Ziegel_grün_{request.seed + index}_[0-9a-f]{{6}}\.png",
                            os.path.basename(result.path))
    assert len(files(tmp_path)) == 2


def test_restyles_are_marked_as_composites_and_their_source_is_kept_once(run, sd, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    source = Source(pixels=pixels)
    request = small(sd, task=IMAGE_TO_IMAGE, source=source.digest())
    result = run(request, source=source)[-1].results[0]
    assert "compositeWithTrainedAlgorithmicMedia" in png.read_text(result.path)["XML:com.adobe.xmp"]
    kept = tmp_path / "sources" / f"{request.source[7:]}.png"
    with Image.open(kept) as image:
        assert np.array_equal(np.asarray(image), pixels)
    stamp = kept.stat().st_mtime_ns
    run(request, source=source)
    assert kept.stat().st_mtime_ns == stamp and len(files(tmp_path / "sources")) == 1


def test_an_encoded_source_is_kept_as_it_came(run, sd, tmp_path):
    import io

    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(buffer, "JPEG")
    source = Source(encoded=buffer.getvalue())
    request = small(sd, task=IMAGE_TO_IMAGE, source=source.digest())
    assert isinstance(run(request, source=source)[-1], Finished)
    assert (tmp_path / "sources" / f"{request.source[7:]}.jpg").read_bytes() == buffer.getvalue()


def test_a_strange_source_name_writes_nowhere(tmp_path):
    pictures.save_input(Source(encoded=b"x"), "sha256:../../evil", tmp_path)
    assert not files(tmp_path)


def test_names_never_leave_the_folder_and_never_overwrite(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures.time, "time_ns", lambda: 1)
    image, request = Image.new("RGB", (16, 16)), dataclasses.replace(small("m"), prompt="../a b/ü: (rusty:1.2) 铁",
                                                                     seed=7)
    paths = [pictures.save(image, tmp_path, "../job", 1, request, Origin(model="m")) for _ in range(3)]
    stem = paths[0].stem
    assert re.fullmatch("a_b_ü_rusty_1_2_铁_7_[0-9a-f]{6}", stem)
    assert [path.name for path in paths] == [f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png"]
    assert {path.parent for path in paths} == {tmp_path}


def test_a_name_of_a_picture_is_never_used_again(tmp_path):
    image, names = Image.new("RGB", (16, 16)), set()
    for _ in range(8):
        path = pictures.save(image, tmp_path, "job", 1, small("m"), Origin(model="m"))
        path.unlink()
        names.add(path.name)
    assert len(names) == 8


def test_a_missing_folder_is_reported_before_anything_is_painted(run, sd, tmp_path):
    events = run(small(sd), output=tmp_path / "gone")
    assert len(events) == 1 and events[0].kind == OutputUnwritable.kind
    assert not (tmp_path / "gone").exists()


def test_a_file_in_place_of_the_folder(run, sd, tmp_path):
    (tmp_path / "file").write_text("x")
    assert run(small(sd), output=tmp_path / "file")[-1].kind == OutputUnwritable.kind


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody, root included, can write into")
def test_a_read_only_folder(run, sd):
    events = run(small(sd), output="/proc/self")
    assert len(events) == 1 and events[0].kind == OutputUnwritable.kind


@pytest.mark.parametrize("step", ["fsync", "link" if os.name == "posix" else "rename"])
def test_a_full_disk_leaves_nothing_behind(run, sd, tmp_path, monkeypatch, step):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pictures.os, step, full)
        failed = run(small(sd))[-1]
    assert isinstance(failed, Failed) and failed.kind == OutputUnwritable.kind and "full" in failed.message
    assert not files(tmp_path)


def test_a_disk_that_fills_while_the_picture_is_written(run, sd, tmp_path, monkeypatch):
    def half(self, file, *arguments, **options):
        file.write(b"\x89PNG half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    events = run(small(sd, count=2))
    assert [result.path for result in events[-1].results] == ["", ""] and not files(tmp_path)
    assert events[-1].results[0].pixels.shape == (64, 64, 4)
    assert any(isinstance(event, Note) and "full" in event.text and "open file" in event.text for event in events)


def test_a_folder_that_goes_away_while_the_picture_is_painted(run, sd, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    kept = run(small(sd))[-1]
    lost = run(small(sd), output=place,
               on_event=lambda event: isinstance(event, Step) and event.step == 2 and place.rmdir())[-1]
    with Image.open(kept.results[0].path) as image:
        assert np.array_equal(np.asarray(image.convert("RGBA")), lost.results[0].pixels)


def test_a_source_that_cannot_be_kept_costs_no_picture(run, sd, tmp_path):
    (tmp_path / "sources").write_text("a file in the folder's place")
    source = Source(pixels=np.zeros((64, 64, 4), np.uint8))
    events = run(small(sd, task=IMAGE_TO_IMAGE, source=source.digest()), source=source)
    assert os.path.isfile(events[-1].results[0].path)
    assert any(isinstance(event, Note) and "No copy of the source image" in event.text for event in events)


def test_what_killed_processes_left_is_cleared_away_when_it_is_old(tmp_path):
    ours = [tmp_path / f".{name}.0123456789abcdef.part" for name in ("a.png", "probe", "b.png")]
    others = [tmp_path / name for name in (".a.png.1.part", "mine.part")]
    for path in (*ours, *others):
        path.write_bytes(b"x")
    for path in (*ours[:2], *others):
        os.utime(path, (time.time() - 3600,) * 2)
    pictures.check_folder(tmp_path)
    assert files(tmp_path) == sorted([ours[2], *others])


def test_pixels_in_the_file_are_those_of_the_library_call(run, engine, sd):
    path = run(small(sd))[-1].results[0].path
    picture = engine.generate("red brick", seed=7, steps=3, guidance=5, sampler="dpmpp_2m", size=(64, 64), model=sd)[0]
    with Image.open(path) as image:
        assert image.mode == "RGB" and image.tobytes() == picture.tobytes()
    with open(path, "rb") as file:  # the text comes before the pixels, so that readers need not load them
        data = file.read()
    assert data.index(b"iTXt") < data.index(b"IDAT") and struct.unpack(">II", data[16:24]) == (64, 64)


def test_a_model_with_another_content_is_noted_once(run, sd):
    digest = ContentDigests().digest(sd)
    same = run(small(sd, model_digest=digest, count=2))
    other = run(small(sd, model_digest="sha256:0", count=2))
    assert not [event for event in same if isinstance(event, Note)]
    notes = [event.text for event in other if isinstance(event, Note)]
    assert len(notes) == 1 and "another content" in notes[0]
    assert {result.request.model_digest for result in (*same[-1].results, *other[-1].results)} == {digest}
