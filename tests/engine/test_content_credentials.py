"""Content credentials: every picture is signed, the chain of what was made from what is in the file, and nothing else
is."""
from __future__ import annotations

import getpass
import http.server
import io
import json
import os
import struct
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import c2pa
import numpy as np
import pytest
from cryptography.x509 import load_pem_x509_certificates
from PIL import Image, PngImagePlugin

from blender_sd.engine.output import content_credentials, signing_keys
from blender_sd.engine.output.image_origin import origin_of, xmp
from blender_sd.library import png
from blender_sd.protocol.messages import Note, Source
from blender_sd.core.image_origin import COMPOSITE, GENERATED, ORIGIN_KEY, Origin, Part
from blender_sd.core.parts import Axis, Control, Embedding, Lora
from blender_sd.core.tasks import INPAINT
from blender_sd.core.version import generator
from tests.support.requests import as_sent
from tests.support.engine import small
from tests.support.signing import SECRET, actions, chunk, encoded, read, restyled, signing  # noqa: F401  (a fixture)

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


# ---- what is signed --------------------------------------------------------------------------------------------------


def test_a_generated_picture_is_signed_as_such_and_keeps_its_texts(signing, sd):
    signing = signing()
    request = small(sd, prompt=SECRET)
    (path,) = signing.paths(request)
    reader = read(path)
    manifest = reader.get_active_manifest()
    assert reader.get_validation_state() == "Valid"  # intact; "Trusted" is for those who trust its root
    (action,) = actions(manifest)
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", IPTC + GENERATED)
    assert f'{action["softwareAgent"]["name"]} {action["softwareAgent"]["version"]}' == generator()
    assert manifest["title"] == os.path.basename(
        path) and manifest["signature_info"]["issuer"] == signing_keys.SELF_SIGNED
    head = png.read_head(path)  # before the pixels, where the history looks
    origin = png.origin_in(head.text)
    assert as_sent(png.request_in(head.text)) == request and png.has_credentials(path)
    assert (origin.generator, origin.model, origin.family, origin.kind) == (generator(), "sd", "SD 1.5", GENERATED)
    assert origin.made == action["when"]
    with Image.open(path) as image:
        plain = signing.engine.generate(SECRET, seed=7, steps=3, guidance=5, sampler="dpmpp_2m", size=(64, 64),
                                        model=sd)[0]
        assert image.tobytes() == plain.tobytes() and png.origin_in(plain.info).model == "sd"
    root = load_pem_x509_certificates((signing.keys / signing_keys.FILE).read_bytes())[1]
    assert read(path, trusted=signing_keys._pem(root)).get_validation_state() == "Trusted"


def test_no_prompt_path_or_person_is_in_the_credentials(signing, sd):
    signing = signing()
    (first,) = signing.paths(small(sd, prompt=SECRET, negative="not this either"))
    (path,) = signing.paths(restyled(sd, source=encoded(first)), source=encoded(first))
    data = Path(path).read_bytes()
    start = data.index(b"caBX")
    box = data[start : start + struct.unpack(">I", data[start - 4 : start])[0]]
    for secret in (SECRET, "not this either", sd, str(signing.folder), getpass.getuser() + "@", signing.folder.name):
        assert secret.encode() not in box, secret
    assert SECRET.encode() in data, "Recall still finds it in the text"


@pytest.mark.parametrize("part", [b"IDAT", b"iTXt"])
def test_whoever_changes_pixels_or_texts_is_found_out(signing, sd, part):
    (path,) = signing().paths(small(sd))
    data = bytearray(Path(path).read_bytes())
    data[data.index(part) + 40] ^= 1
    reader = read(bytes(data))
    assert reader.get_validation_state() == "Invalid"
    assert "assertion.dataHash.mismatch" in [one["code"] for one in json.loads(reader.json())["validation_status"]]


