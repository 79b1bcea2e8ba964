"""Objects as Blender hands them over, for tests and benches of the engine without Blender."""
from __future__ import annotations

from typing import Any

import numpy as np

from blender_sd.core.request import Request
from blender_sd.core.tasks import TEXTURE_OBJECT
from blender_sd.protocol.messages import Generate, Source
from blender_sd.protocol.surfaces import Onto, Scenery, Triangles
from tests.support import meshes


def scenery(*parts: meshes.Part, size: int = 256, mesh: Any = None) -> Scenery:
    """Return parts (`meshes.sphere()`, …), each with a texture of its own of `size`²."""
    mesh = mesh or meshes.mesh(*parts)
    sheets = tuple(Onto(number, size, size) for number in sorted(set(mesh.textures.tolist()) - {-1}))
    return Scenery(Triangles(mesh.vertices.astype(np.float32), mesh.triangles.astype(np.int32),
                             mesh.uv.astype(np.float32), mesh.objects.astype(np.int32),
                             mesh.textures.astype(np.int32)), (), sheets)


def order(things: Scenery, folder: str, output: str = "", inputs: dict[str, Source] | None = None, model: str = "",
          **settings: Any) -> Generate:
    """Return the message that textures `things` with the model in `folder`."""
    request = Request.of(TEXTURE_OBJECT, **{"model": model or folder, "width": 64, "height": 64, "steps": 2,
                                            "guidance": 3.0, "seed": 1, "prompt": "red brick wall", **settings})
    return Generate("job", request, folder, output, inputs or {}, scenery=things)


def flat(colour: tuple[int, int, int], size: int = 256) -> Source:
    """Return a picture of one colour."""
    pixels = np.full((size, size, 4), 255, np.uint8)
    pixels[..., :3] = colour
    return Source(pixels=pixels)
