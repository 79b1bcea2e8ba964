"""Normals of objects' maps, as Cycles reads them: the detail leans the same way in the world whatever the UVs are."""
from __future__ import annotations

import math
from pathlib import Path

import bpy
import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("embreex", reason="embreex has no wheel for this machine, or is not installed")

from blender_sd import scene
from blender_sd.geometry.bake import Settings
from blender_sd.geometry.fusing import MapBaker, ViewMaps
from blender_sd.geometry.sheets import Sheet
from blender_sd.geometry.surface import Mesh, Surface
from blender_sd.geometry.views import View
from blender_sd.scene import materials
from tests.support.meshes import around, picture

pytestmark = [pytest.mark.bpy, pytest.mark.slow]

SIDE = 48
GROWS = np.array([0.25, -0.15, 0.2])  # the world direction in which the relief rises, and how steeply


def rendered(folder: Path, socket: bpy.types.NodeSocket) -> np.ndarray:
    """Vectors of a material's socket as Cycles works them out: H×W×4, row 0 at the bottom."""
    tree = socket.id_data
    half, emission = tree.nodes.new("ShaderNodeVectorMath"), tree.nodes.new("ShaderNodeEmission")
    half.operation = "MULTIPLY_ADD"
    half.inputs[1].default_value = half.inputs[2].default_value = (0.5, 0.5, 0.5)
    tree.links.new(socket, half.inputs[0])
    tree.links.new(half.outputs["Vector"], emission.inputs["Color"])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    current = bpy.context.scene
    current.render.filepath = str(folder / "normals.exr")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(current.render.filepath, check_existing=False)
    pixels = np.array(image.pixels[:]).reshape(SIDE, SIDE, -1)
    bpy.data.images.remove(image)
    pixels[..., :3] = pixels[..., :3] * 2 - 1
    return pixels


def slopes_in(surface: Surface, view: View) -> np.ndarray:
    """How steep the relief is in a view's picture, rightwards and downwards, where it sees a sphere round the origin.
    """
    boxed = view.in_box(surface)
    right, up, _ = boxed.axes

    def slope(points: np.ndarray, _triangles: np.ndarray) -> np.ndarray:
        normal = points / np.linalg.norm(points, axis=1, keepdims=True)
        ray = points - boxed.origin
        grows = GROWS - normal * (normal @ GROWS)[:, None]
        facing = (ray * normal).sum(1, keepdims=True)
        steps = [axis - ray * (normal @ axis)[:, None] / facing for axis in (right, -up)]  # a pixel's, on the surface
        return np.stack([(grows * steps[0]).sum(1), (grows * steps[1]).sum(1), np.zeros(len(points))], 1)

    return picture(surface, view, slope)[..., :2]


@pytest.fixture
def studio() -> None:
    current = bpy.context.scene
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0, -4, 1.2), (math.radians(74), 0, 0)
    current.collection.objects.link(camera)
    current.camera, current.render.engine, current.cycles.samples = camera, "CYCLES", 1
    current.render.resolution_x = current.render.resolution_y = SIDE
    current.render.film_transparent = True
    current.cycles.pixel_filter_type, current.cycles.use_denoising = "BOX", False
    current.render.image_settings.file_format = "OPEN_EXR"
    current.view_settings.view_transform = "Raw"


def mapped(sphere: bpy.types.Object, turn: float, scale: tuple[float, float]) -> bpy.types.ShaderNode:
    """Give the sphere a base colour whose Mapping node turns and stretches it; return that node."""
    materials.put(bpy.data.images.new("base", 128, 128), sphere, "Base Color", None)
    tree = sphere.active_material.node_tree
    coordinates, mapping = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value[2], mapping.inputs["Scale"].default_value = turn, (*scale, 1)
    tree.links.new(coordinates.outputs["UV"], mapping.inputs["Vector"])
    tree.links.new(mapping.outputs["Vector"], materials.base_color_node(sphere.active_material).inputs["Vector"])
    return mapping


@pytest.mark.parametrize(("scale", "turn", "mapping"), [
    ((1, 1, 1), 0.0, None), ((1, 1, 1), 0.9, None), ((-1, 1, 1), 0.4, None), ((1, 1, 1), 0.0, (1.1, (0.6, 0.7))),
    ((1, 1, 1), 0.3, (2.5, (-0.6, 0.6)))])
def test_cycles_reads_the_detail_as_it_was_meant(studio, tmp_path, scale, turn, mapping):
    bpy.ops.mesh.primitive_uv_sphere_add(segments=32, ring_count=16)
    sphere = bpy.context.object
    sphere.scale, sphere.rotation_euler = scale, (0.3, 0, turn)
    bpy.ops.object.shade_smooth()
    bpy.context.view_layer.update()
    turned = mapped(sphere, *mapping) if mapping else None
    plan = scene.prepare_bake([sphere], (128, 128))
    given = plan.seen_by(())()
    triangles = given.triangles
    surface = Surface(Mesh(triangles.vertices, triangles.triangles, triangles.uv, triangles.objects,
                           triangles.textures))
    views = around(128)
    grey = np.full((128, 128), 0.5, np.float32)
    base = np.dstack([grey, grey, grey, np.ones_like(grey)])
    maps = [ViewMaps(base, slopes_in(surface, view), grey, grey) for view in views]
    sheets = [Sheet(onto.texture, onto.width, onto.height, turn=onto.turn) for onto in given.sheets]
    baker = MapBaker(surface, sheets, Settings(soft=0))
    normal = baker.fuse(views, maps)[0][0].normal
    image = bpy.data.images.new("normal", 128, 128, float_buffer=True, is_data=True)
    pixels = np.ones((128, 128, 4), np.float32)
    pixels[..., :3] = normal[::-1] * 0.5 + 0.5
    image.pixels.foreach_set(pixels.ravel())
    materials.put(image, sphere, "Normal", None, own=True)
    tree = sphere.active_material.node_tree
    if turned is not None:
        node = next(node for node in tree.nodes if node.type == "TEX_IMAGE" and node.image == image)
        tree.links.new(turned.outputs["Vector"], node.inputs["Vector"])
    leaning = rendered(tmp_path, next(node for node in tree.nodes if node.type == "NORMAL_MAP").outputs["Normal"])
    plain = rendered(tmp_path, tree.nodes.new("ShaderNodeNewGeometry").outputs["Normal"])
    inner = (plain[..., 3] > 0.999) & (np.abs(np.linalg.norm(plain[..., :3], axis=-1) - 1) < 0.01)
    assert inner.mean() > 0.15
    own = plain[inner, :3] / np.linalg.norm(plain[inner, :3], axis=-1, keepdims=True)
    wanted = own - (GROWS - own * (own @ GROWS)[:, None])
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip((leaning[inner, :3] * wanted).sum(-1)
                                         / np.linalg.norm(leaning[inner, :3], axis=-1), -1, 1)))
    lean = np.degrees(np.arccos(np.clip((own * wanted).sum(-1), -1, 1)))
    assert lean.mean() > 8 and np.median(angle) < 1.5 and np.percentile(angle, 95) < 6
