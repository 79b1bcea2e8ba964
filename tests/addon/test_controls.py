"""Controls of the panel: their list, ControlNets, and control pictures."""
from __future__ import annotations

from dataclasses import replace

import bpy
import pytest

import blender_sd as sd
from blender_sd.calls.runtime import runtime
from blender_sd.core.request import Request
from blender_sd.protocol.messages import Source
from tests.support.addon import drain
from tests.support.fake_pipeline import write_png
from tests.support.slots import rendered, textured_cube


@pytest.fixture
def controlnet(monkeypatch, tmp_path):
    """A ControlNet's folder that the library finds; nothing is loaded from it here."""
    folder = tmp_path / "Depth Net"
    folder.mkdir()
    (folder / "config.json").write_text('{"_class_name": "ControlNetModel", "cross_attention_dim": 768}',
                                        encoding="utf-8")
    monkeypatch.setattr(runtime, "config", replace(runtime.config, model_folders=(str(tmp_path),)))
    return str(folder)


def _add_control(addon, **settings):
    assert bpy.ops.sd.add_control() == {"FINISHED"}
    control = addon.active_control()
    for name, value in settings.items():
        setattr(control, name, value)
    return control


def test_controls_go_with_the_order_and_come_back(addon, pipeline, controlnet, tmp_path):
    addon.prompt, addon.width, addon.height = "moss", 64, 48
    _add_control(addon, kind="depth", model="depth net", weight=0.7, end=0.8)
    _add_control(addon, kind="lines", model="depth net", enabled=False)
    _add_control(addon, kind="canny", model="depth net", source="IMAGE", image=bpy.data.images.new("shape", 64, 48),
                 start=0.25)
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()
    order = pipeline.orders[0]
    depth, canny = order.request.controls
    assert (depth.kind, depth.model, canny.kind, canny.start) == ("depth", controlnet, "canny", 0.25)
    assert (depth.weight, depth.end) == (pytest.approx(0.7), pytest.approx(0.8))
    assert depth.image and order.inputs["control0"].pixels.shape == (48, 64, 4) and set(order.inputs) == {
        "control0", "control1"}
    addon.controls.clear()
    write_png(str(tmp_path / "shape.png"), Request(width=16, height=16))
    digest = Source(encoded=(tmp_path / "shape.png").read_bytes()).digest()
    kept = sd.output_folder() / "sources" / f"{digest.removeprefix('sha256:')}.png"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes((tmp_path / "shape.png").read_bytes())
    addon.fill_from(replace(order.request, controls=(depth, replace(canny, image=digest))))
    first, second = addon.controls
    assert (first.kind, first.model, first.weight, first.source) == ("depth", controlnet, pytest.approx(0.7), "CAMERA")
    assert (second.kind, second.start, second.source, second.enabled) == ("canny", 0.25, "IMAGE", True)
    assert second.image.packed_file and tuple(second.image.size) == (16, 16)
    first.enabled = second.enabled = False
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[1].request.controls == ()


def test_the_list_of_controls(addon):
    assert not bpy.ops.sd.remove_control.poll() and not bpy.ops.sd.preview_control.poll()
    for kind in ("depth", "normal", "lines"):
        _add_control(addon, kind=kind)
    assert bpy.ops.sd.move_control(direction="DOWN") == {"CANCELLED"} and addon.control_index == 2
    assert bpy.ops.sd.move_control(direction="UP") == {"FINISHED"}
    assert [control.kind
            for control in addon.controls] == ["depth", "lines", "normal"] and addon.active_control().kind == "lines"
    assert bpy.ops.sd.remove_control() == {"FINISHED"} and addon.active_control().kind == "normal"
    assert bpy.ops.sd.remove_control() == {"FINISHED"} and addon.active_control().kind == "depth"
    assert bpy.ops.sd.remove_control() == {"FINISHED"} and addon.active_control() is None


def test_a_control_from_an_image_needs_one(addon, pipeline, controlnet):
    addon.prompt = "moss"
    control = _add_control(addon, model=controlnet, source="IMAGE")
    with pytest.raises(RuntimeError, match="No control image"):
        bpy.ops.sd.generate()
    control.image = bpy.data.images.new("shape", 64, 64)
    assert bpy.ops.sd.generate() == {"FINISHED"}
    control.model = "nothing like it"
    with pytest.raises(RuntimeError, match="no ControlNet called"):
        bpy.ops.sd.generate()


def test_the_control_picture_can_be_looked_at(addon):
    addon.width, addon.height = 48, 32
    _add_control(addon, kind="depth")
    _add_control(addon, kind="normal")
    scenes, materials = len(bpy.data.scenes), len(bpy.data.materials)
    assert bpy.ops.sd.preview_control() == {"FINISHED"}
    image = bpy.data.images["normal control"]
    assert tuple(image.size) == (48, 32) and image.packed_file
    assert (len(bpy.data.scenes), len(bpy.data.materials)) == (scenes, materials)
    bpy.context.scene.camera = None
    with pytest.raises(RuntimeError, match="no camera"):
        bpy.ops.sd.preview_control()


def test_the_control_picture_has_the_size_of_what_will_be_painted(addon, pipeline):
    """A preview in the size of Width and Height would not show what a restyled render gets."""
    rendered(32)
    bpy.context.scene.render.resolution_x, addon.width, addon.height = 96, 61, 48
    textured_cube(24)
    _add_control(addon, kind="depth")
    sizes = {}
    for task, source in (("TEXT", "CAMERA"), ("RENDER", "CAMERA"), ("RENDER", "RENDER"), ("TEXTURE", "CAMERA")):
        addon.task, addon.render_source = task, source
        bpy.ops.sd.preview_control()
        image = bpy.data.images["depth control"]
        sizes[task, source] = tuple(image.size)
        bpy.data.images.remove(image)
    assert sizes == {("TEXT", "CAMERA"): (64, 48), ("RENDER", "CAMERA"): (96, 32), ("RENDER", "RENDER"): (32, 32),
                     ("TEXTURE", "CAMERA"): (24, 24)}


def test_a_control_picture_that_the_engine_makes_comes_back_from_it(addon, pipeline):
    addon.width, addon.height = 48, 32
    _add_control(addon, kind="canny", source="IMAGE").image = bpy.data.images.new("photo", 100, 100)
    assert bpy.ops.sd.preview_control() == {"FINISHED"}
    drain()
    order, = pipeline.orders
    image, = sd.jobs()[-1].outputs
    assert order.controls_only and (order.request.width, order.request.height,
                                    order.request.controls[0].kind) == (48, 32, "canny")
    assert image.name == "canny control" and tuple(image.size) == (48, 32) and round(image.pixels[0] * 255) == 77
