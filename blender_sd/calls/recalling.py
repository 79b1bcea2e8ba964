"""The settings that made a picture, and the same picture again."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.request import Request
from ..core.tasks import PBR_MAPS
from ..session.job import Job
from . import policy
from .arguments import Place, scene_call
from .reading import read_settings
from .locating import located
from .material_maps import again
from .runtime import runtime
from .source_pictures import kept_input
from .submission import open_source, submit_request

if TYPE_CHECKING:
    import bpy


@scene_call
def run(request: Request, source: Any = None, *, target: Place = None, label: str = "") -> Job:
    """Carry out a whole request as it is: what `recall` returned, or one of a batch. Return its job at once.

    Args:
        request: The request.
        source: Another source (as for `restyle`) than the request's. All other input pictures are the copies that the
            engine kept in the output folder.
        target, label: As for `generate`.

    Raises:
        SDError: Its model, files or input pictures are not here, or the policy does not allow it.
    """
    if request.task.name == PBR_MAPS:
        return again(request, source, target, label)
    request, info, notes = located(request)
    policy.check_request(request, info)
    inputs = {}
    for role in {*request.task.needs, *request.inputs}:
        given = source if role == "source" else None
        inputs[role], _ = open_source(
            kept_input(role, request.inputs.get(role, "")) if given is None else given)
    job = submit_request(request, info, inputs, target, label, given=source)
    job.notes += notes
    return job


@scene_call
def recall(image: bpy.types.Image | str | Path) -> Request:
    """Return the settings that made `image` (a bpy image, or the path of a picture), also of another program.

    `read_settings` tells which of them have no counterpart here. Raises InvalidRequest if it carries none.
    """
    return read_settings(image).request


def kept_image(role: str, digest: str) -> bpy.types.Image:
    """Return the input picture that a request names by its `digest`, from the copies in the output folder, as an image
    of this file. Raises SourceUnusable if it is gone.
    """
    return runtime.scene.load_kept(kept_input(role, digest))
