"""Which object and which material each pixel shows, and how much of it: Cryptomatte, of a render or of our own.

A render with Cryptomatte passes knows depth of field and motion blur. Where it wrote none, Cycles renders the scene
that `control_scene` builds, with enough samples for smooth edges and the filter of the scene's own engine.
Specification: https://github.com/Psyop/Cryptomatte
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial

import bpy
import numpy as np

from ..core.errors import OutputUnwritable
from ..protocol import exr_files
from ..protocol.messages import Outline
from . import geometry, handlers, renders
from .control_scene import Stage, stage
from .views import View

OBJECTS, MATERIALS = "CryptoObject", "CryptoMaterial"
_SAMPLES = 16  # a pixel
_START = 1 << 20  # bytes; enough for the header of most files
_LEVELS = 6  # things in one pixel
_CYCLES = "CYCLES"


@dataclass(frozen=True, eq=False)
class Mattes:
    """The mattes of a picture. Its pixels are read when they are first asked for, on any thread.

    Attributes:
        header: What is in it.
        read: Reads its passes; raises ValueError or OSError if it is damaged or gone.
        aliases: What the things in it are called in the open file, where that is another name.
    """

    header: exr_files.Header
    read: Callable[[], exr_files.Passes]
    aliases: dict[str, str] = field(default_factory=dict)

    @cached_property
    def passes(self) -> exr_files.Passes:
        """The passes."""
        return self.read()

    def has(self, kind: str) -> bool:
        """Return whether there are mattes of `kind` (OBJECTS or MATERIALS)."""
        return f"{kind}00.r" in self.header.channels

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.header.size

    @property
    def names(self) -> set[str]:
        """What is in the picture, of both kinds."""
        return {self.aliases.get(name, name) for name in self.header.names.values()}

    def coverage(self, kind: str, names: Collection[str]) -> np.ndarray:
        """Return how much of each pixel the things called `names` cover: H×W float32, 0 to 1, row 0 on top."""
        wanted = np.array([number for number, name in self.header.names.items()
                           if self.aliases.get(name, name) in names], np.uint32)
        width, height = self.size
        total = np.zeros((height, width), np.float32)
        channels, level = self.passes.channels, 0
        while f"{kind}{level:02}.r" in channels:
            for number, share in ("rg", "ba"):
                bits = np.ascontiguousarray(channels[f"{kind}{level:02}.{number}"], np.float32).view(np.uint32)
                total += np.where(np.isin(bits, wanted), channels[f"{kind}{level:02}.{share}"], 0)
            level += 1
        return np.clip(total, 0, 1)


def of_render(scene: bpy.types.Scene, kinds: Collection[str]) -> Mattes | None:
    """Return the mattes that the Render Result holds; None if it holds none of these `kinds`, or if several view layers
    are put together in it."""
    image = next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
    if image is None:
        return None
    try:
        data = renders.passes_of(image, scene)
        mattes = Mattes(exr_files.read_header(data), partial(exr_files.read_passes, data))
    except (RuntimeError, ValueError, OSError):
        return None
    return mattes if len(mattes.header.layers) == 1 and all(map(mattes.has, kinds)) else None


def of_file(path: str) -> Mattes | None:
    """Return the mattes in an OpenEXR file; None if it holds none that can be read."""
    try:
        mattes = Mattes(_header_of(path), partial(_passes_in, path))
    except (OSError, ValueError):
        return None
    return mattes if mattes.has(OBJECTS) or mattes.has(MATERIALS) else None


def rendered(scene: bpy.types.Scene, size: tuple[int, int], view: View | None = None) -> Mattes:
    """Render what the camera or a 3D View sees, now, on the main thread.

    Args:
        scene: The scene; its camera is used if there is no `view`.
        size: (width, height) of the picture in pixels.
        view: A 3D View's view instead of the camera's.

    Raises:
        SourceUnusable: There is no camera, or the call comes from a render handler.
    """
    with _staged(scene, size, view) as made:
        return _of_passes(geometry.rendered(made.scene), size, _aliases(made))


def rendered_elsewhere(scene: bpy.types.Scene, size: tuple[int, int], view: View | None,
                       render: Callable[[Outline], None]) -> Callable[[], Mattes]:
    """Write what the camera or a 3D View sees into a file of its own, for another Blender: this one goes on.

    Args:
        scene, size, view: As for `rendered`.
        render: Has another Blender carry out the request, and waits for it, on any thread. Raises SDError.

    Returns:
        A function, for any thread, that waits for the mattes.

    Raises:
        SourceUnusable: There is no camera, or the call comes from a render handler.
        OutputUnwritable: The disk is full.
    """
    folder = tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True)
    blend, path = os.path.join(folder.name, "scene.blend"), os.path.join(folder.name, "numbers.exr")
    with _staged(scene, size, view) as made:
        camera = made.scene.camera
        if camera.name not in made.scene.collection.objects:  # 4.2 writes no camera that nothing else holds
            made.scene.collection.objects.link(camera)
        for thing in made.scene.objects:
            if thing.mode == "EDIT":
                thing.update_from_editmode()
        try:
            bpy.data.libraries.write(blend, {made.scene}, path_remap="ABSOLUTE")
        except (RuntimeError, OSError) as error:
            raise OutputUnwritable(f"The scene cannot be written into {folder.name}.", "Free some space.",
                                   str(error)) from None
        request, aliases = Outline("", blend, made.scene.name, path, not bpy.app.autoexec_fail), _aliases(made)

    def read() -> Mattes:
        with folder:
            render(request)
            return _of_passes(_passes_in(path), size, aliases)

    return read


@contextmanager
def _staged(scene: bpy.types.Scene, size: tuple[int, int], view: View | None) -> Iterator[Stage]:
    """Return a context with a scene that renders the mattes of `scene`."""
    handlers.check_render()
    with handlers.quiet(), stage(scene, size, view, size, materials=True) as made:
        geometry.configure(made.scene, _SAMPLES, _LEVELS)
        made.scene.view_layers[0].use_pass_cryptomatte_material = True
        cycles = made.scene.cycles
        if view is not None:
            cycles.pixel_filter_type = "BOX"
        elif scene.render.engine == _CYCLES:
            cycles.pixel_filter_type, cycles.filter_width = scene.cycles.pixel_filter_type, scene.cycles.filter_width
        else:
            cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", max(0.01, scene.render.filter_size)
        yield made


def _aliases(made: Stage) -> dict[str, str]:
    return {stands: thing.name for stands, thing in made.names.items() if stands != thing.name}


def _of_passes(passes: exr_files.Passes, size: tuple[int, int], aliases: dict[str, str]) -> Mattes:
    return Mattes(exr_files.Header(tuple(passes.channels), passes.names, passes.layers, size), lambda: passes, aliases)


def _header_of(path: str) -> exr_files.Header:
    with open(path, "rb") as file:
        start = file.read(_START)
        try:
            return exr_files.read_header(start)
        except ValueError:
            return exr_files.read_header(start + file.read())


def _passes_in(path: str) -> exr_files.Passes:
    with open(path, "rb") as file:
        return exr_files.read_passes(file.read())
