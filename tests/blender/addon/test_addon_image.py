"""Slot → texture, render → restyled render, recall and apply."""
from __future__ import annotations

import os
from dataclasses import replace

import bpy
import pytest
from addon_helpers import cube, drain, state
from fake_pipeline import write_png

from blender_sd import api
from blender_sd.protocol.request import Request


def _textured_cube(size: int = 32) -> tuple[bpy.types.Node, bpy.types.Image]:
    """The cube with an image node that is active in its material."""
    image = bpy.data.images.new("old", size, size)
    material = cube().active_material
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.nodes.active = node
    return node, image


def _rendered(size: int = 32) -> None:
    scene = bpy.context.scene
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    bpy.ops.render.render()


def test_retexture_puts_a_new_image_into_the_slot(addon, pipeline):
    node, old = _textured_cube()
    addon.prompt, addon.slot_strength = "moss", 0.7
    assert bpy.ops.sd.retexture() == {"FINISHED"}
    drain()
    job = api.jobs()[-1]
    assert job.state == "finished", job.error
    request = pipeline.orders[0].request
    assert (request.width, request.height, request.strength) == (32, 32, pytest.approx(0.7))
    assert set(pipeline.orders[0].inputs) == {"source"}
    assert node.image == job.outputs[0] and node.image != old
    assert bpy.data.images.get("old") == old and old.users > 0, "the original stays in the file"


def test_upscale_puts_a_larger_image_into_the_slot(addon, pipeline):
    node, old = _textured_cube()
    addon.prompt, addon.upscale_scale, addon.upscale_strength, addon.tile, addon.tiling = "moss", 2.5, 0.2, 128, "x"
    assert bpy.ops.sd.upscale() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.task, request.width, request.height, request.tile, request.tiling) == ("upscale", 80, 80, 128, "x")
    assert request.strength == pytest.approx(0.2) and set(pipeline.orders[0].inputs) == {"source"}
    assert node.image == api.jobs()[-1].outputs[0] and bpy.data.images.get("old") == old
    addon.upscale_strength = 0.9
    addon.fill_from(request)
    assert (addon.upscale_strength, addon.tile) == (pytest.approx(0.2), 128)


@pytest.fixture
def controlnet(monkeypatch, tmp_path):
    """A ControlNet's folder that the library finds; nothing is loaded from it here."""
    folder = tmp_path / "Depth Net"
    folder.mkdir()
    (folder / "config.json").write_text('{"_class_name": "ControlNetModel", "cross_attention_dim": 768}', encoding="utf-8")
    monkeypatch.setattr(api.config, "current", replace(api.config.current, model_folders=(str(tmp_path),)))
    return str(folder)


def _add_control(addon, **settings):
    assert bpy.ops.sd.add_control() == {"FINISHED"}
    control = addon.active_control()
    for name, value in settings.items():
        setattr(control, name, value)
    return control


def test_controls_go_with_the_order_and_come_back(addon, pipeline, controlnet):
    addon.prompt, addon.width, addon.height = "moss", 64, 48
    _add_control(addon, kind="depth", model="depth net", weight=0.7, end=0.8)
    _add_control(addon, kind="lines", model="depth net", enabled=False)
    _add_control(addon, kind="canny", model="depth net", source="IMAGE", image=bpy.data.images.new("shape", 64, 48), start=0.25)
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()
    order = pipeline.orders[0]
    depth, canny = order.request.controls
    assert (depth.kind, depth.model, canny.kind, canny.start) == ("depth", controlnet, "canny", 0.25)
    assert (depth.weight, depth.end) == (pytest.approx(0.7), pytest.approx(0.8))
    assert depth.image and order.inputs["control0"].pixels.shape == (48, 64, 4) and set(order.inputs) == {"control0", "control1"}
    addon.controls.clear()
    kept = api.output_folder() / "sources" / f"{canny.image.removeprefix('sha256:')}.png"
    kept.parent.mkdir(exist_ok=True)
    write_png(str(kept), Request(width=16, height=16))
    addon.fill_from(order.request)
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
    assert [control.kind for control in addon.controls] == ["depth", "lines", "normal"] and addon.active_control().kind == "lines"
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


