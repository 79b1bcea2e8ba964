"""A control picture and the camera's picture show the same things at the same places, whatever traits a scene has."""
from __future__ import annotations


import bpy
import numpy as np
import pytest

from blender_sd import scene as room
from blender_sd.core.errors import SourceUnusable
from blender_sd.scene import geometry
from tests.support.pictures import pixels_of
from tests.support.scene_traits import TRAITS, cropped_region


@pytest.fixture
def scene() -> bpy.types.Scene:
    current = bpy.context.scene
    current.render.engine, current.cycles.samples, current.cycles.device = "CYCLES", 16, "CPU"
    current.cycles.use_denoising = current.cycles.use_adaptive_sampling = False
    current.render.film_transparent = True
    current.render.resolution_x, current.render.resolution_y = 112, 80
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler = (0, -6, 0), (np.pi / 2, 0, 0)
    current.collection.objects.link(camera)
    current.camera = camera
    bpy.ops.mesh.primitive_cube_add(size=1.2, location=(0.3, 0, -0.2), rotation=(0.3, 0.2, 0.4))
    return current


def near_edge(shape: np.ndarray) -> np.ndarray:
    """Where a pixel's neighbourhood is partly in `shape` and partly not."""
    wide = np.pad(shape, 1, mode="edge")
    around = [wide[y : y + shape.shape[0], x : x + shape.shape[1]] for y in range(3) for x in range(3)]
    return np.any(around, axis=0) & ~np.all(around, axis=0)


@pytest.mark.parametrize("name", TRAITS)
def test_silhouettes_of_source_and_control_agree(scene: bpy.types.Scene, name: str) -> None:
    TRAITS[name](scene)
    bpy.context.view_layer.update()
    before = settings(scene)
    source, size = room.open_source("CAMERA")
    picture = pixels_of(source)
    drawn = pixels_of(room.open_control("depth", "CAMERA", size))[..., 0] > 0
    shape = picture[..., 3] > 127
    assert drawn.shape == shape.shape == size[::-1] and room.source_size("CAMERA") == size
    assert 0.01 < shape.mean() < 0.98, "something has to be compared"
    wrong = (shape != drawn) & ~near_edge(shape)
    assert wrong.mean() < 0.001, f"{wrong.mean():.1%} of the picture is covered in only one of both"
    assert settings(scene) == before


def settings(scene: bpy.types.Scene) -> dict[str, object]:
    render = scene.render
    names = ("use_multiview", "use_sequencer", "use_stamp", "use_border", "use_crop_to_border", "resolution_x",
             "pixel_aspect_x", "engine")
    return {name: getattr(render, name) for name in names} | {"camera": scene.camera.name} | {
        kind: sorted(getattr(bpy.data, kind).keys())
        for kind in ("scenes", "objects", "cameras", "collections", "materials", "meshes")}


@pytest.mark.parametrize("name", ["world_volume", "motion_blur", "compositor", "sampling"])
def test_what_the_render_has_beside_surfaces_changes_no_number(scene: bpy.types.Scene, name: str) -> None:
    before = geometry.look(scene, (48, 32))
    if name == "world_volume":
        scene.world = bpy.data.worlds.new("World")
        if bpy.app.version < (5, 0):
            scene.world.use_nodes = True
        tree = scene.world.node_tree
        output = next(
            (node
             for node in tree.nodes if node.type == "OUTPUT_WORLD"), None) or tree.nodes.new("ShaderNodeOutputWorld")
        scatter = tree.nodes.new("ShaderNodeVolumeScatter")
        scatter.inputs["Density"].default_value = 3.0
        tree.links.new(scatter.outputs[0], output.inputs["Volume"])
    elif name == "motion_blur":
        thing = bpy.data.objects["Cube"]
        for frame, x in ((0, -2.0), (1, 0.3), (2, 3.0)):
            thing.location.x = x
            thing.keyframe_insert("location", frame=frame)
        scene.frame_set(1)
        scene.render.use_motion_blur = True
    elif name == "compositor":
        scene.render.use_compositing = True
        if bpy.app.version < (5, 0):
            scene.use_nodes = True
            scene.node_tree.nodes.clear()
        else:
            scene.compositing_node_group = bpy.data.node_groups.new("Nothing", "CompositorNodeTree")
    else:
        scene.cycles.pixel_filter_type, scene.cycles.filter_width = "GAUSSIAN", 8.0
        scene.view_layers[0].samples = 3
    after = geometry.look(scene, (48, 32))
    for former, now in zip(before, after, strict=True):
        assert np.allclose(former, now, atol=1e-5, equal_nan=True)


