"""Render scenes in Blender: ``python -m starter.scene_render FOLDER SET PART PARTS``, a process of its own.

Cycles renders few samples and denoises them. The control pictures are the add-on's own, from `blender_sd.scene`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from blender_sd.scene import control, geometry, renders  # noqa: E402

from . import cloth, masonry, modifiers, nature, palette, scene_shapes, scenes  # noqa: E402
from .surface import Spec  # noqa: E402

SAMPLES, BOUNCES = 8, 2
_TILE = 256  # finished pixels of a texture
_FINE = 2  # texture pixels in a finished one
_GREY = (0.5, 0.5, 0.5)
_DRAW = {**masonry.FAMILIES, **nature.FAMILIES, **cloth.FAMILIES}


def render(scene: scenes.Scene) -> dict[str, np.ndarray]:
    """Render a scene's layers (192, 192) and (192, 192, 3), uint8. Replaces the open file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    rng = np.random.default_rng([scene.seed, 1])
    pixel = _stand(scene, rng)
    things = [thing for thing in bpy.context.scene.objects if thing.type == "MESH"]
    rooms = {scenes.FLOOR, scenes.WALL}
    covered = [thing for thing in things if (thing.pass_index in rooms) == scene.room]
    for thing in things:
        if thing not in covered:
            thing.data.materials.append(_plain(_muted(rng), 0.8))
    own = _plain(palette.COLOURS[scene.colour], float(rng.uniform(0.25, 0.9))) if scene.spec is None else _covering(
        scene.spec, pixel)
    layers = {}
    for layer, material in (("picture", own), ("twin", _plain(_GREY, 0.7))):
        for thing in covered:
            thing.data.materials.clear()
            thing.data.materials.append(material)
        layers[layer] = renders.render_camera(bpy.context.scene)().pixels[..., :3]
    seen = geometry.look(bpy.context.scene, (scenes.SIZE, scenes.SIZE))
    layers["depth"] = control.depth_picture(seen.depth)[..., 0]
    layers["lines"] = control.lines_picture(seen.depth, seen.objects, seen.normals)[..., 0]
    layers["things"] = np.where(seen.objects >= 1, seen.objects, 0).astype(np.uint8)
    return layers


def main(folder: Path, name: str, part: int, parts: int) -> None:
    """Render every scene of a set whose number is ``part`` modulo ``parts`` and that is not there."""
    ready, layers = scenes.ready(folder, name), scenes.load(folder, name, "r+")
    for index in range(part, len(ready), parts):
        if ready[index]:
            continue
        for layer, picture in render(scenes.scene_of(name, index)).items():
            layers[layer][index] = picture
        ready[index] = 1


def _stand(scene: scenes.Scene, rng: np.random.Generator) -> float:
    """Place camera, lights, room and objects; return the width of a pixel at the objects' distance, metres."""
    current = bpy.context.scene
    current.render.engine, current.cycles.device = "CYCLES", "CPU"
    current.cycles.samples, current.cycles.max_bounces = SAMPLES, BOUNCES
    current.cycles.use_denoising, current.cycles.use_adaptive_sampling = True, False
    # Half of the time that the best quality takes, and 45 instead of 46 dB.
    current.cycles.denoising_quality = current.cycles.denoising_prefilter = "FAST"
    current.render.resolution_x = current.render.resolution_y = scenes.SIZE
    current.render.threads_mode, current.render.threads = "FIXED", 1
    current.view_settings.view_transform = "Standard"
    count = len(scene.shapes)
    tall = float(rng.uniform(2.1, 2.8) if count == 1 else rng.uniform(2.6, 3.5))  # metres that the picture shows
    front = _look_at(rng, tall)
    _light(rng)
    floor = scene_shapes.plane("floor", (0, 0, 0), (0, 0, 0), 30)
    floor.pass_index = scenes.FLOOR
    if rng.random() < 0.5:
        angle = np.arctan2(front[1], front[0]) + rng.uniform(-0.5, 0.5)
        away = -rng.uniform(1.6, 3.0)
        wall = scene_shapes.plane("wall", (away * np.cos(angle), away * np.sin(angle), 0),
                                  (np.pi / 2, 0, angle + np.pi / 2), 30)  # fmt: skip
        wall.pass_index = scenes.WALL
    first = rng.uniform(0, 2 * np.pi)
    for number, shape in enumerate(scene.shapes):
        size = float(rng.uniform(0.75, 1.05) if count == 1 else rng.uniform(0.5, 0.8))
        thing = scene_shapes.add(shape, rng, size, front)
        angle, away = first + 2 * np.pi * number / count, 0.0 if count == 1 else rng.uniform(0.7, 0.95)
        thing.location.x, thing.location.y = away * np.cos(angle), away * np.sin(angle)
        thing.pass_index = number + 1
    return tall / scenes.SIZE


