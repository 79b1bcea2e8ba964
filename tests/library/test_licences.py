"""Licences as files beside a model say them, and origins as pictures carry them; both may be a stranger's."""
import json
import struct
import tomllib
from pathlib import Path

import pytest

from blender_sd.core import version
from blender_sd.library.licences import Licence, licence_of
from blender_sd.core.errors import InvalidRequest
from blender_sd.core.image_origin import COMPOSITE, GENERATED, Origin, Part, kind_of
from blender_sd.core.parts import Control
from blender_sd.core.content_credentials import Proof, Step
from blender_sd.core.request import Request
from blender_sd.core.tasks import TASKS, TEXT_TO_IMAGE
from blender_sd.library.models import STARTER_FOLDER


def safetensors(path, metadata):
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return str(path)


def test_the_starter_names_its_licence():
    assert licence_of(STARTER_FOLDER).name == "CC0-1.0"


def test_the_front_matter_of_a_card(tmp_path):
    (tmp_path / "README.md").write_text("---\r\ntags: [a]\r\nlicense: other\r\nlicense_name: 'my-licence'\r\n"
                                        "license_link: https://example.org/l\r\n---\r\nlicense: none of this\r\n")
    assert licence_of(str(tmp_path)) == Licence("my-licence", "https://example.org/l")


def test_our_own_file_comes_before_the_card(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of(str(tmp_path)).name == "mit"
    (tmp_path / "blender_sd.json").write_text('{"licence": "apache-2.0", "link": "https://example.org"}')
    assert licence_of(str(tmp_path)) == Licence("apache-2.0", "https://example.org")


def test_the_header_of_a_single_file_and_the_card_beside_it(tmp_path):
    file = safetensors(tmp_path / "a.safetensors", {"modelspec.license": "CreativeML OpenRAIL-M"})
    assert licence_of(file).key == "creativeml-openrail-m"
    bare = safetensors(tmp_path / "b.safetensors", {})
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert licence_of(bare) == Licence(), "a card in a folder of many files says nothing of one"
    (tmp_path / "a.safetensors").unlink()
    assert licence_of(bare).name == "mit"


def test_what_was_fetched_is_known_for_every_file_below(tmp_path):
    place = tmp_path / "split" / "deep"
    place.mkdir(parents=True)
    files = [safetensors(place / name, {}) for name in ("a.safetensors", "b.safetensors")]
    note = tmp_path / "blender_sd.json"
    note.write_text('{"licence": "apache-2.0", "link": "https://example.org"}')
    assert [licence_of(file) for file in files] == [Licence()] * 2, "a maker's own note speaks of its own folder"
    note.write_text('{"licence": "apache-2.0", "link": "https://example.org", "repo": "owner/name", "revision": "1"}')
    assert {licence_of(place)
            for place in (*files, str(place), str(tmp_path))} == {Licence("apache-2.0", "https://example.org")}


def test_only_what_is_painted_over_makes_a_composite():
    kinds = {task: kind_of(Request.of(task)) for task in TASKS}
    assert kinds.pop(TEXT_TO_IMAGE) == GENERATED and set(kinds.values()) == {COMPOSITE}
    assert kind_of(Request(reference="sha256:1", controls=(Control("depth", "x", image="sha256:2"),))) == GENERATED


def test_the_version_is_found_in_the_source_tree_and_in_the_extension(tmp_path, monkeypatch):
    root = Path(version.__file__).parents[2]
    wanted = tomllib.loads((root / "addon_manifest.toml").read_text())["version"]
    assert version.generator() == f"blender_sd {wanted}"
    manifest = tmp_path / "blender_manifest.toml"
    monkeypatch.setattr(version, "_MANIFESTS", (str(manifest), *version._MANIFESTS))
    manifest.write_text('schema_version = "1.0.0"\nversion = "9.8.7"\n')
    version.version.cache_clear()
    assert version.version() == "9.8.7"
    monkeypatch.setattr(version, "_MANIFESTS", ())
    version.version.cache_clear()
    assert version.version() == "unknown"
    version.version.cache_clear()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "fine", "signer": "", "reason": "", "steps": []}',
                                                  "[" * 100_000,
                                  '{"state": "valid", "signer": "", "reason": "", "steps": [5]}'])
def test_other_proofs_are_refused(text):
    with pytest.raises(ValueError):
        Proof.from_json(text)


def test_a_proof_comes_back():
    proof = Proof("valid", "me", "",
                  (Step("a.png", actions=("c2pa.opened", "c2pa.edited"), sound=False), Step("b", "parentOf", 1)))
    assert Proof.from_json(proof.to_json()) == proof


@pytest.mark.parametrize("broken", ['{"licence": 3}', "[1]", "[" * 100_000, "\x00\xff"])
def test_broken_files_say_nothing(tmp_path, broken):
    (tmp_path / "blender_sd.json").write_text(broken)
    (tmp_path / "README.md").write_text("---\nno end")
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)
    assert licence_of(str(tmp_path)) == licence_of(str(tmp_path / "x.safetensors")) == licence_of(str(
        tmp_path / "gone")) == Licence()


def test_an_origin_comes_back():
    origin = Origin("blender_sd 0.1.0", "2026-11-24T16:10:55Z", "Starter", "SD 1.5", "CC0-1.0", "https://example.org",
                    COMPOSITE, (Part("LoRA", "old paper", "mit"),), "nsfw-filter")
    assert Origin.from_json(origin.to_json()) == origin


def test_unknown_fields_of_an_origin_are_left_out_and_long_texts_cut():
    raw = json.loads(Origin(model="m" * 9999).to_json()) | {"new": 1}
    assert Origin.from_json(json.dumps(raw)).model == "m" * 500


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "model": 7}', '{"format": 1, "kind": "photo"}',
                                  '{"format": 1, "parts": 5}',
                                  '{"format": 1, "parts": [5]}', '{"format": "1"}', "[" * 100_000])
def test_other_origins_are_refused(text):
    with pytest.raises(InvalidRequest):
        Origin.from_json(text)
