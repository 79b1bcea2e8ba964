"""What is baked onto objects: the images to make, what they hold now, and where the results go."""
from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import SDError, SourceUnusable, TargetUnusable
from ..core.roles import BASE_COLOUR
from ..protocol.messages import Result, Source
from ..protocol.surfaces import Lens, Onto, Scenery
from . import compat, frames, images, marks, materials, shaders, tiles
from .lenses import camera_lens, view_lens
from .sources import SourceLike
from .targets import Identity, find, lookup, push_undo, scenes_of_file
from .triangles import Collected, Texture, check_objects, collect, needs_uv
from .viewport import viewport_view


@dataclass(frozen=True)
class Place:
    """Where one result goes: a texture, one of its tiles (0: no tiles), and what its meshes' UV maps were like."""

    texture: Texture
    udim: int
    shapes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A bake that was prepared.

    Attributes:
        scenery: What travels to the engine, without cameras.
        places: Where its results go, in the order of its sheets.
        scenes: The file's scenes.
    """

    scenery: Scenery
    places: tuple[Place, ...]
    scenes: tuple[int, ...]

    def seen_by(self, lenses: Sequence[Lens], made_by: Sequence[str] = ()) -> Scenery:
        """Return the scenery with cameras, and the names of the models that painted their pictures."""
        return Scenery(self.scenery.triangles, tuple(lenses), self.scenery.sheets, tuple(made_by))

    def existing(self) -> dict[str, SourceLike]:
        """Return what the images hold now, as inputs for the engine: "existing0", …; those without pixels are left out.
        """
        result: dict[str, SourceLike] = {}
        for number, place in enumerate(self.places):
            image = lookup(place.texture.image) if place.texture.image is not None else None
            if image is not None:
                source = _source(image, place.udim)
                if source is not None:
                    result[f"existing{number}"] = source
        return result


def prepare(objects: Collection[bpy.types.Object], size: tuple[int, int],
            shown: Collection[bpy.types.Object] | None = None) -> Plan:
    """Read what pictures are baked onto.

    Args:
        objects: The meshes.
        size: (width, height) of images that do not exist yet; existing ones keep theirs.
        shown: As in `triangles.collect`.

    Raises:
        TargetUnusable: An object cannot be baked onto.
        SourceUnusable: Nothing of the objects is rendered.
    """
    check_objects(objects)
    for obj in objects:
        _check(obj)
    context = bpy.context
    collected = collect(objects, context.evaluated_depsgraph_get(), shown)
    sheets, places = _sheets(collected, size)
    return Plan(Scenery(collected.triangles, (), tuple(sheets)), tuple(places), scenes_of_file())


def place(plan: Plan, results: Sequence[Result], label: str = "") -> list[bpy.types.Image]:
    """Put baked images into the base colours that `plan` names, in one undo step. Return the images that are shown.

    Materials that other objects use as well are copied first. What was there stays in the file, with a fake user.

    Args:
        plan: The bake's plan.
        results: The job's results; those of the role BASE_COLOUR are the plan's sheets in order.
        label: Names the undo step.

    Raises:
        TargetUnusable: An object was deleted or its UV map edited meanwhile, or another file was opened. The images
            stay in the file, with a fake user, unless another file was opened.
        SourceUnusable: A file is gone; then nothing has been changed.
    """
    if not set(scenes_of_file()) & set(plan.scenes):
        raise TargetUnusable("Another file was opened while the picture was being made.")
    baked = [result for result in results if result.role == BASE_COLOUR]
    loaded: list[bpy.types.Image] = []
    try:
        for result, spot in zip(baked, plan.places, strict=True):
            loaded.append(_loaded(result, spot))
    except SDError:
        bpy.data.batch_remove(loaded)
        raise
    shown: list[bpy.types.Image] = []
    try:
        for spot in plan.places:
            _check_unchanged(spot)
        for image, spot in zip(loaded, plan.places):
            shown.append(_put(image, spot))
    except TargetUnusable as error:
        names = ", ".join(f"'{image.name}'" for image in loaded[len(shown):])
        raise TargetUnusable(error.message, f"The baked images are kept as {names}.", error.detail) from None
    finally:
        push_undo(f"SD: {images.short_name(label)}" if label else "Stable Diffusion")
    return list(dict.fromkeys(shown))


# ---- inside --------------------------------------------------------------------------------------------------------


def _check(obj: bpy.types.Object) -> None:
    """Raise TargetUnusable unless pictures can be baked onto `obj`."""
    check_objects([obj])
    if needs_uv(obj):
        raise TargetUnusable(f"'{obj.name}' has no UV map, so no image can be baked onto it.",
                             "Unwrap it in Edit Mode (UV ▸ Smart UV Project).")
    for slot in obj.material_slots:
        materials.check_place(obj, slot.material, materials.BASE_COLOR)


def _sheets(collected: Collected, size: tuple[int, int]) -> tuple[list[Onto], list[Place]]:
    sheets, places = [], []
    for number, texture in enumerate(collected.textures):
        image = lookup(texture.image) if texture.image is not None else None
        shapes = tuple(_shape(find(owner)) for owner in texture.owners)
        colour = _background(texture)
        for udim in texture.udim or (0,):
            sheets.append(Onto(number, *_size(image, udim, size), udim, colour))
            places.append(Place(texture, udim, shapes))
    return sheets, places


def _size(image: bpy.types.Image | None, udim: int, size: tuple[int, int]) -> tuple[int, int]:
    if image is None:
        return size
    try:
        if udim:
            with tiles.tile_of(image, udim) as tile:
                return images.size_of(tile)
        return images.size_of(image)
    except SourceUnusable:  # an image whose file is lost, or an empty tile
        return size


def _source(image: bpy.types.Image, udim: int) -> SourceLike | None:
    try:
        if udim:
            with tiles.tile_of(image, udim) as tile:
                source = images.source_of(tile)
                return source if isinstance(source, Source) else source()  # the tile is gone afterwards
        return images.source_of(image)
    except SourceUnusable:
        return None


def _background(texture: Texture) -> tuple[float, ...]:
    """Return the base colour that the material has without an image, linear."""
    material = find(texture.material) if texture.material is not None else None
    if material is not None and compat.uses_nodes(material):
        for shown in shaders.shown_shaders(material, mutes=False):
            socket = shown.giver.node.inputs.get(materials.BASE_COLOR)
            if socket is not None and socket.type == "RGBA":
                return tuple(socket.default_value[:3])
    return (0.8, 0.8, 0.8)


def _shape(obj: bpy.types.Object) -> int:
    """Return a number that changes with the mesh's UV maps and corners."""
    mesh = obj.data
    number = len(mesh.loops)
    for layer in mesh.uv_layers:
        places = np.empty(len(layer.uv) * 2, np.float32)
        layer.uv.foreach_get("vector", places)
        number = zlib.crc32(places.tobytes(), number)
    return number


