"""The panel "Where Did This Come From" with its chain and buttons; the report as call, operator and command."""
from __future__ import annotations

import csv
import os
import re
import threading
from pathlib import Path

import bpy
import pytest

import blender_sd as sd

from blender_sd.addon import command_line, image_origin, tick
from blender_sd.addon.operators import image_origin as operators
from blender_sd.core.errors import InvalidRequest, OutputUnwritable
from blender_sd.core.image_origin import COMPOSITE, GENERATED, Origin, Part
from blender_sd.core.content_credentials import BROKEN
from blender_sd.core.request import Request
from blender_sd.library import lineage
from tests.support.panels import draw, panel, wide, within  # noqa: F401  (a fixture)
from tests.support.addon import cube, state
from tests.support.fake_pipeline import write_png

EDITOR, MATERIAL = "SD_PT_origin", "SD_PT_material_materialprovenance"
BRICK = Origin("blender_sd 1", "2026-11-24T16:10:55Z", "Brick XL", "SDXL", "cc-by-nc-4.0", "https://x.org/licence",
               GENERATED, (Part("LoRA", "aged"),))


@pytest.fixture
def chained(addon, pipeline) -> bpy.types.Image:
    """A restyled picture; its source, which the history has too, was painted over a photograph whose copy is gone.
    Shown in the editor."""
    folder = Path(sd.output_folder())
    (folder / lineage.SOURCES).mkdir(exist_ok=True)
    pipeline.origin = BRICK
    photo = bpy.data.images.new("photo", 16, 16)
    first = sd.restyle(photo, "old brick", seed=5).result()[0]
    data = bytes(first.packed_file.data)
    pipeline.origin = Origin(model="Starter", licence="CC0-1.0", kind=COMPOSITE, made="2026-11-24T17:00:00Z")
    image = sd.restyle(first, "mosaic", seed=6).result()[0]
    (folder / lineage.SOURCES / f"{sd.recall(image).source[7:]}.png").write_bytes(data)
    _show(image)
    return image


def _show(image: bpy.types.Image) -> None:
    with within("IMAGE_EDITOR") as context:
        context.space_data.image = image


def settle() -> None:
    """Ticks until nothing is looked for any more."""
    tick.tick()
    while image_origin.busy():
        threading.Event().wait(0.005)
        tick.tick()


def words(name: str = EDITOR) -> str:
    return "\n".join(draw(panel(name), "IMAGE_EDITOR").texts)


def test_the_panel_tells_all_and_the_chain(chained):
    assert "Looking for what it was made of…" in words() and "Starter" in words()
    settle()
    paper = draw(panel(EDITOR), "IMAGE_EDITOR")
    drawn = "\n".join(paper.texts)
    for what in ("Composite: a model painted over", "Licence: CC0-1.0", "Prompt: mosaic", "Seed: 6",
                 "2026-11-24 17:00:00 UTC", "Made of", "old brick · seed 5", "No copy of it is in the output folder"):
        assert what in drawn, what
    opening = [values for name, values in paper.operators if name == "sd.open_link"]
    assert opening == [{"index": 0}] and ("sd.recall_link", {"index": 0}) in paper.operators
    chain = image_origin.details_of(chained).chain
    assert [(link.depth, link.role, bool(link.name)) for link in chain] == [(1, "source", True), (2, "source", False)]
    assert sd.trace(chained) == chain


@pytest.fixture
def looking_at(monkeypatch):
    """Says which image operators find shown: they run in no editor where there is no window."""
    return lambda image: monkeypatch.setattr(operators, "shown_image", lambda _context: image)


