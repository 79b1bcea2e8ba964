"""Render materials with all their maps beside base colour alone: python scripts/material_pictures.py [FILE].

Each row of the sheet has materials that the starter model painted from prompts. Of each there are two renders of the
same scene, a sphere, a plane at a grazing angle and a cloth: on the left with the picture as base colour alone, on the
right with the maps of the built-in estimator. Needs the engine's packages and bpy, which are in `.venv`.
"""
from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import envs

PROMPTS = (
    "red brick wall", "cobblestone street", "blue ceramic tiles", "silver diamond plate", "oak wood grain",
    "brown leather", "brushed gold metal", "red knitted wool", "grey stone wall", "beige gravel",
    "teal and gold mosaic", "white hexagon tiles", "brown wooden planks", "chestnut parquet floor", "white marble",
    "pink and black terrazzo", "beige plaster wall", "grey concrete", "rusty blue metal", "green grass", "desert sand",
    "purple woven fabric", "emerald dragon scales", "large black slate stone blocks, worn",
)  # fmt: skip
SIZE = (240, 160)
COLUMNS = 4
SAMPLES = 12
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description="Render materials with maps beside base colour alone.")
    parser.add_argument("file", nargs="?", type=Path, default=envs.ROOT / "docs" / "images" / "material-maps.jpg",
                        help="where the sheet goes (default: %(default)s)")
    parser.add_argument("--only", type=int, metavar="N", help="only the first N materials")
    asked = parser.parse_args()
    envs.run_inside()
    sys.path.insert(0, str(envs.ROOT))
    draw(asked.file.resolve(), PROMPTS[: asked.only])


def draw(file: Path, prompts: tuple[str, ...]) -> None:
    """Paint, estimate and render all materials, and write the sheet."""
    import numpy as np
    from PIL import Image

    import blender_sd as sd

    with tempfile.TemporaryDirectory(prefix="sd-maps-", ignore_cleanup_errors=True) as folder:
        sd.configure(engine_python=sys.executable, output=folder)
        objects = scene()
        pairs = []
        for prompt in prompts:
            job = sd.material(prompt, size=256, seed=SEED)
            (material,) = job.result()
            alone = base_alone(job.results[0].path)
            pair = [render(objects, each, Path(folder) / "render.png") for each in (alone, material)]
            pairs.append(np.concatenate(pair, 1))
            print(prompt, flush=True)
        sd.shutdown()
    pairs += [np.zeros_like(pairs[0])] * (-len(pairs) % COLUMNS)
    rows = [np.concatenate(pairs[start:start + COLUMNS], 1) for start in range(0, len(pairs), COLUMNS)]
    Image.fromarray(np.concatenate(rows)).save(file, quality=86, optimize=True)
    print(file)


def scene() -> list:
    """Build a sphere, a plane at a grazing angle and a cloth, a camera and lights; return the objects."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_uv_sphere_add(segments=96, ring_count=48, radius=0.55, location=(-1.15, 0, 0.55))
    sphere = bpy.context.object
    for item in sphere.data.uv_layers[0].uv:
        item.vector = (item.vector[0] * 4, item.vector[1] * 2)
    bpy.ops.mesh.primitive_plane_add(size=2.6, location=(0.15, 0.9, 0.0))
    plane = bpy.context.object
    for item in plane.data.uv_layers[0].uv:
        item.vector = (item.vector[0] * 3, item.vector[1] * 3)
    cloth = _cloth()
    for obj in (sphere, cloth):
        obj.data.shade_smooth()
    bpy.ops.mesh.primitive_plane_add(size=30, location=(0, 0, -0.01))
    floor = bpy.data.materials.new("floor")
    floor.diffuse_color = (0.2, 0.2, 0.2, 1)
    bpy.context.object.data.materials.append(floor)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0.1, -4.6, 1.15), (math.radians(81), 0, 0)
    camera.data.lens = 56
    scene.collection.objects.link(camera)
    scene.camera = camera
    for place, energy, size in (((-3.2, -2.0, 3.2), 260, 0.6), ((3.4, -0.6, 2.0), 120, 1.6)):
        lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA"))
        lamp.data.energy, lamp.data.size, lamp.location = energy, size, place
        direction = -lamp.location.copy()
        lamp.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
        scene.collection.objects.link(lamp)
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.30, 0.34, 0.40, 1)
    scene.render.engine, scene.cycles.samples = "CYCLES", SAMPLES
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.view_settings.view_transform = "Standard"
    return [sphere, plane, cloth]


def _cloth():
    """Return a hanging cloth in folds."""
    import bpy

    count = 64
    points, faces, places = [], [], []
    for row in range(count + 1):
        for column in range(count + 1):
            u, v = column / count, row / count
            fold = 0.10 * math.sin(u * 15 + 1.5 * v) * (0.35 + 0.65 * (1 - v))
            points.append((0.75 + 1.1 * u, 0.1 + fold, 0.02 + 1.25 * v))
            places.append((u * 2, v * 2.2))
    for row in range(count):
        for column in range(count):
            first = row * (count + 1) + column
            faces.append((first, first + 1, first + count + 2, first + count + 1))
    mesh = bpy.data.meshes.new("cloth")
    mesh.from_pydata(points, [], faces)
    layer = mesh.uv_layers.new(name="UVMap")
    for loop in mesh.loops:
        layer.uv[loop.index].vector = places[loop.vertex_index]
    cloth = bpy.data.objects.new("cloth", mesh)
    bpy.context.scene.collection.objects.link(cloth)
    return cloth


def base_alone(path: str):
    """Return a material with a picture as its base colour and nothing else set."""
    import bpy

    material = bpy.data.materials.new("alone")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(path)
    material.node_tree.links.new(node.outputs["Color"], material.node_tree.nodes["Principled BSDF"].inputs[0])
    return material


def render(objects: list, material, path: Path):
    """Return the render (H, W, 3) of the scene with a material on all objects."""
    import bpy
    import numpy as np
    from PIL import Image

    for obj in objects:
        obj.data.materials.clear()
        obj.data.materials.append(material)
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
