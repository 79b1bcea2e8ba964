from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import NeedsWindow, SourceUnusable
from blender_sd.protocol.messages import Result
from blender_sd.core.request import Request
from tests.support.pictures import colours, difference, generated, pixels_of, raw_pixels, result, write_png

SIDE = 32


def build_scene() -> bpy.types.Scene:
    """A coloured, partly over-bright ball half out of the picture, rendered by Cycles with one sample on 32² pixels."""
    current = bpy.context.scene
    bpy.ops.mesh.primitive_uv_sphere_add(location=(0.4, 0, 0))
    ball = bpy.context.object
    material = bpy.data.materials.new("glow")
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    emission = tree.nodes.new("ShaderNodeEmission")
    position = tree.nodes.new("ShaderNodeTexCoord")
    stretch = tree.nodes.new("ShaderNodeVectorMath")
    stretch.operation = "MULTIPLY"
    stretch.inputs[1].default_value = (1.6, 0.9, 0.4)
    tree.links.new(position.outputs["Generated"], stretch.inputs[0])
    tree.links.new(stretch.outputs[0], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], tree.nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    ball.data.materials.append(material)
    bpy.ops.object.camera_add(location=(0, -4, 0), rotation=(np.pi / 2, 0, 0))
    current.camera = bpy.context.object
    current.render.engine = "CYCLES"
    current.cycles.samples, current.cycles.device, current.cycles.use_denoising = 1, "CPU", False
    current.render.resolution_x = current.render.resolution_y = SIDE
    current.render.film_transparent = True
    return current


def shown(image: bpy.types.Image, current: bpy.types.Scene, path: Path, standard: bool) -> np.ndarray:
    """What the Image Editor shows of `image`, by Blender's own colour management and PNG writer."""
    settings = current.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGBA", "8"
    settings.color_management = "OVERRIDE" if standard else "FOLLOW_SCENE"
    if standard:
        view = settings.view_settings
        view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0.0, 1.0
    current.render.dither_intensity = 0
    image.save_render(str(path), scene=current)
    loaded = bpy.data.images.load(str(path))
    try:
        return raw_pixels(loaded)
    finally:
        bpy.data.images.remove(loaded)


@pytest.mark.parametrize("transform", ["Standard", "AgX", "Filmic"])
def test_strength_0_shows_what_was_shown_before(tmp_path: Path, transform: str) -> None:
    current = build_scene()
    current.view_settings.view_transform = transform
    current.view_settings.exposure, current.view_settings.gamma = 0.5, 1.1
    source = pixels_of(scene.render_camera(current))
    before = shown(bpy.data.images["Render Result"], current, tmp_path / "before.png", standard=False)
    assert difference(source, before) <= 1

    back = write_png(tmp_path / "back.png", source)
    image = scene.load_result(Result(str(back), Request(), SIDE, SIDE))
    after = shown(image, current, tmp_path / "after.png", standard=True)
    assert difference(before, after) <= 2
    alpha = before[..., 3]
    assert (alpha == 0).any() and (alpha == 255).any() and np.unique(
        before[..., :3]).size > 50, "the scene must be worth comparing"


def test_partly_covered_pixels_come_back_straight(tmp_path: Path) -> None:
    current = build_scene()
    current.view_settings.view_transform = "AgX"
    current.cycles.samples = 16
    tree = bpy.context.view_layer.objects["Sphere"].active_material.node_tree
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    emission = output.inputs["Surface"].links[0].from_node
    clear, mix = tree.nodes.new("ShaderNodeBsdfTransparent"), tree.nodes.new("ShaderNodeMixShader")
    emission.inputs["Color"].links[0].from_node.mute = False
    tree.links.new(clear.outputs[0], mix.inputs[1])
    tree.links.new(emission.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], output.inputs["Surface"])
    source = pixels_of(scene.render_camera(current))
    assert ((source[..., 3] > 40) & (source[..., 3] < 215)).sum() > 50
    image = scene.load_result(Result(str(write_png(tmp_path / "back.png", source)), Request(), SIDE, SIDE))
    before = shown(bpy.data.images["Render Result"], current, tmp_path / "before.png", standard=False)
    after = shown(image, current, tmp_path / "after.png", standard=True)
    solid = before[..., 3] > 8  # below, 8-bit colours under nearly nothing mean nothing
    assert np.abs(before.astype(int) - after)[solid].max() <= 2
    assert np.abs(before[..., 3].astype(int) - after[..., 3]).max() <= 2


def settings_of(current: bpy.types.Scene) -> dict[str, object]:
    image = current.render.image_settings
    names = ("file_format", "color_mode", "color_depth", "color_management", "quality", "compression", "exr_codec")
    found = {name: getattr(image, name) for name in (*names, *(["media_type"] if hasattr(image, "media_type") else []))}
    found |= {
        f"own {name}": getattr(image.view_settings, name) for name in ("view_transform", "look", "exposure", "gamma")}
    found["own device"] = image.display_settings.display_device
    render = current.render
    return found | {name: getattr(render, name) for name in
                    ("dither_intensity", "resolution_x", "resolution_y", "resolution_percentage", "filepath", "engine")}


