"""What is baked onto objects: the images to make, what they hold now, and where the results go."""
from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import SDError, SourceUnusable, TargetUnusable
from ..core.roles import BAKE_PICTURES, BASE_COLOUR
from ..protocol.messages import Result
from ..protocol.surfaces import Bare, Lens, Onto, Scenery, Unwrapping
from . import compat, images, marks, materials, object_maps, shaders, tiles, uv
from .held_maps import held_maps
from .replacing import take_place
from .shapes import Shape, read_mesh, readable
from .sources import SourceLike, held_source
from .targets import Identity, find, identity, lookup, push_undo, scenes_of_file
from .triangles import Collected, Placed, Texture, check_objects, collect, mapping_in


@dataclass(frozen=True)
class Place:
    """Where one result goes: a texture, one of its tiles (0: no tiles), and what its meshes' UV maps were like."""

    texture: Texture
    udim: int
    shapes: tuple[int, ...]


@dataclass(eq=False)
class Plan:
    """A bake that was prepared.

    Attributes:
        sheets: The images to make.
        places: Where its results go, in the order of its sheets.
        scenes: The file's scenes.
        single_user: Whether linked duplicates get meshes and images of their own.
        bare: The meshes that need UVs first, each with the objects that have it.
        maps: Their UVs, once they are known: L×2 float32, one for each corner.
    """

    sheets: tuple[Onto, ...]
    places: tuple[Place, ...]
    scenes: tuple[int, ...]
    single_user: bool
    bare: tuple[tuple[tuple[Identity, ...], Shape], ...]
    _collected: Collected
    _collect: Callable[[], Collected]
    maps: tuple[np.ndarray, ...] = ()

    def seen_by(self, lenses: Sequence[Lens], made_by: Sequence[str] = (), debug: Sequence[str] = ()
                ) -> Callable[[], Scenery] | Unwrapping:
        """Return the scenery with cameras, for `Session.submit`.

        Args:
            lenses: A camera for each picture.
            made_by: The names of the models that painted the pictures.
            debug: The kinds of pictures about the bake that are wanted (`core.roles.BAKE_PICTURES`).
        """
        if not self.bare:
            return lambda: Scenery(self._collected.triangles, tuple(lenses), self.sheets, tuple(made_by), tuple(debug))
        meshes = tuple(Bare(shape.vertices, shape.corners[shape.loops], shape.polygons) for _, shape in self.bare)

        def unwrapped(maps: tuple[np.ndarray, ...]) -> Callable[[], Scenery]:
            collected = self._wearing(maps)
            return lambda: Scenery(collected.triangles, tuple(lenses), self.sheets, tuple(made_by), tuple(debug))

        return Unwrapping(meshes, unwrapped)

    def targets(self) -> tuple[Placed, ...]:
        """Return the meshes that are baked onto, where they stood when the bake was prepared."""
        return tuple(placed for placed in self._collected.placed if placed.owner is not None)

    def existing(self) -> dict[str, SourceLike]:
        """Return what the images hold now, as inputs for the engine: "existing0", …; those without pixels are left out.
        """
        result: dict[str, SourceLike] = {}
        for number, place in enumerate(self.places):
            image = lookup(place.texture.image) if place.texture.image is not None and place.texture.uv_map else None
            if image is not None:
                source = held_source(image, place.udim)
                if source is not None:
                    result[f"existing{number}"] = source
        return result

    def existing_maps(self) -> dict[str, SourceLike]:
        """Return what the maps beside base colours hold now, as inputs for the engine. Raises TargetUnusable."""
        return held_maps((place.texture, place.udim) for place in self.places)

    def write_maps(self) -> None:
        """Write the new UV maps to their meshes. Raise TargetUnusable if an object is gone."""
        for (owners, _), values in zip(self.bare, self.maps):
            for mesh in {find(owner).data for owner in owners}:  # several where they were made single-user meanwhile
                uv.write_map(mesh, values)

    def _wearing(self, maps: tuple[np.ndarray, ...]) -> Collected:
        """Return the triangles as they are once the meshes have these UVs (T×3×2). The scene stays as it was.

        Modifiers carry UVs on in ways of their own, so Blender itself has to evaluate them.

        Raises:
            TargetUnusable: An object was changed or deleted meanwhile.
            SourceUnusable: None of the objects is rendered any more.
        """
        for spot in self.places:
            _check_unchanged(spot)
        self.maps = tuple(_by_corner(shape, places) for (_, shape), places in zip(self.bare, maps, strict=True))
        meshes = {find(owner).data for owners, _ in self.bare for owner in owners}
        try:
            self.write_maps()
            bpy.context.view_layer.update()
            collected = self._collect()
        finally:
            for mesh in meshes:
                uv.remove_maps(mesh)
        for before, now in zip(self._collected.textures, collected.textures, strict=False):
            if before.owners != now.owners or before.slot != now.slot:
                raise TargetUnusable("The objects were changed while their UV maps were being made.", "Bake again.")
        return collected


