"""What strangers wrote, in lines, cells and links."""
from __future__ import annotations

import ast
import csv
import io
import json
import os
from pathlib import Path

import pytest

from blender_sd.core import texts
from blender_sd.library import image_origin, own_files
from blender_sd.library.licences import licence_of
from blender_sd.core.errors import ModelUnreadable
from blender_sd.library.image_origin import Facts
from blender_sd.core.image_origin import Origin
from blender_sd.core.parts import Lora
from blender_sd.core.request import Request
from blender_sd.library import image_report
from blender_sd.library.model_folders import read_json
from tests.support.systems import link

PACKAGE = Path(texts.__file__).parents[1]
FORGED = "  Licence: CC0-1.0. Commercial use: yes"
ENDS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85",
        "\u2028", "\u2029", "\x1b[2K", "\u202e", "\u2066", "\x00", "\x9b"]


@pytest.mark.parametrize("end", ENDS, ids=ascii)
def test_no_text_begins_a_line_of_its_own(end):
    odd = f"old{end}{FORGED}"
    request = Request(prompt=odd, negative=odd, style=odd, model=f"/m/{odd}", loras=(Lora(f"/m/{odd}"),))
    origin = Origin("g", model=odd, licence=odd, filter=odd)
    rows = [image_report.Row(Facts(odd, request, origin), odd, (odd,), (odd,), 1),
            image_report.Row(Facts("a", request, baked=(Facts(odd, request),)))]
    report = image_report.write(rows, odd, prompts=True)
    assert not any(line.startswith(FORGED) for line in report.splitlines())
    assert all(sign == "\n" or sign.isprintable() for sign in report)
    assert all(line.value == texts.line(line.value) for row in rows for line in image_origin.lines(row.facts))


@pytest.mark.parametrize("odd", ["=1", " =1", "a;=1+cmd|' /C calc'!A0", "a, @1", "x\t@4",
                                 "a;\"=1", "a; '\"+1", "-1", "a;＝1", "\"=1", "\n=1", "'=1"])
@pytest.mark.parametrize("separator", ",;\t")
def test_no_cell_is_a_formula(odd, separator):
    request = Request(prompt=odd, negative=odd,
                      loras=(Lora("/m/a.safetensors"), Lora(f"/m/{odd.replace('/', '')}.safetensors")))
    table = image_report.write([image_report.Row(Facts(odd, request), odd, ("M", odd), (odd,), 1)], "",
                               image_report.CSV, prompts=True)
    cells = [cell for row in csv.reader(io.StringIO(table), delimiter=separator) for cell in row]
    assert not [cell for cell in cells if cell.strip(" \"").startswith(("=", "+", "-", "@", "＝"))]


@pytest.mark.parametrize(("address", "opened"), [
    ("https://huggingface.co/a/b", True), ("http://a.b", False), ("file:///etc/passwd", False), ("javascript:alert(1)", False),  # noqa: E501
    ("https://a b", False), ("https://a\nb", False), (" https://a", False), ("HTTPS://a", False), ("https://", False),
    ("https://" + "a" * 600, False), ("\\\\server\\share", False), (None, False), (5, False)])
def test_a_link_is_a_page_and_encrypted(address, opened):
    assert texts.web(address) == (address if opened else "")
    assert Facts(origin=Origin("g", link=str(address))).link == (str(address) if opened else "")


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "models" / "sd"
    folder.mkdir(parents=True)
    (tmp_path / "private.md").write_text("---\nlicense: SECRET\n---\n")
    (tmp_path / "private.json").write_text(
        json.dumps({"licence": "SECRET", "repo": "x", "name": "SECRET", "text": "SECRET"}))
    return folder


@pytest.mark.parametrize(("name", "secret"), [("README.md", "private.md"), ("blender_sd.json", "private.json"),
                                                  ("model_index.json", "private.json")])
def test_links_out_of_a_model_s_folder_say_nothing(model, tmp_path, name, secret):
    for target in (tmp_path / secret, Path("..") / ".." / secret):
        (model / name).unlink(missing_ok=True)
        if not link(model / name, target):
            pytest.skip("this system makes no links here")
        assert licence_of(str(model)).name == ""
        with pytest.raises(ModelUnreadable):
            read_json(str(model), name)


def test_links_within_the_hub_s_cache_count(tmp_path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True), snapshot.mkdir(parents=True)
    (blobs / "f00").write_text("---\nlicense: mit\n---\n")
    if not link(snapshot / "README.md", os.path.join("..", "..", "blobs", "f00")):
        pytest.skip("this system makes no links here")
    assert licence_of(str(snapshot)).name == "mit"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_pipes_and_endless_files_say_nothing(model):
    os.mkfifo(model / "README.md")
    assert licence_of(str(model)).name == ""
    (model / "README.md").unlink()
    (model / "README.md").write_text("---\nlicense: mit\n---\n" + "x" * own_files.MAX_BYTES)
    assert licence_of(str(model)).name == ""


def test_who_writes_reports_and_opens_links_goes_through_one_function():
    """A new place that gives a link to a button, or writes CSV, is listed here, once its texts come from
    `core.texts`."""
    writers, openers = [], []
    for file in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "csv.writer":
                writers.append(file.relative_to(PACKAGE).as_posix())
            if isinstance(call, ast.Constant) and call.value == "wm.url_open":
                openers.append(file.relative_to(PACKAGE).as_posix())
    assert writers == ["core/request_builder.py", "library/image_report.py"]  # the first writes the values of a grid
    assert set(openers) <= {"addon/panels/image_origin.py", "addon/panels/models.py"}
    source = (PACKAGE / "library" / "image_report.py").read_text(encoding="utf-8")
    assert "[cell(value) for value in _cells(row, prompts)]" in source
