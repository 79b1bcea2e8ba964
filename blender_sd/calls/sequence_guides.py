"""What steers the frames of an animation: controls and regions, drawn of each frame or the same for all."""
from __future__ import annotations

import json
from dataclasses import dataclass, replace

from ..core.errors import InvalidRequest
from ..core.regions import MASK, as_fields
from .runtime import runtime
from .sequence_frames import Asked
from .submission import Order, SourceLike, open_source, with_regions


@dataclass(frozen=True)
class Guides:
    """What steers the frames.

    Attributes:
        controls, regions: What is drawn of each frame, as `Record` has it.
        inputs: Pictures that hold for all frames, by role.
    """

    controls: tuple[str, ...]
    regions: str
    inputs: dict[str, SourceLike]


def guides_of(order: Order, asked: Asked) -> Guides:
    """Return what steers the frames. Raises SDError for a control or a region that cannot be had in each frame."""
    scene = runtime.scene
    made = Guides((), "[]", {})
    if order.reference is not None:
        made.inputs["reference"], _ = open_source(order.reference)
    drawn, named = [], []
    for number, (control, image) in enumerate(order.controls):
        if isinstance(image, str) and image in ("VIEWPORT", "RENDER"):
            raise InvalidRequest("The controls of an animation are drawn from the camera, or the same in all frames.",
                                 "Choose the camera or a picture.")
        if scene.is_drawn(control.kind, image) and image == "CAMERA":
            if not asked.of_scene:
                raise InvalidRequest(f"A {control.kind} picture needs a scene that it can be drawn from.",
                                     "Leave the control out, or say that the frames show the open scene.")
            drawn.append(f"{number}={control.kind}")
        elif image != "CAMERA":  # of that, the engine takes the frame itself
            made.inputs[f"control{number}"] = scene.open_control(control.kind, image, asked.size)
    if order.regions:
        scene.check_regions(order.regions, "CAMERA" if asked.of_scene else asked.source)
    for number, (region, mask) in enumerate(order.regions):
        if region.kind == MASK:
            made.inputs[f"region{number}"] = scene.open_mask(mask, asked.size)
        elif not asked.of_scene:
            raise InvalidRequest(f"There is no scene in which to look for {region.label}.",
                                 "Give the region a mask, or say that the frames show the open scene.")
        else:
            named.append((number, as_fields(region)))
    return replace(made, controls=tuple(drawn), regions=json.dumps(named))


def with_style_regions(order: Order, asked: Asked) -> Order:
    """Return the order with those regions of its style that the frames can have; a note names the others. Raises
    SDError for regions of the call."""
    if not order.regions:
        return order
    if asked.of_scene:
        return with_regions(order, "CAMERA")
    runtime.scene.check_regions(order.regions[:order.own_regions], asked.source)
    notes = [f"The style has a region for {region.label}, which is not looked for: the frames show no open scene."
             for region, _ in order.regions[order.own_regions:]]
    kept = order.regions[:order.own_regions]
    return replace(order, request=order.request.changed(regions=tuple(region for region, _ in kept)), regions=kept,
                   notes=[*order.notes, *notes])