def prepare(objects: Collection[bpy.types.Object], size: tuple[int, int],
            shown: Collection[bpy.types.Object] | None = None, single_user: bool = False) -> Plan:
    """Read what pictures are baked onto.

    Args:
        objects: The meshes.
        size: (width, height) of images that do not exist yet; existing ones keep theirs.
        shown: As in `triangles.collect`.
        single_user: Whether linked duplicates get meshes and images of their own.

    Raises:
        TargetUnusable: An object cannot be baked onto.
        SourceUnusable: Nothing of the objects is rendered.
    """
    check_objects(objects)
    for obj in objects:
        check(obj)
    chosen = tuple(identity(obj) for obj in objects)
    around = None if shown is None else tuple(identity(obj) for obj in shown)

    def collect_now() -> Collected:
        there = None if around is None else [obj for known in around if (obj := lookup(known)) is not None]
        return collect([find(known) for known in chosen], bpy.context.evaluated_depsgraph_get(), there, single_user)

    collected = collect_now()
    bare: dict[bpy.types.Mesh, tuple[tuple[Identity, ...], Shape]] = {}
    for texture in collected.textures:
        owner = find(texture.owners[0])
        if not texture.uv_map:
            if owner.data not in bare:
                _check_bare(owner)
                bare[owner.data] = (), read_mesh(owner.data)
            owners, shape = bare[owner.data]
            bare[owner.data] = tuple(dict.fromkeys((*owners, *texture.owners))), shape
    sheets, places = _sheets(collected, size)
    return Plan(tuple(sheets), tuple(places), scenes_of_file(), single_user, tuple(bare.values()), collected,
                collect_now)


def place(plan: Plan, results: Sequence[Result], label: str = "") -> list[bpy.types.Image]:
    """Put baked images into the base colours that `plan` names, and their other maps beside them, in one undo step.
    Return the image that shows each of the base colours; tiles share one.

    Materials that other objects use as well are copied first. What was there stays in the file, with a fake user.

    Args:
        plan: The bake's plan.
        results: The job's results; those of the role BASE_COLOUR, and of each other map's, are the plan's sheets in
            order.
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
        maps = object_maps.load(results, [spot.texture for spot in plan.places])
    except SDError:
        bpy.data.batch_remove(loaded)
        raise
    shown: list[bpy.types.Image] = []
    try:
        for spot in plan.places:
            _check_unchanged(spot)
        if plan.single_user:
            for spot in plan.places:
                _separate(find(spot.texture.owners[0]))
        plan.write_maps()
        own: dict[Texture, bpy.types.Material] = {}
        for image, spot in zip(loaded, plan.places):
            shown.append(_put(image, spot, own))
        shown = _whole(loaded, shown, plan.places)
        object_maps.put(maps, shown, own, [(spot.texture, spot.udim) for spot in plan.places])
        pictures = [_debug_picture(result, plan) for result in results if result.role in BAKE_PICTURES]
    except TargetUnusable as error:
        names = ", ".join(f"'{image.name}'" for image in loaded[len(shown):])
        raise TargetUnusable(error.message, f"The baked images are kept as {names}.", error.detail) from None
    finally:
        push_undo(f"SD: {images.short_name(label)}" if label else "Stable Diffusion")
    return [*shown, *pictures]


def check(obj: bpy.types.Object) -> None:
    """Raise TargetUnusable unless pictures can be baked onto `obj`."""
    check_objects([obj])
    if not obj.data.is_editable and any(slot.link == "DATA" and slot.material is None for slot in obj.material_slots
                                        ) or not obj.data.is_editable and not obj.material_slots:
        raise TargetUnusable(f"The mesh of '{obj.name}' is linked from another file and has no material to change.",
                             "Make it local (Object ▸ Relations ▸ Make Local), or give the object a material.")
    for slot in obj.material_slots:
        materials.check_place(obj, slot.material, materials.BASE_COLOR)


# ---- inside --------------------------------------------------------------------------------------------------------


def _check_bare(obj: bpy.types.Object) -> None:
    """Raise TargetUnusable unless the mesh of `obj` can get a UV map."""
    if not obj.data.is_editable:
        raise TargetUnusable(f"'{obj.name}' has no UV map, and its mesh is linked from another file.",
                             "Make it local (Object ▸ Relations ▸ Make Local), or unwrap it there.")
    if obj.mode == "EDIT":
        raise TargetUnusable(f"'{obj.name}' has no UV map and cannot get one in Edit Mode.", "Leave Edit Mode (Tab).")


def _by_corner(shape: Shape, places: np.ndarray) -> np.ndarray:
    """Return UVs of triangles' corners (T×3×2) as those of the mesh's corners (L×2)."""
    result = np.zeros((len(shape.corners), 2), np.float32)
    result[shape.loops.ravel()] = places.reshape(-1, 2)
    return result


def _sheets(collected: Collected, size: tuple[int, int]) -> tuple[list[Onto], list[Place]]:
    sheets, places = [], []
    for number, texture in enumerate(collected.textures):
        image = lookup(texture.image) if texture.image is not None else None
        shapes = tuple(_shape(find(owner)) for owner in texture.owners)
        colour = _background(texture)
        turn = np.eye(2) if texture.material is None else np.array(mapping_in(find(texture.material))[1].matrix)[:2, :2]
        for udim in texture.udim or (0,):
            sheets.append(Onto(number, *_size(image, udim, size), udim, colour, tuple(turn.ravel().tolist())))
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
    """Return a number that changes with the mesh's UV maps, corners and polygons."""
    with readable(obj) as mesh:
        return _checksum(mesh)


