"""Slot → texture, render → restyled render, recall and apply."""
from __future__ import annotations

import os

import bpy
import pytest

import blender_sd as sd
from blender_sd.core.request import Request
from blender_sd.core.tasks import Inpaint
from tests.support.addon import cube, drain, state
from tests.support.slots import rendered, saved_picture, textured_cube


def test_retexture_puts_a_new_image_into_the_slot(addon, pipeline):
    node, old = textured_cube()
    addon.prompt, addon.slot_strength = "moss", 0.7
    assert bpy.ops.sd.retexture() == {"FINISHED"}
    drain()
    job = sd.jobs()[-1]
    assert job.state == "finished", job.error
    request = pipeline.orders[0].request
    assert (request.width, request.height, request.task.strength) == (32, 32, pytest.approx(0.7))
    assert set(pipeline.orders[0].inputs) == {"source"}
    assert node.image == job.outputs[0] and node.image != old
    assert bpy.data.images.get("old") == old and old.users > 0, "the original stays in the file"


def test_upscale_puts_a_larger_image_into_the_slot(addon, pipeline):
    node, old = textured_cube()
    addon.prompt, addon.upscale_scale, addon.upscale_strength, addon.tile, addon.tiling = "moss", 2.5, 0.2, 128, "x"
    assert bpy.ops.sd.upscale() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.task.name, request.width, request.height, request.tiling) == ("upscale", 80, 80, "x")
    assert request.task.tile == 128
    assert request.task.strength == pytest.approx(0.2) and set(pipeline.orders[0].inputs) == {"source"}
    assert node.image == sd.jobs()[-1].outputs[0] and bpy.data.images.get("old") == old
    addon.upscale_strength = 0.9
    addon.fill_from(request)
    assert (addon.upscale_strength, addon.tile) == (pytest.approx(0.2), 128)


def test_a_mask_is_made_painted_and_used(addon, pipeline):
    node, old = textured_cube()
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
    assert request.task == Inpaint(strength=request.task.strength, mask_kind="white", grow=3, full_res=True, tile=64)
    assert request.task.strength == pytest.approx(0.9) and set(order.inputs) == {"source", "mask"}
    assert node.image == sd.jobs()[-1].outputs[0] and bpy.data.images.get("old") == old
    addon.inpaint_strength, addon.mask_grow, addon.mask_full_res = 0.1, 0, False
    addon.fill_from(request)
    assert (addon.inpaint_strength, addon.mask_grow, addon.mask_full_res) == (pytest.approx(0.9), 3, True)


def test_while_its_mask_is_painted_the_image_is_what_is_inpainted(addon, pipeline):
    node, old = textured_cube()
    bpy.ops.sd.new_mask()
    bpy.context.view_layer.objects.active = cube()
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    try:
        addon.prompt = "moss"
        assert bpy.ops.sd.inpaint() == {"FINISHED"}
    finally:
        bpy.ops.object.mode_set(mode="OBJECT")
    drain()
    assert node.image == sd.jobs()[-1].outputs[0] and node.image != old.sd_mask


@pytest.mark.parametrize(("source", "kind"), [("ALPHA", "alpha"), ("FACES", "white")])
def test_other_masks(addon, pipeline, source, kind):
    textured_cube()
    addon.prompt, addon.mask_source = "moss", source
    for polygon in cube().data.polygons:
        polygon.select = polygon.index == 0
    assert bpy.ops.sd.inpaint() == {"FINISHED"}
    drain()
    assert pipeline.orders[0].request.task.mask_kind == kind and set(pipeline.orders[0].inputs) == {"source", "mask"}


def test_inpaint_without_selected_faces_says_so(addon, pipeline):
    textured_cube()
    addon.prompt, addon.mask_source = "moss", "FACES"
    for polygon in cube().data.polygons:
        polygon.select = False
    with pytest.raises(RuntimeError, match="No face"):
        bpy.ops.sd.inpaint()
    assert not pipeline.orders


def test_outpaint_puts_a_larger_image_into_the_slot(addon, pipeline):
    node, old = textured_cube()
    addon.prompt = "moss"
    assert not bpy.ops.sd.outpaint.poll()
    addon.expand_left, addon.expand_top = 16, 8
    assert bpy.ops.sd.outpaint() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.task.name, request.width, request.height, request.task.left, request.task.top) == ("outpaint", 48,
                                                                                                      40, 16, 8)
    assert node.image == sd.jobs()[-1].outputs[0] != old
    addon.expand_left = 0
    addon.fill_from(request)
    assert addon.expand_left == 16


