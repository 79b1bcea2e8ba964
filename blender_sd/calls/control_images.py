"""ControlNets and the pictures that they read."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.parts import Control
from ..core.request import Request
from ..core.request_builder import checked_size
from ..library.controlnets import resolve_controlnet
from ..session.job import Job
from .arguments import ControlInput, scene_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy


@scene_call
def control(kind: str, image: Any = "CAMERA", model: str = "starter", *, weight: float = 1.0, start: float = 0.0,
            end: float = 1.0) -> ControlInput:
    """Return a ControlNet for `controls=`: the result keeps to the structure that `image` shows.

    Args:
        kind: depth, normal, lines or segmentation (with "CAMERA" or "VIEWPORT" drawn from the scene's geometry as the
            camera or the 3D View sees it, at the result's size; otherwise `image` is such a picture already); canny or
            blur (made from `image`); or image (as it is).
        image: As `source` of `restyle`.
        model: "starter" (reads depth and lines), a ControlNet's folder, or its name.
        weight: How strongly the result keeps to it.
        start, end: From which to which share of the steps it guides, 0 to 1.

    Raises:
        SDError: There is no such ControlNet.
    """
    net = resolve_controlnet(model, runtime.folders.model_folders())
    return Control(kind, net.id, weight, start, end), image


@scene_call
def control_image(kind: str, image: Any = "CAMERA", size: tuple[int, int] | None = None) -> bpy.types.Image:
    """Return the control picture that `control(kind, image)` gives to its ControlNet, as a new image.

    Waits for the engine if the picture has to be cut, resized or searched for edges.

    Args:
        size: Width and height of the result; by default the scene's render size.

    Raises:
        SDError: The picture cannot be made.
    """
    made = preview_control(kind, image, size)
    return made.result()[0] if isinstance(made, Job) else made


def preview_control(kind: str, image: Any, size: tuple[int, int] | None) -> bpy.types.Image | Job:
    """Do as `control_image` without waiting. Return the image, or the job whose `outputs` will hold it. Raises
    SDError."""
    scene = runtime.scene
    width, height = checked_size(size or scene.source_size("CAMERA"))
    request = Request(width=width, height=height, controls=(Control(kind, "starter"),))
    picture = scene.open_control(kind, image, (width, height))
    if scene.is_drawn(kind, image):  # in that size already
        return scene.control_image(kind, picture().pixels)

    def commit(job: Job) -> list:
        made = scene.control_image(kind, job.results[0].pixels)
        job.placement = scene.place(scene.new_image_target(), [made])
        scene.push_undo("Control Image")
        return scene.hold([made])

    return runtime.the_session().submit(request, folder="", output="", inputs={"control0": picture}, commit=commit,
                                        label=f"{kind} control", controls_only=True, recall=scene.recall)
