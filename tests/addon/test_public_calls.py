"""Every public call with arguments of the wrong type or a mistyped name: one clear sentence, and nothing is changed."""
from __future__ import annotations

import inspect
import re
from pathlib import Path

import bpy
import numpy as np
import pytest

import blender_sd as sd
from blender_sd.calls import assets
from blender_sd.calls.runtime import runtime
from blender_sd.core import errors
from blender_sd.core.request import Request
from tests.support.addon import cube

GREY = np.full((64, 64, 3), 128, np.uint8)
STRANGE = (object(), b"bytes", 3j)
ANYTHING = {"image", "source", "reference", "mask"}  # arguments that the calls below look at later, or not at all


def _calls(folder: Path) -> dict[str, tuple]:
    """Arguments with which each public call that takes any would do something."""
    image = bpy.data.images.new("Any", 64, 64)
    return {
        "apply": (image, cube()),
        "bake": ([GREY], [bpy.data.objects["Camera"]], [cube()]),
        "batch_materials": (["x"],),
        "check_python": ("python",),
        "choose": ("starter",),
        "configure": (),
        "control": ("depth",),
        "control_image": ("canny", GREY),
        "credentials": (image,),
        "delete_style": ("x",),
        "download_wheels": (folder,),
        "export_maps": (bpy.data.materials.new("Any"), folder),
        "export_style": ("x", folder / "x.toml"),
        "favourite": ("x.png",),
        "fetch": ("a/b",),
        "find_model": ("starter",),
        "find_pythons": (),
        "find_style": ("x",),
        "generate": ("x",),
        "has_credentials": (folder / "x.png",),
        "history": (),
        "import_style": (folder / "x.toml",),
        "inpaint": (GREY, GREY, "x"),
        "install_engine": ("nothing",),
        "make_seamless": (GREY,),
        "mark_baked": (cube(),),
        "material": ("x",),
        "move_job": (sd.generate("x"), 1),
        "open_picture": ("x.png",),
        "outpaint": (GREY, "x"),
        "pbr_maps": (GREY,),
        "problem_report": (),
        "project": (bpy.data.objects["Camera"], GREY),
        "pump": (),
        "read_settings": (image,),
        "recall": (image,),
        "region": ("Any",),
        "region_mask": (sd.region(cube()), "CAMERA"),
        "report": (),
        "restore": ("x.png",),
        "restyle": (GREY, "x"),
        "restyle_sequence": ("x",),
        "pause_job": (sd.generate("x"),),
        "resume_job": (sd.generate("x"),),
        "forget_shot": (folder,),
        "run": (Request(),),
        "save_material": (image,),
        "save_style": ("x",),
        "set_relief": (bpy.data.materials["Any"],),
        "texture_object": ([cube()], "x"),
        "trace": (image,),
        "trash": ("x.png",),
        "upscale": (GREY,), "seed_walk": (GREY,),
        "wait": (0.0,),}


def _state() -> tuple:
    return len(sd.jobs()), len(bpy.data.images), len(bpy.data.materials), runtime.config


def _call(name: str, args: tuple, parameter: inspect.Parameter, place: int, value: object) -> None:
    if parameter.kind is parameter.KEYWORD_ONLY or place >= len(args):
        getattr(sd, name)(*args, **{parameter.name: value})
    else:
        getattr(sd, name)(*args[:place], value, *args[place + 1:])


def test_arguments_of_the_wrong_type_are_refused(addon, tmp_path):
    calls = _calls(tmp_path)
    taking = {name for name in sd._MODULES if inspect.signature(getattr(sd, name)).parameters}
    assert calls.keys() == taking, "a public call that is not tried here"
    before = _state()
    for name, args in calls.items():
        for place, parameter in enumerate(inspect.signature(getattr(sd, name)).parameters.values()):
            if parameter.kind is parameter.VAR_KEYWORD or parameter.name in ANYTHING and name in (
                    "control", "run", "control_image", "region"):
                continue
            for value in STRANGE:
                with pytest.raises(errors.SDError) as caught:
                    _call(name, args, parameter, place, value)
                assert "Traceback" not in str(caught.value) and _state() == before, (name, parameter.name)


@pytest.mark.parametrize("value", [None, "Any", 3, [], GREY])
def test_what_is_no_image_is_not_applied(addon, value):
    with pytest.raises(errors.SourceUnusable, match="image must be an image, not .* Give one of bpy.data.images"):
        sd.apply(value, cube())
    with pytest.raises(errors.TargetUnusable, match="obj must be an object"):
        sd.apply(_image(), value)


def test_a_deleted_image_is_not_applied(addon):
    image = bpy.data.images.new("Any", 8, 8)
    bpy.data.images.remove(image)
    with pytest.raises(errors.SourceUnusable, match="image was deleted"):
        sd.apply(image, cube())


def test_none_stands_for_the_default_and_an_iterator_for_its_values(addon):
    job = sd.generate("x", count=None, style=None, loras=None, axes=iter([("steps", (2, 3))]))
    assert (job.request.count, [axis.options for axis in job.request.axes]) == (1, [["2", "3"]])
    sd.cancel_all()


def _image() -> bpy.types.Image:
    return bpy.data.images.new("Any", 8, 8)


MISTYPED = {
    "sampler": lambda: sd.generate("x", sampelr="euler"), "strength": lambda: sd.restyle(GREY, "x", strenght=0.5),
    "guidance": lambda: sd.upscale(GREY, gudiance=3), "euler_a": lambda: sd.generate("x", sampler="euler_aa"),
    "tiling": lambda: sd.batch_materials(["x"], tilling="xy"), "device": lambda: sd.configure(devise="cpu"),
    "CAMERA": lambda: sd.restyle("CAMRA", "x"), "FACES": lambda: sd.inpaint(GREY, "FACE", "x"),
    "VIEWPORT": lambda: sd.generate("x", controls=[sd.control("depth", "viewprot")]),
    "ALPHA": lambda: sd.inpaint(GREY, "alpa", "x"), "Starter": lambda: sd.find_model("satrter"),
    "Base Color": lambda: sd.apply(_image(), cube(), "Base Colour"), "depth": lambda: sd.control("dept"),
    "canny": lambda: sd.control_image("cany", GREY), "xy": lambda: sd.make_seamless(GREY, tiling="xyx"),
    "cpu": lambda: sd.install_engine("cpuu"), "refine_scale": lambda: sd.generate("x", refinescale=2),
    "csv": lambda: sd.report(format="scv"), "Bricks": lambda: sd.save_material(_image(), library="brikcs"),
    "search": lambda: sd.history(serach="x"),
}


@pytest.mark.parametrize("wanted", MISTYPED)
def test_the_closest_name_is_suggested(addon, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "asset_libraries", lambda: {"Bricks": str(tmp_path)})
    before = len(sd.jobs())
    with pytest.raises(errors.SDError) as caught:
        MISTYPED[wanted]()
    assert re.search(f"Did you mean .*'{wanted}'", caught.value.hint), str(caught.value)
    assert len(sd.jobs()) == before


def test_samplers_may_be_called_as_the_panel_calls_them(addon):
    assert sd.generate("x", sampler="Euler a").request.sampler == "euler_a"
    sd.cancel_all()


def test_an_operator_suggests_an_image_of_the_file(addon):
    bpy.data.images.new("old brick", 8, 8)
    for operator in (bpy.ops.sd.apply, bpy.ops.sd.recall):
        with pytest.raises(RuntimeError, match="Did you mean 'old brick'"):
            operator(image="old birck")
