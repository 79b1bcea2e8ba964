"""Pictures that take another's place in a material: nothing is lost without a word."""
from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene as room
from blender_sd.core.errors import TargetUnusable
from blender_sd.scene import materials, shaders, targets
from tests.support.pictures import colours, generated, raw_pixels, result, write_png
from tests.support.textures import BLUE, GREEN, base, chains, plain, texture, tree  # noqa: F401  (a fixture)


def test_an_unlit_picture_is_replaced_where_it_is(cube, tree) -> None:
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    emission = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(texture(tree).outputs[0], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], shaders.output_of(tree).inputs["Surface"])
    room.apply_image(plain(GREEN, "new"), cube)
    assert emission.outputs[0].is_linked and emission.inputs["Color"].links[0].from_node.image.name == "new"


def test_an_emission_without_a_picture_shines_on(cube, tree) -> None:
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    emission, ramp = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeValToRGB")
    emission.inputs["Strength"].default_value = 3.5
    tree.links.new(ramp.outputs[0], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], shaders.output_of(tree).inputs["Surface"])
    room.apply_image(plain(GREEN, "new"), cube)
    made = shaders.output_of(tree).inputs["Surface"].links[0].from_node
    assert made.type == "BSDF_PRINCIPLED" and made.inputs["Emission Strength"].default_value == 3.5
    assert made.inputs["Emission Color"].links[0].from_node == ramp


def test_a_picture_that_serves_two_inputs_alike_stays_in_both(cube, tree) -> None:
    chains(tree, "direct")
    node, shader = materials.base_color_node(cube.active_material), tree.nodes["Principled BSDF"]
    tree.links.new(node.outputs[0], shader.inputs["Emission Color"])
    room.apply_image(plain(GREEN, "new"), cube)
    assert shader.inputs["Emission Color"].links[0].from_node == node and node.image.name == "new"


def test_each_slot_gets_the_picture_it_was_asked_for(cube, tree) -> None:
    chains(tree, "direct")
    node, shader = materials.base_color_node(cube.active_material), tree.nodes["Principled BSDF"]
    tree.links.new(node.outputs[0], shader.inputs["Roughness"])
    room.apply_image(plain(GREEN, "rough"), cube, "Roughness")
    assert materials.image_in(cube.active_material, "Base Color").name == "old"
    assert materials.image_in(cube.active_material, "Roughness").name == "rough"


def test_one_picture_in_a_slot_for_colour_and_one_for_data(cube, tree) -> None:
    image = plain(GREEN, "rust")
    room.apply_image(image, cube)
    room.apply_image(image, cube, "Roughness")
    assert base(tree).links[0].from_node.image.colorspace_settings.name == "sRGB"
    assert materials.image_in(cube.active_material, "Roughness").colorspace_settings.is_data
    other = plain(BLUE, "grey")
    room.apply_image(other, cube, "Roughness")
    room.apply_image(other, cube)
    shown = materials.image_in(cube.active_material, "Base Color")
    assert shown.colorspace_settings.name == "sRGB" and materials.image_in(cube.active_material,
                                                                           "Roughness").colorspace_settings.is_data
    assert np.array_equal(raw_pixels(shown)[0, 0], BLUE)


def test_packed_channels_and_painted_pixels_are_kept(cube, tree, tmp_path: Path) -> None:
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    tree.nodes.active = node
    painting = colours(8, 8)
    node.image = generated(painting, "painting")
    node.image.update()
    node.image.alpha_mode = "CHANNEL_PACKED"
    fresh = colours(16, 16, seed=3)
    fresh[..., 3] = 255
    shown, = room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "a.png", fresh)])
    assert node.image == shown and shown.alpha_mode == "CHANNEL_PACKED"
    assert np.array_equal(raw_pixels(shown)[::2, ::2, 3], painting[..., 3])
    assert np.array_equal(raw_pixels(shown)[..., :3], fresh[..., :3])
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert np.array_equal(raw_pixels(bpy.data.images["painting"])[..., 3], painting[..., 3])


