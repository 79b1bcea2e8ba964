"""A hostile .blend file and a hostile picture: opened, drawn, recalled and painted from. Nothing of theirs runs,
nothing that they name on another computer is looked at, and what cannot be used is a sentence."""
from __future__ import annotations

import json
import os

import bpy
import pytest

import blender_sd as sd
from blender_sd.addon import layout
from blender_sd.core.parts import Control, Lora
from blender_sd.core.request import Request
from tests.support.panels import PANELS, draw
from tests.support.addon import drain
from tests.support.fake_pipeline import write_png

SHARE = "//evil.example/share"
PROPERTIES = {
    "deep": "[" * 100_000, "long": json.dumps({"format": 1, "prompt": "x" *
                                               (3 << 20)}), "group": {"a": {"b": 1}}, "number": 7, "list": [1, 2, 3],
    "bytes": b"\xff\xfe", "infinite": Request().to_json().replace('"seed": 0', '"seed": Infinity'),
    "unknown": '{"format": 1, "exec": "import os"}',
    "axes": Request().to_json().replace('"axes": []',
                                        '"axes": [' + ",".join(['{"setting": "steps", "values": "1,2"}'] * 9000) + "]")}


@pytest.fixture
def untouched(monkeypatch):
    """What the disk was asked for by our code."""
    asked = []
    for name in ("isfile", "isdir", "exists", "lexists", "realpath"):
        real = getattr(os.path, name)
        monkeypatch.setattr(os.path, name,
                            lambda path, *rest, real=real, **more: asked.append(str(path)) or real(path, *rest, **more))
    yield asked
    assert not [path for path in asked if "evil.example" in path]


@pytest.fixture
def hostile(addon, tmp_path):
    """A .blend with everything that a stranger could put into one for us, opened; (what makes its canary, the canary's
    file)."""
    canary = tmp_path / "CANARY"
    code = f"open({str(canary)!r}, 'w').close()"
    def keep(name: str, value: object) -> None:
        image = bpy.data.images.new(name, 8, 8)
        image["blender_sd"], image.use_fake_user = value, True

    for name, value in PROPERTIES.items():
        keep(name, value)
    shared = Request.of(
        "text_to_image",
        prompt="brick",
        model=f"{SHARE}/model",
        loras=(Lora(f"{SHARE}/a.safetensors"),),
        upscaler=f"{SHARE}/up",
        ip_adapter=f"{SHARE}/ip.safetensors",
        controls=(Control("depth", f"{SHARE}/net"),),
    )
    keep("shared", shared.to_json())
    for name in ("startup.py", "evil"):
        text = bpy.data.texts.new(name)
        text.write(f"{code}\nimport os; os.system('touch {canary}')\n")
        text.use_module = name.endswith(".py")
    settings = bpy.context.scene.sd
    settings.prompt, settings.negative = f"#{code} {{{code}|$(touch {canary})}} __evil__", f"`touch {canary}`"
    settings.model = settings.upscaler = f"{SHARE}/model"
    settings.style = "../../evil"
    file = tmp_path / "hostile.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=str(file), load_ui=False, use_scripts=False)
    return bpy.context.scene.sd, code, canary


def test_a_hostile_file(hostile, pipeline, untouched, monkeypatch):
    settings, code, canary = hostile
    monkeypatch.setattr(layout, "region_width", lambda _context: 2000.0)
    for panel in PANELS:
        draw(panel)
    with pytest.raises(RuntimeError, match="no style called"):
        bpy.ops.sd.generate()
    settings.style = ""
    with pytest.raises(RuntimeError, match="lies on another computer"):
        bpy.ops.sd.generate()
    for name in PROPERTIES:
        with pytest.raises(RuntimeError,
                           match="carries no settings|cannot be read|Unknown settings|are the most|must be a number"):
            bpy.ops.sd.recall(image=name)
    bpy.ops.sd.recall(image="shared")
    for model in (settings.model, "starter"):  # what is recalled is shown as it is, and refused when it is used
        settings.model = model
        with pytest.raises(RuntimeError, match="lies on another computer"):
            bpy.ops.sd.generate()
    with pytest.raises(Exception, match="lies on another computer"):
        sd.run(Request.from_json(Request(loras=(Lora(f"{SHARE}/a.safetensors"),)).to_json()))
    assert not pipeline.orders and not canary.exists()


def test_prompts_and_lists_are_words(hostile, pipeline):
    """Text blocks, choices and what looks like a driver or a shell's command reach the engine as they stand, and no
    driver is made."""
    settings, code, canary = hostile
    settings.model, settings.upscaler, settings.style = "starter", "", ""
    settings.steps = 1
    bpy.ops.sd.generate()
    drain()
    order = pipeline.orders[-1].request
    assert order.prompt == f"#{code} {{{code}|$(touch {canary})}} {{{code}|import os; os.system('touch {canary}')}}"
    assert order.negative == settings.negative
    settings.prompt_text = bpy.data.texts["evil"]
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[-1].request.prompt.startswith(code)
    assert bpy.context.scene.animation_data is None and not canary.exists()
    assert not [name for name in bpy.app.driver_namespace if "sd" in name or "evil" in name]


def test_a_picture_that_somebody_shared(addon, tmp_path, pipeline, untouched):
    path = tmp_path / "shared.png"
    write_png(str(path), Request(width=8 * 8, height=64, prompt="{a|b} <lora:x:1>", model=f"{SHARE}/model"))
    bpy.ops.sd.recall(filepath=str(path))
    with pytest.raises(RuntimeError, match="lies on another computer|no LoRA"):
        bpy.ops.sd.generate()
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RuntimeError, match="carries no settings"):
        bpy.ops.sd.recall(filepath=str(path))
    assert not pipeline.orders