def test_the_chain_of_edits_is_in_the_file(signing, sd):
    signing = signing()
    (first,) = signing.paths(small(sd))
    (second,) = signing.paths(restyled(sd, source=encoded(first)), source=encoded(first))
    mask = Source(pixels=np.full((64, 64, 4), 255, np.uint8))
    request = small(sd, task=INPAINT).with_inputs({"source": encoded(second).digest(), "mask": mask.digest()})
    (third,) = signing.paths(request, source=encoded(second), mask=mask)
    reader = read(third)
    assert reader.get_validation_state() == "Valid" and len(json.loads(reader.json())["manifests"]) == 3
    manifest = reader.get_active_manifest()
    opened, edited = actions(manifest)
    assert (opened["action"], edited["action"], edited["digitalSourceType"]) == ("c2pa.opened", "c2pa.edited",
                                                                                 IPTC + COMPOSITE)
    assert png.origin_in(png.read_text(third)).kind == COMPOSITE
    by_title = {one["title"]: one for one in manifest["ingredients"]}
    assert by_title["Source picture"]["relationship"] == "parentOf" and by_title["Mask"]["relationship"] == "inputTo"
    assert by_title["Source picture"]["instance_id"] == request.source and "active_manifest" not in by_title["Mask"]
    parent = reader.get_manifest(by_title["Source picture"]["active_manifest"])
    assert parent["title"] == os.path.basename(second)
    grandparent = reader.get_manifest(parent["ingredients"][0]["active_manifest"])
    assert grandparent["title"] == os.path.basename(first) and actions(grandparent)[0]["action"] == "c2pa.created"


def test_a_source_without_credentials_of_any_kind_is_named_by_its_hash(signing, sd):
    signing = signing()
    sources = [Source(pixels=np.full((64, 64, 4), 99, np.uint8))]
    for kind in ("BMP", "TGA", "JPEG", "TIFF", "JPEG2000"):
        file = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(file, kind)
        sources.append(Source(encoded=file.getvalue()))
    for source in sources:
        (path,) = signing.paths(restyled(sd, source=source), source=source)
        reader = read(path)
        (ingredient,) = reader.get_active_manifest()["ingredients"]
        assert (ingredient["instance_id"], reader.get_validation_state()) == (source.digest(), "Valid")


def test_sources_with_broken_or_far_away_credentials_harm_nothing_and_open_no_connection(signing, sd):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dcterms="http://purl.org/dc/terms/" '
        f'dcterms:provenance="http://127.0.0.1:{server.server_port}/far.c2pa"/></rdf:RDF></x:xmpmeta><?xpacket '
        'end="w"?>'))
    Image.new("RGB", (64, 64)).save(file, "PNG", pnginfo=texts)
    far = file.getvalue()
    one = signing()
    (whole,) = one.paths(small(sd))
    whole = Path(whole).read_bytes()
    end = whole.rindex(b"IEND") - 4
    tampered = whole[:end] + chunk(b"tEXt", b"Author\0somebody else") + whole[end:]
    garbage = far[:33] + chunk(b"caBX", b"garbage" * 100) + far[33:]
    try:
        for data in (far, garbage, tampered):
            source = Source(encoded=data)
            (path,) = one.paths(restyled(sd, source=source), source=source)
            assert read(path).get_validation_state() == "Valid"
            assert read(path).get_active_manifest()["ingredients"][0]["instance_id"] == source.digest()
    finally:
        server.shutdown()
        server.server_close()
    assert not asked
    (ingredient,) = read(path).get_active_manifest()["ingredients"]
    assert "assertion.dataHash.mismatch" in json.dumps(
        ingredient["validation_results"]), "it says that the source was tampered with"


def test_a_chain_that_is_too_long_is_left_out(signing, sd, monkeypatch):
    signing = signing()
    (first,) = signing.paths(small(sd))
    monkeypatch.setattr(content_credentials, "_MAX_CHAIN", 4000)
    (second,) = signing.paths(restyled(sd, source=encoded(first)), source=encoded(first))
    manifests = json.loads(read(second).json())["manifests"]
    assert len(manifests) == 1 and read(second).get_active_manifest()["ingredients"][0]["instance_id"] == encoded(
        first).digest()


def test_a_source_that_is_found_unsound_only_while_signing_is_left_out(signing, sd, monkeypatch):
    signing = signing()
    (first,) = signing.paths(small(sd))
    sign, calls = c2pa.Builder.sign, []

    def late(builder, *arguments):  # what a few in a thousand damaged files were seen to do
        calls.append(builder)
        if len(calls) == 1:
            raise c2pa.C2paError("the ingredient is broken")
        return sign(builder, *arguments)

    monkeypatch.setattr(c2pa.Builder, "sign", late)
    (second,) = signing.paths(restyled(sd, source=encoded(first)), source=encoded(first))
    assert read(second).get_validation_state() == "Valid" and len(calls) == 2
    assert read(second).get_active_manifest()["ingredients"][0]["instance_id"] == encoded(first).digest()