def unusual_settings(current: bpy.types.Scene) -> None:
    image = current.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "MULTI_LAYER_IMAGE"
    image.file_format = "OPEN_EXR_MULTILAYER"
    image.color_depth, image.exr_codec = "32", "PIZ"
    image.color_management = "OVERRIDE"
    image.display_settings.display_device = "Rec.1886"
    image.view_settings.view_transform, image.view_settings.exposure, image.view_settings.gamma = "AgX", 1.5, 0.9
    image.view_settings.look = "None"
    current.render.dither_intensity = 0.7
    current.render.resolution_percentage = 50


def test_every_setting_is_set_back() -> None:
    current = build_scene()
    unusual_settings(current)
    before = settings_of(current)
    made = pixels_of(scene.render_camera(current, (24, 16)))
    assert made.shape == (16, 24, 4)
    scene.as_shown(generated(colours(4, 4)), current)
    current.display_settings.display_device = "Display P3"
    before_p3 = settings_of(current)
    scene.render_result_source(current)
    assert settings_of(current) == before == before_p3


def test_every_setting_is_set_back_after_an_error() -> None:
    current = bpy.context.scene
    unusual_settings(current)
    before = settings_of(current)
    with pytest.raises(SourceUnusable):
        scene.render_result_source(current)
    assert settings_of(current) == before


def test_another_display_device_still_gives_srgb() -> None:
    current = build_scene()
    wanted = pixels_of(scene.render_camera(current))
    current.display_settings.display_device = "Display P3"
    current.view_settings.view_transform = "AgX"
    assert difference(pixels_of(scene.render_result_source(current)), wanted) <= 1


def test_nothing_rendered_yet() -> None:
    with pytest.raises(SourceUnusable, match="no Render Result"):
        scene.render_result_source(bpy.context.scene)
    with pytest.raises(SourceUnusable, match="no Render Result"):
        scene.open_source("RENDER")


def test_no_camera() -> None:
    for ask in (lambda: scene.render_camera(bpy.context.scene), lambda: scene.open_source("CAMERA"),
                lambda: scene.start_camera_render(bpy.context.scene, lambda: None, lambda: None)):
        with pytest.raises(SourceUnusable, match="no camera"):
            ask()


def test_sources_of_scripts() -> None:
    build_scene()
    camera, size = scene.open_source("CAMERA")
    render, render_size = scene.open_source("RENDER")
    image, image_size = scene.open_source(bpy.data.images["Render Result"])
    assert size == render_size == image_size == (SIDE, SIDE)
    assert np.array_equal(pixels_of(camera), pixels_of(render)) and np.array_equal(pixels_of(camera), pixels_of(image))


def test_camera_render_that_was_started_reports_once() -> None:
    current = build_scene()
    heard: list[str] = []
    handlers = len(bpy.app.handlers.render_complete), len(bpy.app.handlers.render_cancel)
    scene.start_camera_render(current, lambda: heard.append("done"), lambda: heard.append("cancelled"))
    assert heard == ["done"]
    assert (len(bpy.app.handlers.render_complete), len(bpy.app.handlers.render_cancel)) == handlers
    assert pixels_of(scene.render_result_source(current)).shape == (SIDE, SIDE, 4)


def test_image_as_shown(tmp_path: Path) -> None:
    current = bpy.context.scene
    current.view_settings.view_transform = "AgX"
    wanted = colours(6, 5)
    wanted[..., 3] = 255
    image = generated(wanted)
    assert difference(pixels_of(scene.as_shown(image, current)), wanted) <= 1
    image.use_view_as_render = True
    through = pixels_of(scene.as_shown(image, current))
    assert difference(through, shown(image, current, tmp_path / "s.png", standard=False)) <= 1
    assert difference(through, wanted) > 10


def test_viewport_needs_a_window() -> None:
    with pytest.raises(NeedsWindow):
        scene.open_source("VIEWPORT")


def test_camera_background_shows_the_result(tmp_path: Path) -> None:
    build_scene()
    camera = bpy.context.scene.camera
    image = scene.load_result(result(tmp_path / "r.png", colours(4, 4)))
    scene.set_camera_background(image, camera)
    assert [background.image for background in camera.data.background_images] == [image]
    shown = camera.data.background_images[0]
    assert camera.data.show_background_images and shown.show_background_image and (shown.display_depth,
                                                                                   shown.alpha) == ("FRONT", 1.0)
    scene.adjust_camera_background(bpy.context.scene, False, 0.25)
    assert not shown.show_background_image and shown.alpha == 0.25
    scene.set_camera_background(scene.load_result(result(tmp_path / "n.png", colours(4, 4))), camera, opacity=0.5)
    assert shown.show_background_image and shown.alpha == 0.25, "as the former one had it"
    theirs = camera.data.background_images.new()
    theirs.image = generated(colours(2, 2))
    scene.adjust_camera_background(bpy.context.scene, False, 0.75)
    assert theirs.show_background_image and theirs.alpha != 0.75, "a background that is not ours"