def test_a_mask_is_made_painted_and_used(addon, pipeline):
    node, old = _textured_cube()
    addon.prompt, addon.inpaint_strength, addon.mask_grow, addon.mask_full_res = "moss", 0.9, 3, True
    assert not bpy.ops.sd.inpaint.poll(), "there is no mask yet"
    assert bpy.ops.sd.new_mask() == {"FINISHED"}
    mask = old.sd_mask
    paint = bpy.context.scene.tool_settings.image_paint
    assert tuple(mask.size) == (32, 32) and (paint.mode, paint.canvas) == ("IMAGE", mask) and not any(mask.pixels[:3])
    assert bpy.ops.sd.new_mask() == {"FINISHED"} and old.sd_mask == mask, "a second click goes on painting"
    assert bpy.ops.sd.inpaint() == {"FINISHED"}
    drain()
    order = pipeline.orders[0]
    request = order.request
    assert (request.task, request.mask_kind, request.mask_grow, request.mask_full_res) == ("inpaint", "white", 3, True)
    assert request.strength == pytest.approx(0.9) and set(order.inputs) == {"source", "mask"}
    assert node.image == api.jobs()[-1].outputs[0] and bpy.data.images.get("old") == old
    addon.inpaint_strength, addon.mask_grow, addon.mask_full_res = 0.1, 0, False
    addon.fill_from(request)
    assert (addon.inpaint_strength, addon.mask_grow, addon.mask_full_res) == (pytest.approx(0.9), 3, True)


def test_while_its_mask_is_painted_the_image_is_what_is_inpainted(addon, pipeline):
    node, old = _textured_cube()
    bpy.ops.sd.new_mask()
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    try:
        addon.prompt = "moss"
        assert bpy.ops.sd.inpaint() == {"FINISHED"}
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
    drain()
    assert node.image == api.jobs()[-1].outputs[0] and node.image != old.sd_mask


@pytest.mark.parametrize(("source", "kind"), [("ALPHA", "alpha"), ("FACES", "white")])
def test_other_masks(addon, pipeline, source, kind):
    _textured_cube()
    addon.prompt, addon.mask_source = "moss", source
    for polygon in cube().data.polygons:
        polygon.select = polygon.index == 0
    assert bpy.ops.sd.inpaint() == {"FINISHED"}
    drain()
    assert pipeline.orders[0].request.mask_kind == kind and set(pipeline.orders[0].inputs) == {"source", "mask"}


def test_inpaint_without_selected_faces_says_so(addon, pipeline):
    _textured_cube()
    addon.prompt, addon.mask_source = "moss", "FACES"
    for polygon in cube().data.polygons:
        polygon.select = False
    with pytest.raises(RuntimeError, match="No face"):
        bpy.ops.sd.inpaint()
    assert not pipeline.orders


def test_outpaint_puts_a_larger_image_into_the_slot(addon, pipeline):
    node, old = _textured_cube()
    addon.prompt = "moss"
    assert not bpy.ops.sd.outpaint.poll()
    addon.expand_left, addon.expand_top = 16, 8
    assert bpy.ops.sd.outpaint() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.task, request.width, request.height, request.expand_left, request.expand_top) == ("outpaint", 48, 40, 16, 8)
    assert node.image == api.jobs()[-1].outputs[0] != old
    addon.expand_left = 0
    addon.fill_from(request)
    assert addon.expand_left == 16


def test_outpaint_to_an_aspect(addon, pipeline):
    _textured_cube()
    addon.prompt, addon.expand_to, addon.aspect_x, addon.aspect_y = "moss", "ASPECT", 2.0, 1.0
    assert bpy.ops.sd.outpaint() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.width, request.height, request.expand_left, request.expand_right) == (64, 32, 16, 16)
    addon.fill_from(request)
    assert addon.expand_to == "SIDES" and addon.growth() == {"left": 16, "right": 16, "top": 0, "bottom": 0}
    addon.expand_to = "ASPECT"  # which it has now
    with pytest.raises(RuntimeError, match="nothing to add"):
        bpy.ops.sd.outpaint()


@pytest.mark.parametrize(("tiling", "meant"), [("none", "xy"), ("y", "y")])
def test_make_seamless_takes_the_panels_axes(addon, pipeline, tiling, meant):
    node, old = _textured_cube()
    addon.tiling, addon.band = tiling, 0.3
    assert bpy.ops.sd.make_seamless() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.task, request.tiling, request.band) == ("make_seamless", meant, pytest.approx(0.3))
    assert node.image == api.jobs()[-1].outputs[0] != old


def test_upscale_without_an_image_says_what_to_do(addon):
    assert not bpy.ops.sd.upscale.poll()


def test_retexture_without_an_image_says_what_to_do(addon):
    assert not bpy.ops.sd.retexture.poll()
    with pytest.raises(RuntimeError, match="(?i)image"):
        bpy.ops.sd.retexture()


def test_retexture_of_a_lost_image_changes_nothing(addon, pipeline, tmp_path):
    node, _old = _textured_cube()
    lost = bpy.data.images.load(_png(tmp_path, Request()))
    os.remove(bpy.path.abspath(lost.filepath))
    lost.reload()
    node.image = lost
    with pytest.raises(RuntimeError, match=lost.name):
        bpy.ops.sd.retexture()
    assert node.image == lost and not pipeline.orders and not api.jobs()