def test_data_keeps_its_own_colour_space(cube, tree, tmp_path: Path) -> None:
    node = texture(tree)
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Roughness"])
    node.image.colorspace_settings.name = "Non-Color"
    tree.nodes.active = node
    room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "a.png", colours(8, 8))])
    assert node.image.colorspace_settings.name == "Non-Color"


def test_the_node_that_is_active_gets_the_picture_where_two_hold_one_image(cube, tree, tmp_path: Path) -> None:
    first, second = texture(tree), tree.nodes.new("ShaderNodeTexImage")
    second.image = first.image
    tree.links.new(first.outputs[0], base(tree))
    tree.nodes.active = second
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    target = room.freeze_target(bpy.context, "slot")
    bpy.ops.object.mode_set(mode="OBJECT")
    room.commit(target, [result(tmp_path / "a.png", colours(8, 8), prompt="new")])
    assert second.image.name == "new" and first.image.name == "old"
    second.image = first.image
    target = room.freeze_target(bpy.context, "slot")
    second.name = "renamed"
    with pytest.raises(TargetUnusable, match="deleted"):
        room.commit(target, [result(tmp_path / "b.png", colours(8, 8))])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("mode", ["CHANNEL_PACKED", "STRAIGHT"])
def test_alpha_that_is_used_survives_saving(cube, tree, tmp_path: Path, mode: str, channels: int) -> None:
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    tree.links.new(node.outputs["Alpha"], tree.nodes["Principled BSDF"].inputs["Alpha"])
    tree.nodes.active = node
    leaf = colours(8, 8)
    node.image = generated(leaf, "leaf")
    node.image.update()
    node.image.alpha_mode = mode
    fresh = colours(8, 8, channels, seed=3)
    if channels == 4:
        fresh[..., 3] = 255
    room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "a.png", fresh, prompt="oak leaf")])
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    shown = raw_pixels(bpy.data.images["oak leaf"])
    assert np.array_equal(shown[..., 3], leaf[..., 3]) and np.array_equal(shown[..., :3], fresh[..., :3])
    assert bpy.data.images["oak leaf"].alpha_mode == mode


def test_a_picture_with_holes_of_its_own_keeps_them(cube, tree, tmp_path: Path) -> None:
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    tree.links.new(node.outputs["Alpha"], tree.nodes["Principled BSDF"].inputs["Alpha"])
    tree.nodes.active = node
    node.image = generated(colours(8, 8), "leaf")
    node.image.update()
    fresh = colours(8, 8, seed=3)
    shown, = room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "a.png", fresh)])
    assert np.array_equal(raw_pixels(shown), fresh)
    tree.links.remove(node.outputs["Alpha"].links[0])
    node.image = bpy.data.images["leaf"]
    opaque = colours(8, 8, 3, seed=4)
    shown, = room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "b.png", opaque)])
    assert (raw_pixels(shown)[..., 3] == 255).all()  # an alpha that nothing uses is nothing to keep


@pytest.mark.parametrize(("kind", "words"), [("SEQUENCE", "is an image sequence"), ("MOVIE", "is a movie")])
def test_frames_that_one_picture_replaces_are_reported(cube, tree, tmp_path: Path, kind: str, words: str) -> None:
    node = texture(tree)
    tree.links.new(node.outputs[0], base(tree))
    tree.nodes.active = node
    for number in (1, 2):
        write_png(tmp_path / f"s_{number:04d}.png", colours(8, 8, seed=number))
    node.image = bpy.data.images.load(str(tmp_path / "s_0001.png"))
    node.image.source = kind
    notes = targets.remarks(room.freeze_target(bpy.context, "slot"))
    assert len(notes) == 1 and words in notes[0] and "s_0001.png" in notes[0]
