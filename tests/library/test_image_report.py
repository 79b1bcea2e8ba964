"""What licences allow, and the report as text and as CSV, with strangers' words in it."""
from __future__ import annotations

import csv
import io
import json

import pytest

from blender_sd.library import image_origin
from blender_sd.core.errors import InvalidRequest
from blender_sd.library.image_origin import Facts
from blender_sd.core.hub import MODELS
from blender_sd.core.image_origin import COMPOSITE, GENERATED, Origin, Part
from blender_sd.core.parts import Lora
from blender_sd.core.request import Request
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from blender_sd.core.licences import CONDITIONS, NO, READ, YES, strictest, terms_of
from blender_sd.core.texts import cell as safe
from blender_sd.library.image_report import CSV, Row, write
from blender_sd.library.lineage import GONE, Known, Link

BRICK = Facts(
    "Brick",
    Request(prompt="old brick", negative="moss", seed=7, model="/m/brick-xl", loras=(Lora("/l/aged.safetensors",
                                                                                          0.5),)),
    Origin("blender_sd 1", "2026-11-24T16:10:55Z", "Brick XL", "SDXL", "CreativeML OpenRAIL++-M", "https://x.org/l",
           GENERATED, (Part("LoRA", "aged", "cc-by-nc-4.0"), Part("ControlNet", "depth"))), marked=True)
STARTER = Facts("Moss", Request(prompt="=HYPERLINK(1)", seed=3), marked=True)


@pytest.mark.parametrize(("name", "use"), [
    ("CC0-1.0", YES), ("apache-2.0", YES), ("Apache 2.0", YES), ("SPDX:MIT", YES), ("creativeml-openrail-m", CONDITIONS),  # noqa: E501
    ("CreativeML OpenRAIL++-M", CONDITIONS), ("openrail++", CONDITIONS), ("stabilityai-ai-community", CONDITIONS),
    ("flux-1-dev-non-commercial-license", NO), ("cc-by-nc-sa-4.0", NO), ("Somebody's Non-Commercial "
                                                                         "Licence", NO), ("cc-by-nc-9.0", NO),
    ("", READ), ("other", READ), ("llama-enclosure", READ), ("incense", READ)])
def test_what_a_licence_means(name, use):
    assert terms_of(name).commercial == use and not terms_of(name).text.endswith(".")


def test_every_model_that_is_offered_has_a_line_or_is_to_be_read():
    uses = {model.licence: terms_of(model.licence).commercial for model in MODELS}
    assert uses["FLUX.1 [dev] Non-Commercial"] == NO and uses["Apache-2.0"] == YES and uses[
        "CreativeML OpenRAIL-M"] == CONDITIONS
    assert uses["Stability AI Community: free below US$ 1 M yearly revenue"] == CONDITIONS


def test_the_strictest_counts():
    assert strictest([terms_of("mit"), terms_of("cc-by-nc-4.0"), terms_of("")]).commercial == NO
    assert strictest([terms_of("mit"), terms_of("")]).commercial == READ and strictest([]).commercial == READ


def test_facts_with_and_without_an_origin():
    assert (BRICK.kind, BRICK.model, BRICK.licence, BRICK.link) == (GENERATED, "Brick XL", "CreativeML OpenRAIL++-M",
                                                                    "https://x.org/l")
    assert BRICK.terms.commercial == NO and BRICK.terms.text == "LoRA aged: non-commercial use only"
    assert BRICK.model_terms.commercial == CONDITIONS
    assert (STARTER.model, STARTER.licence, STARTER.terms.commercial, STARTER.kind) == ("starter", "CC0-1.0", YES,
                                                                                        GENERATED)
    older = Facts(
        "old",
        Request.of(
            IMAGE_TO_IMAGE, model="C:\\models\\mine", source="sha256:" + "0" * 64, loras=(Lora("/l/x.safetensors"),)
        ),
    )
    assert (older.kind, older.model, older.licence, older.terms.commercial) == (COMPOSITE, "mine", "", READ)
    assert older.parts == (Part("LoRA", "x"),)
    assert Facts("evil", origin=Origin(link="javascript:alert(1)")).link == "" and not Facts("plain").known
    assert Facts("mark", marked=True).kind == image_origin.MARKED and image_origin.lines(Facts("plain")) == []


