"""Bring pictures onto objects: any pictures with their cameras, or the view that is on screen, repainted."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..core.errors import InvalidRequest
from ..core.names import suggestion
from ..core.request import Request
from ..core.request_builder import checked_size
from ..core.roles import BAKE_PICTURES
from ..core.tasks import BAKE, IMAGE_TO_IMAGE, INPAINT
from ..session.job import Job
from .arguments import scene_call, task_call
from .runtime import runtime
from .submission import open_source, prepare, submit, with_regions

if TYPE_CHECKING:
    import bpy

MOST = 64  # pictures of one bake
_SIZE = (2048, 2048)


@scene_call
def bake(pictures: Iterable[Any], cameras: Iterable[bpy.types.Object], objects: Iterable[bpy.types.Object], *,
         size: tuple[int, int] = _SIZE, soft: int = 1, harmonise: bool = True, fill: bool = True,
         close_seams: bool = True, dilation: int = 16, locked: Any = None, single_user: bool = False,
         debug: Iterable[str] = (), label: str = "") -> Job:
    """Bake pictures onto objects, into the base colour of their materials. Return the job at once.

    Each object and material slot gets an image of its own. The camera must stand where it stood when the picture was
    taken. Colours come only from where a camera sees an object itself: never from a back face, from something hidden
    or from another object. Modifiers, instances, several UV maps and UDIM tiles count as they are rendered. Meshes
    without UVs get a UV map; linked duplicates share one image.

    Args:
        pictures: One for each camera, as `source` of `restyle`.
        cameras: Camera objects, perspective or orthographic.
        objects: Meshes.
        size: Width and height of images that do not exist yet; existing ones keep theirs.
        soft: Pixels at the edges of objects that are left out, because antialiasing mixes into them what is behind; 0
            for pictures without it.
        harmonise: Whether to make the pictures' colours agree where they overlap.
        fill: Whether what no picture shows takes the colours of its surroundings; otherwise it keeps what it had.
        close_seams: Whether to make colours agree across the seams of UV islands.
        dilation: Pixels round UV islands that get the border's colours.
        locked: An image in the objects' UVs, as `pictures`; what is white in it stays as it is.
        single_user: Whether linked duplicates get meshes and images of their own instead.
        debug: Pictures about the bake that are wanted too, in the objects' UVs: "coverage", "weights", "best view",
            "seams". They follow in the job's outputs.
        label: What lists call the job.

    Raises:
        SDError: A picture, camera or object cannot be used.
    """
    scene = runtime.scene
    pictures, cameras, objects = list(pictures), list(cameras), list(objects)
    if not pictures or len(pictures) != len(cameras) or len(pictures) > MOST:
        raise InvalidRequest(f"There are {len(pictures)} pictures and {len(cameras)} cameras.",
                             f"Give one camera for each picture; {MOST} are the most.")
    size, kinds = checked_size(size), _checked_debug(debug)
    opened = [open_source(picture) for picture in pictures]
    plan = scene.prepare_bake(objects, size, single_user=single_user)
    inputs: dict[str, Any] = {f"view{number}": source for number, (source, _) in enumerate(opened)}
    if locked is not None:
        inputs["locked"], _ = open_source(locked)
    if not fill or locked is not None:
        inputs |= plan.existing()
    scenery = plan.seen_by(scene.cameras_of(cameras, [size for _, size in opened]), _painters(pictures), kinds)
    request = Request.of(BAKE, width=size[0], height=size[1], soft=soft, harmonise=harmonise, fill=fill,
                         close_seams=close_seams, dilation=dilation)
    name = label or f"Bake {', '.join(obj.name for obj in objects)}"
    return _submitted(request, inputs, lambda job: scene.place_baked(plan, job.results, name), name, scenery)


@task_call(IMAGE_TO_IMAGE)
def project(view: Any, picture: Any, *, objects: Iterable[bpy.types.Object] | None = None,
            texture_size: tuple[int, int] = _SIZE, mask: Any = None, locked: Any = None, single_user: bool = False,
            debug: Iterable[str] = (), **settings: Any) -> Job:
    """Repaint what a view shows and bake it into the objects' own textures. Return the job at once.

    Only what the view sees well is painted: it fades into what the textures had towards flat angles and edges, and
    everything else stays bit for bit. Objects and materials are treated as by `bake`.

    Args:
        view: "VIEWPORT" (the 3D View; needs a window), "CAMERA" (rendered now, which waits), or a camera object.
        picture: The prompt for repainting the view; or a picture to bake as it is, as `source` of `restyle`, that shows
            what the view does. Text is a prompt: give a file as a `pathlib.Path`.
        objects: Meshes; None is the selected ones in the view, or all in it.
        texture_size: Width and height of images that do not exist yet; existing ones keep theirs.
        mask: What of the view is inpainted, as in `inpaint`: what is white in it, or "OBJECTS" for where the objects
            are seen; the rest of the view is what the model sees round it. None repaints all of the view.
        locked: An image in the objects' UVs; what is white in it stays as it is.
        single_user, debug: As in `bake`.
        {settings}

    Raises:
        SDError: The view, an object or a setting cannot be used.
    """
    scene = runtime.scene
    texture_size, kinds = checked_size(texture_size), _checked_debug(debug)
    given = settings.pop("label", None) or ""
    if (settings or mask is not None) and not isinstance(picture, str):
        raise InvalidRequest(f"'{next(iter(settings), 'mask')}' changes nothing where a picture is baked as it is.",
                             "Leave it out, or give a prompt.")
    if mask is not None and settings.get("regions"):
        raise InvalidRequest("Inpainting takes no regions.", "Leave out the mask or the regions.")
    order = None
    if isinstance(picture, str):
        order = prepare(IMAGE_TO_IMAGE, picture, settings) if mask is None else prepare(
            INPAINT, picture, {**settings, "mask_kind": "white"})
    with scene.through(view) as camera:
        source = ("VIEWPORT" if camera is None else "CAMERA") if order is not None else picture
        order = order and with_regions(order, source)
        data, size = open_source(source, order is not None and bool(order.regions))
        lens, shown = scene.from_view(size) if camera is None else scene.from_camera(camera, size)
        chosen = list(objects) if objects is not None else scene.bakeable(shown)
        plan = scene.prepare_bake(chosen, texture_size, shown, single_user)
        if mask is not None:
            objects_only = isinstance(mask, str) and mask == "OBJECTS"
            mask = scene.object_mask(chosen, size, camera) if objects_only else scene.open_mask(mask, size)
    label = given or (picture if order is not None else f"Project onto {', '.join(obj.name for obj in chosen)}")
    inputs: dict[str, Any] = dict(plan.existing())
    if locked is not None:
        inputs["locked"], _ = open_source(locked)

    def place(job: Job) -> list:
        return scene.place_baked(plan, job.results, label)

    if order is None:
        request = Request.of(BAKE, width=texture_size[0], height=texture_size[1], fill=False)
        scenery = plan.seen_by([lens], _painters([picture]), kinds)
        return _submitted(request, {**inputs, "view0": data}, place, label, scenery)
    if mask is not None:
        inputs["mask"] = mask
    order.target, order.label = place, label
    with scene.through(view):  # controls and regions are drawn as this camera sees them
        job = submit(order, {**inputs, "source": data}, size=size, covers=size, given=source,
                     scenery=plan.seen_by([lens], debug=kinds))
    job.covers = lambda: scene.preview_faces(plan, lens)
    return job


def _checked_debug(kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of pictures about a bake. Raise InvalidRequest for one that there is not."""
    kinds = tuple(dict.fromkeys(kinds))
    for kind in kinds:
        if kind not in BAKE_PICTURES:
            raise InvalidRequest(f"There is no picture '{kind}' about a bake.", suggestion(kind, BAKE_PICTURES))
    return kinds


def _submitted(request: Request, inputs: dict[str, Any], place: Callable[[Job], list], label: str, scenery: Any) -> Job:
    scene = runtime.scene
    return runtime.the_session().submit(
        request, folder="", output=str(runtime.folders.output_folder()), inputs=inputs,
        commit=lambda job: scene.hold(place(job)), label=label, scenery=scenery, recall=scene.recall)


def _painters(pictures: Sequence[Any]) -> list[str]:
    """Return the names of the models that painted any of `pictures`, as far as that is known."""
    names = []
    for picture in pictures:
        if isinstance(picture, (str, os.PathLike)) or hasattr(picture, "session_uid"):  # others are pixels alone
            with suppress(InvalidRequest):
                request = runtime.scene.request_of(picture)
                names.append(request.model_name or request.model)
    return list(dict.fromkeys(names))
