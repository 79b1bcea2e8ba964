"""Play the demo, inside the environment that `demo.py` makes: a still life in real Blender, before and after.

1. An object without a material gets a texture from a prompt.
2. An image that is already in a material's slot is repainted (image-to-image) and put back into the slot.
3. The camera's render is restyled.
"""
from __future__ import annotations

import html
import math
import sys
import time
from pathlib import Path

import bpy
import numpy as np

import blender_sd as sd

RENDER_SIZE = (640, 480)
SAMPLES = 48

WALL = {"prompt": "red brick wall", "seed": 11, "size": (512, 512), "tiling": "xy"}
CRATE = {"prompt": "large brown wood planks", "seed": 5, "size": (256, 256), "tiling": "xy"}
BALL = {"prompt": "blue and gold mosaic", "seed": 3, "size": (512, 512), "tiling": "xy"}
FLOOR = {"prompt": "grey cobblestones", "seed": 8, "strength": 0.75, "tiling": "xy"}
# Without fresh noise at every step, shapes stay where they were.
RENDER = {"prompt": "mosaic", "seed": 2, "strength": 0.2, "sampler": "dpmpp_2m"}


def tell(folder: Path) -> Path:
    """Play the whole demo and write its pictures into `folder`. Return the path of the contact sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    sd.configure(engine_python=sys.executable, output=folder / "pictures")
    sd.start_engine()  # loads its libraries while the scene is built
    pictures: list[tuple[str, str]] = []
    objects = build_scene()
    pictures.append(
        (render(folder / "1-before.png"), "The scene before: grey objects, and a floor with a plain checker image.")
    )

    for name, order in (("wall", WALL), ("crate", CRATE), ("ball", BALL)):
        job = sd.generate(**order)
        image = follow(job, f"{name}: {order['prompt']}")
        sd.apply(image, objects[name])
        pictures.append(
            (Path(job.results[0].path).relative_to(folder).as_posix(), f"“{order['prompt']}”, applied to the {name}.")
        )

    floor_image = objects["floor"].active_material.node_tree.nodes["Floor Image"].image
    floor_image.save_render(str(folder / "2-floor-before.png"))
    job = sd.restyle(floor_image, **FLOOR)
    sd.apply(follow(job, f"floor: {FLOOR['prompt']}"), objects["floor"])
    pictures.append(("2-floor-before.png", "The image in the floor's slot …"))
    pictures.append((Path(job.results[0].path).relative_to(folder).as_posix(),
                     f"… repainted as “{FLOOR['prompt']}” at strength {FLOOR['strength']:g}, in the same slot."))
    pictures.append((render(folder / "3-after.png"), "The same scene, textured."))

    job = sd.restyle("CAMERA", **RENDER)
    follow(job, f"render: {RENDER['prompt']}")
    pictures.append((Path(job.results[0].path).relative_to(folder).as_posix(),
                     f"The camera's render restyled as “{RENDER['prompt']}” at strength {RENDER['strength']:g}."))
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "demo.blend"))
    sd.shutdown()
    return write_sheet(folder, pictures)


# ---- the scene -----------------------------------------------------------------------------------------------------


def build_scene() -> dict[str, bpy.types.Object]:
    """Build a floor with a checker image, a wall, a crate and a ball without materials, a light and a camera."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.world = scene.world or bpy.data.worlds.new("World")
    objects = {
        "floor": add(bpy.ops.mesh.primitive_plane_add, "Floor", size=9, location=(0, -2, 0)),
        "wall": add(
            bpy.ops.mesh.primitive_plane_add, "Wall", size=9, location=(0, 2.2, 3.5), rotation=(math.pi / 2, 0, 0)
        ),
        "crate": add(
            bpy.ops.mesh.primitive_cube_add, "Crate", size=1.6, location=(-1.15, 0.5, 0.8), rotation=(0, 0, 0.5)
        ),
        "ball": add(
            bpy.ops.mesh.primitive_uv_sphere_add,
            "Ball",
            radius=0.8,
            segments=48,
            ring_count=24,
            location=(1.15, 0.0, 0.8),
        ),
    }
    for polygon in objects["ball"].data.polygons:
        polygon.use_smooth = True
    floor_material(objects["floor"])
    add(bpy.ops.object.light_add, "Sun", type="SUN", rotation=(0.75, 0.3, 0.6)).data.energy = 2.2
    add(
        bpy.ops.object.light_add, "Fill", type="AREA", location=(-4, -5, 4), rotation=(0.8, 0, -0.65)
    ).data.energy = 120.0
    scene.camera = add(bpy.ops.object.camera_add, "Camera", location=(0.0, -8.2, 3.0), rotation=(1.3, 0, 0))
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", SAMPLES
    scene.render.resolution_x, scene.render.resolution_y = RENDER_SIZE
    scene.render.resolution_percentage = 100
    return objects


def add(operator, name: str, **settings) -> bpy.types.Object:
    operator(**settings)
    bpy.context.object.name = name
    return bpy.context.object


def floor_material(floor: bpy.types.Object) -> None:
    """Give the object an ordinary textured material, as any file might have it."""
    side, square = 512, 64
    rows, columns = np.indices((side, side)) // square
    grey = np.where((rows + columns) % 2, 0.75, 0.35).astype(np.float32)
    image = bpy.data.images.new("Checker", side, side)
    image.pixels.foreach_set(np.dstack([grey, grey, grey, np.ones_like(grey)]).ravel())
    image.pack()
    material = bpy.data.materials.new("Floor")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    node = nodes.new("ShaderNodeTexImage")
    node.name, node.image = "Floor Image", image
    links.new(node.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    floor.data.materials.append(material)


def render(path: Path) -> str:
    say(f"rendering {path.name} …")
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    return path.name


# ---- telling -------------------------------------------------------------------------------------------------------


def follow(job, title: str) -> bpy.types.Image:
    """Wait for the job with a progress bar; return its first image."""
    begun, shown = time.monotonic(), ""
    while not job.done:
        sd.wait(0.1)
        sd.pump()
        filled = round(24 * job.progress)
        what = f"step {job.step}/{job.steps}" if job.step else (job.text or job.state)
        line = f"\r  {title:<34.34} [{'#' * filled}{'.' * (24 - filled)}] {what:<24.24}"
        if line != shown:
            print(line, end="", file=sys.stderr, flush=True)
        shown = line
    print(f"\r  {title:<34.34} [{'#' * 24}] {time.monotonic() - begun:.1f} s{'':<20}", file=sys.stderr)
    return job.result()[0]


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def write_sheet(folder: Path, pictures: list[tuple[str, str]]) -> Path:
    """Write `index.html` beside the pictures, each with its caption."""
    figures = "\n".join(
        f'<figure><img src="{html.escape(name)}" alt=""><figcaption>{html.escape(text)}</figcaption></figure>'
        for name, text in pictures
    )
    sheet = folder / "index.html"
    sheet.write_text(f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>blender_sd demo</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; background: #222; color: #ddd; margin: 2em auto; max-width: 1100px; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1.5em; }}
figure {{ margin: 0; }} img {{ width: 100%; border-radius: 4px; }} figcaption {{ margin-top: .4em; }}
</style>
<h1>blender_sd demo</h1>
<p>Made on this machine by the embedded starter model; <code>demo.blend</code> beside this page holds the scene.</p>
<main>
{figures}
</main></html>
""", encoding="utf-8")
    return sheet
