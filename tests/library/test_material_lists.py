"""Lists of materials and the files of an asset library."""
from __future__ import annotations

import pytest

from blender_sd.core.errors import AssetUnusable
from blender_sd.library.asset_library import CATALOGS, CATALOG_ID, asset_file, asset_name, catalog, free_name
from blender_sd.library.material_lists import MAX_ROWS, read_rows


def test_one_prompt_a_line():
    rows = read_rows("# walls\nred brick wall, old\n\n  grey stone \nred brick wall, old\n")
    assert [(row.number, row.name, row.keywords) for row in rows] == [
        (1, "red brick wall, old", {"prompt": "red brick wall, old"}), (2, "grey stone", {"prompt": "grey stone"}),
        (3, "red brick wall, old 2", {"prompt": "red brick wall, old"})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table(delimiter):
    lines = [
        "\ufeffName,Prompt,seed,size,style,tags,guidance", 'Old Bricks,"red, old",7,512x256,Ink,brick wall,4.5',
        ",moss,,128,,,"]
    text = "\r\n".join(line.replace(",", delimiter).replace(f'"red{delimiter} old"', '"red, old"') for line in lines)
    first, second = read_rows(text)
    assert (first.name, first.tags, first.problem) == ("Old Bricks", ("brick wall",), "")
    assert first.keywords == {"prompt": "red, old", "seed": 7, "size": (512, 256), "style": "Ink", "guidance": 4.5}
    assert second.name == "moss" and second.keywords == {"prompt": "moss", "size": (128, 128)}


def test_a_bad_row_stops_no_other():
    rows = read_rows("prompt,seed,width,height\nbrick,seven,,\nmoss,1,,\nsand,1,64,\nsnow,1,64,64,too,many\n")
    assert [
        "no seed" in rows[0].problem, rows[1].problem, "go together" in rows[2].problem, "more cells"
        in rows[3].problem] == [True, "", True, True]


def test_python_rows():
    rows = read_rows(["moss", {"prompt": "sand", "tags": ["a", "b"], "size": (64, 32), "seed": 3, "colour": 1}])
    assert rows[0].keywords == {"prompt": "moss"
                                } and rows[1].tags == ("a", "b") and rows[1].keywords["size"] == (64, 32)
    assert "colour" in rows[1].problem


@pytest.mark.parametrize("given, words", [
    ("", "no prompt"), ("# only\n\n", "no prompt"), ("prompt,sed\nx,1", "'sed'"), ([3], "prompts, or mappings"),
    ("x\n" * (MAX_ROWS + 1), "rows")])
def test_lists_that_cannot_be_used(given, words):
    with pytest.raises(AssetUnusable, match=words):
        read_rows(given)


@pytest.mark.parametrize("text, name", [
    ("a/b: c?", "a b c"), ("..", "Material"), ("con", "con material"), ("  red\nwall. ", "red wall"), ("", "Material")])
def test_names_of_assets(text, name):
    assert asset_name(text) == name


def test_long_names_are_cut_at_a_word_and_keep_whole_signs():
    assert len(asset_name("苔むした古い石の壁 " * 9).encode()) <= 60 and asset_name("苔" * 99) == "苔" * 20
    assert asset_name("red brick " * 20).endswith(("red", "brick"))


def test_a_free_name(tmp_path):
    library = str(tmp_path)
    for name in ("Moss", "Moss 2"):
        (tmp_path / "Stable Diffusion").mkdir(exist_ok=True)
        open(asset_file(library, name), "wb").close()
    assert free_name(library, "Moss") == "Moss 3" and free_name(library, "Sand") == "Sand"


def test_the_catalog_is_listed_once_and_all_else_stays(tmp_path):
    file = tmp_path / CATALOGS
    assert catalog(
        str(tmp_path
            )) == CATALOG_ID and f"VERSION 1\n\n{CATALOG_ID}:Stable Diffusion:Stable Diffusion\n" in file.read_text()
    first = file.read_text()
    assert catalog(str(tmp_path)) == CATALOG_ID and file.read_text() == first
    theirs = "# mine\nVERSION 1\n11111111-2222-4333-8444-555555555555:Wood/Oak:Oak"
    file.write_text(theirs)
    assert catalog(str(
        tmp_path)) == CATALOG_ID and file.read_text() == f"{theirs}\n{CATALOG_ID}:Stable Diffusion:Stable Diffusion\n"
    file.write_text("VERSION 1\n99999999-2222-4333-8444-555555555555:Stable Diffusion:SD\n")
    assert catalog(str(tmp_path)) == "99999999-2222-4333-8444-555555555555"
    assert [one.name for one in tmp_path.iterdir()] == [CATALOGS]


@pytest.mark.parametrize("data", [b"VERSION 2\n", b"\xff\xfe", b"VERSION 1\nno-uuid:Stable Diffusion:SD\n"])
def test_a_catalog_file_that_is_not_understood_stays_as_it_is(tmp_path, data):
    (tmp_path / CATALOGS).write_bytes(data)
    assert catalog(str(tmp_path)) == "" and (tmp_path / CATALOGS).read_bytes() == data
