"""Paint the textures of whole objects from every side."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core import part_prompts
from ..core.errors import InvalidRequest, TargetUnusable
from ..core.names import suggestion
from ..core.request_builder import checked_size
from ..core.tasks import SIDES, TEXTURE_OBJECT, PbrMaps, TextureObject
from ..session.job import Job
from .arguments import task_call
from .material_maps import map_task
from .runtime import runtime
from .submission import Order, open_source, prepare, submit

if TYPE_CHECKING:
    import bpy

_CONTROLS = ("depth", "normal", "lines")  # what the engine draws of each view
MOST = 64  # views


@task_call(TEXTURE_OBJECT)
def texture_object(objects: Iterable[bpy.types.Object | str] | bpy.types.Object | str, prompt: str, *, size: int = 2048,
                   views: str | Iterable[Any] = "auto", view_size: int | None = None, source: Any = None,
                   mask: Any = None, prompts: Mapping[str, str] | None = None, look: bool = False,
                   map_source: str = "auto", map_bits: str = "16", **settings: Any) -> Job:
    """Paint the textures of whole objects from every side, without seams. Return the job at once.

    All views are painted together and agree on the surface at every step; the result is baked into the base colour of
    every object and material as by `bake`, in one undo step. Models that edit by instruction and models that only
    inpaint paint one view after another instead.

    Args:
        objects: Meshes, or their names.
        prompt: What the objects are made of.
        size: Side of images that do not exist yet, in pixels; existing ones keep theirs.
        views: "auto": eight around, top and bottom, and more where these do not see the surface well; a list of some of
            these ten by their names ("front", "front right", …, "top"); or camera objects.
        view_size: Side of the views in pixels; None for what the model was trained for.
        source: An image in the objects' UVs (as `source` of `restyle`) to start from in place of their textures, for a
            `strength` below 1.
        mask: What is repainted: an image in the objects' UVs, white or not; "FACES" for the selected faces; or the name
            of a vertex group, its faces with a weight of at least a half. Everything else stays bit for bit.
        prompts: Other prompts for some materials or objects, by their names.
        look: Whether to paint the first view only, as a new image: a quick look before the whole job. The objects stay
            as they are.
        map_source: With `maps`, what makes them: auto, marigold, trained or estimated.
        map_bits: With `maps`, bits of the normals: "8" or "16".
        {settings}

    With `maps`, the views' maps are fused at each texel: base colour without light, roughness, what is metal (decided
    for each material as a whole), and normals that add detail to those of the mesh. All go into the materials. What a
    `mask` leaves out, and without `fill` what no view sees, keeps each map's own values.

    `controls` guide every view, each by a picture of its own, which is drawn from the objects: those given with them
    are not used. Kinds: depth, normal, lines.

    Raises:
        SDError: An object, a view, the mask or a setting cannot be used.
    """
    scene, meshes = runtime.scene, _objects(objects)
    side, (named, cameras) = checked_size((size, size)), _views(views)
    if settings.get("axes"):
        raise InvalidRequest("Objects have no grids.", "Leave `axes` out, or texture copies of the object.")
    plan = scene.prepare_bake(meshes, side)
    parts = _parts(prompts or {}, scene.baked_names(plan))
    sides = {} if cameras else {"sides": named}
    order = _order(prompt, {**settings, **sides, "parts": parts, "look": look}, view_size)
    request, task = order.request, order.request.task
    assert isinstance(task, TextureObject)
    maps = _checked_maps(plan, map_source, map_bits) if task.maps and not look else None
    lenses = scene.cameras_of(cameras, [(request.width, request.height)] * len(cameras))
    order.label = order.label or prompt or f"Texture {', '.join(obj.name for obj in meshes)}"
    if not look and order.target is None:
        order.target = lambda job: scene.place_baked(plan, job.results, order.label)
    inputs = _inputs(plan, task, source, mask)
    if maps is not None and (mask is not None or not task.fill):
        inputs |= plan.existing_maps()
    job = submit(order, inputs, given=source, scenery=plan.seen_by(lenses), maps=maps)
    if not look:
        job.covers = lambda: scene.textured_faces(plan)
    return job


def _order(prompt: str, settings: dict[str, Any], view_size: int | None) -> Order:
    """Return what is to be submitted, without pictures for its controls: the engine draws those of every view.

    Raises:
        SDError: A setting cannot be used.
    """
    order = prepare(TEXTURE_OBJECT, prompt, settings)
    if view_size is not None:
        order.request = order.request.changed(width=view_size, height=view_size)
    for control, _ in order.controls:
        if control.kind not in _CONTROLS:
            raise InvalidRequest(f"Views have no {control.kind} pictures.", f"Use one of: {', '.join(_CONTROLS)}.")
    order.controls = ()
    return order


def _inputs(plan: Any, task: TextureObject, source: Any, mask: Any) -> dict[str, Any]:
    """Return the pictures that go with a request: what the textures show now, and what is repainted of them."""
    inputs: dict[str, Any] = {}
    if source is not None:
        opened, _ = open_source(source)
        inputs |= {f"existing{number}": opened for number in range(len(plan.places))}
    elif task.strength < 1 or mask is not None or not task.fill:
        inputs |= plan.existing()
    if mask is not None:
        inputs |= runtime.scene.texture_masks(plan, mask)
    return inputs


def _checked_maps(plan: Any, source: str, bits: str) -> PbrMaps:
    """Return how the objects' maps are made. Raises SDError."""
    runtime.scene.check_object_maps(place.texture for place in plan.places)
    return map_task(source, bits, 1.0, "none")


def _objects(given: Any) -> list[Any]:
    """Return the objects that are meant. Raises TargetUnusable for a name that no object has."""
    scene = runtime.scene
    listed = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    return [scene.object_named(one) if isinstance(one, str) else one for one in listed]


def _views(given: Any) -> tuple[str, list[Any]]:
    """Return the names of sides (commas between them; "" for all), and cameras; one of both is empty."""
    if given == "auto":
        return "", []
    listed = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
    if not listed or len(listed) > MOST:
        raise InvalidRequest(f"There are {len(listed)} views.", f"Give 1 to {MOST}, or \"auto\".")
    if all(isinstance(one, str) for one in listed):
        for name in listed:
            if name not in SIDES:
                raise InvalidRequest(f"There is no side called '{name:.40}'.", suggestion(name, SIDES))
        return ",".join(listed), []
    if any(isinstance(one, str) for one in listed):
        raise InvalidRequest("The views are names of sides and cameras together.", "Give only one kind.")
    return "", listed


def _parts(prompts: Mapping[str, str], names: list[tuple[str, ...]]) -> str:
    """Return which textures have prompts of their own, as the request holds it. Raises TargetUnusable for a name that
    is neither a material's nor an object's."""
    parts: part_prompts.Parts = []
    known = sorted({name for several in names for name in several})
    for name, prompt in prompts.items():
        textures = [number for number, several in enumerate(names) if name in several]
        if not textures:
            raise TargetUnusable(f"There is a prompt for '{name:.60}', but none of the objects or their materials is "
                                 "called so.", suggestion(name, known))
        parts.append((prompt, textures))
    return part_prompts.written(parts)
