"""Frames of live mode."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..core.request import Request
from ..core.request_builder import build
from ..core.tasks import IMAGE_TO_IMAGE
from ..library.models import ModelInfo
from ..protocol.messages import Source
from ..session.job import Job
from . import policy
from .look_ups import LOOK_UPS
from .runtime import runtime

if TYPE_CHECKING:
    import numpy as np


def live_request(prompt: str, *, steps: int, strength: float, **settings: Any) -> tuple[Request, ModelInfo]:
    """Return the request for frames of live mode, without their size and source, and the model that paints them.

    Args:
        steps: How many times each frame is really denoised, whatever the `strength`.
        settings: Fields of the request.

    Raises:
        SDError: The settings cannot be met.
    """
    asked = min(500, math.ceil(steps / max(strength, 0.01) - 1e-6))  # only the share `strength` of these is carried out
    built = build(IMAGE_TO_IMAGE, prompt, {**settings, "steps": asked, "strength": strength}, LOOK_UPS)
    policy.check_request(built.request, built.model)
    return built.request, built.model


def paint_frame(request: Request, info: ModelInfo, pixels: np.ndarray) -> Job:
    """Paint `request` over `pixels` in the request's size, after all ordinary jobs, into memory alone. Return the job.

    An ordinary job that is submitted meanwhile ends it as cancelled. The picture is `job.results[0].pixels`.

    Args:
        pixels: H×W×4 uint8 sRGB, row 0 on top.
    """
    return runtime.the_session().submit(request, folder=info.folder, output="",
                                        inputs={"source": Source(pixels=pixels)}, label="Live",
                                        base_model=info.base_model, background=True)
