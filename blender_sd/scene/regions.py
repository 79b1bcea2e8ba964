"""Masks of regions: where objects, materials and collections lie in a picture of the scene, or on a texture.

In a picture of the scene they come from Cryptomatte (`mattes`); on a texture they are the UV area of the faces that
wear it. An object takes its share before a material, a material before a collection.
"""
from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import bpy
import numpy as np

from ..core.errors import InvalidRequest, SourceUnusable
from ..core.names import closest, suggestion
from ..core.regions import COLLECTION, FACES, MASK, MATERIAL, NAMED, OBJECT, Region
from ..library.files import write_whole
from ..library.png import grey_png
from ..protocol.messages import Outline, Source
from . import images, masks, mattes, raster, surfaces, tiles, viewport
from .control import control_image
from .mattes import MATERIALS, OBJECTS, Mattes
from .screens import RENDERED
from .shapes import read_mesh, readable
from .sources import SourceLike, open_mask

_OF_KIND = {OBJECT: "objects", MATERIAL: "materials", COLLECTION: "collections"}
_LAYER = {OBJECT: OBJECTS, MATERIAL: MATERIALS, COLLECTION: OBJECTS}
_SCENE = ("RENDER", "CAMERA", "VIEWPORT")
_FINER = 2  # samples a side of a pixel for UV areas


class _Wanted(NamedTuple):
    """What a region asks of the mattes.

    Attributes:
        layer: The kind of matte.
        names: What its things are called there.
        minus: The numbers of the regions whose share may lie in it and goes first.
    """

    layer: str
    names: frozenset[str]
    minus: tuple[int, ...]


def check_regions(regions: Sequence[tuple[Region, Any]], source: Any) -> None:
    """Raise SDError unless the masks of `regions` can be made for a picture of `source`. Renders nothing.

    Args:
        regions: Each with what its mask is taken from; None for the named ones.
        source: As for `sources.open_source`; None for a picture that is painted from words alone.
    """
    of_file = None
    for region, _ in regions:
        if region.kind == MASK:
            continue
        if region.kind == FACES and not _is_texture(source):
            raise InvalidRequest("Selected faces are a region of a texture, and this is none.",
                                 "Name an object or a material, or give a mask.")
        if _is_of_scene(source) or _is_texture(source):
            if region.kind in NAMED:
                _thing(region)
            continue
        of_file = of_file or (mattes.of_file(images.local_path(source)) if _is_exr(source) else None)
        if of_file is None or region.kind == COLLECTION:
            raise InvalidRequest(f"There is no scene in which to look for {region.label}.",
                                 "Give the region a mask, or take the picture from the render, the camera or the view.")
        if region.name not in of_file.names:
            raise SourceUnusable(f"The Cryptomatte of the picture has no {region.kind} called '{region.name}'.",
                                 suggestion(region.name, closest(region.name, of_file.names)))


def is_there(region: Region) -> bool:
    """Return whether the open file has what a region names."""
    return region.kind not in NAMED or region.name in getattr(bpy.data, _OF_KIND[region.kind])


def open_regions(regions: Sequence[tuple[Region, Any]], source: Any, size: tuple[int, int],
                 render: Callable[[Outline], None] | None = None) -> list[SourceLike]:
    """Return the mask of each region, for which `check_regions` has passed.

    Args:
        regions: As for `check_regions`.
        source: As for `check_regions`.
        size: (width, height) of the picture in pixels.
        render: Has another Blender render outlines, as for `mattes.rendered_elsewhere`; used where somebody sits before
            this one. None renders them here.

    Raises:
        SDError: A mask cannot be read, or the scene cannot be rendered.
    """
    named = any(region.kind in NAMED for region, _ in regions) and not _is_texture(source)
    drawn = _from_mattes([region for region, _ in regions], source, size,
                         render if _is_watched() else None) if named else {}
    result: list[SourceLike] = []
    for number, (region, mask) in enumerate(regions):
        if region.kind == MASK:
            result.append(open_mask(mask, size, source))
        elif region.kind == FACES:
            result.append(masks.faces_mask(bpy.context.object, size, source))
        elif _is_texture(source):
            result.append(_on_texture(region, source, size))
        else:
            result.append(drawn[number])
    return result


