"""Traits of scenes that a render and a control picture of it have to agree about. `TRAITS` has each by its name."""
from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np

TRAITS: dict[str, Callable[[bpy.types.Scene], None]] = {}


def trait(build: Callable[[bpy.types.Scene], None]) -> Callable[[bpy.types.Scene], None]:
    TRAITS[build.__name__] = build
    return build


def material(name: str = "Paint") -> bpy.types.Material:
    made = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0):
        made.use_nodes = True
    return made


def volume_material() -> bpy.types.Material:
    made = material("Mist")
    tree = made.node_tree
    tree.nodes.clear()
    mist = tree.nodes.new("ShaderNodeVolumePrincipled")
    mist.inputs["Density"].default_value = 0.02  # the picture shows what is behind it
    tree.links.new(mist.outputs[0], tree.nodes.new("ShaderNodeOutputMaterial").inputs["Volume"])
    return made


def box(size: float, *where: float) -> bpy.types.Object:
    bpy.ops.mesh.primitive_cube_add(size=size, location=where)
    made = bpy.context.object
    made.data.materials.append(volume_material())
    return made


@trait
def nothing(scene): ...


@trait
def depth_of_field(scene):
    scene.camera.data.dof.use_dof, scene.camera.data.dof.focus_distance, scene.camera.data.dof.aperture_fstop = True, 50.0, 8.0  # noqa: E501


@trait
def animated_depth_of_field(scene):
    depth_of_field(scene)
    scene.camera.data.dof.keyframe_insert("use_dof", frame=1)


@trait
def mist_box_before_the_subject(scene):
    box(1.5, 0, -4, 0)


@trait
def mist_box_round_the_camera(scene):
    box(40, 0, 0, 0)


@trait
def mist_that_is_instanced(scene):
    mist = bpy.data.collections.new("Mist")
    thing = box(1.5, 0, -4, 0)
    bpy.ops.mesh.primitive_cone_add(location=(2, 0, -1))
    for part in (thing, bpy.context.object):
        scene.collection.objects.unlink(part)
        mist.objects.link(part)
    shown = bpy.data.objects.new("Shown", None)
    shown.instance_type, shown.instance_collection = "COLLECTION", mist
    scene.collection.objects.link(shown)


@trait
def stereoscopy(scene):
    scene.render.use_multiview = True


@trait
def render_region(scene):
    scene.render.use_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.4, 0.9


@trait
def cropped_region(scene):
    render = scene.render
    render.use_border = render.use_crop_to_border = True
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.2134, 0.8461, 0.301, 0.9777


@trait
def half_resolution(scene):
    scene.render.resolution_percentage = 49


@trait
def stamps(scene):
    scene.render.use_stamp = scene.render.use_stamp_note = True
    scene.render.stamp_note_text, scene.render.stamp_font_size = "NOTE " * 5, 20


@trait
def wide_pixels(scene):
    scene.render.pixel_aspect_x = 2.0


@trait
def tall_pixels(scene):
    scene.render.pixel_aspect_y = 1.5


@trait
def shifted_vertical_sensor(scene):
    data = scene.camera.data
    data.sensor_fit, data.shift_x, data.shift_y = "VERTICAL", 0.1, -0.05


@trait
def parallel_camera(scene):
    scene.camera.data.type, scene.camera.data.ortho_scale = "ORTHO", 4.0


@trait
def panorama(scene):
    data = scene.camera.data
    scene.camera.location.y, data.type = -1.5, "PANO"
    owner = data if hasattr(data, "panorama_type") else data.cycles
    owner.panorama_type = "EQUIRECTANGULAR"


@trait
def panorama_in_another_engine(scene):
    scene.camera.data.type = "PANO"
    scene.render.engine = "BLENDER_WORKBENCH"


def look_through(scene, thing) -> None:
    thing.matrix_world = scene.camera.matrix_world
    scene.collection.objects.link(thing)
    scene.camera = thing


@trait
def an_empty_as_camera(scene):
    look_through(scene, bpy.data.objects.new("Empty", None))


@trait
def an_empty_as_camera_of_workbench(scene):
    look_through(scene, bpy.data.objects.new("Empty", None))
    scene.render.engine = "BLENDER_WORKBENCH"


@trait
def a_spot_as_camera(scene):
    look_through(scene, bpy.data.objects.new("Spot", bpy.data.lights.new("Spot", "SPOT")))


@trait
def a_spot_as_camera_of_workbench(scene):
    look_through(scene, bpy.data.objects.new("Spot", bpy.data.lights.new("Spot", "SPOT")))
    scene.render.engine = "BLENDER_WORKBENCH"


