"""Render materials with all their maps beside base colour alone: python scripts/material_pictures.py [FILE].

The sheet has procedural materials that the built-in estimator was not trained on, each under a light of its own. Of
each there are two renders of the same scene, a sphere, a plane at a grazing angle and a cloth: on the left with the
picture as base colour alone, on the right with the estimator's maps. Needs the engine's packages and bpy, which are in
`.venv`.
"""
from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import envs

FAMILIES = (
    "brick", "cobblestone", "gravel", "tiles", "mosaic", "planks", "wood", "terrazzo", "plaster", "concrete", "grass",
    "sand", "fabric", "tread plate", "cast metal", "painted metal", "hexagons", "parquet", "leather", "scales",
    "stone wall", "corrugated metal", "hammered metal", "woven wire",
)  # fmt: skip
PICTURE = 256
SIZE = (200, 134)
COLUMNS = 4
SAMPLES = 8
SEED = 900


def main() -> None:
    parser = argparse.ArgumentParser(description="Render materials with maps beside base colour alone.")
    parser.add_argument("file", nargs="?", type=Path, default=envs.ROOT / "docs" / "images" / "material-maps.jpg",
                        help="where the sheet goes (default: %(default)s)")
    asked = parser.parse_args()
    envs.run_inside()
    sys.path.insert(0, str(envs.ROOT))
    draw(asked.file.resolve())


def draw(file: Path) -> None:
    """Light, estimate and render all materials, and write the sheet."""
    import numpy as np
    from PIL import Image

    objects, pairs = scene(), []
    for number, family in enumerate(FAMILIES):
        with tempfile.TemporaryDirectory(prefix="sd-maps-", ignore_cleanup_errors=True) as temporary:
            folder = Path(temporary)
            picture = lit_picture(family, number)
            picture.save(folder / "picture.png")
            pair = (base_alone(str(folder / "picture.png")), with_maps(picture, folder, family))
            renders = [render(objects, material, folder / "render.png") for material in pair]
            pairs.append(np.concatenate(renders, 1))
    rows = [np.concatenate(pairs[start:start + COLUMNS], 1) for start in range(0, len(pairs), COLUMNS)]
    Image.fromarray(np.concatenate(rows)).save(file, quality=84, optimize=True)
    print(file)


def lit_picture(family: str, number: int):
    """Return a picture of a material of a family under light of its own."""
    import numpy as np
    from PIL import Image
    from starter import maps_data, physical

    maps = physical.render(physical.sample(np.random.default_rng(SEED + number), family), PICTURE)
    colours = np.concatenate([np.moveaxis(maps["base"], 2, 0), maps["roughness"][None], maps["metallic"][None]])
    batch = maps_data.tensors((colours[None] * 255).astype(np.uint8), maps["height"][None].astype(np.float16))
    lit = maps_data.lit(batch, np.random.default_rng(number), 0.0)[0].permute(1, 2, 0).numpy()
    return Image.fromarray((lit * 255).astype(np.uint8))


def with_maps(picture, folder: Path, name: str):
    """Return the material of the estimator's maps of a picture."""
    from blender_sd.core.request import Request
    from blender_sd.core.tasks import PBR_MAPS, PbrMaps
    from blender_sd.engine.maps import material
    from blender_sd.protocol.messages import Result
    from blender_sd.scene import material_maps

    request, results = Request.of(PBR_MAPS, width=PICTURE, height=PICTURE, prompt=name), []
    task = PbrMaps(wraps="xy", map_bits="8")
    for item in material.maps_of(picture, None, task, lambda: None, lambda share: None, print):
        path = folder / f"{item.role}.png"
        item.image.save(path)
        results.append(Result(str(path), request, PICTURE, PICTURE, role=item.role, colour_space=item.colour_space,
                              depth=item.depth))
    return material_maps.place(material_maps.freeze_slot(None), results, name)


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
    floor.use_nodes = True
    floor.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.12, 0.12, 0.13, 1)
    bpy.context.object.data.materials.append(floor)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0.1, -4.9, 1.45), (math.radians(80), 0, 0)
    camera.data.lens = 46
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