def _checksum(mesh: bpy.types.Mesh) -> int:
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", corners)
    number = zlib.crc32(corners, len(mesh.polygons))
    for layer in mesh.uv_layers:
        places = np.empty(len(layer.uv) * 2, np.float32)
        layer.uv.foreach_get("vector", places)
        number = zlib.crc32(places, number)
    return number


def _check_unchanged(spot: Place) -> None:
    for owner, shape in zip(spot.texture.owners, spot.shapes):
        obj = find(owner)
        if _shape(obj) != shape:
            raise TargetUnusable(f"'{obj.name}' was edited while the pictures were being baked.")
        if not spot.texture.uv_map and obj.mode == "EDIT":
            raise TargetUnusable(f"'{obj.name}' cannot get a UV map in Edit Mode.")


def _separate(obj: bpy.types.Object) -> None:
    """Give `obj` a mesh of its own if others use it too."""
    if sum(other.data == obj.data for other in bpy.data.objects) > 1:
        obj.data = obj.data.copy()


def _loaded(result: Result, spot: Place) -> bpy.types.Image:
    owner = lookup(spot.texture.owners[0])
    name = owner.name if owner is not None else spot.texture.owners[0].name
    image = images.load_result(result, f"{name} {spot.udim}" if spot.udim else f"{name} baked")
    if marks.facts_of(image).origin is not None and not marks.facts_of(image).origin.model:
        del image[marks.MARK_PROPERTY]  # no model had a part in it
    image.use_fake_user = True
    return image


def _put(image: bpy.types.Image, spot: Place, own: dict[Texture, bpy.types.Material]) -> bpy.types.Image:
    """Put an image where it goes; `own` keeps the material of each texture, whose tiles all go into one."""
    owners = [find(owner) for owner in spot.texture.owners]
    if spot.texture not in own:
        own[spot.texture] = _own_material(owners, spot.texture)
    shown = materials.put(image, owners[0], materials.BASE_COLOR, own[spot.texture], own=True, tile=spot.udim)
    shown.use_fake_user = False
    return shown


def _whole(loaded: Sequence[bpy.types.Image], shown: Sequence[bpy.types.Image], places: Sequence[Place]
           ) -> list[bpy.types.Image]:
    """Return the image that shows each place at last. Every tile made a new image with all others: those on the way
    there are removed.
    """
    last = {spot.texture: image for image, spot in zip(shown, places)}
    for texture, image in last.items():
        former = lookup(texture.image) if texture.image is not None else None
        if len(texture.udim) > 1 and former is not None:
            take_place(former, image)  # its successor was one of those
    bpy.data.batch_remove({*loaded, *shown} - {*last.values()})
    return [last[spot.texture] for spot in places]


def _own_material(owners: Sequence[bpy.types.Object], texture: Texture) -> bpy.types.Material:
    """Return the material of a texture's slot of `owners`, which share their mesh: made if missing, copied if others
    use it.
    """
    slot = texture.slot
    material = find(texture.material) if texture.material is not None else None
    if material is not None and not _used_elsewhere(material, owners, slot):
        return material
    own = material.copy() if material is not None else bpy.data.materials.new(owners[0].name)
    for obj in owners:
        if not obj.material_slots:
            obj.data.materials.append(own)
        if not obj.data.is_editable:
            obj.material_slots[slot].link = "OBJECT"
        obj.material_slots[slot].material = own
    return own


def _debug_picture(result: Result, plan: Plan) -> bpy.types.Image:
    """Return a picture about the bake as an image of the file."""
    image = images.load_result(result, f"{plan.places[0].texture.owners[0].name} {result.role}")
    image.use_fake_user = True
    return image


def _used_elsewhere(material: bpy.types.Material, owners: Sequence[bpy.types.Object], slot: int) -> bool:
    """Return whether another object, or another slot, shows the material."""
    meshes = {obj.data for obj in owners}
    for obj in bpy.data.objects:
        for number, other in enumerate(obj.material_slots):
            if other.material == material and (number != slot or obj not in owners and obj.data not in meshes):
                return True
    return False
