"""Cancelling and failing: at any moment, one ending, nothing partial on disk, and the next job is untouched."""
from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.engine.denoise import painting, vae_guard
from blender_sd.engine.models import cache
from blender_sd.core.errors import OutOfMemory
from blender_sd.protocol.messages import Cancelled, ENDINGS, Failed, Finished, Loading, Source, Step
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from tests.support.engine import small


def state_of(engine, folder) -> dict:
    """Everything about the loaded model that a job could leave changed; but for transformers' note to itself."""
    model = engine._load(folder)
    return {
        "weights": {name: value.clone() for module in model.modules() for name, value in module.state_dict().items()},
        "attributes": [(name, sorted(vars(part).keys() - {"_output_capturing_hooks_installed"}))
                       for module in model.modules() for name, part in module.named_modules()],
        "paddings": [
            part.padding for module in model.modules() for part in module.modules() if hasattr(part, "padding")],
        "hooks": sum(len(part._forward_pre_hooks) for module in model.modules() for part in module.modules()),
        "schedulers": [id(model.pipe(name).scheduler) for name in ("text_to_image", "image_to_image")],
        "dtypes": [module.dtype for module in model.modules()],}


def same(one: dict, two: dict) -> bool:
    weights = one.pop("weights"), two.pop("weights")
    return one == two and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("task", ["text_to_image", IMAGE_TO_IMAGE])
def test_a_cancel_at_any_question_leaves_nothing_and_harms_nothing(run, engine, sdxl, tmp_path, task):
    request = small(sdxl, task=task, steps=2, strength=1.0, tiling="xy", sampler="euler_a")
    source = Source(
        pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)) if task == IMAGE_TO_IMAGE else None
    engine.close()
    before = state_of(engine, sdxl)  # as loaded, before any job
    run(request, source=source, output="")  # what follows is asked by a warm engine
    asked = []
    whole = run(request, source=source, output=tmp_path, cancelled=lambda: asked.append(1) is not None)
    assert isinstance(whole[-1], Finished)
    with Image.open(whole[-1].results[0].path) as image:
        expected = np.asarray(image)
    assert len(asked) >= 6  # before loading, after it, before each picture, at each step, before decoding, after it
    for moment in range(1, len(asked) + 1):
        count = iter(range(1, 10_000))
        place = tmp_path / str(moment)
        place.mkdir()
        events = run(request, source=source, output=place,
                     cancelled=lambda count=count, moment=moment: next(count) >= moment)
        assert [type(event) for event in events if isinstance(event, ENDINGS)] == [Cancelled], moment
        assert isinstance(events[-1], Cancelled)
        assert not [path for path in place.rglob("*") if path.is_file()], moment
    assert same(before, state_of(engine, sdxl))
    again = run(request, source=source)[-1].results[0]
    with Image.open(again.path) as image:
        assert np.array_equal(np.asarray(image), expected)


def test_a_cancel_comes_within_one_step(run, sd):
    cancelled = threading.Event()

    def at_second_step(event):
        if isinstance(event, Step) and event.step == 2:
            cancelled.set()

    events = run(small(sd, steps=30), cancelled=cancelled.is_set, on_event=at_second_step)
    assert max(event.step for event in events if isinstance(event, Step)) == 2
    assert isinstance(events[-1], Cancelled)


def test_a_cancel_between_pictures_keeps_the_finished_one(run, sd, tmp_path):
    cancelled = threading.Event()

    def at_second_picture(event):
        if isinstance(event, Step) and event.image == 2:
            cancelled.set()

    assert isinstance(run(small(sd, count=3), cancelled=cancelled.is_set, on_event=at_second_picture)[-1], Cancelled)
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    with Image.open(files[0]) as image:
        image.load()  # whole


def test_a_cancel_while_loading_does_not_wait_for_the_disk(run, engine, sd, monkeypatch):
    engine.close()
    reading, go_on, cancelled = threading.Event(), threading.Event(), threading.Event()
    original = cache._read

    def slow(*arguments):
        reading.set()
        assert go_on.wait(30)
        return original(*arguments)

    monkeypatch.setattr(cache, "_read", slow)

    def asked():
        if reading.is_set():
            cancelled.set()
        return cancelled.is_set()

    events = run(small(sd), cancelled=asked)
    assert isinstance(events[-1], Cancelled)  # although the reading has not gone on yet
    monkeypatch.setattr(cache, "_read", original)
    threading.Timer(0.1, go_on.set).start()
    events = run(small(sd))
    assert isinstance(events[-1], Finished)
    assert events[0].text == "Waiting for the model that was being loaded" and isinstance(events[0], Loading)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
                                   RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried "
                                                "to"),
                                   RuntimeError("could not create a primitive"),
                                   RuntimeError("Invalid buffer size: 28.13 GiB"),
                                   OSError("The paging file is too small for this operation to complete. (os error "
                                           "1455)")])
def test_running_out_of_memory_is_reported_and_survived(run, sd, monkeypatch, error, tmp_path):
    def explode(*arguments, **options):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(vae_guard, "_repaired", explode)
        failed = run(small(sd))[-1]
    assert isinstance(failed, Failed) and failed.kind == OutOfMemory.kind and "smaller size" in failed.hint
    assert not list(tmp_path.iterdir())
    assert isinstance(run(small(sd))[-1], Finished)


def test_a_library_error_becomes_one_sentence_with_the_traceback_in_the_detail(run, sd, monkeypatch):
    def explode(*arguments, **options):
        raise KeyError("some_weight")

    monkeypatch.setattr(painting.samplers, "build", explode)
    failed = run(small(sd))[-1]
    assert isinstance(failed, Failed) and failed.kind == "internal"
    assert "\n" not in failed.message and "some_weight" in failed.message and "Traceback" in failed.detail