def test_prompts_of_parts_are_among_what_was_typed():
    facts = Facts("Wall", Request.of("texture_object", prompt="a hall", parts='[["crimson door", [1]]]'), marked=True)
    shown, hidden = (str(image_origin.lines(facts, prompts)) for prompts in (True, False))
    assert "crimson door" in shown and "crimson" not in hidden and "hall" not in hidden


def test_what_an_image_was_baked_from_travels_as_text():
    baked = Facts("Baked", baked=(BRICK, STARTER))
    again = image_origin.from_json(image_origin.to_json((baked, BRICK)))  # one that was baked itself gives its sources
    assert [(one.name, one.model, one.licence) for one in again] == [
        (one.name, one.model, one.licence) for one in (BRICK, STARTER)]
    whole = Facts("Baked", baked=again)
    assert (whole.kind, whole.model, whole.terms.commercial) == (image_origin.BAKED, "Brick XL, starter", NO)
    for text in ("", "{", "[1, {}]", "[" * 100000, json.dumps([{"name": {"a": 1}, "request": 5,
                                                                "origin": "x"}]), None, 7, "9" * 5000):
        assert all(one.request is None for one in image_origin.from_json(text))


def test_the_text(tmp_path):
    rows = [Row(BRICK, "/lib/walls.blend", ("Wall",), ("world Sky",), 3), Row(STARTER)]
    text = write(rows, "/film/shot.blend")
    assert "2 generated images, 1 to be looked at" in text and "linked from /lib/walls.blend" in text
    for words in ("! non-commercial", "! unknown licence of the ControlNet depth", "aged (cc-by-nc-4.0)", "Seed: 7",
                  "on 3 objects", "material Wall, world Sky",
                  "Brick XL: CreativeML OpenRAIL++-M. Commercial use: conditions",
                  "Commercial use: no. LoRA aged: non-comm", "2026-11-24 16:10:55 UTC"):
        assert words in text
    assert "old brick" not in text and "old brick" in write(rows, "", prompts=True) and "not saved yet" in write([], "")
    with pytest.raises(InvalidRequest, match="pdf"):
        write(rows, "", "pdf")


def test_the_chain_of_edits_brings_its_licences():
    made = Facts("Ice", Request.of(IMAGE_TO_IMAGE, prompt="ice", source="sha256:" + "1" * 64))
    chain = (Link(1, "source", "sha256:" + "1" * 64, "/out/a.png", "a.png", Known(BRICK.request, BRICK.origin)),
             Link(2, "mask", "sha256:" + "2" * 64, problem=GONE))
    row = Row(made, chain=chain)
    assert row.flags == ("made of other pictures, whose rights count too",
                         "made of a picture by Brick XL, licence CreativeML OpenRAIL++-M: no")
    assert row.inputs == ("source a.png",
                          f"> mask sha256:{'2' * 64} (gone)") and Row(made).inputs == (f"source sha256:{'1' * 64}",)
    text = write([row], "")
    assert "Made of: source a.png" in text and "Source: sha256" not in text and "Source: sha256" in write([Row(made)],
                                                                                                          "")


def test_the_table_is_no_formula():
    evil = Facts('+cmd|"/c calc"!A1', Request(prompt="@SUM(1)\n-2", negative="\t=1", seed=1),
                 Origin(model=" =1+1", licence="-x", parts=(Part("LoRA", "=a", "mit"),)))
    table = list(
        csv.DictReader(
            io.StringIO(write(
                [Row(evil, materials=("=M",)), Row(BRICK), Row(STARTER)], "", CSV, prompts=True))))
    assert len(table) == 3 and (table[1]["prompt"], table[1]["seed"], table[1]["loras"]) == ("old brick", "7",
                                                                                             "aged (cc-by-nc-4.0)")
    assert table[2]["prompt"] == "'=HYPERLINK(1)" and "unknown licence of the ControlNet depth" in table[1]["flags"]
    assert not [cell for row in table for cell in row.values() if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert "prompt" not in write([Row(BRICK)], "", CSV).splitlines()[0]
    assert safe(-5) == "'-5" and safe("plain - text") == "plain - text" and safe("\u00a0=1").startswith("'") and safe(
        "＝1") == "'＝1"