def test_contact_sheets_carry_all_of_it_too(signing, sd):
    sheet, *cells = signing().paths(small(sd, axes=(Axis("steps", "2, 3"),)))
    assert len(cells) == 2
    for path in (sheet, *cells):
        assert read(path).get_validation_state() == "Valid" and png.origin_in(png.read_head(path).text).model == "sd"


# ---- what stands beside them -----------------------------------------------------------------------------------------


def test_the_xmp_can_be_read_by_any_parser(signing, sd):
    (path,) = signing().paths(small(sd))
    text = png.read_text(path)["XML:com.adobe.xmp"]
    (description,) = ElementTree.fromstring(text.encode()).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    extension = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert description.get(extension + "DigitalSourceType") == IPTC + GENERATED and description.get(extension
                                                                                      + "AISystemUsed") == "sd"
    assert description.get("{http://ns.adobe.com/xap/1.0/}CreatorTool") == generator()
    hostile = ElementTree.fromstring(xmp(Origin(model='"><x/>\x00\x0b\ud800&')).encode())
    assert [one.get(extension + "AISystemUsed") for one in hostile.iter() if one.attrib] == ['"><x/>&']


def test_the_origin_names_licences_of_the_model_and_of_every_other_net(sd, tmp_path):
    fetched = tmp_path / "owner--loras" / "deep"
    fetched.mkdir(parents=True)
    (fetched.parent / "blender_sd.json").write_text('{"licence": "mit", "link": "", "repo": "owner/loras"}')
    for name in ("paper.safetensors", "word.safetensors", "unused.safetensors"):
        (fetched / name).write_bytes(b"")
    alone, folder = tmp_path / "alone.gguf", tmp_path / "owner--whole"
    alone.write_bytes(b"")
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    model = SimpleNamespace(name="alone", family=SimpleNamespace(name="Flux.1"),
                            folder=SimpleNamespace(path=alone, base_model=folder))
    request = small(sd, loras=(Lora(str(fetched / "paper.safetensors")), Lora(str(fetched / "unused.safetensors"),
                                                                              0.0)),
                    embeddings=(Embedding("w",
                                          str(fetched / "word.safetensors")),), controls=(Control("depth",
                                                                                                   "starter"),),
                    ip_adapter=str(tmp_path / "adapter.safetensors"), upscaler=str(tmp_path / "up.pth"))
    origin = origin_of(model, request)
    assert (origin.model, origin.licence) == ("alone",
                                              "apache-2.0"), "the file says nothing: the folder that completes it does"
    assert origin.parts == (Part("LoRA", "paper", "mit"), Part("ControlNet", "starter_control", "CC0-1.0"),
                            Part("textual inversion", "word", "mit"), Part("IP-Adapter", "adapter", ""))


# ---- switched off, or not possible -----------------------------------------------------------------------------------


def test_marking_off_leaves_what_recall_needs(signing, sd):
    signing = signing(marking=False)
    (path,) = signing.paths(small(sd))
    text = png.read_text(path)
    assert {png.REQUEST_KEY, png.PARAMETERS_KEY, ORIGIN_KEY} == text.keys()
    assert not png.has_credentials(path) and not signing.keys.exists()


def test_an_engine_without_the_package_says_so_once_and_paints(signing, sd, monkeypatch):
    signing = signing()
    monkeypatch.setitem(sys.modules, "c2pa", None)  # what an import of something that is not installed meets
    assert signing.notes(small(sd)) == [content_credentials._LACKING] and signing.notes(small(sd)) == []
    (path,) = signing.paths(small(sd))
    assert not png.has_credentials(path) and "XML:com.adobe.xmp" in png.read_text(path)


def test_a_picture_is_never_lost_where_signing_fails(signing, sd, monkeypatch, caplog):
    signing = signing()

    def broken(*arguments):
        raise c2pa.C2paError("no luck")

    with monkeypatch.context() as patch:
        patch.setattr(content_credentials.Credentials, "_signed", broken)
        events = signing.events(small(sd))
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert "without content credentials" in note and "no luck" in caplog.text
    path = events[-1].results[0].path
    assert not png.has_credentials(path) and as_sent(png.request_in(png.read_head(path).text)) == small(sd)
    assert [file.name for file in signing.out.iterdir()] == [os.path.basename(path)]
    assert png.has_credentials(signing.paths(small(sd))[0]), "the next one is signed again"


# ---- keys ------------------------------------------------------------------------------------------------------------