def _check_unchanged(spot: Place) -> None:
    for owner, shape in zip(spot.texture.owners, spot.shapes):
        obj = find(owner)
        if obj.mode == "EDIT":
            obj.update_from_editmode()
        if _shape(obj) != shape:
            raise TargetUnusable(f"'{obj.name}' was edited while the pictures were being baked.")


def _loaded(result: Result, spot: Place) -> bpy.types.Image:
    owner = lookup(spot.texture.owners[0])
    name = owner.name if owner is not None else spot.texture.owners[0].name
    image = images.load_result(result, f"{name} {spot.udim}" if spot.udim else f"{name} baked")
    if marks.facts_of(image).origin is not None and not marks.facts_of(image).origin.model:
        del image[marks.MARK_PROPERTY]  # no model had a part in it
    image.use_fake_user = True
    return image


def _put(image: bpy.types.Image, spot: Place) -> bpy.types.Image:
    owners = [find(owner) for owner in spot.texture.owners]
    slot = spot.texture.slot
    material = _own_material(owners, slot, spot)
    shown = materials.put(image, owners[0], materials.BASE_COLOR, material, own=True, tile=spot.udim)
    shown.use_fake_user = False
    return shown


def _own_material(owners: Sequence[bpy.types.Object], slot: int, spot: Place) -> bpy.types.Material:
    """Return the material of a slot of `owners`, which share their mesh: made if missing, copied if others use it."""
    known: Identity | None = spot.texture.material
    material = find(known) if known is not None else None
    if material is not None and not _used_elsewhere(material, owners, slot):
        return material
    own = material.copy() if material is not None else bpy.data.materials.new(owners[0].name)
    for obj in owners:
        if not obj.material_slots:
            obj.data.materials.append(own)
        obj.material_slots[slot].material = own
    return own


def _used_elsewhere(material: bpy.types.Material, owners: Sequence[bpy.types.Object], slot: int) -> bool:
    """Return whether another object, or another slot, shows the material."""
    meshes = {obj.data for obj in owners}
    for obj in bpy.data.objects:
        for number, other in enumerate(obj.material_slots):
            if other.material == material and (number != slot or obj not in owners and obj.data not in meshes):
                return True
    return False


def bakeable(shown: Collection[bpy.types.Object]) -> list[bpy.types.Object]:
    """Return the meshes of `shown` that pictures can be baked onto: the selected ones, or all if none is selected."""
    meshes = []
    for obj in shown:
        try:
            _check(obj)
        except TargetUnusable:
            continue
        meshes.append(obj)
    return [obj for obj in meshes if obj.select_get()] or meshes


@contextmanager
def through(view: object) -> Iterator[bpy.types.Object | None]:
    """Return a context in which the scene's camera is the one that `view` names; it gets that camera, None for the 3D
    View.

    Args:
        view: "VIEWPORT", "CAMERA" or a camera object.

    Raises:
        SourceUnusable: It is anything else, or there is no camera.
    """
    scene = bpy.context.scene
    if view == "VIEWPORT":
        yield None
    elif view == "CAMERA":
        yield frames.camera_of(scene)
    elif isinstance(view, bpy.types.Object) and view.type == "CAMERA":
        before, scene.camera = scene.camera, view
        try:
            yield view
        finally:
            scene.camera = before
    else:
        raise SourceUnusable("This view cannot be projected from.",
                             'Give "VIEWPORT", "CAMERA" or a camera object.')


def from_view(size: tuple[int, int]) -> tuple[Lens, tuple[bpy.types.Object, ...]]:
    """Return the lens of the 3D View whose picture has `size`, and the objects in it. Raise NeedsWindow."""
    view = viewport_view(bpy.context, size[0] / size[1])
    return view_lens(view.optics, size), view.objects


def from_camera(camera: bpy.types.Object, size: tuple[int, int]) -> tuple[Lens, tuple[bpy.types.Object, ...]]:
    """Return the lens of a camera whose picture has `size`, and the objects that renders show. Raise SourceUnusable."""
    layer = bpy.context.view_layer
    shown = tuple(obj for obj in layer.objects if not obj.hide_render and obj.visible_get(view_layer=layer))
    return cameras_of([camera], [size])[0], shown


def cameras_of(given: Sequence[bpy.types.Object], sizes: Sequence[tuple[int, int]]) -> list[Lens]:
    """Return the lenses of camera objects whose pictures have `sizes`. Raise SourceUnusable for other lenses."""
    graph = bpy.context.evaluated_depsgraph_get()
    return [camera_lens(camera, bpy.context.scene, graph, size) for camera, size in zip(given, sizes, strict=True)]