def mask_image(label: str, mask: Source) -> bpy.types.Image:
    """Return a region's mask as a new image of this file."""
    if mask.pixels is not None:
        return control_image(label, mask.pixels)
    with tempfile.TemporaryDirectory(prefix="blender_sd-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "mask.png")
        write_whole(path, mask.encoded)
        image = bpy.data.images.load(path, check_existing=False)
        image.pack()
    image.name = f"Mask of {label}"[:images.MAX_NAME]
    image.filepath_raw = ""
    return image


# ---- pictures of the scene -------------------------------------------------------------------------------------------


def _from_mattes(regions: Sequence[Region], source: Any, size: tuple[int, int],
                 render: Callable[[Outline], None] | None) -> dict[int, Callable[[], Source]]:
    """Return functions, for any thread, that make the masks of the named regions, by their numbers."""
    wanted = _wanted(regions, by_name=not _is_of_scene(source))
    kinds = {one.layer for one in wanted.values()}
    layers = _mattes(source, size, kinds, render)
    lock, made = Lock(), {}

    def draw(number: int) -> Source:
        with lock:  # masks are opened on several threads, and each needs the shares of others
            if not made:
                try:
                    made.update(_shares(layers(), wanted))
                except (ValueError, OSError) as error:
                    raise SourceUnusable("The picture's Cryptomatte can no longer be read.", "Give the regions masks.",
                                         str(error)) from None
        return _as_source(made[number])

    return {number: partial(draw, number) for number in wanted}


def _mattes(source: Any, size: tuple[int, int], kinds: Collection[str],
            render: Callable[[Outline], None] | None) -> Callable[[], Mattes]:
    """Return a function, for any thread, that returns the mattes of a picture."""
    scene, view = bpy.context.scene, None
    if _is_exr(source):
        layers = mattes.of_file(images.local_path(source))
        if layers is None:
            raise SourceUnusable("The picture's Cryptomatte can no longer be read.", "Give the regions masks.")
        return lambda: layers
    if isinstance(source, str) and source == "VIEWPORT":
        view = viewport.viewport_view(bpy.context, size[0] / size[1])
        scene = view.scene
    else:
        layers = mattes.of_render(scene, kinds)
        if layers is not None and layers.size == size:
            return lambda: layers
    if render is not None:
        return mattes.rendered_elsewhere(scene, size, view, render)
    layers = mattes.rendered(scene, size, view)
    return lambda: layers


def _wanted(regions: Sequence[Region], by_name: bool) -> dict[int, _Wanted]:
    """Return what each named region asks of the mattes, objects first, then materials, then collections.

    `by_name`: whether the names in the file are all that is known.
    """
    wanted: dict[int, _Wanted] = {}
    for kind in NAMED:
        for number, region in enumerate(regions):
            if region.kind != kind:
                continue
            names = frozenset([region.name]) if by_name or kind == MATERIAL else frozenset(_shown_as(region))
            minus = tuple(other for other in wanted if regions[other].kind != kind and (
                by_name or _shares_surface(regions[other], region)))
            wanted[number] = _Wanted(_LAYER[kind], names, minus)
    return wanted


def _shown_as(region: Region) -> Iterator[str]:
    """Yield what the objects of a region are called in a matte; instances have the name of what they show."""
    things = {_thing(region)} if region.kind == OBJECT else set(_thing(region).all_objects)
    for thing in things:
        yield thing.name
        if thing.instance_collection is not None and thing.instance_type == "COLLECTION":
            yield from (inner.name for inner in thing.instance_collection.all_objects)
    for instance in bpy.context.evaluated_depsgraph_get().object_instances:
        if instance.is_instance and instance.parent is not None and instance.parent.original in things:
            yield instance.object.original.name


def _shares_surface(specific: Region, general: Region) -> bool:
    """Return whether faces can belong to both regions."""
    objects = {_thing(specific)} if specific.kind == OBJECT else {
        thing for thing in bpy.context.scene.objects
        if any(slot.material == _thing(specific) for slot in thing.material_slots)}
    if general.kind == COLLECTION:
        return not objects.isdisjoint(_thing(general).all_objects)
    return any(slot.material == _thing(general) for thing in objects for slot in thing.material_slots)


def _shares(layers: Mattes, wanted: dict[int, _Wanted]) -> dict[int, np.ndarray]:
    """Return each region's part of the pixels, H×W float32, 0 to 1."""
    shares: dict[int, np.ndarray] = {}
    for number, (layer, names, minus) in wanted.items():
        share = layers.coverage(layer, names)
        for other in minus:
            share = np.maximum(share - shares[other], 0)
        shares[number] = share
    return shares


# ---- textures --------------------------------------------------------------------------------------------------------


def _on_texture(region: Region, image: bpy.types.Image, size: tuple[int, int]) -> Callable[[], Source]:
    """Return a function, for any thread, that draws the UV area of a region's faces on `image`."""
    parts = [part for obj in bpy.context.view_layer.objects if obj.type == "MESH" and obj.data.uv_layers
             and len(obj.data.polygons) and surfaces.wears(obj, image) for part in _faces(region, obj, image)]
    corner = np.array(tiles.corner_of(tiles.active(image))) if image.source == "TILED" else None

    def draw() -> Source:
        corners = np.concatenate([masks.on_tile(part(), corner) for part in parts]) if parts else (
            np.zeros((0, 3, 2), np.float32))
        fine = raster.covered(corners, (size[0] * _FINER, size[1] * _FINER))
        return _as_source(fine.reshape(size[1], _FINER, size[0], _FINER).mean((1, 3), dtype=np.float32))

    return draw


def _faces(region: Region, obj: bpy.types.Object, image: bpy.types.Image) -> Iterator[Callable[[], np.ndarray]]:
    """Yield a function, for any thread, that returns the UV triangles of an object's faces that belong to a region."""
    thing = _thing(region)
    if region.kind != MATERIAL and (obj != thing if region.kind == OBJECT else obj not in set(thing.all_objects)):
        return
    mapping = surfaces.mapping_on(obj, image)
    if not mapping.by_uv:
        return
    with readable(obj) as mesh:
        shape = read_mesh(mesh)
    last = max(0, len(obj.material_slots) - 1)
    wanted = [number for number, slot in enumerate(obj.material_slots)
              if region.kind != MATERIAL or slot.material == thing]
    matrix = np.array(mapping.matrix)

    def triangles() -> np.ndarray:
        slots = shape.clipped(last)
        chosen = np.isin(slots, wanted) if region.kind == MATERIAL else np.ones(len(slots), bool)
        return masks.uv_triangles(shape, mapping.uv_map, chosen) @ matrix[:2, :2].T + matrix[:2, 3]

    yield triangles


# ---- inside ----------------------------------------------------------------------------------------------------------


def _thing(region: Region) -> Any:
    """Return the datablock that a region names. Raise SourceUnusable if it is gone or called otherwise now."""
    blocks = getattr(bpy.data, _OF_KIND[region.kind])
    thing = blocks.get(region.name)
    if thing is None:
        raise SourceUnusable(f"There is no {region.kind} called '{region.name}' in this file.",
                             suggestion(region.name, closest(region.name, blocks.keys()),
                                        "It may have been renamed or deleted: choose another, or take the region out."))
    return thing


def _is_watched() -> bool:
    """Return whether somebody sits before this Blender, and would wait."""
    return not bpy.app.background


def _is_texture(source: Any) -> bool:
    return isinstance(source, bpy.types.Image) and source.type not in RENDERED


def _is_of_scene(source: Any) -> bool:
    return isinstance(source, bpy.types.Image) and source.type in RENDERED or (
        isinstance(source, str) and source in _SCENE)


def _is_exr(source: Any) -> bool:
    return isinstance(source, (str, os.PathLike)) and os.fspath(source).lower().endswith(".exr")


def _as_source(share: np.ndarray) -> Source:
    grey = np.rint(share * 255).astype(np.uint8)
    return Source(encoded=grey_png(grey.shape[1], grey.shape[0], grey.tobytes()))