def test_a_control_of_another_size_covers_the_frame_of_the_source(scene: bpy.types.Scene) -> None:
    cropped_region(scene)
    _, size = room.open_source("CAMERA")
    whole = pixels_of(room.open_control("depth", "CAMERA", size))[..., 0] > 0
    twice = pixels_of(room.open_control("depth", "CAMERA", (size[0] * 2, size[1] * 2)))[..., 0] > 0
    assert (twice[::2, ::2] != whole)[~near_edge(whole)].mean() < 0.01
    stretched = pixels_of(room.open_control("depth", "CAMERA", (size[0] * 2, size[1]), size))[..., 0] > 0
    assert stretched.shape == (size[1], size[0] * 2)
    assert (stretched[:, ::2] != whole)[~near_edge(whole)].mean() < 0.01


def test_simulated_bodies_are_drawn_where_they_have_fallen(scene: bpy.types.Scene) -> None:
    thing = bpy.data.objects["Cube"]
    bpy.context.view_layer.objects.active = thing
    bpy.ops.rigidbody.world_add()
    bpy.ops.rigidbody.object_add(type="ACTIVE")
    for frame in range(1, 12):
        scene.frame_set(frame)
    fallen = thing.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.translation.z
    assert fallen < -0.3
    source, size = room.open_source("CAMERA")
    shape = pixels_of(source)[..., 3] > 127
    drawn = pixels_of(room.open_control("depth", "CAMERA", size))[..., 0] > 0
    assert ((shape != drawn) & ~near_edge(shape)).mean() < 0.001


def test_an_object_keeps_its_colour_and_says_its_name(scene: bpy.types.Scene) -> None:
    bpy.ops.mesh.primitive_cone_add(location=(1.2, 0, 0))
    cone = geometry.look(scene, (48, 32)).objects
    bpy.data.objects["Cube"].location.x = -1.5
    moved = geometry.look(scene, (48, 32)).objects
    assert set(np.unique(cone)) == set(np.unique(moved)) and len(np.unique(cone)) == 3


def test_a_scene_without_any_camera_is_refused(scene: bpy.types.Scene) -> None:
    scene.camera = None
    with pytest.raises(SourceUnusable, match="no camera"):
        room.open_control("depth", "CAMERA", (32, 32))


@pytest.mark.parametrize(("active", "used", "single", "sides"), [(0, (1, 1), False, "A"), (1, (1, 1), False, "A"), (0, (0, 1), False, "B"),  # noqa: E501
                                                               (1, (1, 1), True, "B"), (0, (1, 1), True, "A"),
                                                               (1, (1, 0), True, "B"), (1, (1, 0), False, "A"), (0, (1, 1), "both", "AB")])  # noqa: E501
def test_view_layers_that_the_render_shows(camera_scene, active: int, used: tuple[int, int], single: bool | str,
                                           sides: str) -> None:
    current = camera_scene(64)
    first = bpy.context.object
    second = first.copy()
    first.location.x, second.location.x = -1.5, 1.5
    for name, thing in (("A", first), ("B", second)):
        own = bpy.data.collections.new(name)
        current.collection.children.link(own)
        own.objects.link(thing)
    current.collection.objects.unlink(first)
    current.view_layers.new("second")
    for layer, other, use in zip(current.view_layers, "BA", used, strict=True):
        layer.layer_collection.children[other].exclude, layer.use = True, bool(use)
    bpy.context.window.view_layer = current.view_layers[active]
    current.render.use_single_layer = single is True
    if single == "both":
        _both_layers(current)
    control = pixels_of(room.open_control("depth", "CAMERA", (64, 64)))[..., 0] > 0
    for _ in range(2):  # a Render Result that a single layer was rendered into shows another one the second time
        shown = pixels_of(room.open_source("CAMERA")[0])[..., 3] > 127
        assert (shown == control).mean() > 0.99
    assert [layer.use for layer in current.view_layers] == [bool(use) for use in used]
    assert current.render.use_single_layer is (single is True)
    assert "".join(name for name, half in (("A", control[:, :32]), ("B", control[:, 32:]))
                   if half.mean() > 0.1) == sides


def _both_layers(current: bpy.types.Scene) -> None:
    """Have the compositor lay the second view layer over the first."""
    if hasattr(current, "compositing_node_group"):
        tree = current.compositing_node_group = bpy.data.node_groups.new("C", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        end = tree.nodes.new("NodeGroupOutput")
    else:
        current.use_nodes = True
        tree = current.node_tree
        tree.nodes.clear()
        end = tree.nodes.new("CompositorNodeComposite")
    over = tree.nodes.new("CompositorNodeAlphaOver")
    pictures = [item for item in over.inputs if item.type == "RGBA"]
    for layer, item in zip(current.view_layers, pictures, strict=True):
        node = tree.nodes.new("CompositorNodeRLayers")
        node.layer = layer.name
        tree.links.new(node.outputs["Image"], item)
    tree.links.new(over.outputs[0], end.inputs[0])
