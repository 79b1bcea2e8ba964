"""Maps of objects that are repainted in part: elsewhere each map keeps its own values, bit for bit."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.core.roles import BASE_COLOUR, METALLIC, NORMAL, ROUGHNESS
from blender_sd.core.tasks import PbrMaps
from blender_sd.engine.tasks.object_maps import object_maps
from blender_sd.geometry.bake import Settings
from blender_sd.geometry.fusing import MapBaker, ViewMaps
from blender_sd.geometry.sheets import Sheet
from blender_sd.protocol import light
from blender_sd.protocol.messages import Source
from tests.support import meshes, objects, shots

pytestmark = pytest.mark.slow

SIDE = 64


def made(inputs: dict[str, Source] | None = None, bits: str = "16", views: int = 8,
         **settings) -> dict[str, np.ndarray]:
    """The maps of a cube by role, from noisy pictures of it."""
    rng = np.random.default_rng(1)
    cameras = meshes.around(SIDE)[:views]
    pictures = [Image.fromarray(rng.integers(90, 170, (SIDE, SIDE, 3), np.uint8)) for _ in cameras]
    order = objects.order(objects.scenery(meshes.cube(), size=SIDE), "", inputs=inputs, maps=True, **settings)
    order = replace(order, maps=PbrMaps(map_source="estimated", map_bits=bits), scenery=replace(
        order.scenery, lenses=tuple(shots.lens_of(view) for view in cameras)))
    maps = object_maps(order, pictures, lambda: False, lambda text: None, torch.device("cpu"))
    return {item.role: np.asarray(item.image) for item in maps}


def before() -> tuple[dict[str, Source], dict[str, np.ndarray]]:
    """Maps that exist already: as inputs, and as arrays. Normals have 16 bits."""
    rng = np.random.default_rng(2)
    base, rough = (rng.integers(0, 256, (SIDE, SIDE, channels), np.uint8) for channels in (3, 1))
    normal = rng.normal(0, 0.2, (SIDE, SIDE, 3)) + (0, 0, 1)
    normal = np.rint((normal / np.linalg.norm(normal, axis=-1, keepdims=True) * 0.5 + 0.5) * 65535).astype(np.uint16)
    opaque = np.full((SIDE, SIDE, 1), 255, np.uint8)
    whole = np.ones((SIDE, SIDE, 4), np.float32)
    whole[..., :3] = normal / np.float32(65535)
    shown = np.dstack([(normal >> 8).astype(np.uint8), opaque])
    inputs = {"existing0": Source(pixels=np.dstack([base, opaque])),
              "roughness0": Source(pixels=np.dstack([rough] * 3 + [opaque])),
              "metallic0": Source(pixels=np.full((16, 16, 4), 255, np.uint8)),
              "normal0": Source(encoded=light.encoded(light.Light(whole, shown, None, light.SIXTEEN)))}
    return inputs, {BASE_COLOUR: base, ROUGHNESS: rough[..., 0], NORMAL: normal,
                    METALLIC: np.full((SIDE, SIDE), 255, np.uint8)}


def locked(keep: np.ndarray) -> Source:
    return Source(pixels=np.dstack([np.where(keep, 255, 0)] * 3 + [np.full_like(keep, 255, int)]).astype(np.uint8))


def test_what_is_locked_keeps_every_map_bit_for_bit():
    inputs, held = before()
    keep = np.zeros((SIDE, SIDE), bool)
    keep[:, :30] = True
    maps = made({**inputs, "locked0": locked(keep)})
    whole = made()
    for role, values in held.items():
        now = maps[role][..., :3] if role == BASE_COLOUR else maps[role]
        assert now.dtype == values.dtype and np.array_equal(now[keep], values[keep]), role
    assert (maps[METALLIC][~keep] < 255).any() and not whole[METALLIC].any()
    inner = np.zeros_like(keep)
    inner[8:18, 48:58] = True  # within a face of the cube that is painted throughout
    for role in (NORMAL, ROUGHNESS, METALLIC):
        assert np.abs(maps[role][inner].astype(int) - whole[role][inner]).max() <= 1, role


def test_what_no_view_sees_keeps_its_maps_unless_it_is_filled():
    inputs, held = before()
    kept = made(inputs, views=1, fill=False)
    filled = made(inputs, views=1, fill=True)
    for role, values in held.items():
        same = (kept[role] == values) if values.ndim == 2 else (kept[role][..., :3] == values).all(-1)
        assert 0.4 < same.mean() < 1, role
    assert (filled[NORMAL] == held[NORMAL]).all(-1).mean() < 0.1


def test_maps_that_are_not_there_yet_are_plain_where_nothing_is_painted():
    keep = np.ones((SIDE, SIDE), bool)
    keep[:, 40:] = False
    maps = made({"locked0": locked(keep)}, bits="8")
    assert (maps[NORMAL][keep] == (128, 128, 255)).all()
    assert (maps[ROUGHNESS][keep] == 128).all() and (maps[METALLIC][keep] == 0).all()


def test_what_is_kept_has_no_say_in_what_is_metal():
    surface = meshes.Surface(meshes.mesh(meshes.plane()))
    view = meshes.camera((0, 0, 5), perspective=False, size=SIDE)
    level = np.full((SIDE, SIDE), 0.5, np.float32)
    metal = np.zeros((SIDE, SIDE), np.float32)
    metal[:, SIDE // 2 + 10:] = 1  # less than half of the plane
    base = np.dstack([level] * 3 + [np.ones_like(level)])
    maps = [ViewMaps(base, np.zeros((SIDE, SIDE, 2), np.float32), level, metal)]
    keep = np.zeros((SIDE, SIDE), bool)
    keep[:, :SIDE // 2 + 6] = True
    baker = lambda: MapBaker(surface, [Sheet(0, SIDE, SIDE)], Settings(soft=0))  # noqa: E731
    assert not baker().fuse([view], maps)[0][0].metallic
    assert baker().fuse([view], maps, [keep])[0][0].metallic
    assert not baker().fuse([view], maps, [~keep])[0][0].metallic