def test_slot_target_of_generate(addon):
    node, old = _textured_cube()
    addon.prompt, addon.target = "moss", "SLOT"
    bpy.ops.sd.generate()
    drain()
    assert node.image == api.jobs()[-1].outputs[0] != old


@pytest.mark.parametrize("source", ["RENDER", "CAMERA"])
def test_restyle(addon, pipeline, source):
    _rendered()
    addon.prompt, addon.render_source, addon.render_strength = "watercolour", source, 0.25
    assert bpy.ops.sd.restyle() == {"FINISHED"}
    drain()
    job = api.jobs()[-1]
    assert job.state == "finished", job.error
    request = pipeline.orders[0].request
    assert (request.task, request.width, request.height, request.strength) == ("image_to_image", 32, 32, 0.25)
    assert tuple(job.outputs[0].size) == (32, 32)


def test_restyle_into_the_camera_background(addon):
    _rendered()
    addon.prompt, addon.camera_background = "watercolour", True
    bpy.ops.sd.restyle()
    drain()
    backgrounds = bpy.context.scene.camera.data.background_images
    assert [shown.image for shown in backgrounds] == api.jobs()[-1].outputs


def test_restyle_without_a_camera_says_so(addon, pipeline):
    bpy.data.objects.remove(bpy.context.scene.camera)
    addon.prompt, addon.render_source = "watercolour", "CAMERA"
    with pytest.raises(RuntimeError, match="camera"):
        bpy.ops.sd.restyle()
    assert state().error and state().hint and not pipeline.orders


def test_restyle_of_the_view_needs_a_window(addon, pipeline):
    addon.prompt, addon.render_source = "watercolour", "VIEWPORT"
    with pytest.raises(RuntimeError, match="(?i)window"):
        bpy.ops.sd.restyle()
    assert not pipeline.orders


WANTED = Request(prompt="old stone", negative="moss", width=40, height=24, steps=7, guidance=1.5, sampler="unipc", seed=99, tiling="xy")


def _png(folder, request) -> str:
    path = str(folder / "stranger.png")
    write_png(path, request)
    return path


def test_recall_from_a_file(addon, tmp_path):
    assert bpy.ops.sd.recall(filepath=_png(tmp_path, WANTED)) == {"FINISHED"}
    assert (addon.prompt, addon.negative, addon.width, addon.height, addon.steps) == ("old stone", "moss", 40, 24, 7)
    assert (addon.guidance, addon.sampler, addon.seed, addon.tiling, addon.random_seed) == (1.5, "unipc", 99, "xy", False)


def test_recall_and_generate_make_the_same_picture(addon, pipeline):
    addon.prompt, addon.count = "brick", 2
    bpy.ops.sd.generate()
    drain()
    second = api.jobs()[-1].outputs[1]
    pixels = second.pixels[:]
    addon.prompt, addon.steps, addon.count = "something else", 9, 1
    assert bpy.ops.sd.recall(image=second.name) == {"FINISHED"}
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[1].request == pipeline.orders[0].request.single(1)
    assert api.jobs()[-1].outputs[0].pixels[:] == pixels


def test_recall_of_a_plain_image_changes_nothing(addon):
    bpy.data.images.new("plain", 8, 8)
    addon.prompt = "mine"
    with pytest.raises(RuntimeError, match="no settings"):
        bpy.ops.sd.recall(image="plain")
    assert addon.prompt == "mine" and state().error


def test_recall_of_an_unknown_name(addon):
    with pytest.raises(RuntimeError, match="no image called 'nothing'"):
        bpy.ops.sd.recall(image="nothing")


def test_recall_keeps_a_model_that_is_gone(addon, tmp_path):
    """The menu names it instead of silently choosing another; the click then says that it is not there."""
    import dataclasses

    bpy.ops.sd.recall(filepath=_png(tmp_path, dataclasses.replace(WANTED, model="/models/gone")))
    assert addon.model == addon.model_choice == "/models/gone"


def test_apply(addon):
    image = bpy.data.images.new("mine", 8, 8)
    assert bpy.ops.sd.apply(image="mine") == {"FINISHED"}
    shader = next(node for node in cube().active_material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Base Color"].links[0].from_node.image == image


def test_apply_takes_the_last_picture(addon):
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain()
    cube().data.materials.clear()
    bpy.ops.sd.apply()
    shader = next(node for node in cube().active_material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Base Color"].links[0].from_node.image == api.jobs()[-1].outputs[0]


def test_apply_to_an_unknown_slot_changes_nothing(addon):
    bpy.data.images.new("mine", 8, 8)
    nodes = len(cube().active_material.node_tree.nodes)
    with pytest.raises(RuntimeError, match="Colour of Magic"):
        bpy.ops.sd.apply(image="mine", slot="Colour of Magic")
    assert len(cube().active_material.node_tree.nodes) == nodes
