"""Paint Mask: what it changes, that all of it is changed back however the painting ends, and what it refuses. What is
seen while painting is a matter for tests/window."""
from __future__ import annotations

import bpy
import numpy as np
import pytest

from blender_sd import scene
import blender_sd as sd
from blender_sd.scene import compat
from tests.support.panels import within
from tests.support.addon import cube, drain


@pytest.fixture
def node(addon):
    """The cube's image node with a picture of 32 × 32, and brush settings that nobody would take for ours."""
    made = cube().active_material.node_tree.nodes.new("ShaderNodeTexImage")
    made.image = bpy.data.images.new("gravel", 32, 32)
    cube().active_material.node_tree.nodes.active = made
    unified = compat.unified_paint_settings(bpy.context.scene)
    unified.color, unified.secondary_color, unified.strength, unified.use_unified_strength = (0.25, 0.5,
                                                                                              0.75), (1, 0,
                                                                                                      0), 0.25, False
    addon.prompt = "moss"
    yield made
    if cube().mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")


def _settings() -> list:
    """Everything that painting a mask changes."""
    paint, unified = bpy.context.scene.tool_settings.image_paint, compat.unified_paint_settings(bpy.context.scene)
    editors = [(space.image.name if space.image else "", space.mode) for _, space in _editors()]
    return [
        cube().mode,
        cube().data.uv_layers.active.name, paint.mode, paint.canvas.name if paint.canvas else "",
        tuple(unified.color),
        tuple(unified.secondary_color), unified.strength, unified.use_unified_color, unified.use_unified_strength,
        editors]


def _editors():
    return [(screen.name, space) for screen in bpy.data.screens for area in screen.areas for space in area.spaces
            if space.type == "IMAGE_EDITOR"]


def _white() -> None:
    """The brush paints white, erases in black, and covers fully."""
    paint, unified = bpy.context.scene.tool_settings.image_paint, compat.unified_paint_settings(bpy.context.scene)
    assert (tuple(unified.color), tuple(unified.secondary_color), unified.strength) == ((1, 1, 1), (0, 0, 0), 1)
    assert unified.use_unified_color and unified.use_unified_strength
    assert paint.brush is None or (paint.brush.blend, getattr(paint.brush, compat.brush_type_property(
        paint.brush))) == ("MIX", "DRAW")


def _paint(mask: bpy.types.Image, share: float) -> None:
    """As a brush would leave it: white from the left."""
    values = np.zeros((32, 32, 4), np.float32)
    values[..., 3] = 1
    values[:, : round(32 * share)] = 1
    mask.pixels.foreach_set(values.ravel())
    mask.update()


def _painted(mask: bpy.types.Image) -> float:
    return float(np.array(mask.pixels[:]).reshape(-1, 4)[:, 0].mean())


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT", "SCULPT"])
def test_all_is_as_before_when_it_is_done(node, mode):
    bpy.ops.object.mode_set(mode=mode)
    before = _settings()
    assert not bpy.ops.sd.finish_mask.poll() and not bpy.ops.sd.change_mask.poll()
    assert bpy.ops.sd.new_mask() == {"FINISHED"}
    paint, mask = bpy.context.scene.tool_settings.image_paint, node.image.sd_mask
    assert (cube().mode, paint.mode, paint.canvas) == ("TEXTURE_PAINT", "IMAGE", mask) and _painted(mask) == 0
    _white()
    assert bpy.ops.sd.finish_mask() == {"FINISHED"} and _settings() == before
    _paint(mask, 0.5)
    assert bpy.ops.sd.new_mask() == {
        "FINISHED"} and paint.canvas == mask and _painted(mask) == 0.5, "it goes on with the same mask"
    bpy.ops.sd.finish_mask()
    bpy.ops.object.mode_set(mode="OBJECT")


@pytest.mark.parametrize("canvas", ["", "gravel", "other"])
def test_a_canvas_of_the_artists_own_comes_back(node, pipeline, canvas):
    bpy.data.images.new("other", 32, 32)
    paint = bpy.context.scene.tool_settings.image_paint
    paint.mode, paint.canvas = "IMAGE", bpy.data.images.get(canvas)
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT" if canvas == "gravel" else "OBJECT")
    before = _settings()
    bpy.ops.sd.new_mask()
    bpy.ops.sd.finish_mask()
    assert _settings() == before


def test_inpaint_ends_the_painting_and_its_result_is_in_the_slot(node, pipeline):
    before, old = _settings(), node.image
    bpy.ops.sd.new_mask()
    assert bpy.ops.sd.inpaint() == {"FINISHED"}
    assert _settings() == before
    drain()
    assert sd.jobs()[-1].state == "finished" and node.image == sd.jobs()[-1].outputs[0] != old


def test_it_is_the_masked_image_that_is_inpainted_whatever_is_selected_meanwhile(node, pipeline):
    old = node.image
    bpy.ops.sd.new_mask()
    other = bpy.data.images.new("other", 32, 32)
    nodes = cube().active_material.node_tree.nodes
    nodes.active = nodes.new("ShaderNodeTexImage")
    nodes.active.image = other
    bpy.ops.sd.inpaint()
    drain()
    assert nodes.active.image == other and node.image == sd.jobs()[-1].outputs[0] != old