def _look_at(rng: np.random.Generator, tall: float) -> np.ndarray:
    """Add the camera, which sees ``tall`` metres at the objects; return the direction towards it."""
    wide, azimuth, height = rng.uniform(0.55, 0.9), rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.8)
    front = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    distance = tall / 2 / np.tan(wide / 2)
    aim = np.array([*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.5, 0.9)])
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.angle = wide
    camera.location = aim + front * distance
    camera.rotation_euler = (np.pi / 2 - height, 0, azimuth + np.pi / 2)
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    return front


def _light(rng: np.random.Generator) -> None:
    """Add a sky and a sun or a lamp."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    sky = world.node_tree.nodes["Background"]
    level = rng.uniform(0.35, 0.8)
    sky.inputs["Color"].default_value = (*np.clip(level * rng.normal(1.0, 0.06, 3), 0, 1), 1)
    kind = "SUN" if rng.random() < 0.6 else "AREA"
    light = bpy.data.lights.new("light", kind)
    light.color = np.clip(rng.normal(1.0, 0.06, 3), 0, 1)
    lamp = bpy.data.objects.new("light", light)
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.3)
    lamp.rotation_euler = (np.pi / 2 - height, 0, azimuth + np.pi / 2)
    if kind == "SUN":
        light.angle, light.energy = rng.uniform(0.02, 0.3), rng.uniform(1.4, 2.8)
    else:
        light.size, light.energy = rng.uniform(0.8, 2.5), rng.uniform(120, 260)
        lamp.location = 5 * np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height),
                                      np.sin(height)])  # fmt: skip
    bpy.context.scene.collection.objects.link(lamp)


def _muted(rng: np.random.Generator) -> np.ndarray:
    """Return a quiet colour for what is not the subject."""
    names = palette.NAMES[:-2]
    return np.array(palette.COLOURS[names[rng.integers(len(names))]]) * 0.5 + rng.uniform(0.1, 0.35)


def _plain(colour: np.ndarray | tuple, roughness: float) -> bpy.types.Material:
    """Return a material of one colour, sRGB."""
    material = bpy.data.materials.new("plain")
    material.use_nodes = True
    surface = material.node_tree.nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value = (*palette.srgb_to_linear(np.array(colour)), 1)
    surface.inputs["Roughness"].default_value = roughness
    return material


def _covering(spec: Spec, pixel: float) -> bpy.types.Material:
    """Return a material that shows a spec, its features as large in pixels as in a flat picture of it."""
    drawn = modifiers.draw(_DRAW[spec.family], spec, _TILE * _FINE, _FINE)
    material = bpy.data.materials.new(spec.family)
    material.use_nodes = True
    tree = material.node_tree
    surface, scale = tree.nodes["Principled BSDF"], tree.nodes.new("ShaderNodeMapping")
    scale.inputs["Scale"].default_value = (1 / (_TILE * pixel),) * 3
    tree.links.new(tree.nodes.new("ShaderNodeUVMap").outputs["UV"], scale.inputs["Vector"])

    def image(values: np.ndarray, colour: bool) -> bpy.types.NodeSocket:
        node = tree.nodes.new("ShaderNodeTexImage")
        node.image = _image(values, colour)
        tree.links.new(scale.outputs["Vector"], node.inputs["Vector"])
        return node.outputs["Color"]

    tree.links.new(image(drawn.albedo, True), surface.inputs["Base Color"])
    bump = tree.nodes.new("ShaderNodeBump")
    bump.inputs["Distance"].default_value = drawn.relief * pixel
    tree.links.new(image(np.repeat(drawn.height[..., None], 3, 2), False), bump.inputs["Height"])
    tree.links.new(bump.outputs["Normal"], surface.inputs["Normal"])
    surface.inputs["Roughness"].default_value = float(np.clip(0.85 - 0.7 * drawn.gloss, 0.15, 0.95))
    if drawn.glow is not None:
        tree.links.new(image(drawn.glow, True), surface.inputs["Emission Color"])
        surface.inputs["Emission Strength"].default_value = 1.0
    return material


def _image(values: np.ndarray, colour: bool) -> bpy.types.Image:
    """Return an image of (S, S, 3) values, row 0 on top: sRGB, or numbers."""
    side = values.shape[0]
    image = bpy.data.images.new("map", side, side, alpha=False, float_buffer=not colour)
    image.colorspace_settings.name = "sRGB" if colour else "Non-Color"
    full = np.ones((side, side, 4), np.float32)
    full[..., :3] = np.clip(values[::-1], 0, 1)
    image.pixels.foreach_set(full.ravel())
    return image


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
