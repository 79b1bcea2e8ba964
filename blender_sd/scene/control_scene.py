"""Build a scene for control pictures: new and empty, with only what is named here.

It gets the visible surfaces with their own materials, so that cut-outs, hair and displacement look as they do; a camera
without depth of field; the frame. Everything else that a scene may have (world, volumes, lights, compositor, stamps,
stereo, motion blur, output settings) is absent and need not be switched off.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import bpy
from mathutils import Matrix

from . import compat, frames, shaders
from .views import View, as_camera

# An empty may show a collection
_SURFACES = {"MESH", "CURVE", "SURFACE", "FONT", "META", "CURVES", "POINTCLOUD", "EMPTY"}
_TIME = ("fps", "fps_base", "frame_map_old", "frame_map_new")
_SHAPE = ("hair_type", "hair_subdiv", "use_simplify", "simplify_subdivision_render", "simplify_child_particles_render")
_SHAPE_IN_CYCLES = ("feature_set", "shading_system", "dicing_rate", "offscreen_dicing_scale", "max_subdivisions",
                    "dicing_camera",
                    "transparent_max_bounces", "use_camera_cull", "camera_cull_margin", "use_distance_cull",
                    "distance_cull_margin")
_LENS = ("type", "sensor_fit", "sensor_width", "sensor_height", "lens", "ortho_scale", "shift_x", "shift_y",
         "clip_start", "clip_end")
# How the names of a panorama's settings begin.
_PANORAMA = ("panorama", "fisheye", "latitude", "longitude", "central_cylindrical")
_CYCLES, _WORKBENCH = "CYCLES", "BLENDER_WORKBENCH"


class Stage(NamedTuple):
    """A scene to render control pictures of.

    Attributes:
        scene: The scene.
        names: The file's object that each of its objects stands for, by the name in the scene.
    """

    scene: bpy.types.Scene
    names: dict[str, bpy.types.Object]


@contextmanager
def stage(scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None,
          covers: tuple[int, int] | None = None, materials: bool = False) -> Iterator[Stage]:
    """Return a context with a scene that shows the surfaces of `scene`. It is removed at the end with everything made
    for it.

    Args:
        scene: The scene to show, as its render shows it.
        size: (width, height) of the picture in pixels.
        view: Shows what this view shows instead.
        covers: As in `frames.set_frame`.
        materials: Whether the surfaces have their own materials even where the scene's engine shows none.

    Raises:
        SourceUnusable: There is no camera.
    """
    camera = frames.camera_of(scene) if view is None else None
    layers = _layers_of(scene, view)
    made: list[bpy.types.ID] = []
    copy = bpy.data.scenes.new("Stable Diffusion control")
    try:
        names = _furnish(copy, scene, layers, view, made, materials)
        if view is not None:
            copy.render.resolution_x, copy.render.resolution_y = size
            with as_camera(view.optics, copy):
                yield Stage(copy, names)
        else:
            frames.set_frame(copy, scene, size, covers)
            copy.camera = still_camera(camera, scene, made)
            yield Stage(copy, names)
    finally:
        bpy.data.scenes.remove(copy)
        bpy.data.batch_remove(made)


def still_camera(seen_by: bpy.types.Object, scene: bpy.types.Scene, made: list[bpy.types.ID]) -> bpy.types.Object:
    """Return a new camera that takes the same picture as `seen_by` does in `scene`'s engine, without depth of field.

    What has to be removed with it is appended to `made`.
    """
    if seen_by.type != "CAMERA":
        camera = frames.stand_in(seen_by, scene)
        made += [camera, camera.data]
        return camera
    camera = seen_by.copy()
    camera.data = data = seen_by.data.copy()
    made += [camera, data]
    now = compat.evaluated(seen_by, scene).data
    data.animation_data_clear()
    _take(data, now, _LENS)
    # 5.0 has moved them
    for owner, source in ((data, now), (getattr(data, "cycles", data), getattr(now, "cycles", now))):
        _take(owner, source, [name for name in source.bl_rna.properties.keys() if name.startswith(_PANORAMA)])
    data.dof.use_dof = False
    if scene.render.engine != _CYCLES and data.type not in ("PERSP", "ORTHO"):  # the other engines know no panorama
        data.type = "PERSP"
    return camera


# ---- inside --------------------------------------------------------------------------------------------------------


def _layers_of(scene: bpy.types.Scene, view: View | None) -> list[bpy.types.ViewLayer]:
    """Return the view layers in the picture: of a render the first one used, or those that the compositor puts
    together."""
    if view is not None:
        return [scene.view_layers[view.layer]]
    first = frames.layer_of(scene)
    tree = compat.compositor_of(scene)
    if tree is None or scene.render.use_single_layer:
        return [first]
    names = {node.layer for node in _used_nodes(tree) if node.type == "R_LAYERS" and node.scene == scene}
    return [layer for layer in scene.view_layers if layer.use and layer.name in names] or [first]


def _used_nodes(tree: bpy.types.NodeTree) -> Iterator[bpy.types.Node]:
    """Yield the nodes of `tree` and of the groups in it that are not muted and feed something."""
    for node in tree.nodes:
        if not node.mute and any(output.is_linked for output in node.outputs):
            yield node
            if node.type == "GROUP" and node.node_tree is not None:
                yield from _used_nodes(node.node_tree)


def _furnish(copy: bpy.types.Scene, scene: bpy.types.Scene, layers: list[bpy.types.ViewLayer], view: View | None,
             made: list[bpy.types.ID], materials: bool) -> dict[str, bpy.types.Object]:
    """Copy time, shape and surfaces into `copy`. Append to `made` what has to be removed with it."""
    copy.render.engine = _CYCLES
    _take(copy, scene, ("frame_current", "frame_subframe", "use_gravity", "gravity"))
    _take(copy.render, scene.render, (*_TIME, *_SHAPE))
    _take(copy.cycles_curves, scene.cycles_curves, ("shape", "subdivisions"))
    if scene.render.engine == _CYCLES:
        _take(copy.cycles, scene.cycles, _SHAPE_IN_CYCLES)
    for name, value in scene.items():  # drivers may read custom properties
        if isinstance(value, (bool, int, float, str)):
            copy[name] = value
    own = copy.view_layers[0]
    _take(own, layers[0], ("use_solid", "use_strand", "material_override"))
    own.use_volumes = False
    if scene.render.engine == _WORKBENCH and not materials:  # it shows no cut-outs
        own.material_override = bpy.data.materials.new("Stable Diffusion surface")
        made.append(own.material_override)
    return _link_surfaces(copy, scene, layers, view, made)


def _link_surfaces(copy: bpy.types.Scene, scene: bpy.types.Scene, layers: list[bpy.types.ViewLayer], view: View | None,
                   made: list[bpy.types.ID]) -> dict[str, bpy.types.Object]:
    rendered = [_rendered(layer) for layer in layers]
    shown = {thing: None for things, _ in rendered for thing in things}
    holes = {thing for thing in shown if all(thing in holes for things, holes in rendered if thing in things)}
    if view is not None:
        shown = dict.fromkeys(view.objects)
    behind = scene.background_set
    while behind is not None:
        shown |= _rendered(frames.layer_of(behind))[0]
        behind = behind.background_set
    hole = bpy.data.collections.new("Stable Diffusion holes")
    made.append(hole)
    copy.collection.children.link(hole)
    copy.view_layers[0].update()  # while it is empty: all of the scene would be evaluated otherwise
    copy.view_layers[0].layer_collection.children[hole.name].holdout = True
    names = {}
    for thing in filter(is_surface, shown):
        stands = _standing(thing, scene, made)
        (hole if thing in holes else copy.collection).objects.link(stands)
        names[stands.name] = thing
    return names


def _rendered(layer: bpy.types.ViewLayer) -> tuple[dict[bpy.types.Object, None], set[bpy.types.Object]]:
    """Return the objects that a render of `layer` shows to the camera, in order, and those of them that are holdouts.
    """
    shown: dict[bpy.types.Object, None] = {}
    holes: set[bpy.types.Object] = set()
    queue = [(layer.layer_collection, False)]
    while queue:
        collection, holdout = queue.pop(0)
        if collection.exclude or collection.collection.hide_render:
            continue
        holdout = holdout or collection.holdout
        if not collection.indirect_only:
            things = [thing for thing in collection.collection.objects if not thing.hide_render]
            shown |= dict.fromkeys(things)
            holes |= set(things) if holdout else set()
        queue += [(child, holdout) for child in collection.children]
    return shown, holes


def is_surface(thing: bpy.types.Object) -> bool:
    """Return whether the camera sees a surface of `thing`: no smoke, mist or shadow catcher."""
    if thing.type not in _SURFACES or thing.is_shadow_catcher:
        return False
    if any(modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN"
           and modifier.domain_settings.domain_type == "GAS"
           for modifier in thing.modifiers):
        return False
    materials = [slot.material for slot in thing.material_slots if slot.material is not None]
    return not materials or not all(map(shaders.is_volume_alone, materials))


def _standing(thing: bpy.types.Object, scene: bpy.types.Scene, made: list[bpy.types.ID]) -> bpy.types.Object:
    """Return `thing` as it goes into the new scene: itself, or a copy if that scene would move it or it shows no
    surface.
    """
    if scene.rigidbody_world is not None and thing.rigid_body is not None:
        return _still(thing, scene, made)
    if thing.instance_type == "COLLECTION" and thing.instance_collection is not None and not _pure(
            thing.instance_collection):
        copy = thing.copy()
        made.append(copy)
        copy.instance_collection = _purified(thing.instance_collection, scene, made)
        return copy
    return thing


def _still(thing: bpy.types.Object, scene: bpy.types.Scene, made: list[bpy.types.ID]) -> bpy.types.Object:
    """Return a copy of `thing` that stays where the simulation of `scene` has put it."""
    place = compat.evaluated(thing, scene).matrix_world.copy()
    copy = thing.copy()
    made.append(copy)
    copy.animation_data_clear()
    copy.constraints.clear()
    copy.parent = None
    copy.matrix_parent_inverse = Matrix()
    copy.matrix_world = place
    return copy


def _pure(collection: bpy.types.Collection) -> bool:
    return all(is_surface(thing) and (thing.instance_collection is None or _pure(thing.instance_collection))
               for thing in collection.all_objects if not thing.hide_render)


def _purified(collection: bpy.types.Collection, scene: bpy.types.Scene,
              made: list[bpy.types.ID]) -> bpy.types.Collection:
    """Return a collection with only the surfaces that an instance of `collection` shows."""
    pure = bpy.data.collections.new("Stable Diffusion surfaces")
    made.append(pure)
    pure.instance_offset = collection.instance_offset
    for thing in _things(collection):
        if is_surface(thing):
            pure.objects.link(_standing(thing, scene, made))
    return pure


def _things(collection: bpy.types.Collection) -> Iterable[bpy.types.Object]:
    if not collection.hide_render:
        yield from (thing for thing in collection.objects if not thing.hide_render)
        for child in collection.children:
            yield from _things(child)


def _take(target: Any, source: Any, names: Iterable[str]) -> None:
    for name in names:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))