def test_an_editor_alone_is_enough_where_there_is_no_mesh(node):
    image = bpy.data.images.new("photo", 32, 32)
    before = _settings()
    with within("IMAGE_EDITOR") as context:
        context.space_data.image = image
        scene.start_painting(context)
        assert (context.space_data.image, context.space_data.mode) == (image.sd_mask,
                                                                       "PAINT") and cube().mode == "OBJECT"
        assert scene.masked_image(context)[0] == image
        _white()
        scene.finish_painting(context)
        assert (context.space_data.image, context.space_data.mode) == (image, "VIEW")
    assert _settings()[:-1] == before[:-1]


def test_without_mesh_and_editor_it_says_what_to_do(node):
    node.image = bpy.data.images.new("on a linked mesh", 32, 32)
    cube().data.uv_layers.remove(cube().data.uv_layers[0])
    with pytest.raises(RuntimeError, match="Open an Image Editor"):
        bpy.ops.sd.new_mask()
    assert node.image.sd_mask is None and cube().mode == "OBJECT"


def test_tiled_images_are_refused(node):
    node.image = bpy.data.images.new("tiles", 32, 32, tiled=True)
    assert not bpy.ops.sd.new_mask.poll()
    with pytest.raises(RuntimeError, match="UDIM"):
        bpy.ops.sd.new_mask()


def test_it_is_painted_by_the_uv_map_that_shows_the_picture(node):
    layers, tree = cube().data.uv_layers, cube().active_material.node_tree
    layers.new(name="Skin")
    layers.active = layers[0]
    uv = tree.nodes.new("ShaderNodeUVMap")
    uv.uv_map = "Skin"
    tree.links.new(uv.outputs[0], node.inputs["Vector"])
    bpy.ops.sd.new_mask()
    assert layers.active.name == "Skin"
    bpy.ops.sd.finish_mask()
    assert layers.active == layers[0]


def test_clear_and_invert(node):
    bpy.ops.sd.new_mask()
    _paint(node.image.sd_mask, 0.25)
    bpy.ops.sd.change_mask(how="INVERT")
    mask = node.image.sd_mask
    assert _painted(mask) == 0.75 and bpy.context.scene.tool_settings.image_paint.canvas == mask
    bpy.ops.sd.change_mask(how="CLEAR")
    assert _painted(
        node.image.sd_mask) == 0 and bpy.context.scene.tool_settings.image_paint.canvas == node.image.sd_mask


def test_a_file_saved_in_the_middle_goes_on_and_can_be_ended(node, addon, tmp_path):
    before = _settings()
    bpy.ops.sd.new_mask()
    _paint(node.image.sd_mask, 0.5)
    path = str(tmp_path / "middle.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_factory_settings(use_empty=False)
    assert compat.unified_paint_settings(bpy.context.scene).strength != 1, "another file is not affected"
    bpy.ops.wm.open_mainfile(filepath=path)
    image = bpy.data.images["gravel"]
    assert _painted(image.sd_mask) == pytest.approx(0.5), "painted pixels were saved"
    assert bpy.context.scene.tool_settings.image_paint.canvas == image.sd_mask
    _white()
    assert bpy.ops.sd.finish_mask() == {"FINISHED"} and _settings() == before


def test_who_leaves_texture_paint_has_ended_it(node):
    before = _settings()
    bpy.ops.sd.new_mask()
    bpy.ops.object.mode_set(mode="OBJECT")
    drain(until=lambda: True)
    assert _settings() == before and not bpy.ops.sd.finish_mask.poll()


def test_another_object_that_is_selected_meanwhile(node):
    before = _settings()
    bpy.ops.sd.new_mask()
    bpy.context.view_layer.objects.active = bpy.data.objects["Light"]
    drain(until=lambda: True)
    assert bpy.ops.sd.finish_mask() == {"FINISHED"}
    assert bpy.context.object == bpy.data.objects["Light"] and _settings() == before


def test_what_is_painted_on_may_be_deleted(node):
    bpy.ops.sd.new_mask()
    bpy.data.objects.remove(cube())
    drain(until=lambda: True)
    assert not bpy.ops.sd.finish_mask.poll()
    assert compat.unified_paint_settings(bpy.context.scene).strength == pytest.approx(0.25)
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.object.name = "Cube"


def test_a_mask_that_is_taken_away_meanwhile_ends_it_for_good(node):
    bpy.ops.sd.new_mask()
    mask = node.image.sd_mask
    for given in (None, mask):
        node.image.sd_mask = given
        drain(until=lambda: True)
        assert not bpy.ops.sd.finish_mask.poll() and bpy.context.scene.tool_settings.image_paint.canvas is None


def test_undo_takes_it_back_and_redo_begins_it_again(node):
    bpy.ops.ed.undo_push(message="before")
    before = _settings()
    bpy.ops.sd.new_mask()
    bpy.ops.ed.undo_push(message="mask")
    bpy.ops.ed.undo()
    assert _settings() == before and bpy.data.images["gravel"].sd_mask is None
    bpy.ops.ed.redo()
    image = bpy.data.images["gravel"]
    assert bpy.context.scene.tool_settings.image_paint.canvas == image.sd_mask != None  # noqa: E711 (a chain)
    _white()
    assert bpy.ops.sd.finish_mask() == {"FINISHED"} and _settings() == before


def test_disabling_the_add_on_ends_it(node):
    from blender_sd.addon import mask_painting

    before = _settings()
    bpy.ops.sd.new_mask()
    mask_painting.unregister()
    assert _settings() == before
    mask_painting.register()