@trait
def a_camera_bound_to_a_marker(scene):
    other = scene.camera.copy()
    other.location.x = 1.0
    scene.collection.objects.link(other)
    scene.timeline_markers.new("Cut", frame=1).camera = other
    scene.render.use_border = False


@trait
def cut_out(scene):
    picture = bpy.data.images.new("leaf", 64, 64, alpha=True)
    values = np.ones((64, 64, 4), np.float32)
    values[..., 3] = 0
    values[20:50, 10:40, 3] = 1
    picture.pixels.foreach_set(values.ravel())
    picture.pack()
    made = material("Leaf")
    node = made.node_tree.nodes.new("ShaderNodeTexImage")
    node.image, node.interpolation = picture, "Closest"
    made.node_tree.links.new(node.outputs["Alpha"], made.node_tree.nodes["Principled BSDF"].inputs["Alpha"])
    bpy.ops.mesh.primitive_plane_add(size=3, location=(0, -2, 0), rotation=(np.pi / 2, 0, 0))
    bpy.context.object.data.materials.append(made)


@trait
def displaced(scene):
    made = material("Rough")
    tree = made.node_tree
    made.displacement_method = "DISPLACEMENT"
    node = tree.nodes.new("ShaderNodeDisplacement")
    node.inputs["Height"].default_value, node.inputs["Midlevel"].default_value, node.inputs[
        "Scale"].default_value = 1.0, 0.0, 0.5
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(node.outputs[0], output.inputs["Displacement"])
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.5, location=(-1, -1, 1))
    bpy.context.object.data.materials.append(made)


@trait
def hair(scene):
    bpy.ops.mesh.primitive_plane_add(size=1, location=(1, 0, 0.6), rotation=(np.pi / 2, 0, 0))
    grower = bpy.context.object
    settings = grower.modifiers.new("Hair", "PARTICLE_SYSTEM").particle_system.settings
    settings.type, settings.count, settings.hair_length, settings.root_radius, settings.tip_radius = "HAIR", 12, 2.5, 12.0, 12.0  # noqa: E501
    settings.radius_scale = 0.02


@trait
def holdout_collection(scene):
    hole = bpy.data.collections.new("Hole")
    scene.collection.children.link(hole)
    bpy.ops.mesh.primitive_cube_add(size=0.6, location=(0.2, -2, 0))
    thing = bpy.context.object
    scene.collection.objects.unlink(thing)
    hole.objects.link(thing)
    bpy.context.view_layer.layer_collection.children["Hole"].holdout = True


@trait
def shadow_catcher(scene):
    bpy.ops.mesh.primitive_plane_add(size=3, location=(0, 1, -0.5))
    bpy.context.object.is_shadow_catcher = True


@trait
def hidden_from_the_camera(scene):
    bpy.ops.mesh.primitive_cube_add(size=0.6, location=(0.2, -2, 0))
    bpy.context.object.visible_camera = False


@trait
def simplified(scene):
    bpy.ops.mesh.primitive_cube_add(size=1.6, location=(-1, 0, 0.5))
    bpy.context.object.modifiers.new("Smooth", "SUBSURF").render_levels = 4
    scene.render.use_simplify, scene.render.simplify_subdivision_render = True, 0


@trait
def driven_by_the_scene(scene):
    scene["lift"] = 1.2
    variable = bpy.data.objects["Cube"].driver_add("location", 2).driver
    variable.type = "SUM"
    made = variable.variables.new()
    made.targets[0].id_type, made.targets[0].id, made.targets[0].data_path = "SCENE", scene, '["lift"]'


@trait
def animated_and_parented_camera(scene):
    parent = bpy.data.objects.new("Rig", None)
    scene.collection.objects.link(parent)
    scene.camera.parent = parent
    for frame, x in ((1, 0.0), (11, 2.0)):
        parent.location.x = x
        parent.keyframe_insert("location", frame=frame)
        scene.camera.data.lens = 50 + 2 * frame
        scene.camera.data.keyframe_insert("lens", frame=frame)
    scene.frame_set(6)


@trait
def background_scene(scene):
    other = bpy.data.scenes.new("Set")
    bpy.ops.mesh.primitive_cone_add(location=(1, 2, 0))
    thing = bpy.context.object
    scene.collection.objects.unlink(thing)
    other.collection.objects.link(thing)
    scene.background_set = other


@trait
def scattered_by_faces(scene):
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=2, y_subdivisions=2, size=3, rotation=(np.pi / 2, 0, 0))
    carrier = bpy.context.object
    bpy.ops.mesh.primitive_ico_sphere_add(radius=0.3)
    bpy.context.object.parent = carrier
    carrier.instance_type, carrier.show_instancer_for_render = "FACES", False
