"""The content of the model that paints, read while it paints."""
from __future__ import annotations

import threading

import pytest

from blender_sd.core.errors import JobCancelled
from blender_sd.core.request import Request
from blender_sd.engine.models.identity import Identity
from blender_sd.library.content_digests import ContentDigests


@pytest.fixture
def model(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")
    return str(file)


def test_a_picture_names_the_content_and_notes_another_one(model):
    notes: list[str] = []
    identity = Identity(ContentDigests(), model, lambda: None)
    request = identity.of(Request(), "Wall", notes.append)
    assert (request.model_name, request.model_digest) == ("Wall", ContentDigests().digest(model)) and not notes
    assert identity.of(request, "Wall", notes.append) == request and not notes
    identity.of(Request(model_digest="sha256:0"), "Wall", notes.append)
    assert "'Wall' is not the one" in notes[0]


def test_a_cancelled_job_stops_the_reading(model):
    cancelled = threading.Event()

    def check():
        cancelled.wait()
        raise JobCancelled()

    digests = ContentDigests()
    identity = Identity(digests, model, check)
    cancelled.set()
    identity._thread.join()
    assert digests.known(model) == ""


def test_a_model_that_cannot_be_read_paints_all_the_same(tmp_path):
    identity = Identity(ContentDigests(), str(tmp_path / "none"), lambda: None)
    assert identity.of(Request(model_digest="sha256:1"), "Wall", print).model_digest == "sha256:1"