def test_outpaint_to_an_aspect(addon, pipeline):
    textured_cube()
    addon.prompt, addon.expand_to, addon.aspect_x, addon.aspect_y = "moss", "ASPECT", 2.0, 1.0
    assert bpy.ops.sd.outpaint() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.width, request.height, request.task.left, request.task.right) == (64, 32, 16, 16)
    addon.fill_from(request)
    assert addon.expand_to == "SIDES" and (
        addon.expand_left,
        addon.expand_right,
        addon.expand_top,
        addon.expand_bottom,
    ) == (16, 16, 0, 0)
    addon.expand_to = "ASPECT"  # which it has now
    with pytest.raises(RuntimeError, match="nothing to add"):
        bpy.ops.sd.outpaint()


@pytest.mark.parametrize(("tiling", "meant"), [("none", "xy"), ("y", "y")])
def test_make_seamless_takes_the_panels_axes(addon, pipeline, tiling, meant):
    node, old = textured_cube()
    addon.tiling, addon.band = tiling, 0.3
    assert bpy.ops.sd.make_seamless() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.task.name, request.tiling, request.task.band) == ("make_seamless", meant, pytest.approx(0.3))
    assert node.image == sd.jobs()[-1].outputs[0] != old


def test_upscale_without_an_image_says_what_to_do(addon):
    assert not bpy.ops.sd.upscale.poll()


def test_retexture_without_an_image_says_what_to_do(addon):
    assert not bpy.ops.sd.retexture.poll()
    with pytest.raises(RuntimeError, match="(?i)image"):
        bpy.ops.sd.retexture()


def test_retexture_of_a_lost_image_changes_nothing(addon, pipeline, tmp_path):
    node, _old = textured_cube()
    lost = bpy.data.images.load(saved_picture(tmp_path, Request()))
    os.remove(bpy.path.abspath(lost.filepath))
    lost.reload()
    node.image = lost
    with pytest.raises(RuntimeError, match=lost.name):
        bpy.ops.sd.retexture()
    assert node.image == lost and not pipeline.orders and not sd.jobs()


def test_slot_target_of_generate(addon):
    node, old = textured_cube()
    addon.prompt, addon.target = "moss", "SLOT"
    bpy.ops.sd.generate()
    drain()
    assert node.image == sd.jobs()[-1].outputs[0] != old


@pytest.mark.parametrize("source", ["RENDER", "CAMERA"])
def test_restyle(addon, pipeline, source):
    rendered()
    addon.prompt, addon.render_source, addon.render_strength = "watercolour", source, 0.25
    assert bpy.ops.sd.restyle() == {"FINISHED"}
    drain()
    job = sd.jobs()[-1]
    assert job.state == "finished", job.error
    request = pipeline.orders[0].request
    assert (request.task.name, request.width, request.height, request.task.strength) == ("image_to_image", 32, 32, 0.25)
    assert tuple(job.outputs[0].size) == (32, 32)


def test_a_restyled_render_lies_in_front_of_the_camera(addon):
    rendered()
    addon.prompt, addon.camera_opacity = "watercolour", 0.75
    assert addon.camera_background, "by default"
    backgrounds = bpy.context.scene.camera.data.background_images
    for opacity in (0.75, 0.5):
        bpy.ops.sd.restyle()
        drain()
        shown, = backgrounds
        assert [shown.image] == sd.jobs()[-1].outputs and shown.display_depth == "FRONT" and shown.show_background_image
        assert shown.alpha == pytest.approx(opacity)
        assert state().outcome.endswith("lies over the view through Camera")
        addon.camera_opacity = 0.5  # follows at once, and is kept for the next result
        assert shown.alpha == pytest.approx(0.5)
    addon.camera_background = False
    assert not shown.show_background_image
    bpy.ops.sd.restyle()
    drain()
    assert len(backgrounds) == 1 and backgrounds[0].image != sd.jobs()[-1].outputs[0]


def test_a_render_whose_camera_cannot_be_changed_is_a_new_image(addon, tmp_path):
    rendered()
    bpy.context.scene.camera = None
    addon.prompt = "watercolour"
    bpy.ops.sd.restyle()
    drain()
    assert state().outcome.endswith("is a new image")


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