def test_the_chains_buttons(chained, addon, looking_at):
    looking_at(chained)
    words()
    settle()
    name = image_origin.details_of(chained).chain[0].name
    addon.prompt = "mine"
    assert bpy.ops.sd.recall_link(index=0) == {"FINISHED"} and (addon.prompt, addon.seed) == ("old brick", 5)
    bpy.data.images.remove(bpy.data.images["old brick"])
    assert bpy.ops.sd.open_link(index=0) == {"FINISHED"}
    opened = bpy.data.images["old brick"]
    assert os.path.basename(opened.filepath) == name and opened.use_fake_user and sd.recall(opened).seed == 5
    for index in (1, 9):
        with pytest.raises(RuntimeError, match="is gone"):
            bpy.ops.sd.open_link(index=index)
    assert "output folder" in state().hint and bpy.ops.sd.copy_origin() == {"FINISHED"}
    copied = image_origin.text_of(chained)
    assert f'  source: {name} "old brick"\n    source: sha256:' in copied and "(No copy of it" in copied and "Seed: 6" in copied  # noqa: E501


def test_the_licence_can_be_read_and_what_is_unknown_is_named(addon, pipeline):
    pipeline.origin = BRICK
    _show(sd.generate("old brick", seed=5).result()[0])
    paper = draw(panel(EDITOR), "IMAGE_EDITOR")
    assert ("wm.url_open", {"url": "https://x.org/licence"}) in paper.operators
    assert "Non-commercial use only" in paper.texts and "LoRA: aged (unknown licence)" in paper.texts
    sd.apply(bpy.data.images["old brick"], cube())
    paper = draw(panel(MATERIAL))
    if paper is not None:  # before 5.2 a tab of the Properties editor cannot be chosen without a window
        assert "Prompt: old brick" in paper.texts


def test_looking_into_a_file(addon, tmp_path, looking_at):
    ours, foreign = tmp_path / "ours.png", tmp_path / "foreign.png"
    write_png(str(ours), Request(prompt="moss", seed=9, width=16, height=16), BRICK)
    data = ours.read_bytes()
    chunk = b"\0\0\0\x22tEXtparameters\0a castle\nSteps: 9, Seed: 41\0\0\0\0"
    foreign.write_bytes(data[:33] + chunk + data[33:].replace(b"blender_sd", b"another_sd"))
    for path, wanted in ((foreign, "a castle"), (ours, "Prompt: moss")):
        image = bpy.data.images.load(str(path))
        _show(image)
        looking_at(image)
        assert "Nothing is known of this image" in words() and "Look into the File" in words()
        assert bpy.ops.sd.look_into_file() == {"FINISHED"}
        settle()
        assert wanted in words() and "Its file carries no content credentials" in words(
        ) and "Look into the File" not in words()
    assert "Another program" not in words()
    image.pack()  # packing changes the details
    assert bpy.ops.sd.look_into_file() == {"FINISHED"}
    settle()
    assert "Prompt: moss" in words()
    lost = bpy.data.images.load(str(foreign))
    lost.filepath_raw = str(tmp_path / "gone.png")
    _show(lost)
    looking_at(lost)
    bpy.ops.sd.look_into_file()
    settle()
    assert "The file cannot be read" in words()
    looking_at(bpy.data.images.new("drawn", 4, 4))
    with pytest.raises(RuntimeError, match="has no file"):
        bpy.ops.sd.look_into_file()


def test_checking_who_signed_it(addon, tmp_path, looking_at):
    path = tmp_path / "signed.png"
    write_png(str(path), Request(prompt="moss", width=16, height=16), BRICK)
    data = path.read_bytes()
    path.write_bytes(data[:33] + b"\0\0\0\x04caBXjunk\0\0\0\0" + data[33:])
    image = bpy.data.images.load(str(path))
    _show(image)
    looking_at(image)
    bpy.ops.sd.look_into_file()
    settle()
    assert "Its file carries content credentials" in words() and "Check Who Signed It" in words()
    assert bpy.ops.sd.check_credentials() == {"FINISHED"}
    assert "Being checked" in words()
    image_origin.check_of(image).result(120)
    assert image_origin.PROOFS[BROKEN] in words() and "Check Who Signed It" not in words()


def test_drawing_reads_no_disk(chained, monkeypatch):
    words()
    settle()
    monkeypatch.setattr("builtins.open", None)
    monkeypatch.setattr(os, "scandir", None)
    monkeypatch.setattr(os, "stat", None)
    assert "Made of" in words()


