"""What a mistyped name is answered with."""
from __future__ import annotations

import pytest

from blender_sd.core import hub
from blender_sd.library import policy
from blender_sd.core.nets import LORA
from blender_sd.core.errors import SDError
from blender_sd.core.names import closest, suggestion
from blender_sd.core.parts import Axis, Control
from blender_sd.core.request import Request
from blender_sd.core.samplers import SAMPLERS
from blender_sd.core.style_format import make_style
from blender_sd.library import adapters, controlnets, image_report, models, wildcards
from blender_sd.library.material_lists import read_rows
from blender_sd.library.styles import StyleFolder


@pytest.mark.parametrize("name, found", [
    ("CAMRA", ["CAMERA"]), ("camera", ["CAMERA"]), ("Render", ["RENDER"]), ("view port", ["VIEWPORT"]), ("brick.png", []), ("", []),  # noqa: E501
])
def test_case_and_punctuation_do_not_count(name, found):
    assert closest(name, ("RENDER", "CAMERA", "VIEWPORT")) == found


def test_the_hint_names_the_closest_or_all():
    assert suggestion("DPM++ 2M Karas", SAMPLERS).startswith("Did you mean 'dpmpp_2m_karras'")
    assert suggestion("karras",
                      SAMPLERS) == "Did you mean 'dpmpp_2m_karras', 'dpmpp_2m_sde_karras' or 'dpmpp_3m_sde_karras'?"
    assert suggestion("brick", ["brick old", "brick new", "moss"]) == "Did you mean 'brick old' or 'brick new'?"
    assert suggestion("magic", ["x", "y"]) == "Choose one of: x, y."
    assert suggestion("magic", map(str, range(40))).endswith("15, ….")
    assert suggestion("magic", [], "Make one.") == "Make one."


def _mistyped(folder) -> dict:
    (folder / "wildcards").mkdir()
    (folder / "wildcards" / "stones.txt").write_text("granite", encoding="utf-8")
    (folder / "policy.toml").write_text("netwrok = false", encoding="utf-8")
    (folder / "Wet Bricks.toml").write_text("", encoding="utf-8")
    shelf = StyleFolder(str(folder), str(folder / "none"))
    return {
        "dpmpp_2m": lambda: Request(sampler="dpmp_2m"),
        "none": lambda: Request(tiling="non"),
        "steps": lambda: Axis("stesp", "1"),
        "depth": lambda: Control("depht"),
        "guidance": lambda: Request.from_json('{"format": 1, "gudiance": 3}'),
        "sampler": lambda: make_style("x", {"smapler": "euler"}),
        "prompt": lambda: read_rows([{"promt": "x"}, {"prompt": "y"}]),
        "network": lambda: policy.read_file(str(folder / "policy.toml")),
        "csv": lambda: image_report.write([], "", "csvs"),
        "Starter": lambda: models.resolve_model("statrer", [str(folder)]),
        "stones": lambda: wildcards.read_list("stnoes", [str(folder)]),
        "stabilityai/sdxl-turbo": lambda: hub.parse("sdxl turbo"),
        "Wet Bricks": lambda: shelf.find("wet brikcs"),}


def test_every_mistyped_name_is_answered_with_the_closest(tmp_path):
    for wanted, mistype in _mistyped(tmp_path).items():
        try:
            problems = [row.problem for row in mistype()]
            assert any(f"'{wanted}'" in problem for problem in problems), problems
        except SDError as error:
            assert f"Did you mean '{wanted}'" in error.hint, str(error)


def test_files_are_suggested_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "find_files",
                        lambda _kind, _folders: [adapters.NamedFile("Old Paper", "/m/Old Paper.safetensors")])
    with pytest.raises(SDError) as caught:
        adapters.resolve_file(LORA, "old papre", [str(tmp_path)])
    assert caught.value.hint == "Did you mean 'Old Paper'?"
    with pytest.raises(SDError) as caught:
        controlnets.resolve_controlnet("startre", [str(tmp_path)])
    assert caught.value.hint == "Did you mean 'Starter'?"
