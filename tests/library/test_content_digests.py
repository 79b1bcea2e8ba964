"""Models by their content."""
from __future__ import annotations

import hashlib
import os

import pytest

from blender_sd.library.content_digests import ContentDigests


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "weights.safetensors").write_bytes(b"abc")
    return folder


def test_a_file_has_the_digest_that_everyone_computes(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"x" * 9_000_000)
    assert ContentDigests().digest(str(file)) == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_a_folder_is_its_files_wherever_it_lies(model, tmp_path):
    digest = ContentDigests().digest(str(model))
    (model / "blender_sd.json").write_text('{"prediction": "epsilon"}')  # a person's choices are not the model
    (model / "preview.png").write_bytes(b"x")
    assert ContentDigests().digest(str(model)) == digest
    moved = tmp_path / "elsewhere"
    os.rename(model, moved)
    assert ContentDigests().digest(str(moved)) == digest
    (moved / "unet" / "weights.safetensors").write_bytes(b"abd")
    assert ContentDigests().digest(str(moved)) != digest


def test_what_is_known_is_not_read_again(model, tmp_path, monkeypatch):
    kept = tmp_path / "own" / "digests.json"
    digest = ContentDigests(str(kept)).digest(str(model))
    other = ContentDigests(str(kept))  # another process
    monkeypatch.setattr("blender_sd.library.content_digests.open_plain", None)
    assert other.known(str(model)) == other.digest(str(model)) == digest
    assert other.places_of(digest) == [str(model)] and other.places_of("sha256:0") == []


def test_a_changed_model_is_unknown(model, tmp_path):
    digests = ContentDigests(str(tmp_path / "digests.json"))
    before = digests.digest(str(model))
    (model / "unet" / "weights.safetensors").write_bytes(b"abcd")
    assert digests.known(str(model)) == "" and digests.places_of(before) == []
    assert digests.digest(str(model)) != before


def test_a_replaced_model_is_known_to_every_process(model, tmp_path):
    blender, engine = (ContentDigests(str(tmp_path / "digests.json")) for _ in range(2))
    before = engine.digest(str(model))
    assert blender.known(str(model)) == before
    (model / "unet" / "weights.safetensors").write_bytes(b"another")
    after = engine.digest(str(model))
    assert blender.known(str(model)) == after != before
    assert blender.places_of(after) == [str(model)] and blender.places_of(before) == []


def test_processes_keep_what_others_wrote(model, tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"x")
    first, second = (ContentDigests(str(tmp_path / "digests.json")) for _ in range(2))
    digests = [first.digest(str(model)), second.digest(str(file))]
    (model / "unet" / "weights.safetensors").write_bytes(b"another")
    digests[0] = second.digest(str(model))
    file.write_bytes(b"xy")
    digests[1] = first.digest(str(file))  # it still remembers how the model was
    third = ContentDigests(str(tmp_path / "digests.json"))
    assert [third.known(str(model)), third.known(str(file))] == digests


def test_parts_that_are_links_count(model, tmp_path):
    """As in the Hugging Face cache, where files are links, and in folders that share a part with another model."""
    digest = ContentDigests().digest(str(model))
    shared = tmp_path / "shared"
    os.rename(model / "unet", shared)
    (shared / "blob").write_bytes(b"abc")
    (shared / "weights.safetensors").unlink()
    try:
        (shared / "weights.safetensors").symlink_to(shared / "blob")
        (model / "unet").symlink_to(shared, target_is_directory=True)
        (shared / "round").symlink_to(model, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    digests = ContentDigests()
    assert digests.digest(str(model)) == digest
    (model / "unet_2").symlink_to(shared, target_is_directory=True)  # the same part twice counts twice
    assert digests.digest(str(model)) != digest
    (model / "unet_2").unlink()
    (shared / "blob").write_bytes(b"abd")
    assert digests.known(str(model)) == "" and digests.digest(str(model)) != digest


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": ["b"]}', "[" * 9999])
def test_a_broken_file_is_no_obstacle(model, tmp_path, text):
    kept = tmp_path / "digests.json"
    kept.write_text(text)
    digests = ContentDigests(str(kept))
    assert digests.known(str(model)) == "" and digests.digest(str(model)) == ContentDigests(str(kept)).known(str(model))


def test_a_model_that_is_gone(tmp_path):
    assert ContentDigests().known(str(tmp_path / "none")) == ""
    with pytest.raises(OSError):
        ContentDigests().digest(str(tmp_path / "none"))


def test_reading_can_be_stopped(model):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ContentDigests().digest(str(model), stop)