def test_a_new_file_forgets_the_old_ones_images(chained):
    words()
    settle()
    assert image_origin._details
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert not image_origin._details and not image_origin.busy()


def test_the_report_names_every_image(chained, tmp_path):
    sd.apply(chained, cube())
    write_png(str(tmp_path / "by hand.png"), Request(prompt="by hand", seed=77, width=16, height=16), BRICK)
    bpy.data.images.load(str(tmp_path / "by hand.png"))  # as an artist opens one: no mark, but its file tells
    bpy.data.images.new("drawn", 4, 4)
    text = sd.report()
    assert "3 generated images" in text and "drawn" not in text and "photo" not in text
    for what in ("on 1 object", "! non-commercial", "Brick XL: cc-by-nc-4.0", "Seed: 77", "! made of other pictures"):
        assert what in text, what
    assert "mosaic" not in text.replace("mosaic\n", "") and "Prompt: mosaic" in sd.report(prompts=True)
    assert "made of a picture by Brick XL" not in text and "made of a picture by Brick XL" in sd.report(chains=True)
    path = tmp_path / "out.csv"
    sd.report(path, "csv", prompts=True)
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = {row["image"]: row for row in csv.DictReader(file)}
    assert set(table) == {"mosaic", "old brick", "by hand.png"} and path.read_bytes()[:3] == b"\xef\xbb\xbf"
    mosaic = table["mosaic"]
    assert (mosaic["materials"], mosaic["objects"], mosaic["prompt"]) == (cube().active_material.name, "1", "mosaic")
    assert table["by hand.png"]["commercial use"] == "no" and table["by hand.png"]["loras"] == "aged (unknown licence)"
    with pytest.raises(InvalidRequest, match="pdf"):
        sd.report(format="pdf")
    with pytest.raises(OutputUnwritable, match="no folder"):
        sd.report(tmp_path / "no folder" / "x.csv", "csv")


def test_the_operator_and_the_command(chained, tmp_path, capsys):
    assert bpy.ops.sd.report() == {"FINISHED"} and bpy.ops.sd.report(prompts=True) == {"FINISHED"}
    assert "Prompt: mosaic" in bpy.data.texts["Generated Images"].as_string() and len(bpy.data.texts) == 1
    assert bpy.ops.sd.report(to="FILE", format="text", filepath=str(tmp_path / "r")) == {"FINISHED"}
    assert "Seed: 6" in (tmp_path / "r.txt").read_text(encoding="utf-8")
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.sd.report(to="FILE", filepath=str(tmp_path / "none" / "r"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    film, table, text = (str(tmp_path / name) for name in ("film.blend", "c.csv", "t.txt"))
    assert command_line.run(["report", film, "--csv", table, "--text", text, "--chains"]) == 0
    assert "mosaic" in Path(table).read_text(encoding="utf-8-sig") and "film.blend" in Path(text).read_text(
        encoding="utf-8")
    capsys.readouterr()
    assert command_line.run_report([]) == 0 and "2 generated images" in capsys.readouterr().out
    assert command_line.run(["report", "--csv", str(tmp_path / "none" / "c.csv")]) == 5
    assert "sd: The report" in capsys.readouterr().err
    assert command_line.run(["report", "--help"]) == 0


def test_the_command_line_says_what_cannot_be_used(addon, tmp_path, capsys):
    (tmp_path / "film.blend").write_text("no Blender file", encoding="utf-8")
    for arguments, words in (
        ([str(tmp_path / "flim.blend")], "There is no file .*flim.blend'. Did you mean 'film.blend'?"),
        ([str(tmp_path / "gone" / "film.blend")], "There is no file .* Check its path."),
        ([str(tmp_path)], "There is no file"),
        ([str(tmp_path / "film.blend")], "cannot be opened as a .blend file"),
        (["--cvs", "x.csv"], "There is no option '--cvs'. Did you mean '--csv'?"),
        (["--bad"], "There is no option '--bad'"),
    ):
        capsys.readouterr()
        assert command_line.run(["report", *arguments]) == 2
        err = capsys.readouterr().err
        assert re.search(words, err) and "Traceback" not in err
